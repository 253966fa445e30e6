import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from sklearn.decomposition import PCA
from sklearn.model_selection import GridSearchCV, KFold
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import FunctionTransformer

from skdnn.plotting import LayerScoresDisplay, RDMDisplay
from skdnn.rsa import RDM, RSAScorer, compute_rdm

mpl.use("agg")


@pytest.fixture(autouse=True)
def close_figures():
    yield
    import matplotlib.pyplot as plt

    plt.close("all")


@pytest.fixture
def rdm():
    X = np.random.default_rng(0).normal(size=(9, 5))
    return compute_rdm(pd.DataFrame(X, index=list("abcdefghi")))


def tick_texts(axis):
    return [tick.get_text() for tick in axis.get_ticklabels()]


def test_rdm_is_drawn_with_its_labels(rdm):
    display = RDMDisplay.from_rdm(rdm, title="IT")
    np.testing.assert_array_equal(display.image_.get_array(), rdm)
    assert tick_texts(display.ax_.xaxis) == tick_texts(display.ax_.yaxis) == list("abcdefghi")
    assert display.ax_.get_title() == "IT"
    assert display.colorbar_.ax.get_ylabel() == "dissimilarity"
    assert display.ax_.figure is display.figure_


def test_groups_are_sorted_together_and_named(rdm):
    groups = ["tool", "face", "tool", "face", "food", "food", "tool", "face", "food"]
    display = RDMDisplay.from_rdm(rdm, groups=groups)
    assert display.labels == list("acgbdhefi")
    np.testing.assert_array_equal(display.rdm, rdm.loc[display.labels, display.labels])
    assert tick_texts(display.ax_.yaxis) == ["tool", "face", "food"]
    assert len(display.ax_.lines) == 4  # two boundaries, across and down
    ordered = RDMDisplay.from_rdm(rdm, groups=groups, order=np.arange(9)[::-1])
    assert ordered.labels == list("gcahdbife")


def test_cluster_order_puts_twins_side_by_side():
    X = np.random.default_rng(1).normal(size=(4, 20))
    X = np.r_[X, X + 0.01 * np.random.default_rng(2).normal(size=X.shape)]
    order = RDMDisplay.from_rdm(compute_rdm(X), labels=range(8), order="cluster").labels
    for i in range(4):
        assert abs(order.index(i) - order.index(i + 4)) == 1


def test_rank_transform(rdm):
    display = RDMDisplay.from_rdm(rdm, rank_transform=True)
    values = np.unique(display.rdm)
    np.testing.assert_allclose(values, np.arange(36) / 35)
    upper = np.triu_indices(9, 1)
    drawn, given = display.rdm[upper], rdm.to_numpy()[upper]
    np.testing.assert_array_equal(np.argsort(drawn), np.argsort(given))
    assert "rank" in display.colorbar_.ax.get_ylabel()


def test_many_conditions_are_not_named():
    display = RDMDisplay.from_rdm(np.ones((50, 50)), labels=range(50))
    assert display.ax_.get_xlabel() == "condition"


def test_from_estimator(rdm):
    X = np.random.default_rng(3).normal(size=(7, 4))
    pipeline = Pipeline([("rdm", RDM("euclidean")), ("rsa", RSAScorer())]).fit(X, X**2)
    expected = compute_rdm(X, "euclidean")
    for estimator in (pipeline, pipeline[:-1], pipeline[0]):
        np.testing.assert_array_equal(RDMDisplay.from_estimator(estimator, X).rdm, expected)
    with pytest.raises(ValueError, match="must end in RDM"):
        RDMDisplay.from_estimator(PCA().fit(X), X)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"order": "size"}, "order must be None, 'cluster'"),
        ({"order": [0, 1]}, "each position from 0 to 8"),
        ({"groups": ["a"]}, "groups has 1 entries for 9"),
        ({"labels": ["a"]}, "labels has 1 entries for 9"),
    ],
)
def test_rdm_errors(rdm, options, message):
    with pytest.raises(ValueError, match=message):
        RDMDisplay.from_rdm(rdm, **options)


def test_rdm_errors_of_values(rdm):
    with pytest.raises(ValueError, match="square"):
        RDMDisplay.from_rdm(np.ones((3, 4)))
    rdm.iloc[0, 1] = rdm.iloc[1, 0] = np.nan
    with pytest.raises(ValueError, match="without NaN"):
        RDMDisplay.from_rdm(rdm, order="cluster")


def test_save(rdm, tmp_path):
    import matplotlib.image

    path = tmp_path / "rdm.png"
    display = RDMDisplay.from_rdm(rdm)
    display.save(path, dpi=50)
    assert matplotlib.image.imread(path).shape[:2] == (230, 270)
    with pytest.raises(ValueError, match="call plot"):
        RDMDisplay(rdm).save(path)


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
    assert texts == {"a", "b", "noise ceiling", "monkey"}
    lines = {line.get_label(): line for line in first.ax_.lines}
    np.testing.assert_allclose(lines["monkey"].get_ydata(), 0.4)
    bars = {c.get_label(): c.lines[0] for c in first.ax_.containers}
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
