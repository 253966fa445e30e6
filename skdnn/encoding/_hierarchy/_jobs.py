"""The jobs of a brain hierarchy study, what is drawn for them, and what they will take."""

from __future__ import annotations

import hashlib
import json
import zlib
from collections.abc import Mapping, Sequence
from itertools import product
from typing import Any

import joblib
import numpy as np
from numpy.typing import NDArray

from skdnn._array_blocks import row_parts
from skdnn.encoding._hierarchy._shared_jobs import Job
from skdnn.encoding._hierarchy._study_data import Data, Study
from skdnn.encoding._hierarchy._train_and_test import decoding_accuracy, encoding_accuracy

Columns = NDArray[np.intp]

# Part of every key: to be counted up when the same data and parameters give another result.
_FORMAT = 1
# Features that the decoder copies, and those whose inner products it computes (see its Notes).
_HELD, _GRAM_FEATURES = 2**25, 8192
# Threads, and in each of them arrays of correlations of features with a chunk of targets.
_THREADS, _CORRELATIONS, _CHUNK, _CHUNK_ELEMENTS = 2, 6, 64, 2**24


def draw_columns(
    data: Mapping[Any, Data], n: int | None, seed: int, kind: str
) -> dict[Any, Columns]:
    """Up to n columns of each array, ascending.

    Each draw has a seed of its own, from the array's name, so that further layers, subjects or
    regions leave those of the others, and what was computed for them, as they were.
    """
    found = {}
    for name, values in data.items():
        size = values.n_columns
        if n is None or size <= n:
            found[name] = np.arange(size)
            continue
        label = zlib.crc32(json.dumps([kind, name], default=str).encode())
        drawn = np.random.default_rng((seed, label)).permutation(size)[:n]
        found[name] = np.sort(drawn)
    return found


class JobMaker:
    """Makes jobs, and reads their data when their turn comes.

    Parameters
    ----------
    study : Study
    units : dict of layer to ndarray
        Drawn for decoding.
    voxels : dict of (subject, roi) to ndarray
        Drawn for encoding.
    decoder : regressor
    """

    def __init__(
        self,
        study: Study,
        units: dict[str, Columns],
        voxels: dict[tuple[str, str], Columns],
        decoder: Any,
    ) -> None:
        self.study, self.units, self.voxels, self.decoder = study, units, voxels, decoder
        self._decoder_digest = joblib.hash(
            (type(decoder).__module__, type(decoder).__qualname__, decoder.get_params())
        )
        # What was drawn from the layer, or from the region, whose turn it is.
        self._cut: tuple[Any, tuple[Any, ...]] = (None, ())

    def jobs(self, directions: Sequence[str]) -> list[Job]:
        """One for each direction, layer, subject and region.

        Those of a layer are successive for decoding, those of a region for encoding: what is
        drawn from it is read once, and sent to workers once.
        """
        study = self.study
        regions = list(product(study.subjects, study.rois))
        found = []
        for direction in directions:
            places = [(layer, *region) for layer in study.layers for region in regions]
            if direction == "encoding":
                places = [(layer, *region) for region in regions for layer in study.layers]
            found += [self._job(direction, *place) for place in places]
        return found

    def n_bytes(self, job: Job) -> int:
        """Memory that a job needs beside its data, about."""
        n, p, t, k, trials = self._sizes(*job.name)
        held = 2 if n * p <= _HELD else 1
        gram = 2 * p**2 if p <= _GRAM_FEATURES else 0
        chunks = _THREADS * _CORRELATIONS * min(_CHUNK * p, _CHUNK_ELEMENTS)
        return 8 * (held * n * p + gram + chunks + 2 * trials * t + 2 * t * k)

    def _job(self, direction: str, layer: str, subject: str, roi: str) -> Job:
        decoding = direction == "decoding"
        return Job(
            name=(direction, layer, subject, roi),
            key=f"{direction}-{self._key(direction, layer, subject, roi)}",
            compute=decoding_accuracy if decoding else encoding_accuracy,
            load=lambda: self._load(direction, layer, subject, roi),
            cost=self._cost(direction, layer, subject, roi),
        )

    def _key(self, direction: str, layer: str, subject: str, roi: str) -> str:
        study = self.study
        columns = self.units[layer] if direction == "decoding" else self.voxels[subject, roi]
        content = [
            _FORMAT,
            [direction, layer, subject, roi],
            study.layers[layer].digests,
            study.responses[subject, roi].digests,
            [_digest(rows) for rows in (*study.rows[subject], columns)],
            self._decoder_digest,
        ]
        return hashlib.blake2b(
            json.dumps(content, default=str).encode(), digest_size=16
        ).hexdigest()

    def _load(self, direction: str, layer: str, subject: str, roi: str) -> tuple[Any, ...]:
        """What the function of the job takes."""
        study = self.study
        units, responses = study.layers[layer].arrays, study.responses[subject, roi].arrays
        if direction == "decoding":
            drawn = self._drawn(layer, units, self.units[layer])
            return self.decoder, drawn, responses, study.rows[subject]
        drawn = self._drawn((subject, roi), responses, self.voxels[subject, roi])
        return self.decoder, units, drawn, study.rows[subject]

    def _drawn(self, name: Any, arrays: tuple[Any, Any], columns: Columns) -> tuple[Any, ...]:
        """Columns of both arrays; the last that were asked for are held."""
        if self._cut[0] != name:
            self._cut = (name, tuple(_columns(array, columns) for array in arrays))
        return self._cut[1]

    def _sizes(
        self, direction: str, layer: str, subject: str, roi: str
    ) -> tuple[int, int, int, int, int]:
        """Rows, features, targets, features of each target, and rows of the targets."""
        train = self.study.rows[subject][0]
        images = len(np.unique(train))
        if direction == "decoding":
            n, p = len(train), self.study.responses[subject, roi].n_columns
            t, rows = len(self.units[layer]), images
        else:
            n, p = images, self.study.layers[layer].n_columns
            t, rows = len(self.voxels[subject, roi]), len(train)
        return n, p, t, min(p, getattr(self.decoder, "k", p)), rows

    def _cost(self, direction: str, layer: str, subject: str, roi: str) -> float:
        """Multiplications of the cheapest way to solve (see SelectKBestRidge), about."""
        n, p, t, k, rows = self._sizes(direction, layer, subject, roi)
        gram, solve = n * p * min(n, p), k**3 / 3 + 20 * k**2
        each = n * k * (k + 60)
        solving = min(gram + t * solve, t * (each + solve)) if k < p else gram + t * p * min(n, p)
        return solving + rows * p * t


def _columns(array: Any, columns: Columns) -> NDArray[Any]:
    """Some columns of an array, read in parts of whole rows; the array itself if all are meant."""
    if len(columns) == array.shape[1]:
        return array
    out = np.empty((array.shape[0], len(columns)), array.dtype)
    for rows, part in row_parts(array):
        out[rows] = part[:, columns]
    return out


def _digest(numbers: NDArray[Any]) -> str:
    content = np.ascontiguousarray(numbers, dtype="<i8")
    return hashlib.blake2b(content.data, digest_size=16).hexdigest()
