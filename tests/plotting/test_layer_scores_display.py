from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_rgba
from sklearn.linear_model import Ridge
from sklearn.model_selection import GridSearchCV, KFold
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import FunctionTransformer

from skdnn.plotting import LayerScoresDisplay
from skdnn.rsa import RDM, RSAScorer, compute_rdm


def tick_texts(axis):
    return [tick.get_text() for tick in axis.get_ticklabels()]


def legend_texts(display):
    return [text.get_text() for text in display.ax_.get_legend().get_texts()]


def bar_ends(display, k=0):
    """Lower and upper ends of the bars of the k-th profile, a row each."""
    (bars,) = display.ax_.containers[2 * k].lines[2]
    drawn = [s[:, 1] if len(s) else [np.nan, np.nan] for s in bars.get_segments()]
    return np.array(drawn)


WHISKERS = "\N{PLUS-MINUS SIGN} 1 SD over folds"
SCORES = {"conv1": [0.1, 0.3], "conv2": [0.5, 0.6, 0.7], "fc": [0.2]}


def test_layer_scores_from_dict():
    display = LayerScoresDisplay.from_scores(SCORES, title="profile", label="net")
    np.testing.assert_allclose(display.scores["mean"], [0.2, 0.6, 0.2])
    np.testing.assert_allclose(display.scores["std"], [0.1, np.std([0.5, 0.6, 0.7]), 0])
    assert tick_texts(display.ax_.xaxis) == list(SCORES)
    dots = np.concatenate([c.get_offsets()[:, 1] for c in display.ax_.collections[:3]])
    np.testing.assert_allclose(np.sort(dots), sorted(np.concatenate(list(SCORES.values()))))
    assert display.ax_.get_ylabel() == "RSA score"
    assert display.ax_.get_legend().get_texts()[0].get_text() == "net"


def test_layer_scores_from_frames():
    wide = pd.DataFrame({"a": [1.0, 2], "b": [3.0, 5]})
    np.testing.assert_allclose(LayerScoresDisplay.from_scores(wide).scores["mean"], [1.5, 4])
    tidy = pd.DataFrame({"layer": ["a", "b"], "mean": [0.1, 0.2], "std": [0.0, 0.1]})
    assert LayerScoresDisplay.from_scores(tidy).ax_.get_xlim() == (-0.5, 1.5)
    with pytest.raises(ValueError, match=r"lacks the column\(s\) std"):
        LayerScoresDisplay(tidy.drop(columns="std"))
    with pytest.raises(ValueError, match="no rows"):
        LayerScoresDisplay(tidy.iloc[:0])


def test_two_profiles_ceiling_and_reference_share_the_axes():
    first = LayerScoresDisplay.from_scores(
        SCORES, label="a", ceiling=(0.5, 0.8), reference={"monkey": [0.3, 0.5]}
    )
    LayerScoresDisplay.from_scores(SCORES, ax=first.ax_, label="b")
    texts = {text.get_text() for text in first.ax_.get_legend().get_texts()}
    assert texts == {"a", "b", "noise ceiling", "monkey", WHISKERS}
    lines = {line.get_label(): line for line in first.ax_.lines}
    np.testing.assert_allclose(lines["monkey"].get_ydata(), 0.4)
    bars = {c.get_label(): c.lines[0] for c in first.ax_.containers if c.lines[0]}
    assert bars["a"].get_color() != bars["b"].get_color()
    assert not np.isin(bars["a"].get_xdata(), bars["b"].get_xdata()).any()
    with pytest.raises(ValueError, match="axes show the layers"):
        LayerScoresDisplay.from_scores({"other": [1.0]}, ax=first.ax_)


def take(X, layer):
    return X[:, : int(layer[-1])]


class Layer(FunctionTransformer):
    """Stands for a network: its layer is the number of columns."""

    def __init__(self, layer="conv2"):
        self.layer = layer
        super().__init__(func=take, kw_args={"layer": layer})

    def set_params(self, **params):
        super().set_params(**params)
        self.kw_args = {"layer": self.layer}
        return self


def search_over(grid, **options):
    X = np.random.default_rng(0).normal(size=(24, 8))
    y = X + 0.5 * np.random.default_rng(1).normal(size=X.shape)
    pipeline = Pipeline([("dnn", Layer()), ("rdm", RDM()), ("rsa", RSAScorer())])
    folds = KFold(3, shuffle=True, random_state=0)
    return GridSearchCV(pipeline, grid, cv=folds, error_score="raise", **options).fit(X, y)


