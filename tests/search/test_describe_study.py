"""describe_study(): paragraphs of comparisons, tests, encoding and the brain hierarchy score."""

from __future__ import annotations

import json

import numpy as np
import pytest
from scipy.spatial.distance import pdist, squareform
from sklearn.linear_model import Ridge
from sklearn.model_selection import GroupKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skdnn import (
    BrainHierarchyScore,
    DNNFeatureExtractor,
    LayerSearchCV,
    LayerwiseEncoder,
    MethodsText,
    VoxelwiseRidgeCV,
    compare_models,
    describe_study,
)
from skdnn.encoding import brain_hierarchy_score, nested_encoding, pool_folds
from skdnn.model_comparison import ModelComparison
from skdnn.rsa import bootstrap_rsa, noise_ceiling, permutation_test

N = 19
NO_FEATURES = "[How the features, or models, were made must be added here.]"
NO_DATA = "[The data, and a reference for them, must be added here.]"


def rdms(seed, n_subjects, n=N):
    rng = np.random.default_rng(seed)
    return np.stack([squareform(pdist(rng.normal(size=(n, 4)))) for _ in range(n_subjects)])


@pytest.fixture(scope="module")
def rng():
    return np.random.default_rng(0)


# --- comparisons of networks ---------------------------------------------------------------------


def test_a_comparison_of_networks(model, witness, paths):
    human, monkey = rdms(0, 3), rdms(1, 1)[0]
    models = {"one": model, "two": witness}
    layers = {"one": ["0", "3"], "two": "1"}
    found = compare_models(
        models, layers, paths, comparison="spearman", references={"human": human, "monkey": monkey}
    )
    text = describe_study(found, data="recordings of ours")
    lower, upper = noise_ceiling(human, "spearman")
    for told in (
        "Features of 19 images were taken from a custom network (tiny).",
        "Features of 19 images were taken from a custom network (witness).",
        "at the layers 0 (Conv2d;",
        "at the layer 1 (ReLU;",
        "The data were recordings of ours. Representational similarity analysis (Kriegeskorte, Mur"
        " and Bandettini, 2008) compared dissimilarities (correlation) of activations of 3 layers "
        "of 2 networks with each other and with human (3 subjects) and monkey by Spearman's rank "
        "correlation. Noise ceilings (lower to upper bound; Nili et al., 2014) were "
        f"{lower:.3f} to {upper:.3f} (human). Extraction used skdnn",
        "[A reference for the network tiny must be added here.]",
        "[A reference for the network witness must be added here.]",
    ):
        assert text.text.count(told) == 1, told
    assert NO_FEATURES not in text.text
    first = DNNFeatureExtractor(model, ["0", "3"]).describe().facts
    told = text.facts["networks"][0]
    assert {**told, "date": "", "n_images": None} == {**first, "date": ""}
    assert repr(text).startswith("MethodsText(tiny, as given, layers: 0, 3; witness, as given, ")
    assert MethodsText(json.loads(text.to_json())["facts"]) == text


def test_comparisons_of_one_network_and_without_references(model, paths):
    alone = describe_study(compare_models({"one": model}, ["0"], paths))
    assert "activations of 1 layer of 1 network with each other by Pearson's" in alone.text
    assert alone.facts["model"] == "tiny"
    by_cka = describe_study(compare_models({"one": model}, [["0", "1"]], paths, comparison="cka"))
    assert "Activations of 2 layers of 1 network were compared with each other by debiased" in (
        by_cka.text
    )
    assert "kornblith2019cka" in by_cka.citations
    assert "kriegeskorte2008rsa" not in by_cka.citations


def test_twins_are_counted_and_no_networks_of_their_own(model, paths):
    made = compare_models({"one": model, "other": model}, "0", paths)
    found = ModelComparison(made.rdms, twins={"one": ["other"]}, networks=made.networks)
    told = "of 1 layer of 1 network with each other by Pearson's correlation. Beside them stood 1 "
    assert told + "untrained network with the same architectures" in describe_study(found).text


@pytest.mark.filterwarnings("ignore:.*tensorflow was imported before torch")
def test_untrained_twins_of_a_named_network(paths, tmp_path):
    import torch
    import torchvision

    file = tmp_path / "mine.pth"
    torch.save(torchvision.models.squeezenet1_1().state_dict(), file)
    extractor = DNNFeatureExtractor("squeezenet1_1", "features.3", weights=file, device="cpu")
    found = compare_models([extractor], None, paths[:5], twin=2)
    assert list(found.networks) == ["squeezenet1_1"]
    text = describe_study(found).text
    assert "file mine.pth" in text
    assert "Beside them stood 2 untrained networks" in text
    assert "not trained" not in text


def test_a_comparison_that_was_put_together_by_hand(model, paths):
    made = compare_models({"one": model}, "0", paths)
    text = describe_study(ModelComparison(made.rdms)).text
    assert text.startswith("Representational similarity analysis (Kriegeskorte")
    assert NO_FEATURES in text


# --- tests ---------------------------------------------------------------------------------------


