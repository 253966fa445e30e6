"""Processor time until an import or a short command is done, in processes of their own.

    python benchmarks/start_up.py [--repeats 5] [--other FOLDER]

With ``--other``, a folder that holds another version of skdnn, both are measured in turn and the
ratio is printed. Answers of ``models`` and ``layers`` are kept: their first call stands apart.
"""

from __future__ import annotations

import argparse
import os
import resource
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parents[1]
CASES = {
    "import skdnn": ["-c", "import skdnn"],
    "skdnn --help": ["-m", "skdnn", "--help"],
    "skdnn version": ["-m", "skdnn", "version"],
    "skdnn models": ["-m", "skdnn", "models"],
    "skdnn layers alexnet": ["-m", "skdnn", "layers", "alexnet"],
}


def cpu_seconds(words: list[str], root: Path, cache: str) -> float:
    """User and system time of one process."""
    environment = {**os.environ, "PYTHONPATH": str(root), "XDG_CACHE_HOME": cache}
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(
        [sys.executable, *words],
        env=environment,
        cwd=cache,
        stdout=subprocess.DEVNULL,
        check=True,
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--other", type=Path)
    given = parser.parse_args()
    roots = [HERE] if given.other is None else [HERE, given.other.resolve()]
    caches = [tempfile.mkdtemp() for _ in roots]
    print(f"{'CPU seconds, median of ' + str(given.repeats):28} first  later", end="")
    print("  other  ratio" if given.other else "")
    for name, words in CASES.items():
        taken: list[list[float]] = [[] for _ in roots]
        for _ in range(given.repeats + 1):
            for times, root, cache in zip(taken, roots, caches, strict=True):
                times.append(cpu_seconds(words, root, cache))
        medians = [statistics.median(times[1:]) for times in taken]
        line = f"{name:28} {taken[0][0]:5.2f}  {medians[0]:5.2f}"
        if given.other:
            line += f"  {medians[1]:5.2f}  {medians[1] / medians[0]:5.1f}"
        print(line, flush=True)


if __name__ == "__main__":
    main()
