"""``skdnn hierarchy``."""

from __future__ import annotations

from skdnn.cli import _hierarchy_accuracies, _hierarchy_study
from skdnn.cli._frame import Arguments, refuse
from skdnn.cli._output_files import PICTURES, REPORTS, TABLES, checked_outs


def run(arguments: Arguments) -> None:
    """Score a study from its data, or accuracies that are there already."""
    _check_usage(arguments)
    outs = checked_outs(arguments, (*TABLES, *PICTURES, *REPORTS))
    form = _hierarchy_accuracies if arguments.accuracies else _hierarchy_study
    form.run(outs, arguments)


def _check_usage(arguments: Arguments) -> None:
    wrong = None
    if bool(arguments.accuracies) == bool(arguments.features):
        wrong = "give --features with --responses, or --accuracies"
    elif arguments.features:
        needed = {
            "--responses": arguments.responses,
            "--areas": arguments.areas,
            "--test-images": arguments.test_images,
        }
        missing = [option for option, given in needed.items() if not given]
        wrong = f"--features needs {' and '.join(missing)}" if missing else None
    elif arguments.responses:
        wrong = "--responses goes with --features"
    for option in ("bootstrap", "permutations"):
        if getattr(arguments, option) < 0:
            wrong = f"--{option} {getattr(arguments, option)}: give 0 or more"
    refuse(wrong)