GRID = {"rdm__metric": ["euclidean", "cosine"], "dnn__layer": ["conv3", "conv7", "conv5"]}


def test_from_search_shows_the_best_per_layer():
    search = search_over(GRID)
    display = LayerScoresDisplay.from_search(search)
    results = pd.DataFrame(search.cv_results_)
    expected = results.groupby("param_dnn__layer")["mean_test_score"].max()
    assert list(display.scores["layer"]) == ["conv3", "conv7", "conv5"]
    np.testing.assert_allclose(display.scores["mean"], expected[["conv3", "conv7", "conv5"]])
    best = results.loc[search.best_index_]
    row = display.scores.set_index("layer").loc[best["param_dnn__layer"]]
    assert row["std"] == pytest.approx(best["std_test_score"])
    assert len(row["scores"]) == 3
    other = LayerScoresDisplay.from_search(search, "rdm__metric")
    assert list(other.scores["layer"]) == ["euclidean", "cosine"]


def test_from_search_shows_what_the_search_chose():
    """Whatever it chose by, as its profile and its best parameters do."""
    least = search_over(GRID, refit=lambda results: int(np.argmin(results["mean_test_score"])))
    display = LayerScoresDisplay.from_search(least)
    chosen = pd.DataFrame(least.cv_results_).loc[least.best_index_]
    row = display.scores.set_index("layer").loc[chosen["param_dnn__layer"]]
    assert row["mean"] == pytest.approx(chosen["mean_test_score"])


def test_from_search_errors():
    search = search_over({"rdm__metric": ["euclidean"]})
    with pytest.raises(ValueError, match="name one as param"):
        LayerScoresDisplay.from_search(search)
    with pytest.raises(ValueError, match="param='layer' was not searched"):
        LayerScoresDisplay.from_search(search, "layer")


def test_from_search_with_detailed_scores():
    search = search_over(GRID, scoring=RSAScorer(detail=True), refit="score")
    plain = search_over(GRID)
    np.testing.assert_allclose(
        LayerScoresDisplay.from_search(search).scores["mean"],
        LayerScoresDisplay.from_search(plain).scores["mean"],
    )


def test_bars_are_standard_deviations_or_intervals():
    display = LayerScoresDisplay.from_scores(SCORES)
    mean, std = display.scores[["mean", "std"]].to_numpy().T
    np.testing.assert_allclose(bar_ends(display), np.c_[mean - std, mean + std])
    # An interval need not hold the mean, and a layer may have none.
    intervals = {"conv1": (0.21, 0.4), "fc": (0.1, 0.25)}
    display = LayerScoresDisplay.from_scores(SCORES, intervals=intervals)
    np.testing.assert_allclose(bar_ends(display)[[0, 2]], [[0.21, 0.4], [0.1, 0.25]])
    assert np.isnan(bar_ends(display)[1]).all()
    frame = pd.DataFrame(intervals, index=["low", "high"]).T
    again = LayerScoresDisplay.from_scores(SCORES, intervals=frame)
    np.testing.assert_array_equal(bar_ends(again), bar_ends(display))
    table = display.scores.assign(low=[0, 1, 2], high=[3, 4, 5])
    ends = bar_ends(LayerScoresDisplay.from_scores(table))
    np.testing.assert_allclose(ends, [[0, 3], [1, 4], [2, 5]])


@pytest.mark.parametrize(
    "p_values",
    [{"conv2": 0.01, "fc": 0.0, "conv1": 0.05}, pd.Series([0.2, 0.049, 0.0], index=list(SCORES)),
     [0.9, 0.01, 0.02], {"conv2": 0.01, "fc": 0.0}, {"conv1": np.nan, "conv2": 0.01, "fc": 0.0}],
)  # fmt: skip
def test_significant_layers_have_dots(p_values):
    display = LayerScoresDisplay.from_scores(SCORES, p_values=p_values)
    (dots,) = [line for line in display.ax_.lines if line.get_marker() == "o"
               and len(line.get_xdata()) and not line.get_clip_on()]  # fmt: skip
    np.testing.assert_array_equal(dots.get_xdata(), [1, 2])
    assert (np.asarray(dots.get_ydata()) > 1).all()  # above the axes
    assert legend_texts(display) == ["p < 0.05", WHISKERS]