def test_bootstrap_and_permutation():
    models = {"a": rdms(1, 1)[0], "b": rdms(2, 1)[0]}
    brains = rdms(3, 4)
    found = bootstrap_rsa(models, brains, n_boot=20, random_state=0)
    text = describe_study(found)
    ceiling = f"{found.ceiling.lower:.3f} to {found.ceiling.upper:.3f}"
    for told in (
        "Standard errors, intervals and tests of 2 models are from 20 bootstrap samples of "
        "conditions and subjects (RDMs compared by Spearman's rank correlation). Variances of both"
        " were put together by the reasoning of the dual bootstrap (Schütt et al., 2023). The "
        f"noise ceiling of all conditions was {ceiling} (lower to upper bound; Nili et al., 2014)."
        " The analysis used skdnn ",
        NO_FEATURES,
        NO_DATA,
    ):
        assert told in text.text
    assert repr(text) == "MethodsText(4 references)"
    some = bootstrap_rsa(models, brains[0], resample="conditions", n_boot=20, random_state=0)
    told = describe_study(some, data="ours").text
    assert "20 bootstrap samples of conditions (RDMs" in told
    assert "dual bootstrap" not in told
    assert "ceiling" not in told
    tested = permutation_test(models, brains, "pearson", n_permutations=19, random_state=0)
    told = describe_study(tested, tests=[found, "And so on."]).text
    assert told.startswith("Mantel tests (Mantel, 1967; greater) of 2 models are from 19 random ")
    assert told.index("Mantel") < told.index("Standard errors") < told.index("And so on.")


# --- encoding ------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def layers(rng):
    return {"early": rng.normal(size=(60, 8)), "late": rng.normal(size=(60, 9))}


@pytest.fixture(scope="module")
def voxels(rng, layers):
    return layers["early"][:, :4] + rng.normal(size=(60, 4))


def test_nested_encoding(layers, voxels, model, paths):
    encoder = LayerwiseEncoder([1, 100], cv=3)
    roi = ["V1", "IT", "IT", "V1"]
    table = nested_encoding(encoder, layers, voxels, cv=4, roi=roi, subject="S1", ceiling=0.9)
    extractor = DNNFeatureExtractor(model, ["0", "3"])
    text = describe_study(table, extractor, paths, encoder=encoder, data="ours")
    for told in (
        "Features of 19 images were taken from a custom network (tiny).",
        "Responses of 4 voxels in V1 and IT of 1 subject were predicted from activations by ridge "
        "regression. The penalty of each was the best (R2) among 1 and 100 on held-out training "
        "images (3 folds). The layer of each of them was chosen in the same way (Güçlü and van "
        "Gerven, 2015). Predictions were scored by Pearson's correlation on the held-out images "
        f"of 4 folds, which had no part in any choice: {table['r'].mean():.3f} on average over "
        "voxels and folds. Correlations were also divided by what a perfect model could reach: "
        f"{table['r'].mean() / 0.9:.3f} on average. One-sided p-values were adjusted for the "
        "number of voxels by the false discovery rate (Benjamini and Hochberg, 1995).",
    ):
        assert told in text.text
    assert "must be added here" not in text.text.replace(
        "[A reference for the network tiny must be added here.]", ""
    )
    pooled = pool_folds(table)
    told = describe_study(pooled).text
    assert "predicted from activations. Predictions were scored by Pearson's" in told
    assert f"of 4 folds, which had no part in any choice: {pooled['r'].mean():.3f} on" in told


@pytest.mark.parametrize(
    ("encoder", "told"),
    [
        (VoxelwiseRidgeCV([10], cv=None), "images (each in turn). Predictions were"),
        (VoxelwiseRidgeCV(alpha_per_target=False), "The penalty of all was the best (R2) among"),
        (LayerwiseEncoder(select="best_overall"), "The layer was chosen in the same way, one for"),
        (LayerwiseEncoder(select="stack", scoring="correlation"), "were mixed for each of them"),
        (LayerwiseEncoder(cv=GroupKFold(3)), "(folds of GroupKFold). The layer"),
        (LayerwiseEncoder(cv=[(range(9), range(9, 20))]), "images (given folds). The layer"),
        (make_pipeline(StandardScaler(), VoxelwiseRidgeCV(cv=4)), "images (4 folds). Predictions"),
        (Ridge(), "were predicted from activations (Ridge). Predictions"),
    ],
)  # fmt: skip
def test_encoders_in_words(encoder, told, layers, voxels):
    table = nested_encoding(VoxelwiseRidgeCV(), layers["early"], voxels, cv=2)
    assert told in describe_study(table, encoder=encoder).text


def test_a_fitted_encoder(layers, voxels):
    fitted = LayerwiseEncoder(select="stack").fit(layers, voxels)
    text = describe_study(fitted, data="ours")
    assert text.text.startswith("The data were ours. Responses of 4 voxels were predicted from")
    assert "lin2024stacked" in text.citations
    assert "[How well images that had no part in the choices are predicted must" in text.text


