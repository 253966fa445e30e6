"""Many networks compared: by-hand RSA, one pass each, references, early errors."""

from __future__ import annotations

import itertools
import runpy
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
import torch
from scipy.spatial.distance import pdist, squareform
from scipy.stats import spearmanr
from sklearn.preprocessing import StandardScaler
from torch import nn

from skdnn import ActivationStore, DNNFeatureExtractor
from skdnn._backends import _torch_engine
from skdnn._conditions import as_conditions
from skdnn.model_comparison import ModelComparison, compare_models
from skdnn.model_comparison._compare import _labels, _reduced
from skdnn.models import Model
from skdnn.rsa import cka, compare_rdms, compute_rdm, noise_ceiling

mpl.use("agg")

SMALL = {"resize": (20, 24), "crop": None}
LAYERS = {"first": ["0", "3"], "second": "3"}
PAIRS = [("first", "0"), ("first", "3"), ("second", "3")]


class Counted(nn.Sequential):
    """A network whose passes are counted."""


def network(seed: int) -> Counted:
    torch.manual_seed(seed)
    return Counted(
        nn.Conv2d(3, 4 + seed, 5, stride=3),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear((4 + seed) * 6 * 7, 30),
    )


@pytest.fixture(scope="module")
def models() -> dict[str, Model]:
    return {
        name: Model(network(k), SMALL, name=name) for k, name in enumerate(("first", "second"))
    }