def test_dots_of_several_profiles_stand_in_rows():
    first = LayerScoresDisplay.from_scores(SCORES, p_values=[0.001] * 3, label="a", title="both")
    LayerScoresDisplay.from_scores(SCORES, p_values=[0.2] * 3, label="b", ax=first.ax_)
    last = LayerScoresDisplay.from_scores(SCORES, p_values=[0.2, 0, 1], label="c", ax=first.ax_)
    assert legend_texts(last) == ["a", "b", "c", "p < 0.05", WHISKERS]
    rows = [line for line in first.ax_.lines if len(line.get_xdata()) and not line.get_clip_on()]
    assert [len(row.get_xdata()) for row in rows] == [3, 1]
    heights = [row.get_ydata()[0] for row in rows]
    assert heights[0] < heights[1]
    assert rows[1].get_color() == last.ax_.containers[-1].lines[0].get_color()
    assert first.ax_.get_title() == "both"


def test_threshold_is_named():
    display = LayerScoresDisplay.from_scores(SCORES, p_values=[0.02, 0.005, 0.2], alpha=0.01)
    assert legend_texts(display) == ["p < 0.01", WHISKERS]
    nothing = LayerScoresDisplay.from_scores(SCORES, p_values=[1, 1, 1])
    assert legend_texts(nothing) == ["p < 0.05", WHISKERS]


def band(display):
    (patch,) = display.ax_.patches
    box = patch.get_extents().transformed(display.ax_.transData.inverted())
    return box.y0, box.y1


def test_ceilings_of_folds_are_averaged():
    display = LayerScoresDisplay.from_scores(SCORES, ceiling=([0.4, 0.5], np.array([0.7, 0.8])))
    np.testing.assert_allclose(band(display), (0.45, 0.75))
    LayerScoresDisplay.from_scores(SCORES, ceiling=(0.45, 0.75), ax=display.ax_)
    assert len(display.ax_.patches) == 1  # twice the same is drawn once
    assert not LayerScoresDisplay.from_scores(SCORES, ceiling=(np.nan, 0.5)).ax_.patches


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"p_values": {"conv9": 0.1}}, "p_values names 'conv9'"),
        ({"p_values": [0.1]}, r"p_values has shape \(1,\) for 3"),
        ({"p_values": [0.1, 2, 0.3]}, "between 0 and 1"),
        ({"alpha": 5}, "alpha must lie between 0 and 1"),
        ({"intervals": {"conv9": (0, 1)}}, "intervals names 'conv9'"),
        ({"intervals": {"conv1": (1, 0)}}, "low below high"),
        ({"intervals": pd.DataFrame({"low": [1]}, index=["fc"])}, "lacks the column.* high"),
        ({"ceiling": (1, 2, 3)}, "ceiling must be a pair"),
        ({"each": True}, "no scores of single targets"),
    ],
)
def test_layer_scores_errors(options, message):
    with pytest.raises(ValueError, match=message):
        LayerScoresDisplay.from_scores(SCORES, **options)


def test_one_layer_and_nan():
    display = LayerScoresDisplay.from_scores({"only": [np.nan, 0.2]})
    assert np.isnan(display.scores["mean"]).all()
    assert display.ax_.get_xlim() == (-0.5, 0.5)


SUBJECTS = ["S1", "S2", "S3"]


def fitted_search(n_layers=4, n_folds=3, seed=0, **besides):
    """What a search with RSAScorer(detail=True) leaves behind."""
    rng = np.random.default_rng(seed)
    values = {name: rng.normal(size=(n_layers, n_folds)) for name in SUBJECTS}
    values["score"] = np.mean(list(values.values()), axis=0)
    values |= {name: np.tile(v, (n_layers, 1)) for name, v in besides.items()}
    results = {"param_dnn__layer": np.array([f"conv{k}" for k in range(n_layers)], dtype=object)}
    for name, folds in values.items():
        results |= {f"split{k}_test_{name}": folds[:, k] for k in range(n_folds)}
        results |= {f"mean_test_{name}": folds.mean(1), f"std_test_{name}": folds.std(1)}
    return SimpleNamespace(cv_results_=results, refit="score")


CEILINGS = {"ceiling_lower": [0.1, 0.2, 0.3], "ceiling_upper": [0.5, 0.6, 0.7]}


