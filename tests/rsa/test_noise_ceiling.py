import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import pdist, squareform
from scipy.stats import rankdata, spearmanr
from sklearn.model_selection import KFold, cross_validate
from sklearn.pipeline import make_pipeline

from skdnn.rsa import RDM, RSAScorer, bootstrap_rsa, compare_rdms, compute_rdm, noise_ceiling
from skdnn.rsa._comparison._similarity_measures import COMPARISONS

N = 12
NAMES = [f"im{i:02d}" for i in range(N)]
OTHERS = ("bures", "corr_cov", "cosine_cov")  # see below; rsatoolbox has no ceiling for the first
METHODS = {"pearson": "corr", "kendall": "tau-b"}


def subjects(n=4, noise=1.0, seed=0):
    rng = np.random.default_rng(seed)
    shared = rng.normal(size=(N, 6))
    return np.stack([pdist(shared + noise * rng.normal(size=shared.shape)) ** 2 for _ in range(n)])


def frame(pairs, keys, names=("subject",)):
    frames = {
        key: pd.DataFrame(squareform(each), index=NAMES, columns=NAMES)
        for key, each in zip(keys, pairs, strict=True)
    }
    return pd.concat(frames, axis=1, names=[*names, "condition"])


@pytest.mark.parametrize("comparison", [name for name in COMPARISONS if name not in OTHERS])
@pytest.mark.filterwarnings("ignore:Noise ceiling for tau")
def test_agrees_with_rsatoolbox(comparison):
    np.testing.assert_allclose(
        noise_ceiling(subjects(), comparison), theirs(comparison), rtol=0, atol=1e-10
    )


def theirs(comparison):
    rsatoolbox = pytest.importorskip("rsatoolbox")
    rdms = rsatoolbox.rdm.RDMs(subjects())
    method = METHODS.get(comparison, comparison)
    return rsatoolbox.inference.boot_noise_ceiling(rdms, method=method)


@pytest.mark.parametrize("comparison", ["corr_cov", "cosine_cov"])
def test_whitened_ceilings_are_higher_than_rsatoolboxs(comparison):
    """It pools by the plain norm, which is not that of the comparison."""
    rdms = subjects()
    if comparison == "corr_cov":
        rdms = rdms - rdms.mean(axis=1, keepdims=True)
    plain = rdms / np.linalg.norm(rdms, axis=1, keepdims=True)
    pools = [np.delete(plain, k, axis=0).mean(axis=0) for k in range(4)]
    lower = [compare_rdms(pools[k], rdms[k], comparison) for k in range(4)]
    upper = compare_rdms(plain.mean(axis=0), rdms, comparison).mean()
    np.testing.assert_allclose((np.mean(lower), upper), theirs(comparison), rtol=0, atol=1e-10)
    assert noise_ceiling(subjects(), comparison).upper > upper


def test_spearman_by_hand():
    rdms = subjects()
    ranks = np.stack([rankdata(rdm) for rdm in rdms])
    lower = [spearmanr(np.delete(ranks, k, 0).mean(0), rdms[k]).statistic for k in range(4)]
    upper = [spearmanr(ranks.mean(0), rdms[k]).statistic for k in range(4)]
    found = noise_ceiling(rdms)
    assert found.lower == pytest.approx(np.mean(lower), abs=1e-12)
    assert found.upper == pytest.approx(np.mean(upper), abs=1e-12)


@pytest.mark.parametrize(
    ("comparison", "lower", "upper"),
    [("pearson", 0.394410, 0.680413), ("spearman", 0.372313, 0.665721)],
)
def test_four_subjects_human_it(kriegeskorte92, comparison, lower, upper):
    found = noise_ceiling(kriegeskorte92.human_it_subjects, comparison)
    assert found.lower == pytest.approx(lower, abs=1e-6)
    assert found.upper == pytest.approx(upper, abs=1e-6)


@settings(max_examples=30, deadline=None)
@given(
    seed=st.integers(0, 999),
    comparison=st.sampled_from(
        ["pearson", "spearman", "cosine", "corr_cov", "cosine_cov", "rho-a"]
    ),
)
def test_no_model_beats_the_upper_bound(seed, comparison):
    rdms = subjects(seed=seed)
    rng = np.random.default_rng(seed)
    models = np.stack([*rdms, rdms.mean(0), *(rng.random(rdms.shape) @ rng.random((66, 66)))])
    best = compare_rdms(models, rdms, comparison).mean(axis=1).max()
    lower, upper = noise_ceiling(rdms, comparison)
    assert lower <= upper
    assert best <= upper + 1e-12


