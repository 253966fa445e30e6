"""``skdnn hierarchy``."""

from __future__ import annotations

from skdnn.cli import _hierarchy_accuracies, _hierarchy_study
from skdnn.cli._arguments import Arguments, refuse, refuse_if
from skdnn.cli._betas_files import wrong_with_betas
from skdnn.cli._output_files import checked_outs


def run(arguments: Arguments) -> None:
    """Score a study from its data, or accuracies that are there already."""
    _check_usage(arguments)
    outs = checked_outs(arguments)
    form = _hierarchy_accuracies if arguments.accuracies else _hierarchy_study
    form.run(outs, arguments)


def _check_usage(arguments: Arguments) -> None:
    needed = {
        "--responses": arguments.responses or arguments.betas,
        "--areas": arguments.areas or arguments.betas,
        "--test-images": arguments.test_images,
    }
    missing = [option for option, given in needed.items() if not given]
    refuse_if({
        "give --features with --responses or --betas, or --accuracies":
            bool(arguments.accuracies) == bool(arguments.features),
        "--betas is instead of --responses": arguments.responses and arguments.betas,
        "--responses goes with --features": arguments.responses and not arguments.features,
        "--betas goes with --features": arguments.betas and not arguments.features,
        "--betas needs --rois, the areas of the hierarchy": arguments.betas and not arguments.rois,
        f"--features needs {' and '.join(missing)}": arguments.features and missing,
    })  # fmt: skip
    refuse(wrong_with_betas(arguments))