def test_from_search_finds_the_ceiling():
    search = fitted_search(**CEILINGS)
    display = LayerScoresDisplay.from_search(search)
    np.testing.assert_allclose(band(display), (0.2, 0.6))
    assert display.ceiling == pytest.approx((0.2, 0.6))
    given = LayerScoresDisplay.from_search(search, ceiling=(0.3, 0.4))
    np.testing.assert_allclose(band(given), (0.3, 0.4))
    assert not LayerScoresDisplay.from_search(search, ceiling=False).ax_.patches
    assert not LayerScoresDisplay.from_search(fitted_search()).ax_.patches
    search = fitted_search(ceiling_lower=[0.1, np.nan, 0.3], ceiling_upper=[0.5, 0.6, 0.7])
    assert LayerScoresDisplay.from_search(search).ceiling is None


def test_from_search_draws_each_subject():
    others = {"V1/ceiling_lower": [0, 0, 0], "V1/ceiling_upper": [1, 1, 1], "n_pairs": [3, 3, 3]}
    search = fitted_search(**CEILINGS, **others)
    display = LayerScoresDisplay.from_search(search, each=True)
    assert list(display.each.columns) == SUBJECTS
    lines = [line for line in display.ax_.lines if line.get_linewidth() == 0.9]
    for name, line in zip(SUBJECTS, lines, strict=True):
        np.testing.assert_array_equal(line.get_ydata(), search.cv_results_[f"mean_test_{name}"])
    assert "each of 3" in legend_texts(display)
    plain = LayerScoresDisplay.from_search(search)
    assert not [line for line in plain.ax_.lines if line.get_linewidth() == 0.9]
    np.testing.assert_array_equal(plain.scores["mean"], display.scores["mean"])


def test_several_measures_are_not_several_subjects():
    search = fitted_search()
    search.scoring = {"score": RSAScorer(), "S1": RSAScorer("pearson")}
    with pytest.raises(ValueError, match="no scores of single targets"):
        LayerScoresDisplay.from_search(search, each=True)


def test_from_a_real_search_over_subjects():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(18, 8))
    names = [f"im{k}" for k in range(18)]
    brains = {
        subject: compute_rdm(pd.DataFrame(X + rng.normal(size=X.shape), index=names))
        for subject in SUBJECTS
    }
    y = pd.concat(brains, axis=1)
    pipeline = Pipeline([("dnn", Layer()), ("rdm", RDM()), ("rsa", RSAScorer())])
    search = GridSearchCV(
        pipeline, {"dnn__layer": ["conv3", "conv7"]}, cv=KFold(3, shuffle=True, random_state=0),
        scoring=RSAScorer(detail=True), refit="score", error_score="raise",
    ).fit(X, y)  # fmt: skip
    display = LayerScoresDisplay.from_search(search, each=True)
    assert list(display.each.columns) == SUBJECTS
    np.testing.assert_allclose(display.each.mean(axis=1), display.scores["mean"])
    ceiling = [search.cv_results_[f"mean_test_ceiling_{end}"][0] for end in ("lower", "upper")]
    np.testing.assert_allclose(band(display), ceiling)
    assert ceiling[0] < ceiling[1]


def line_of(display, name):
    (line,) = [line for line in display.ax_.lines if line.get_label() == name]
    return line


def test_whiskers_and_their_level_are_named():
    equal = {"conv1": [0.1, 0.2, 0.3, 0.4], "fc": [0.2, 0.4, 0.5, 0.3]}
    assert legend_texts(LayerScoresDisplay.from_scores(equal)) == [f"{WHISKERS[:11]} 4 folds"]
    intervals = {"conv1": (0.1, 0.4), "fc": (0.2, 0.3)}
    options = {"intervals": intervals, "level": 0.9}
    assert legend_texts(LayerScoresDisplay.from_scores(equal, **options)) == ["90% interval"]
    unnamed = LayerScoresDisplay.from_scores(equal, intervals=intervals)
    assert legend_texts(unnamed) == ["interval as given"]
    assert LayerScoresDisplay.from_scores({"only": [0.2]}).ax_.get_legend() is None


