"""How many threads and processors there are to use: the one place that decides."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from functools import cache
from typing import Any

from joblib import cpu_count
from threadpoolctl import ThreadpoolController

# Matrices of fewer rows are multiplied and decomposed in one thread: more of them would mostly
# wait for each other, on a busy machine for longer than the work takes.
SMALL = 1000


def cores() -> int:
    """Processors that this process may use: limits of containers and schedulers count."""
    return int(cpu_count())


@cache
def blas() -> ThreadpoolController:
    """Finds the libraries once: looking takes longer than a small PCA."""
    return ThreadpoolController()


def blas_threads() -> int:
    """Threads that BLAS may use here; fewer than cores in a worker of joblib."""
    pools = blas().select(user_api="blas").info()
    return max((pool["num_threads"] for pool in pools), default=1)


def few_threads(n_rows: int) -> AbstractContextManager[Any]:
    """One thread for BLAS while matrices of so many rows are worked on, if that is small."""
    return blas().limit(limits=1, user_api="blas") if n_rows < SMALL else nullcontext()
