"""Words for messages."""

from __future__ import annotations

import pytest

from skdnn._wording import counted, in_bytes, in_lines, in_time, listed, nearest


def test_the_first_few_and_how_many_more() -> None:
    assert listed(["a", "b"]) == "'a', 'b'"
    assert listed(iter("abcde")) == "'a', 'b', 'c', 'd', 'e'"
    assert listed(range(8), 3, str) == "0, 1, 2 and 5 more"
    assert listed([]) == ""
    assert in_lines(["a", "b", "c"], 2) == "\n  a\n  b\n  ... and 1 more"
    assert in_lines(["a", "b"], 2) == "\n  a\n  b"


def test_nearest_names_whatever_the_case() -> None:
    known = ["classifier.1", "features.10", "features.1"]
    assert nearest("Features.10a", known)[0] == "features.10"
    assert nearest("ALEXNET", ["alexnet", "AlexNet", "vgg16"]) == ["alexnet"]
    assert nearest("zzz", ["alexnet"]) == []


@pytest.mark.parametrize(
    ("n_bytes", "text"),
    [
        (0, "0 bytes"),
        (999, "999 bytes"),
        (999.6, "1 kB"),
        (999_400, "999 kB"),
        (999_600, "1 MB"),  # not "1e+03 kB"
        (1.234e9, "1.23 GB"),
        (999.7e9, "1 TB"),
        (1234e12, "1,234 TB"),
    ],
)
def test_bytes_without_powers_of_ten(n_bytes: float, text: str) -> None:
    assert in_bytes(n_bytes) == text


def test_numbers_with_their_nouns() -> None:
    assert [counted(n, "image") for n in (0, 1, 9999, 10_000)] == [
        "0 images",
        "1 image",
        "9999 images",
        "10,000 images",
    ]
    assert [in_time(s) for s in (3.4, 99, 720, 7200)] == ["3 s", "99 s", "12 min", "2.0 h"]