def test_the_comparison_is_named():
    display = LayerScoresDisplay.from_search(search_over(GRID))
    assert display.ax_.get_ylabel() == "RSA score (spearman)"
    LayerScoresDisplay.from_scores({k: [0.1] for k in display.scores["layer"]}, ax=display.ax_)
    assert display.ax_.get_ylabel() == "RSA score (spearman)"  # a later one does not undo it
    display.plot(ylabel="rho")
    assert display.ax_.get_ylabel() == "rho"
    other = search_over(GRID, scoring=RSAScorer("cosine"))
    assert LayerScoresDisplay.from_search(other).ax_.get_ylabel() == "RSA score (cosine)"
    ridge = GridSearchCV(Pipeline([("dnn", Layer()), ("ridge", Ridge())]), {"dnn__layer": ["a1"]})
    X = np.random.default_rng(0).normal(size=(20, 3))
    assert LayerScoresDisplay.from_search(ridge.fit(X, X)).ax_.get_ylabel() == "score (R²)"
    plain = fitted_search()
    plain.scoring = "r2"
    assert LayerScoresDisplay.from_search(plain).ax_.get_ylabel() == "score (r2)"


@pytest.mark.parametrize(
    "reference",
    [
        {"conv1": 0.1, "conv2": [0.2, 0.4], "fc": 0.5},
        pd.Series({"conv1": 0.1, "conv2": 0.3, "fc": 0.5}),
        {"reference": {"fc": 0.5, "conv2": 0.3, "conv1": 0.1}},
    ],
)
def test_a_reference_of_layers_is_one_profile(reference):
    display = LayerScoresDisplay.from_scores(SCORES, reference=reference)
    assert legend_texts(display) == ["reference", WHISKERS]
    np.testing.assert_allclose(line_of(display, "reference").get_ydata(), [0.1, 0.3, 0.5])


def test_profiles_and_lines_to_compare_with():
    given = {"untrained": {"conv1": 0.1, "fc": 0.2}, "monkey": 0.4, "human": [0.5, 0.7]}
    display = LayerScoresDisplay.from_scores(SCORES, reference=given)
    assert legend_texts(display) == ["untrained", "monkey", "human", WHISKERS]
    np.testing.assert_array_equal(line_of(display, "untrained").get_ydata(), [0.1, np.nan, 0.2])
    assert set(line_of(display, "human").get_ydata()) == {0.6}
    with pytest.raises(ValueError, match="'untrained' names 'conv9'"):
        LayerScoresDisplay.from_scores(SCORES, reference={"untrained": {"conv9": 0.1}})


def test_many_references_have_one_entry():
    given = {f"model {k}": 0.1 + 0.02 * k for k in range(14)}
    display = LayerScoresDisplay.from_scores(SCORES, reference=given)
    told = "14 references,\n0.10 (model 0) to 0.36 (model 13)"
    assert legend_texts(display) == [told, WHISKERS]
    heights = [line.get_ydata()[0] for line in display.ax_.lines if line.get_linestyle() == ":"]
    assert heights == pytest.approx(list(given.values()))


def profiles(display):
    """What is drawn for each name, and whether there is a mean besides."""
    lines = {line.get_label(): list(line.get_ydata()) for line in display.ax_.lines}
    means = [c for c in display.ax_.containers if c.lines[0] is not None]
    return {name: y for name, y in lines.items() if not name.startswith("_")}, bool(means)


def regions(names, seed=0, **besides):
    rng = np.random.default_rng(seed)
    each = {name: rng.normal(size=(4, 3)) for name in names}
    results = {"param_dnn__layer": np.array([f"conv{k}" for k in range(4)], dtype=object)}
    scores = {"score": np.mean(list(each.values()), axis=0), **each}
    scores |= {name: np.full((4, 3), value) for name, value in besides.items()}
    for name, folds in scores.items():
        results |= {f"split{k}_test_{name}": folds[:, k] for k in range(3)}
        results |= {f"mean_test_{name}": folds.mean(1), f"std_test_{name}": folds.std(1)}
    return SimpleNamespace(cv_results_=results, refit="score")


