"""``skdnn hierarchy``."""

from __future__ import annotations

import argparse
from typing import Any

import shtab

from skdnn.cli import _hierarchy_accuracies, _hierarchy_study
from skdnn.cli._command import add_json, add_overwrite, add_quiet, command
from skdnn.cli._places import PICTURES, TABLES, add_out, places


def add(commands: Any) -> None:
    """Declare the command."""
    hierarchy = command(
        commands,
        "hierarchy",
        _run,
        help="brain hierarchy score: are the layers in the order of the brain's areas",
        description="The brain hierarchy score of Nonaka et al. (2021). From data (--features "
        "and --responses): decodes units from each area and encodes voxels from each layer, and "
        "scores both; a stopped study goes on when the same command with the same --results is "
        "given again. Or from accuracies that were computed before, of one network or many "
        "(--accuracies).",
        examples=(
            "skdnn hierarchy --features alexnet.h5 --responses S1.h5 S2.h5 --areas V1 V2 V3 V4 "
            "HVC --test-images test.txt --results study/ --out table.csv shares.png",
            "skdnn hierarchy --accuracies published/ --out ranking.csv ranking.png",
        ),
    )
    _add_study(hierarchy.add_argument_group("from data"))
    _add_accuracies(hierarchy.add_argument_group("from accuracies"))
    score = hierarchy.add_argument_group("score")
    score.add_argument(
        "--direction",
        choices=("both", "decoding", "encoding"),
        default="both",
        help="units from voxels, voxels from units, or both (default: both)",
    )
    score.add_argument(
        "--test",
        choices=("published", "t"),
        default="published",
        help="p-values as in the paper, or by the standard test (default: published)",
    )
    score.add_argument("--alpha", type=float, default=0.05, help="of that test (default: 0.05)")
    score.add_argument(
        "--adjust",
        choices=("sidak",),
        help="adjust that test for choosing the best of several (default: as in the paper, no)",
    )
    score.add_argument(
        "--random-layers",
        type=int,
        metavar="N",
        help="decoding: the mean over 100 random selections of N layers, to compare networks of "
        "different depth (the paper: 5)",
    )
    score.add_argument(
        "--bootstrap",
        type=int,
        default=1000,
        metavar="N",
        help="resamples behind the 95%% interval; 0 for none (default: 1000)",
    )
    score.add_argument(
        "--permutations",
        type=int,
        default=0,
        metavar="N",
        help="random pairings of layers and areas behind a p-value, and behind the score that "
        "their qualities give without a hierarchy (default: 0, none)",
    )
    score.add_argument("--seed", type=int, default=0, help="of everything random (default: 0)")
    add_out(hierarchy, "a table (.csv, .tsv, .json) or a picture (.png, .pdf, .svg, .jpg)")
    hierarchy.add_argument(
        "--dry-run", action="store_true", help="check everything, say how much work it is, stop"
    )
    hierarchy.add_argument("--jobs", type=int, metavar="N", help="processes (default: 1)")
    add_overwrite(hierarchy)
    add_quiet(hierarchy)
    add_json(hierarchy)


def _add_study(group: Any) -> None:
    features = group.add_argument(
        "--features",
        metavar="FILE",
        help="features of all images, saved with their names; layers in the order of the file, "
        "or of --layer",
    )
    responses = group.add_argument(
        "--responses",
        nargs="+",
        default=[],
        metavar="FILE",
        help="a file for each subject with a row for each trial: BData (.h5), or a file of "
        "features with an array for each area and the images' names as labels",
    )
    test = group.add_argument(
        "--test-images", metavar="FILE", help="a text file with a test image's name in each line"
    )
    for option in (features, responses, test):
        option.complete = shtab.FILE
    group.add_argument("--layer", nargs="+", metavar="NAME", help="layers, the lowest first")
    group.add_argument("--areas", nargs="+", metavar="NAME", help="brain areas, the lowest first")
    group.add_argument(
        "--stimulus-key",
        default="stimulus_name",
        metavar="KEY",
        help="BData: the label that names the image of a trial (default: stimulus_name)",
    )
    group.add_argument("--units", type=int, default=1000, metavar="N", help="decoded, per layer")
    group.add_argument("--voxels", type=int, default=1000, metavar="N", help="encoded, per area")
    results = group.add_argument(
        "--results", metavar="FOLDER", help="keeps finished work, to go on after an interruption"
    )
    results.complete = shtab.DIRECTORY


def _add_accuracies(group: Any) -> None:
    accuracies = group.add_argument(
        "--accuracies",
        metavar="FOLDER",
        help="a folder with 'decoding' and 'encoding', or one of them, each holding "
        "NETWORK/LAYER/SUBJECT/AREA/accuracy.mat",
    )
    accuracies.complete = shtab.DIRECTORY
    settings = group.add_argument(
        "--settings",
        metavar="FILE",
        help="JSON that lists subjects, rois and dnns with their layers (default: settings.json "
        "in that folder)",
    )
    settings.complete = shtab.FILE
    group.add_argument("--networks", nargs="+", metavar="NAME", help="only these")
    group.add_argument(
        "--n-test-images",
        type=int,
        default=50,
        metavar="N",
        help="test images behind each accuracy (default: 50)",
    )


def _run(arguments: argparse.Namespace) -> None:
    _check_usage(arguments)
    outs = places(arguments, (*TABLES, *PICTURES))
    form = _hierarchy_accuracies if arguments.accuracies else _hierarchy_study
    finish = form.run(arguments)
    finish(outs)


def _check_usage(arguments: argparse.Namespace) -> None:
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
    if wrong:
        raise argparse.ArgumentError(None, wrong)