@pytest.mark.parametrize("comparison", COMPARISONS)
def test_subjects_without_noise_have_a_ceiling_of_one(comparison):
    rdms = subjects(noise=0)
    expected = concordant(rdms[0]) if comparison == "tau-a" else 1
    np.testing.assert_allclose(noise_ceiling(rdms, comparison), expected, atol=1e-10)


def concordant(rdm):
    return compare_rdms(rdm, rdm, "tau-a")


def test_unknown_pairs_are_pooled_over_the_others():
    rdms = subjects()
    rdms[1, :5] = np.nan
    normed = rdms / np.sqrt(np.nanmean(rdms**2, axis=1, keepdims=True))
    upper = np.mean([compare_rdms(np.nanmean(normed, axis=0), each, "cosine") for each in rdms])
    assert noise_ceiling(rdms, "cosine").upper == pytest.approx(upper, abs=1e-12)


RANKS = ["spearman", "rho-a", "kendall", "tau-a"]


def lacking(rdms, per_subject, seed=0):
    """RDMs of which each subject lacks other conditions."""
    rng = np.random.default_rng(seed)
    out = np.stack([squareform(rdm) for rdm in rdms])
    for square, count in zip(out, per_subject, strict=True):
        gone = rng.permutation(len(square))[:count]
        square[gone] = np.nan
        square[:, gone] = np.nan
    return out


@pytest.mark.parametrize("comparison", RANKS)
@pytest.mark.parametrize("per_subject", [(6, 0, 6, 0), (3, 3, 3, 3), (0, 0, 0, 7)])
def test_subjects_who_agree_but_lack_different_conditions(comparison, per_subject):
    rdms = lacking(subjects(noise=0), per_subject)
    both = noise_ceiling(rdms, comparison)
    # Where nobody knows all pairs, others' orders leave some of one's own open.
    np.testing.assert_allclose(both, 1, atol=0.03 if 0 not in per_subject else 0.005)


@pytest.mark.parametrize("comparison", RANKS)
def test_the_same_gaps_in_all_subjects_are_no_gaps(comparison):
    rdms = subjects()
    square = np.stack([squareform(rdm) for rdm in rdms])
    square[:, :4] = square[:, :, :4] = np.nan
    fewer = np.stack([squareform(rdm)[4:, 4:] for rdm in rdms])
    np.testing.assert_allclose(
        noise_ceiling(square, comparison), noise_ceiling(fewer, comparison), atol=1e-12
    )


@pytest.mark.parametrize("comparison", RANKS)
def test_the_truth_stays_below_the_upper_bound_where_conditions_lack(comparison):
    above = 0
    for seed in range(20):
        rng = np.random.default_rng(seed)
        shared = rng.normal(size=(14, 20))
        rdms = [pdist(shared + 0.5 * rng.normal(size=shared.shape)) for _ in range(6)]
        missing = lacking(rdms, (7, 0, 7, 0, 7, 0), seed)
        truth = compare_rdms(pdist(shared), missing, comparison).mean()
        lower, upper = noise_ceiling(missing, comparison)
        assert lower < upper
        above += truth > upper
    assert above <= 1


def test_gaps_are_shared_by_scorer_and_bootstrap():
    rdms = lacking(subjects(), (5, 0, 5, 0))
    labelled = frame([squareform(rdm, checks=False) for rdm in rdms], ["a", "b", "c", "d"])
    expected = noise_ceiling(rdms)
    model = compute_rdm(np.random.default_rng(3).normal(size=(N, 4)))
    result = bootstrap_rsa(model, rdms, n_boot=3, n_permutations=0, random_state=0)
    np.testing.assert_allclose(result.ceiling, expected)
    features = np.random.default_rng(3).normal(size=(N, 4))
    pipeline = make_pipeline(RDM()).fit(features)
    found = RSAScorer(detail=True, target="rdm")(pipeline, features, labelled)
    np.testing.assert_allclose([found["ceiling_lower"], found["ceiling_upper"]], expected)


def test_a_constant_subject_is_named():
    rdms = subjects()
    rdms[2] = 1.0
    with pytest.warns(UserWarning, match=r"NaN: rdms\[2\] is constant"):
        assert np.isnan(noise_ceiling(rdms)).all()
    with pytest.warns(UserWarning, match="rdms of 's3' is constant"):
        noise_ceiling(frame(rdms, ["s1", "s2", "s3", "s4"]), "pearson")
    rdms[1] = 2.0
    with pytest.warns(UserWarning, match=r"rdms\[1\] and rdms\[2\] are constant"):
        noise_ceiling(rdms, "kendall")
    alone = lacking(subjects(), (0, 0, N - 2, 0))
    with pytest.warns(UserWarning, match="too few known pairs"):
        noise_ceiling(alone)