# --- the brain hierarchy score -------------------------------------------------------------------


def respond(rng, features):
    areas = zip(("V1", "V4", "HVC"), features.values(), strict=True)
    return {area: unit + rng.normal(size=unit.shape) for area, unit in areas}


@pytest.fixture(scope="module")
def sets(rng):
    return [{name: rng.normal(size=(n, 12)) for name in "abc"} for n in (60, 24)]


def fit(rng, sets, X=None, **settings):
    train, test = sets
    study = BrainHierarchyScore(test="t", random_state=0, **settings)
    seen, held_out = sets if X is None else X
    return study.fit(
        seen, {"S1": respond(rng, train), "S2": respond(rng, train)},
        X_test=held_out, y_test={"S1": respond(rng, test), "S2": respond(rng, test)},
    )  # fmt: skip


def test_the_brain_hierarchy_study(rng, sets):
    study = fit(rng, sets, adjust="sidak", n_boot=20, n_permutations=19, n_layers=2, n_draws=7)
    low, high = study.interval_
    text = describe_study(study, data="ours")
    assert text.text.startswith(
        "The data were ours. The brain hierarchy score (Nonaka et al., 2021) compared the order of"
        " 3 layers with that of V1, V4 and HVC in 2 subjects. Each unit was predicted from the "
        "voxels of each area, and each voxel from the units of each layer, by ridge regression "
        "(penalty 100) on the 500 inputs that correlate most with what is predicted. Up to 1000 "
        "units of each layer and up to 1000 voxels of each area were drawn at random. What is "
        "predicted counts if its best correlation over 24 test images is above zero and "
        "significant (by a t test, at the level 0.05). This includes Šidák's adjustment for "
        "having chosen the best of several. Decoding scores are means over 7 selections of 2 "
        f"layers. The score was {study.score_:.3f}. The 95% interval of the score of all layers, "
        f"from 20 bootstrap samples of units and subjects, reaches from {low:.3f} to {high:.3f}. "
        "Against what the qualities of layers and areas give without a hierarchy, its p is "
        f"{study.p_value_:.3g} (19 random pairings). The analysis used skdnn "
    )
    assert NO_FEATURES in text.text


def test_a_hierarchy_of_one_direction(rng, sets):
    study = fit(
        rng, sets, direction="encoding", decoder=Ridge(), n_boot=None, n_units=None,
        n_voxels=None, n_layers=2,
    )  # fmt: skip
    text = describe_study(study).text
    assert "Each voxel was predicted from the units of each layer, by Ridge. What is" in text
    for absent in ("drawn", "interval", "selections", "pairings", "adjustment"):
        assert absent not in text


def test_a_hierarchy_with_its_extractor(rng, model, paths, sets):
    extractor = DNNFeatureExtractor(model, "3", device="cpu")
    layers = ["0", "1", "3"]
    train, test = ({name: part[:n] for name, part in whole.items()}
                   for n, whole in zip((9, 10), sets, strict=True))  # fmt: skip
    study = BrainHierarchyScore(
        extractor, layers, test="t", decoder=Ridge(), n_boot=None, direction="encoding"
    )
    with pytest.warns(UserWarning, match="score"):
        study.fit(
            paths[:9], {"S1": respond(rng, train)}, X_test=paths[9:],
            y_test={"S1": respond(rng, test)},
        )  # fmt: skip
    text = describe_study(study)
    assert [layer["name"] for layer in text.facts["layers"]] == layers
    assert NO_FEATURES not in text.text


def test_a_score_of_accuracies():
    accuracies = [[[0.6, 0.5], [0.4, 0.4]], [[0.6, 0.4], [0.5, 0.5]], [[0.3, 0.0], [0.5, 0.1]]]
    found = brain_hierarchy_score(accuracies, n_samples=50, return_details=True)
    told = describe_study(found).text
    assert (
        "compared the order of 3 levels with that of the 2 that predict them best. Of 6 " in told
    )
    assert f"units or voxels, 5 counted. The score was {found[0]:.3f}." in told


# --- all -----------------------------------------------------------------------------------------


def test_a_search_is_described_by_itself(model, paths):
    patterns = np.random.default_rng(0).normal(size=(N, 5))
    search = LayerSearchCV(
        make_pipeline(DNNFeatureExtractor(model, "3", device="cpu"), Ridge()),
        {"dnnfeatureextractor__layer": ["1", "3"]}, cv=2,
    ).fit(paths, patterns)  # fmt: skip
    assert (
        describe_study(search, None, paths, data="x").text == search.describe(paths, data="x").text
    )


@pytest.mark.parametrize("result", [0.3, None, {}, np.zeros(3)])
def test_other_results_are_refused(result):
    with pytest.raises(TypeError, match="result is a "):
        describe_study(result)


def test_unknown_layers_of_the_extractor(model, layers, voxels):
    table = nested_encoding(VoxelwiseRidgeCV(), layers["early"], voxels, cv=2)
    with pytest.raises(ValueError, match="nothing"):
        describe_study(table, DNNFeatureExtractor(model, "nothing"))