@pytest.mark.parametrize(
    "names",
    [["V1", "V2", "V3", "V4", "LOC", "FFA", "PPA", "HVC", "IT"], ["IT", "PPA"], ["early", "late"]],
)
def test_regions_are_lines_of_their_own(names):
    search = regions(names, ceiling_lower=0.1, ceiling_upper=0.5)
    display = LayerScoresDisplay.from_search(search)
    drawn, with_mean = profiles(display)
    assert list(drawn) == names == legend_texts(display)
    assert not with_mean
    for name in names:
        np.testing.assert_allclose(drawn[name], search.cv_results_[f"mean_test_{name}"])
    assert not display.ax_.patches  # regions have no ceiling in common
    mean = LayerScoresDisplay.from_search(search, each=False)
    assert f"mean of {len(names)}" in legend_texts(mean)
    assert profiles(mean) == ({}, True)
    assert band(mean) == pytest.approx((0.1, 0.5))


@pytest.mark.parametrize("first", ["subject", "region"])
def test_regions_of_several_subjects_are_averaged_over_them(first):
    pairs = [("V1", s) if first == "region" else (s, "V1") for s in SUBJECTS]
    pairs += [("IT", s) if first == "region" else (s, "IT") for s in SUBJECTS]
    ceilings = {f"{roi}/ceiling_{end}": 0.2 for roi in ("V1", "IT") for end in ("lower", "upper")}
    search = regions(["/".join(pair) for pair in pairs], **ceilings)
    drawn, with_mean = profiles(LayerScoresDisplay.from_search(search))
    assert list(drawn) == ["V1", "IT"]
    assert not with_mean
    means = [search.cv_results_[f"mean_test_{'/'.join(pair)}"] for pair in pairs]
    np.testing.assert_allclose(drawn["IT"], np.mean(means[3:], axis=0))


@pytest.mark.parametrize(
    "names",
    [["sub-01", "sub-02"], ["BE", "KO", "SN", "TI"], [f"region {k}" for k in "abcdefghijklm"]],
)
def test_subjects_and_very_many_are_a_mean(names):
    assert profiles(LayerScoresDisplay.from_search(regions(names))) == ({}, True)


def test_regions_of_a_real_search():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(18, 8))
    index = [f"im{k}" for k in range(18)]
    keys = [(s, roi) for roi in ("V1", "IT") for s in SUBJECTS]
    y = pd.concat(
        {key: compute_rdm(pd.DataFrame(X + rng.normal(size=X.shape), index)) for key in keys},
        axis=1,
        names=["subject", "roi"],
    )
    pipeline = Pipeline([("dnn", Layer()), ("rdm", RDM()), ("rsa", RSAScorer())])
    search = GridSearchCV(
        pipeline, {"dnn__layer": ["conv3", "conv7"]}, cv=KFold(3, shuffle=True, random_state=0),
        scoring=RSAScorer(detail=True), refit="score", error_score="raise",
    ).fit(X, y)  # fmt: skip
    drawn, _ = profiles(LayerScoresDisplay.from_search(search, label="net"))
    assert list(drawn) == ["net, V1", "net, IT"]
    plain = search.set_params(scoring=None, refit=True).fit(X, y)
    display = LayerScoresDisplay.from_search(plain)  # keeps no scores of single regions
    assert legend_texts(display)[0] == "mean of 6"
    with pytest.raises(ValueError, match="lines has 1 rows for 3 layers"):
        LayerScoresDisplay(
            LayerScoresDisplay.from_scores(SCORES).scores, lines=pd.DataFrame({"a": [1]})
        )


def test_colours_tell_profiles_apart():
    import matplotlib.pyplot as plt

    ax = plt.figure().subplots()
    for k in range(7):
        LayerScoresDisplay.from_scores(SCORES, ax=ax, label=str(k))
    lines = [c.lines[0] for c in ax.containers if c.lines[0]]
    assert len({to_rgba(line.get_color()) for line in lines}) == 7
    offsets = np.array([line.get_xdata()[0] for line in lines])
    assert len(np.unique(offsets.round(6))) == 7
    assert np.abs(offsets).max() < 0.5  # each within its layer


@pytest.mark.parametrize(
    ("whiskers", "names"),
    [(None, ["\N{PLUS-MINUS SIGN} 1 SD over 3 folds"]), ("over seeds", ["over seeds"]), ("", [])],
)  # fmt: skip
def test_what_whiskers_are_can_be_said(whiskers, names):
    scores = {"conv1": [0.1, 0.2, 0.3], "conv2": [0.3, 0.5, 0.4]}
    display = LayerScoresDisplay.from_scores(scores, whiskers=whiskers)
    assert display.ax_.get_legend_handles_labels()[1] == names