def test_one_subject_has_no_ceiling():
    with pytest.raises(ValueError, match="one subject only"):
        noise_ceiling(subjects()[:1])
    with pytest.raises(ValueError, match="one subject only"):
        noise_ceiling(subjects()[0])


KEYS = [("s1", "V1"), ("s1", "IT"), ("s2", "V1"), ("s2", "IT")]


def test_rois_have_ceilings_of_their_own():
    rdms = subjects()
    found = noise_ceiling(frame(rdms, KEYS, ["subject", "roi"]))
    assert list(found.index) == ["V1", "IT"]
    assert found.index.name == "roi"
    np.testing.assert_allclose(found.loc["IT"], noise_ceiling(rdms[[1, 3]]))
    turned = frame(rdms, [key[::-1] for key in KEYS], ["roi", "Subject"])
    pd.testing.assert_frame_equal(noise_ceiling(turned), found)
    named = frame(rdms, [key[::-1] for key in KEYS], ["roi", "who"])
    pd.testing.assert_frame_equal(noise_ceiling(named, subject_level="who"), found)
    pd.testing.assert_frame_equal(noise_ceiling(named, subject_level=1), found)
    with pytest.raises(ValueError, match="subject_level='person' is no level"):
        noise_ceiling(named, subject_level="person")
    with pytest.raises(ValueError, match="of 'IT' of one subject only"):
        noise_ceiling(frame(rdms[:3], KEYS[:3], ["subject", "roi"]))


FOLDS = KFold(3, shuffle=True, random_state=0)


@pytest.fixture
def features():
    return np.random.default_rng(5).normal(size=(N, 9))


def test_every_fold_has_its_own_ceiling(features):
    rdms = frame(subjects(), list("abcd"))
    found = cross_validate(
        make_pipeline(RDM()), features, rdms, cv=FOLDS, scoring=RSAScorer("pearson", detail=True)
    )
    for fold, (_, test) in enumerate(FOLDS.split(features)):
        names = [NAMES[k] for k in test]
        own = {key: rdms[key].loc[names, names] for key in "abcd"}
        lower, upper = noise_ceiling(own, "pearson")
        assert found["test_ceiling_lower"][fold] == pytest.approx(lower, abs=1e-12)
        assert found["test_ceiling_upper"][fold] == pytest.approx(upper, abs=1e-12)
        assert found["test_n_pairs"][fold] == len(test) * (len(test) - 1) / 2


def test_ceilings_of_rois_and_of_patterns(features):
    rng = np.random.default_rng(1)
    shared = rng.normal(size=(2, N, 8))
    patterns = {
        (subject, roi): pd.DataFrame(shared[k] + rng.normal(size=(N, 8)), index=NAMES)
        for subject in ("s1", "s2")
        for k, roi in enumerate(("V1", "IT"))
    }
    y = pd.concat(patterns, axis=1, names=["subject", "roi", "voxel"])
    found = RSAScorer(detail=True)(make_pipeline(RDM()).fit(features), features, y)
    rdms = {key: compute_rdm(each) for key, each in patterns.items()}
    each = {roi: noise_ceiling([rdms["s1", roi], rdms["s2", roi]]) for roi in ("V1", "IT")}
    assert found["IT/ceiling_upper"] == pytest.approx(each["IT"].upper, abs=1e-12)
    assert found["V1/ceiling_lower"] == pytest.approx(each["V1"].lower, abs=1e-12)
    assert found["ceiling_upper"] == pytest.approx(
        (each["IT"].upper + each["V1"].upper) / 2, abs=1e-12
    )


def test_one_subject_gives_no_ceilings(features):
    y = frame(subjects()[:1], "a")
    found = RSAScorer(detail=True)(make_pipeline(RDM()).fit(features), features, y)
    assert set(found) == {"score", "a", "attainable", "n_pairs"}


def test_reserved_names(features):
    y = frame(subjects()[:2], ["a", "ceiling_lower"])
    with pytest.raises(ValueError, match="'ceiling_lower' of an RDM"):
        RSAScorer()(make_pipeline(RDM()).fit(features), features, y)