@pytest.fixture
def passes(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Sizes of the batches that went through a counted network."""
    sizes: list[int] = []
    run = _torch_engine.Run.__call__

    def count(self: Any, batch: torch.Tensor, rows: Any) -> None:
        if isinstance(self.network, Counted):
            sizes.append(len(batch))
        run(self, batch, rows)

    monkeypatch.setattr(_torch_engine.Run, "__call__", count)
    return sizes


@pytest.fixture(scope="module")
def features(models, image_paths) -> dict[tuple[str, str], np.ndarray]:
    return {
        (name, layer): DNNFeatureExtractor(models[name], layer).fit_transform(image_paths)
        for name, layer in PAIRS
    }


def subjects(labels, n_subjects=3, seed=0):
    """RDMs of subjects side by side."""
    rng = np.random.default_rng(seed)
    rdms = {
        f"sub-{k}": compute_rdm(pd.DataFrame(rng.normal(size=(len(labels), 6)), index=labels))
        for k in range(n_subjects)
    }
    return pd.concat(rdms, axis=1, names=["subject", "condition"])


def stems(paths):
    return [Path(path).stem for path in paths]


def debiased_cka(X, Y):
    """Written out from the formula."""

    def hsic(K, L):
        n = len(K)
        K, L = K - np.diag(np.diag(K)), L - np.diag(np.diag(L))
        return (
            np.trace(K @ L) + K.sum() * L.sum() / ((n - 1) * (n - 2)) - 2 * (K @ L).sum() / (n - 2)
        ) / (n * (n - 3))

    K, L = (Z @ Z.T for Z in (X - X.mean(0), Y - Y.mean(0)))
    return hsic(K, L) / np.sqrt(hsic(K, K) * hsic(L, L))


# --- numbers -----------------------------------------------------------------------------------


@pytest.mark.parametrize("comparison", ["pearson", "spearman"])
def test_equals_rsa_by_hand(models, image_paths, features, comparison):
    result = compare_models(models, LAYERS, image_paths, comparison=comparison)
    rdms = [1 - np.corrcoef(features[pair].astype(np.float64)) for pair in PAIRS]
    condensed = [rdm[np.triu_indices(len(rdm), 1)] for rdm in rdms]
    by_hand = {"pearson": np.corrcoef, "spearman": lambda x: spearmanr(x, axis=1)[0]}
    frame = result.to_frame()
    np.testing.assert_allclose(frame, by_hand[comparison](np.array(condensed)), atol=1e-12)
    np.testing.assert_array_equal(frame, frame.T)
    assert list(frame.index) == list(frame.columns) == PAIRS
    for pair, rdm in zip(PAIRS, rdms, strict=True):
        found = result.rdms[pair]
        assert list(found.index) == list(found.columns) == stems(image_paths)
        np.testing.assert_allclose(found, rdm, atol=1e-12)
    assert result.rdms.columns.names == ["model", "layer", "condition"]


def test_metric(models, image_paths, features):
    result = compare_models(models, "3", image_paths, metric="cityblock")
    expected = squareform(pdist(features["second", "3"].astype(np.float64), "cityblock"))
    np.testing.assert_allclose(result.rdms["second"]["3"], expected, rtol=1e-12)


def test_cka_by_hand(models, image_paths, features):
    result = compare_models(models, LAYERS, image_paths, comparison="cka")
    values = [features[pair].astype(np.float64) for pair in PAIRS]
    expected = [[debiased_cka(a, b) for b in values] for a in values]
    np.testing.assert_allclose(result.to_frame(), expected, atol=1e-12)
    np.testing.assert_allclose(result.to_frame(), cka(values, values, debiased=True), atol=1e-12)
    patterns = pd.DataFrame(np.random.default_rng(1).normal(size=(9, 4)), index=stems(image_paths))
    shuffled = patterns.sample(frac=1, random_state=0)
    scores = result.against({"voxels": shuffled})["voxels"]
    expected = [debiased_cka(value, patterns.to_numpy()) for value in values]
    np.testing.assert_allclose(scores["score"], expected, atol=1e-12)
    assert list(scores) == ["score"]


@pytest.mark.parametrize("width", [3, 9, 10, 5000])
def test_reduced_patterns_keep_the_inner_products(width):
    X = np.random.default_rng(0).normal(3, 1, (9, width)).astype(np.float32)
    kept = _reduced(X)
    assert kept.shape == (9, min(width, 9))
    centred, kept = (Z - Z.mean(0) for Z in (X.astype(np.float64), kept))
    np.testing.assert_allclose(kept @ kept.T, centred @ centred.T, atol=1e-11 * width)


def test_transformer_is_fitted_to_each_layer(models, image_paths, features):
    scaler = StandardScaler()
    result = compare_models(models, LAYERS, image_paths, transformer=scaler)
    for pair in PAIRS:
        scaled = StandardScaler().fit_transform(features[pair])
        np.testing.assert_allclose(result.rdms[pair], compute_rdm(scaled), atol=1e-12)
    assert not hasattr(scaler, "mean_")


# --- passes and memory -------------------------------------------------------------------------


def test_one_pass_for_all_layers_of_a_network(models, image_paths, passes):
    compare_models(models, LAYERS, image_paths)
    assert len(passes) == 2


def test_a_cache_gives_the_same_and_spares_the_second_run(models, image_paths, passes, tmp_path):
    store = ActivationStore(tmp_path / "store")
    without = compare_models(models, LAYERS, image_paths)
    passes.clear()
    first = compare_models(models, LAYERS, image_paths, cache=store)
    assert len(passes) == 4  # each network's first batch twice: is it repeatable?
    second = compare_models(models, LAYERS, image_paths, cache=tmp_path / "store")
    assert len(passes) == 4
    pd.testing.assert_frame_equal(first.rdms, without.rdms, check_exact=True)
    pd.testing.assert_frame_equal(second.rdms, without.rdms, check_exact=True)


def test_without_a_seed_a_network_is_the_same_throughout(example_paths, tmp_path):
    store = ActivationStore(tmp_path)
    result = compare_models(
        ["squeezenet1_1"],
        [["features.1", "features.2"]],
        example_paths,
        weights=None,
        random_state=None,
        cache=store,
    )
    assert store.stats["images_forwarded"] == len(example_paths)
    assert result.to_frame().shape == (2, 2)


def test_conditions_of_several_images(models, image_paths):
    groups = [image_paths[:2], image_paths[2:5], image_paths[5]]
    result = compare_models(models, "3", groups)
    means = DNNFeatureExtractor(models["first"], "3").fit_transform(groups)
    np.testing.assert_allclose(result.rdms["first"]["3"], compute_rdm(means), atol=1e-12)


# --- ways to say it ----------------------------------------------------------------------------


def test_forms_of_models_and_layers(models, image_paths):
    expected = compare_models(models, LAYERS, image_paths).to_frame()
    as_list = compare_models(list(models.values()), [["0", "3"], "3"], image_paths).to_frame()
    extractors = {
        name: DNNFeatureExtractor(models[name], LAYERS[name], batch_size=4) for name in models
    }
    before = {name: extractor.get_params() for name, extractor in extractors.items()}
    own = compare_models(extractors, None, image_paths).to_frame()
    pd.testing.assert_frame_equal(as_list, expected)
    pd.testing.assert_frame_equal(own, expected, rtol=1e-5)
    assert before == {name: extractor.get_params() for name, extractor in extractors.items()}
    everything = compare_models(models, "*", image_paths)
    assert list(everything.index) == list(itertools.product(models, "0123"))


class Uncopied(nn.Sequential):
    def __deepcopy__(self, memo):
        raise AssertionError("a network was copied")


def test_networks_are_not_copied(image_paths):
    bare = Uncopied(nn.Conv2d(3, 4, 9, stride=20), nn.ReLU())
    result = compare_models({"a": bare, "b": DNNFeatureExtractor(bare)}, "0", image_paths[:4])
    assert (result.to_frame() > 1 - 1e-12).all(axis=None)
    assert bare.training  # as it was


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["a/cat.png", "b/dog.jpg"], ["cat", "dog"]),
        (["a/cat.png", "a/cat.jpg"], ["cat.png", "cat.jpg"]),
        (["a/cat.png", "b/cat.png"], ["a/cat.png", "b/cat.png"]),
        (["a/X[0].png", "X[1].png"], ["X[0]", "X[1]"]),  # files, whatever they are called
        ([np.zeros((4, 5, 3), np.uint8)] * 2, ["X[0]", "X[1]"]),
    ],
)
def test_labels(names, expected):
    assert _labels(as_conditions(names)) == expected


def test_the_same_image_twice_is_refused(models, image_paths):
    with pytest.raises(ValueError, match=r"img1\.jpg' more than once"):
        compare_models(models, "3", [*image_paths, image_paths[0]])


# --- references --------------------------------------------------------------------------------


def test_references(models, image_paths):
    labels = stems(image_paths)
    stack = subjects(labels)
    single = stack["sub-1"]
    result = compare_models(
        models, LAYERS, image_paths, references={"brain": stack, "monkey": single}
    )
    scores = result.reference_scores
    assert list(scores.columns) == [
        ("brain", "score"), ("brain", "lower"), ("brain", "upper"), ("monkey", "score"),
    ]  # fmt: skip
    for pair in PAIRS:
        each = [
            compare_rdms(result.rdms[pair], stack[k], "pearson") for k in stack.columns.levels[0]
        ]
        assert scores.loc[pair, ("brain", "score")] == pytest.approx(np.mean(each), abs=1e-12)
        assert scores.loc[pair, ("monkey", "score")] == pytest.approx(each[1], abs=1e-12)
    lower, upper = noise_ceiling(stack, "pearson")
    assert (scores["brain", "lower"] == lower).all()
    assert (scores["brain", "upper"] == upper).all()
    pd.testing.assert_frame_equal(result.against({"brain": stack, "monkey": single}), scores)


def test_references_are_matched_by_label(models, image_paths):
    labels = stems(image_paths)
    stack = subjects([*labels, "elsewhere"])
    aligned = stack.loc[labels, [c for c in stack.columns if c[1] in labels]]
    result = compare_models(models, "3", image_paths)
    expected = result.against({"brain": aligned})
    for called in (labels, [Path(p).name for p in image_paths], image_paths):
        names = dict(zip(labels, called, strict=True))
        other = stack.rename(index=names).rename(columns=names, level=-1)
        other = other.sample(frac=1, random_state=1).sample(frac=1, axis=1, random_state=2)
        other = other.sort_index(axis=1, level=0, sort_remaining=False)
        pd.testing.assert_frame_equal(result.against({"brain": other}), expected)
    values = np.stack([aligned[key].to_numpy() for key in ("sub-0", "sub-1", "sub-2")])
    pd.testing.assert_frame_equal(result.against({"brain": values}), expected)
    one = result.against({"brain": values[0]})["brain"]
    np.testing.assert_allclose(result.against(aligned["sub-0"])["reference"], one)


def test_images_in_memory_go_by_order(models):
    images = np.random.default_rng(0).integers(0, 256, (5, 30, 40, 3), dtype=np.uint8)
    stack = subjects(list("abcde"))
    result = compare_models(models, "3", images, references={"brain": stack})
    assert list(result.rdms.index) == [f"X[{k}]" for k in range(5)]
    first = compare_rdms(
        result.rdms["first"]["3"].to_numpy(), stack["sub-0"].to_numpy(), "pearson"
    )
    assert result.against(stack["sub-0"]).iloc[0, 0] == pytest.approx(first, abs=1e-12)
    with pytest.raises(ValueError, match="4 rows for 5 images"):
        result.against(stack["sub-0"].iloc[:4, :4])


def test_real_data(models, kriegeskorte92):
    paths = kriegeskorte92.paths[::8]
    labels = stems(paths)
    result = compare_models(
        models, "3", paths,
        references={"human": kriegeskorte92.human_it_subjects, "monkey": kriegeskorte92.monkey_it},
    )  # fmt: skip
    expected = compare_rdms(
        result.rdms["first"]["3"], kriegeskorte92.monkey_it.loc[labels, labels], "pearson"
    )
    found = result.reference_scores.loc[("first", "3"), ("monkey", "score")]
    assert found == pytest.approx(expected, abs=1e-12)


# --- errors ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"layers": ["0", "nothing"]}, "no layer 'nothing'"),
        ({"layers": ["none", "nothing"]}, r"2 models cannot be used:\n- first: .*\n- second: "),
        ({"layers": ["0"]}, "1 entries for 2 models"),
        ({"layers": {"first": "0"}}, r"layers names the models \['first'\]"),
        ({"layers": 3}, "layers must be"),
        ({"metric": "corelation"}, "metric='corelation'"),
        ({"comparison": "speerman"}, "comparison='speerman'"),
        ({"models": []}, "models is empty"),
        ({"models": "alexnet"}, "models must be a list or a dict"),
        ({"models": ["alexnet", "alexnet"]}, "'alexnet' more than once"),
        ({"references": {"brain": subjects(list("abcde"))}}, r"references\['brain'\]: no row"),
        ({"references": {"brain": np.zeros((4, 4))}}, r"references\['brain'\] has shape \(4, 4\)"),
        ({"references": {"brain": np.zeros((9, 8))}}, r"is no labelled RDM"),
        ({"references": {}}, "references must be a dict"),
    ],
)
def test_errors_come_before_the_first_pass(models, image_paths, passes, change, message):
    given = {"models": models, "layers": "3", **change}
    with pytest.raises((ValueError, TypeError), match=message):
        compare_models(given.pop("models"), given.pop("layers"), image_paths, **given)
    assert passes == []


def test_missing_images_are_named_before_the_first_pass(models, image_paths, passes):
    with pytest.raises((ValueError, OSError), match=r"nowhere\.png"):
        compare_models(models, "3", [*image_paths, "nowhere.png"])
    with pytest.raises(ValueError, match="2 conditions: at least 3"):
        compare_models(models, "3", image_paths[:2])
    with pytest.raises(ValueError, match="3 conditions: at least 4"):
        compare_models(models, "3", image_paths[:3], comparison="cka")
    assert passes == []


def test_levels_of_references(models, image_paths):
    stack = subjects(stems(image_paths))
    deep = pd.concat({"IT": stack}, axis=1)
    with pytest.raises(ValueError, match="each ROI or time point as a reference of its own"):
        compare_models(models, "3", image_paths, references={"brain": deep})


def test_what_a_result_is_made_of(models, image_paths):
    result = compare_models(models, LAYERS, image_paths)
    assert "3 layers of 2 models on 9 conditions" in repr(result)
    assert result.reference_scores is None
    with pytest.raises(TypeError, match="references is None"):
        result.against(None)
    with pytest.raises(ValueError, match="MultiIndex columns"):
        ModelComparison(result.rdms["first"])
    with pytest.raises(ValueError, match="needs patterns"):
        ModelComparison(result.rdms, comparison="cka")


# --- pictures ----------------------------------------------------------------------------------


def test_pictures(models, image_paths):
    import matplotlib.pyplot as plt

    stack = subjects(stems(image_paths))
    result = compare_models(models, LAYERS, image_paths, references={"brain": stack})
    heatmap = result.plot()
    np.testing.assert_array_equal(heatmap.values, result.to_frame())
    assert list(heatmap.frame) == ["first / 0", "first / 3", "second / 3"]
    bars = result.plot("brain")
    np.testing.assert_allclose(bars.frame["score"], result.reference_scores["brain"]["score"])
    assert bars.ceiling == tuple(result.reference_scores["brain"].iloc[0, 1:])
    assert len(bars.each) == 3
    with pytest.raises(ValueError, match="reference='brian' is unknown: there are 'brain'"):
        result.plot("brian")
    one_each = compare_models(models, "3", image_paths)
    assert list(one_each.plot().frame) == ["first", "second"]
    plt.close("all")


FIGURE_TWO = str(Path(__file__).parents[2] / "examples" / "figure_two.py")


def test_figure_two_draws_trained_beside_random(tmp_path):
    script = runpy.run_path(FIGURE_TWO)
    index = pd.MultiIndex.from_product(
        [["trained", "random"], ["AlexNet", "CLIP-RN"]], names=["weights", "model"]
    )
    columns = pd.MultiIndex.from_product(
        [["human IT", "behaviour"], ["score", "lower", "upper"]], names=["reference", "statistic"]
    )
    table = pd.DataFrame(np.arange(24).reshape(4, 6) / 30, index, columns)
    bars, colours = script["bars_of"](table["human IT"]["score"])
    assert list(bars["model"]) == ["AlexNet", "AlexNet random", "CLIP-RN", "CLIP-RN random"]
    np.testing.assert_allclose(bars["score"], [0, 0.4, 0.2, 0.6])
    assert colours["AlexNet"] == colours["CLIP-RN"] != colours["AlexNet random"]
    alone, _ = script["bars_of"](table.loc[["random"], ("human IT", "score")])
    assert list(alone["model"]) == ["AlexNet", "CLIP-RN"]
    script["draw_scores"](table, "pearson", tmp_path)
    assert (tmp_path / "scores.png").stat().st_size > 1000


@pytest.mark.slow
def test_figure_two(published_files, tmp_path, capsys):
    home = tmp_path / "home"
    (home / "kriegeskorte92").mkdir(parents=True)
    for path in published_files.glob("*.mat"):
        (home / "kriegeskorte92" / path.name).symlink_to(path.resolve())
    table = runpy.run_path(FIGURE_TWO)["main"](
        ["--weights", "none", "--networks", "AlexNet", "CLIP-RN", "CORnet-S", "--images", "12",
         "--data", str(home), "--out", str(tmp_path / "out")]
    )  # fmt: skip
    assert list(table.index) == [("random", name) for name in ("AlexNet", "CLIP-RN", "CORnet-S")]
    assert set(table.columns.get_level_values("reference")) == {"human IT", "behaviour"}
    assert table.notna().all(axis=None)
    written = {path.name for path in (tmp_path / "out").iterdir()}
    assert written == {
        "rdms_random.png", "scores.csv", "scores.png", "similarities_random.png",
    }  # fmt: skip
    assert "CORnet-S" in capsys.readouterr().out


# --- untrained twins -----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A file of weights that stands for trained ones."""
    from torchvision.models import squeezenet1_1

    torch.manual_seed(99)
    path = tmp_path_factory.mktemp("weights") / "trained.pth"
    torch.save(squeezenet1_1().state_dict(), path)
    return str(path)


def test_twins_stand_behind_trained_networks(
    trained: str, models: dict[str, Model], image_paths: list[str]
) -> None:
    extractor = DNNFeatureExtractor("squeezenet1_1", weights=trained, random_state=6, device="cpu")
    layers = {"net": ["features.3", "features.5"], "own": "3", "blank": "features.3"}
    blank = DNNFeatureExtractor("squeezenet1_1", weights=None, device="cpu")
    rng = np.random.default_rng(0)
    brains = np.stack([squareform(pdist(rng.normal(size=(9, 4)))) for _ in range(3)])
    result = compare_models(
        {"net": extractor, "own": models["first"], "blank": blank}, layers, image_paths, twin=2,
        comparison="spearman", references={"brain": brains},
    )  # fmt: skip
    twins = [f"net (untrained, seed {seed})" for seed in (6, 7)]
    assert result.twins == {"net": twins}
    assert list(result.index.unique("model")) == ["net", *twins, "own", "blank"]
    expected = compute_rdm(
        DNNFeatureExtractor(
            "squeezenet1_1", "features.5", weights=None, random_state=7, device="cpu"
        ).fit_transform(image_paths)
    )
    np.testing.assert_allclose(result.rdms[twins[1]]["features.5"], expected, atol=1e-6)
    table = result.against_twins(n_boot=30)["brain"]
    assert table.index.tolist() == [("net", "features.3"), ("net", "features.5")]
    scores = result.reference_scores["brain", "score"]
    for layer in ("features.3", "features.5"):
        row, each = table.loc[("net", layer)], [scores[twin, layer] for twin in twins]
        assert row["trained"] == pytest.approx(scores["net", layer])
        assert row["untrained"] == pytest.approx(np.mean(each))
        assert row["untrained_std"] == pytest.approx(np.std(each, ddof=1))
        assert row["difference"] == pytest.approx(scores["net", layer] - np.mean(each))
        assert row["low"] < row["difference"] < row["high"]
    assert extractor.weights == trained


def test_a_twin_is_fed_what_the_trained_network_is() -> None:
    """The first weights of ResNet-50 ask for other images than its default ones do."""
    from skdnn._feature_extractor import twins_of

    (default,) = twins_of(DNNFeatureExtractor("resnet50"), 1).values()
    assert default == {"weights": None, "random_state": 0}
    (first,) = twins_of(DNNFeatureExtractor("resnet50", weights="IMAGENET1K_V1"), 1).values()
    assert first["preprocess"]["resize"] == 256
    twin = DNNFeatureExtractor("resnet50", **first)
    assert twin.describe().facts["preprocess"]["resize"] == 256


def test_twins_that_cannot_be_made(models: dict[str, Model], image_paths: list[str]) -> None:
    with pytest.raises(ValueError, match="no network here is trained and given by its name"):
        compare_models(models, LAYERS, image_paths, twin=1)
    with pytest.raises(ValueError, match="must be a number of random seeds"):
        compare_models(models, LAYERS, image_paths, twin=-1)
    result = compare_models(models, LAYERS, image_paths)
    assert result.twins == {}
    with pytest.raises(ValueError, match="There are no twins"):
        result.against_twins()
