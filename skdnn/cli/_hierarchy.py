"""``skdnn hierarchy``."""

from __future__ import annotations

from skdnn.cli import _hierarchy_accuracies, _hierarchy_study
from skdnn.cli._arguments import Arguments, refuse
from skdnn.cli._betas_files import wrong_with_betas
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
        wrong = "give --features with --responses or --betas, or --accuracies"
    elif arguments.features:
        needed = {
            "--responses": arguments.responses or arguments.betas,
            "--areas": arguments.areas or (arguments.betas and arguments.rois),
            "--test-images": arguments.test_images,
        }
        missing = [option for option, given in needed.items() if not given]
        wrong = f"--features needs {' and '.join(missing)}" if missing else None
        if arguments.betas and not arguments.rois:
            wrong = "--betas needs --rois, the areas of the hierarchy"
    elif arguments.responses or arguments.betas:
        wrong = f"{'--responses' if arguments.responses else '--betas'} goes with --features"
    if arguments.responses and arguments.betas:
        wrong = "--betas is instead of --responses"
    for option in ("bootstrap", "permutations"):
        if getattr(arguments, option) < 0:
            wrong = f"--{option} {getattr(arguments, option)}: give 0 or more"
    refuse(wrong or wrong_with_betas(arguments))
