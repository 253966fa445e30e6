import sys

import numpy as np
import pandas as pd
import pytest
from scipy.spatial.distance import pdist, squareform

from helpers.late import needs, rsatoolbox
from skdnn.rsa import compare_rdms, from_rsatoolbox, to_rsatoolbox

pytestmark = needs("rsatoolbox")
NAMES = list("abcde")
PAIRS = np.stack([pdist(np.random.default_rng(seed).normal(size=(5, 3))) for seed in range(4)])
KEYS = [("s1", "V1"), ("s1", "IT"), ("s2", "V1"), ("s2", "IT")]


def labelled(keys=KEYS, names=("subject", "roi")):
    frames = {
        key: pd.DataFrame(squareform(pairs), index=NAMES, columns=NAMES)
        for key, pairs in zip(keys, PAIRS, strict=True)
    }
    return pd.concat(frames, axis=1, names=[*names, "condition"])


def test_descriptors_carry_the_labels():
    rdms = to_rsatoolbox(labelled(), measure="correlation")
    np.testing.assert_array_equal(rdms.get_vectors(), PAIRS)
    assert list(rdms.pattern_descriptors["condition"]) == NAMES
    assert list(rdms.rdm_descriptors["subject"]) == ["s1", "s1", "s2", "s2"]
    assert list(rdms.rdm_descriptors["roi"]) == ["V1", "IT", "V1", "IT"]
    assert rdms.dissimilarity_measure == "correlation"


def test_there_and_back():
    pd.testing.assert_frame_equal(from_rsatoolbox(to_rsatoolbox(labelled())), labelled())


@pytest.mark.parametrize(
    ("rdms", "shape"),
    [(PAIRS, (5, 20)), (PAIRS[0], (5, 5)), (dict(zip("wxyz", PAIRS, strict=True)), (5, 20))],
)
def test_unlabelled_ones_are_numbered(rdms, shape):
    back = from_rsatoolbox(to_rsatoolbox(rdms))
    assert back.shape == shape
    assert list(back.index) == [0, 1, 2, 3, 4]
    own = np.atleast_2d(compare_rdms(back, rdms, "pearson"))
    np.testing.assert_allclose(np.diag(own), 1)


def test_descriptors_are_chosen_by_name():
    rdms = rsatoolbox.rdm.RDMs(
        PAIRS,
        pattern_descriptors={"image": NAMES, "category": list("aabbb")},
        rdm_descriptors={"who": list("wxyz"), "group": [0, 0, 1, 1]},
    )
    assert list(from_rsatoolbox(rdms, condition="image", names="who").columns[:2]) == [
        ("w", "a"),
        ("w", "b"),
    ]
    with pytest.raises(ValueError, match="'category' repeat: 'a', 'b'"):
        from_rsatoolbox(rdms, condition="category")
    with pytest.raises(ValueError, match="condition='stimulus' is no descriptor"):
        from_rsatoolbox(rdms, condition="stimulus")
    with pytest.raises(ValueError, match="does not tell the RDMs apart: '0' repeats"):
        from_rsatoolbox(rdms, names="group")


def test_without_rsatoolbox(monkeypatch):
    for name in [name for name in sys.modules if name.partition(".")[0] == "rsatoolbox"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "rsatoolbox", None)
    with pytest.raises(ImportError, match="rsatoolbox is needed to give RDMs to it"):
        to_rsatoolbox(PAIRS)
