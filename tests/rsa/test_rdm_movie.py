"""RDMs over time in every form, and aligned by name."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.spatial.distance import squareform

from skdnn.rsa import (
    from_rsatoolbox,
    read_rdm_movie,
    temporal_generalization,
    time_resolved_rsa,
)

N_SUBJECTS, N_TIMES, N = 2, 5, 4
TIMES = np.arange(N_TIMES) / 10 - 0.1
NAMES = ["cat", "dog", "saw", "axe"]


@pytest.fixture
def pairs() -> np.ndarray:
    return np.random.default_rng(0).random((N_SUBJECTS, N_TIMES, N * (N - 1) // 2))


def squares(pairs: np.ndarray) -> np.ndarray:
    flat = np.stack([squareform(row) for row in pairs.reshape(-1, pairs.shape[-1])])
    return flat.reshape(*pairs.shape[:-1], N, N)


def frame(row: np.ndarray, names: list[str]) -> pd.DataFrame:
    """One labelled RDM whose conditions stand in another order."""
    whole = pd.DataFrame(squareform(row), NAMES, NAMES)
    return whole.loc[names, names]


def test_forms_of_one_and_of_several(pairs: np.ndarray) -> None:
    forms = {
        "condensed": pairs,
        "square": squares(pairs),
        "dict": {f"sub-{k}": rows for k, rows in enumerate(pairs)},
        "dict of squares": dict(enumerate(squares(pairs))),
    }
    for name, form in forms.items():
        movie = read_rdm_movie(form, times=TIMES)
        assert_allclose(movie.pairs, pairs, err_msg=name)
        assert_array_equal(movie.times, TIMES)
    for one in (pairs[1], squares(pairs)[1], dict(zip(TIMES, squares(pairs)[1], strict=True))):
        assert_allclose(read_rdm_movie(one).pairs, pairs[1:])
    assert read_rdm_movie(forms["dict"]).subjects.tolist() == ["sub-0", "sub-1"]
    assert read_rdm_movie(pairs.astype(np.float32)).pairs.dtype == np.float32


def test_as_many_times_as_pairs() -> None:
    """Six times of six pairs are no square RDMs, and six RDMs of six conditions are."""
    six = np.random.default_rng(1).random((2, 6, 6))
    assert read_rdm_movie(six).pairs.shape == (2, 6, 6)
    symmetric = np.stack([squareform(row) for row in np.random.default_rng(1).random((6, 15))])
    assert read_rdm_movie(symmetric).pairs.shape == (1, 6, 15)
    rows = np.random.default_rng(1).random((6, 15))
    rows[0] = np.nan
    whole = np.stack([squareform(row) for row in rows])
    assert read_rdm_movie(whole).pairs.shape == (1, 6, 15)
    near = 1 + 1e-3 * six  # distances that hardly differ
    assert_array_equal(read_rdm_movie(near).pairs, near)


def test_what_is_square_but_no_rdm() -> None:
    """Six times of six conditions, as many as pairs of four, are refused rather than reread."""
    squares = np.stack([squareform(row) for row in np.random.default_rng(1).random((6, 15))])
    with pytest.raises(ValueError, match=r"its diagonal is 1"):
        read_rdm_movie(squares + np.eye(6))
    with pytest.raises(ValueError, match=r"its diagonal is 1"):
        read_rdm_movie(1 - squares)
    upper = np.triu(np.ones((6, 6)), 1)
    for difference in (3e-6, 0.3):
        with pytest.raises(ValueError, match="not symmetric"):
            read_rdm_movie(squares + difference * upper)
    with pytest.raises(ValueError, match="looks like one square RDM, without times"):
        read_rdm_movie({"sub-1": squares[0], "sub-2": squares[1]})


def test_times_of_dicts_and_frames_are_known(pairs: np.ndarray) -> None:
    with pytest.raises(ValueError, match="without NaN"):
        read_rdm_movie({0.1: pairs[0, 0], np.nan: pairs[0, 1]})
    parts = {time: frame(row, NAMES) for time, row in zip((0.1, np.nan), pairs[0], strict=False)}
    table = pd.concat(parts, axis=1).rename_axis(columns=["time", "condition"])
    with pytest.raises(ValueError, match="without NaN"):
        read_rdm_movie(table)


def test_labels_decide_the_order(pairs: np.ndarray) -> None:
    turned = NAMES[::-1]
    by_time = {
        "a": [frame(row, NAMES) for row in pairs[0]],
        "b": [frame(row, turned) for row in pairs[1]],
    }
    movie = read_rdm_movie(by_time, times=TIMES)
    assert_allclose(movie.pairs, pairs)
    assert movie.conditions is not None
    assert movie.conditions.tolist() == NAMES
    later, earlier = frame(pairs[0, 3], turned), frame(pairs[0, 1], NAMES)
    movie = read_rdm_movie({0.3: later, 0.1: earlier})
    assert movie.times.tolist() == [0.1, 0.3]
    assert_allclose(movie.pairs[0], pairs[0, [1, 3]])


def counted(row: np.ndarray, order: list[int] | None = None) -> pd.DataFrame:
    """An RDM whose rows pandas has counted, or that were put into another order since."""
    whole = pd.DataFrame(squareform(row))
    return whole if order is None else whole.iloc[order, order]


def test_a_count_of_rows_is_no_label(pairs: np.ndarray) -> None:
    """Whoever comes first, and in whatever form: rows are not matched by numbers."""
    turned = [3, 1, 0, 2]
    plain = [counted(row) for row in pairs[0]]
    named = [frame(row, NAMES) for row in pairs[1]]
    moved = [counted(row, turned) for row in pairs[1]]
    backwards = [counted(row, [3, 2, 1, 0]) for row in pairs[1]]
    for other in (named, moved, backwards):
        for a, b in ((plain, other), (other, plain)):
            with pytest.raises(ValueError, match=r"'a'.*only counted|only counted.*'a'"):
                read_rdm_movie({"a": a, "b": b}, times=TIMES)
            with pytest.raises(ValueError, match="only counted"):
                temporal_generalization(a, b)
        with pytest.raises(ValueError, match="only counted"):
            read_rdm_movie([plain[0], *other[1:]])
        with pytest.raises(ValueError, match="layers only counted"):
            time_resolved_rsa(plain[0], other)
    alike = read_rdm_movie({"a": plain, "b": [counted(row) for row in pairs[1]], "c": pairs[0]})
    assert_allclose(alike.pairs, pairs[[0, 1, 0]])


def test_labels_that_are_given_are_matched_with_those_that_are_there(pairs: np.ndarray) -> None:
    turned = [NAMES[k] for k in (3, 1, 0, 2)]
    forms = {
        "counted": [counted(row) for row in pairs[0]],
        "array": pairs[0],
        "labelled": [frame(row, turned) for row in pairs[1]],
    }
    movie = read_rdm_movie(forms, times=TIMES, conditions=NAMES)
    assert movie.conditions is not None
    assert movie.conditions.tolist() == NAMES
    assert_allclose(movie.pairs, pairs[[0, 0, 1]])
    with pytest.warns(UserWarning, match=r"'labelled'\] is labelled and rdms\['array'\] is not"):
        read_rdm_movie({key: forms[key] for key in ("array", "labelled")})


def test_frames_side_by_side(pairs: np.ndarray) -> None:
    parts = {
        (f"sub-{s}", time): frame(pairs[s, t], NAMES)
        for t, time in reversed(list(enumerate(TIMES)))
        for s in range(N_SUBJECTS)
    }
    table = pd.concat(parts, axis=1).rename_axis(columns=["subject", "time", "condition"])
    movie = read_rdm_movie(table)
    assert_allclose(movie.pairs, pairs)
    assert_allclose(movie.times, TIMES)
    with pytest.raises(ValueError, match="0 RDMs of 'sub-1'"):
        read_rdm_movie(table.sort_index(axis=1).drop(columns=("sub-1", TIMES[2])))
    with pytest.raises(ValueError, match="besides 'time'"):
        read_rdm_movie(
            pd.concat({"V1": table}, axis=1, names=["roi"]).rename_axis(
                columns=["roi", "subject", "time", "image"]
            )
        )


def test_a_movie_of_rsatoolbox(pairs: np.ndarray) -> None:
    rsatoolbox = pytest.importorskip("rsatoolbox", reason="makes such movies")
    rng = np.random.default_rng(0)
    data = rsatoolbox.data.TemporalDataset(
        rng.normal(size=(N, 7, N_TIMES)),
        obs_descriptors={"condition": NAMES},
        time_descriptors={"time": TIMES},
    )
    rdms = rsatoolbox.rdm.calc_rdm_movie(data, method="correlation", descriptor="condition")
    movie = read_rdm_movie(from_rsatoolbox(rdms, names=["time"]))
    assert_allclose(movie.times, TIMES)
    assert_allclose(movie.pairs[0], rdms.get_vectors())


def test_parts_of_a_movie(pairs: np.ndarray) -> None:
    movie = read_rdm_movie(pairs, times=TIMES, conditions=NAMES)
    assert_allclose(movie.at(0.12)[1].loc["cat", "saw"], pairs[1, 2, 1])
    assert movie.crop(0, 0.2).times.tolist() == TIMES[1:4].tolist()
    assert_allclose(movie.mean(0.0)[0].loc["cat", "dog"], pairs[0, 1:, 0].mean())
    assert np.shares_memory(movie.crop(0).pairs, pairs)
    assert "2 subjects, 5 times (-0.1 to 0.3 s), 4 conditions" in repr(movie)
    assert "4 conditions" in movie._repr_html_()
    with pytest.raises(ValueError, match=r"goes from -0\.1 to 0\.3 s"):
        movie.at(3)
    with pytest.raises(ValueError, match="No time lies between"):
        movie.crop(1, 2)


def test_what_is_refused(pairs: np.ndarray) -> None:
    with pytest.raises(ValueError, match="times has shape"):
        read_rdm_movie(pairs, times=TIMES[:-1])
    with pytest.raises(ValueError, match="must ascend"):
        read_rdm_movie(pairs, times=TIMES[::-1])
    with pytest.raises(ValueError, match="3 labels"):
        read_rdm_movie(pairs, conditions=NAMES[:3])
    with pytest.raises(ValueError, match="repeat"):
        read_rdm_movie(pairs, conditions=["a", "a", "b", "c"])
    with pytest.raises(ValueError, match="no number of pairs"):
        read_rdm_movie(pairs[0, :, :5][:3])
    with pytest.raises(ValueError, match="not symmetric"):
        read_rdm_movie(squares(pairs) + np.triu(np.ones((N, N)), 1))
    with pytest.raises(ValueError, match="infinity"):
        read_rdm_movie(np.where(pairs > 0.9, np.inf, pairs))
    with pytest.raises(ValueError, match=r"a list of shapes \(5, 6\), \(3, 6\)"):
        read_rdm_movie([pairs[0], pairs[1, :3]])
    with pytest.raises(ValueError, match="crop them to the same"):
        read_rdm_movie({"a": pairs[0], "b": pairs[1, :3]})
    with pytest.raises(ValueError, match="labelled differently"):
        read_rdm_movie(
            {
                "a": read_rdm_movie(pairs[0], conditions=NAMES),
                "b": read_rdm_movie(pairs[1], conditions=["cat", "dog", "saw", "hat"]),
            }
        )
    with pytest.raises(ValueError, match="has times of its own"):
        read_rdm_movie(read_rdm_movie(pairs, times=TIMES), times=TIMES + 1)
    with pytest.raises(ValueError, match="must be called 'time'"):
        read_rdm_movie(frame(pairs[0, 0], NAMES))
