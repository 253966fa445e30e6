"""Jobs that are shared out among workers and processes, and whose results are kept in a folder.

Several processes, on one machine or many, may work through the same jobs in one folder. The name
of a result says all that it depends on, and its file appears complete or not at all: whoever finds
it can use it, and two who compute the same result write the same file. So no lock is needed for
the results to be right.

A claim only spares work: an empty file that says that somebody has begun. On the first way
through, jobs that are claimed are passed over; on the second, all whose results are still absent
are computed, the oldest claims first, because whoever made them is the likeliest to be gone.
Nobody waits for a claim, and no clocks are compared; a claim that a killed process left behind
defers its job to the end, and is removed with the result.
"""

from __future__ import annotations

import io
import json
import os
import time
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from joblib import Parallel, delayed, effective_n_jobs
from joblib.parallel import get_active_backend

from skdnn._array_blocks import Array
from skdnn._files import TEMPORARY, sync_folder, write_whole
from skdnn._threads import blas, cores

_CLAIM = ".claim-"
_STALE_SECONDS = 3600.0  # a result is written within a second
_SEAL = 8  # hexadecimal digits of a checksum, as the comment at the end of the zip file


@dataclass(frozen=True)
class Job:
    """One unit of work.

    Attributes
    ----------
    name : tuple of str
        What it is about, for people.
    key : str
        Digest of all that its result depends on.
    compute : callable
        Makes the result; can be pickled, but for `load`, which runs in the first process.
    load : callable
        Gives the arguments of `compute`.
    cost : float
        Multiplications, roughly.
    """

    name: tuple[str, ...]
    key: str
    compute: Callable[..., Array]
    load: Callable[[], tuple[Any, ...]]
    cost: float


class ResultFolder:
    """Results by key, in files of their own.

    Parameters
    ----------
    root : path-like
        Folder; made where there is none.

    Attributes
    ----------
    corrupt : list of Path
        Files that were not as they had been written, and have been removed.
    """

    def __init__(self, root: str | os.PathLike[str]) -> None:
        self.root = Path(root)
        self.corrupt: list[Path] = []
        self.root.mkdir(parents=True, exist_ok=True)

    def path(self, key: str) -> Path:
        """File of a result."""
        return self.root / f"{key}.npz"

    def read(self, key: str) -> Array | None:
        """The result, or None where it is absent or its file not as it was written."""
        path = self.path(key)
        try:
            content = path.read_bytes()
        except FileNotFoundError:
            return None
        if content[-_SEAL:] != _checksum(content[:-_SEAL]):
            self.corrupt.append(path)
            path.unlink(missing_ok=True)
            return None
        with np.load(io.BytesIO(content)) as file:
            return file["accuracy"]

    def write(self, key: str, result: Array, about: dict[str, str]) -> None:
        """Write under a temporary name, sync, and rename; numpy.load reads the file."""
        buffer = io.BytesIO()
        np.savez(buffer, accuracy=result, about=np.array(json.dumps(about, default=str)))
        with zipfile.ZipFile(buffer, "a") as archive:
            archive.comment = b"0" * _SEAL
        body = buffer.getvalue()[:-_SEAL]
        write_whole(self.path(key), body + _checksum(body))
        sync_folder(self.root)

    def claim(self, key: str) -> bool:
        """Say that one has begun; False where somebody else said so before."""
        try:
            os.close(os.open(self._claim(key), os.O_CREAT | os.O_EXCL | os.O_WRONLY))
        except FileExistsError:
            return False
        return True

    def claimed(self, key: str) -> float:
        """When somebody began, by the clock of the file system; 0 where nobody did."""
        try:
            return self._claim(key).stat().st_mtime
        except FileNotFoundError:
            return 0.0

    def release(self, key: str) -> None:
        """Remove a claim, whoever made it."""
        self._claim(key).unlink(missing_ok=True)

    def tidy(self, keys: Sequence[str]) -> None:
        """Remove what killed processes left of jobs that are done by now."""
        for key in keys:
            self.release(key)
        for path in self.root.glob(f"{TEMPORARY}*"):
            with suppress(FileNotFoundError):  # somebody else tidies too
                if time.time() - path.stat().st_mtime > _STALE_SECONDS:
                    path.unlink()

    def _claim(self, key: str) -> Path:
        return self.root / f"{_CLAIM}{key}"


def _checksum(content: bytes) -> bytes:
    return f"{zlib.crc32(content):08x}".encode()


def run_jobs(
    jobs: Sequence[Job],
    folder: ResultFolder | None,
    *,
    n_jobs: int | None = None,
    verbose: int = 0,
    announce: Callable[[Sequence[Job], dict[str, tuple[float, float]]], None] | None = None,
) -> list[Array]:
    """Results of all jobs, in their order.

    Parameters
    ----------
    jobs : sequence of Job
        What to do; data that several jobs share should lie in successive ones.
    folder : ResultFolder or None
        Where results are taken from and kept.
    n_jobs : int, default=None
        Workers of joblib, by its active backend.
    verbose : int, default=0
        Above 0 shows a progress bar.
    announce : callable, default=None
        Is called, before the bulk of the work, with the jobs that are left, and with the seconds
        that the first job of each direction took here and its cost.
    """
    return _Run(jobs, folder, n_jobs, verbose).all(announce)


class _Run:
    """The jobs and what has become of them."""

    def __init__(
        self, jobs: Sequence[Job], folder: ResultFolder | None, n_jobs: int | None, verbose: int
    ) -> None:
        from skdnn._progress import progress_bar

        self.jobs, self.folder, self.n_jobs = jobs, folder, n_jobs
        self.results: dict[int, Array] = {}
        self.bar = progress_bar(total=len(jobs), unit="job", disable=not verbose)

    def all(self, announce: Callable[..., None] | None) -> list[Array]:
        with self.bar:
            numbers = [n for n in range(len(self.jobs)) if not self._found(n)]
            if announce is not None and numbers:
                self._measure(numbers, announce)
            self._work(numbers, insist=False)
            left = [number for number in numbers if number not in self.results]
            if left and self.folder is not None:
                begun = {number: self.folder.claimed(self.jobs[number].key) for number in left}
                self._work(sorted(left, key=lambda number: begun[number]), insist=True)
        if self.folder is not None:
            self.folder.tidy([job.key for job in self.jobs])
        return [self.results[number] for number in range(len(self.jobs))]

    def _measure(self, numbers: list[int], announce: Callable[..., None]) -> None:
        """Do one job of each direction here, and say what the others will take."""
        seconds: dict[str, tuple[float, float]] = {}
        threads = max(1, cores() // effective_n_jobs(self.n_jobs))  # as a worker will have
        for number in numbers:
            job = self.jobs[number]
            if job.name[0] in seconds or not self._is_free(number, insist=False):
                continue
            start = time.perf_counter()
            with blas().limit(limits=threads, user_api="blas"):
                _, result = _do(number, self._bare(number), job.load(), self.folder, False)
            self._store(number, result)
            if result is not None:
                seconds[job.name[0]] = (time.perf_counter() - start, job.cost)
        left = [self.jobs[number] for number in numbers if number not in self.results]
        announce(left, seconds)

    def _work(self, numbers: Sequence[int], insist: bool) -> None:
        """Do what nobody has done, or, unless one insists, begun."""
        if effective_n_jobs(self.n_jobs) == 1:
            for number, bare, arguments in self._undone(numbers, insist):
                self._store(*_do(number, bare, arguments, self.folder, insist))
            return
        lazy = get_active_backend()[0].supports_return_generator  # else progress comes at the end
        parallel = Parallel(
            n_jobs=self.n_jobs, return_as="generator_unordered" if lazy else "list"
        )
        for number, result in parallel(
            delayed(_do)(number, bare, arguments, self.folder, insist)
            for number, bare, arguments in self._undone(numbers, insist)
        ):
            self._store(number, result)

    def _undone(self, numbers: Sequence[int], insist: bool) -> Iterator[tuple[int, Job, Any]]:
        """Jobs as they are reached, with their data; what is done meanwhile is left out."""
        for number in numbers:
            if self._is_free(number, insist):
                yield number, self._bare(number), self.jobs[number].load()

    def _is_free(self, number: int, insist: bool) -> bool:
        if number in self.results or self._found(number):
            return False
        folder = self.folder
        return folder is None or insist or not folder.claimed(self.jobs[number].key)

    def _found(self, number: int) -> bool:
        """Whether the folder has the result by now."""
        if self.folder is None or not self.folder.path(self.jobs[number].key).exists():
            return False
        result = self.folder.read(self.jobs[number].key)
        if result is not None:
            self._store(number, result)
        return result is not None

    def _bare(self, number: int) -> Job:
        """The job as it is sent to a worker: without access to all data."""
        job = self.jobs[number]
        return Job(job.name, job.key, job.compute, tuple, job.cost)

    def _store(self, number: int, result: Array | None) -> None:
        if result is not None:
            self.results[number] = result
            self.bar.update()


def _do(
    number: int, job: Job, arguments: tuple[Any, ...], folder: ResultFolder | None, insist: bool
) -> tuple[int, Array | None]:
    """Compute, in a worker, what nobody has computed; None where somebody else has begun to."""
    if folder is None:
        return number, job.compute(*arguments)
    if not folder.claim(job.key) and not insist:
        return number, None
    try:
        # Looked for after the claim: what was done before it must not be done again.
        result = folder.read(job.key)
        if result is None:
            result = job.compute(*arguments)
            fields = ("direction", "layer", "subject", "roi")
            folder.write(job.key, result, dict(zip(fields, job.name, strict=False)))
    finally:
        folder.release(job.key)
    return number, result
