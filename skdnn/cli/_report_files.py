"""Reports of commands: what each tells beside its table, as a page or a file of results."""

from __future__ import annotations

import contextlib
import shlex
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from skdnn.cli._arguments import Arguments
from skdnn.cli._terminal import note

if TYPE_CHECKING:
    import pandas as pd

    from skdnn.report import Results

# Arguments that name files to read, of which the report tells the digests.
_READ = (
    *("rdm", "responses", "betas", "events", "mask", "mesh", "residuals"),
    *("features", "files", "reference", "test_images", "groups", "settings"),
)
_MOST_RDMS, _MOST_CONDITIONS, _MOST_NETWORKS = 8, 400, 4


@contextlib.contextmanager
def reporting(arguments: Arguments, given: Sequence[str]) -> Iterator[None]:
    """Collect what the command tells and warns of in ``arguments.report``, and write it.

    Without a report among its files ``arguments.report`` is None.
    """
    arguments.report = None
    paths = _reports_among(getattr(arguments, "out", None))
    if not paths or arguments.command == "report":
        yield
        return
    from skdnn.report import Results

    results = Results(command=shlex.join(["skdnn", *given]), seed=getattr(arguments, "seed", None))
    arguments.report = results
    with results.record_warnings():
        yield
    if len(results):  # nothing was computed by --dry-run
        results.add_files(_files_read(arguments))
        write_reports(results, paths)


def _reports_among(out: Any) -> list[Path]:
    if not isinstance(out, list):
        return []
    from skdnn.cli._output_files import is_report

    return [path for path in map(Path, out) if is_report(path)]


def write_reports(results: Results, paths: Sequence[Path]) -> None:
    """Each file as its ending says: a page, or the results it is made of."""
    from skdnn.report import Report

    for path in paths:
        writer: Any = Report(results) if path.suffix.lower() == ".html" else results
        writer.save(path)


def _files_read(arguments: Arguments) -> list[str]:
    from skdnn._labels import fitting_files
    from skdnn.cli._betas_files import file_of_region

    named: list[Any] = []
    for option in _READ:
        value = getattr(arguments, option, None)
        named += value if isinstance(value, list | tuple) else [value]
    named += [file_of_region(text) for text in getattr(arguments, "rois", None) or ()]
    found: list[str] = []
    for name in filter(lambda each: isinstance(each, str), named):
        with contextlib.suppress(FileNotFoundError):
            found += fitting_files(name, "files")
    return [name for name in dict.fromkeys(found) if Path(name).is_file()]


def of_search(
    arguments: Arguments,
    found: Any,
    paths: Sequence[str],
    y: Any,
    nested: Mapping[str, Any] | None,
    twin: pd.DataFrame | None,
) -> None:
    """The layer profile, the RDMs of the brain and of the best layer, and how it was done."""
    results = arguments.report
    if results is None:
        return
    import pandas as pd

    from skdnn.report import Result
    from skdnn.rsa import compute_rdm

    brain = _measured(arguments)
    is_rsa = arguments.method == "rsa"
    how = f"compared by {arguments.comparison}" if is_rsa else "predicted by ridge regression"
    results.title = f"Layers of {arguments.model} and {brain.stem}"
    results.question = (
        f"Which layer of {arguments.model} is most like {brain.name}, {how}, on images that "
        f"were held out ({len(paths)} images, {arguments.cv} folds, {arguments.repeats} times)?"
    )
    results.add_inputs(found, paths).add(found, name="Search")
    if nested is not None:
        table = pd.DataFrame({"layer": nested["layers"], "score": nested["scores"]})
        facts = {"mean": nested["mean"], "standard deviation": nested["std"]}
        means = {"name": "Nested cross-validation: the mean of score",
                 "generalises_to": "other images of the same kind, the choice of the layer "
                 "included; for these subjects"}  # fmt: skip
        results.add(Result("nested search", {"outer folds": table}, facts, [means]), name="Nested")
    if twin is not None:
        results.add(twin, name="Untrained twin")
    if is_rsa:
        responses = y if arguments.rdm else compute_rdm(y, arguments.metric)
        layer = next(iter(found.best_params_.values()))
        made = found.best_estimator_[:-1].transform(paths)
        best = pd.DataFrame(getattr(made, "to_numpy", lambda: made)())
        _add_rdms({brain.stem: responses, str(layer): best}, arguments, paths)
    results.add(found.describe(paths, nested=nested and nested["scores"]), name="Methods")


def of_regions(arguments: Arguments, table: pd.DataFrame, n_images: int) -> None:
    """The scores of all layers for each subject and region."""
    results = arguments.report
    if results is None:
        return
    results.title = f"Layers of {arguments.model}, by subject and region"
    results.question = (
        f"Which layer of {arguments.model} is most like each region of "
        f"{_measured(arguments).name} ({n_images} images, {arguments.cv} folds, "
        f"{arguments.repeats} times)?"
    )
    results.add(table, name="Regions")


def of_comparison(
    arguments: Arguments,
    table: pd.DataFrame,
    rdms: Mapping[str, pd.DataFrame],
    tests: Mapping[str, Any],
    compared: Any,
    paths: Sequence[str] | None,
    extractors: Mapping[str, Any],
) -> None:
    """Scores or similarities, RDMs, and how it was done; `compared` are networks, or None."""
    results = arguments.report
    if results is None:
        return
    from skdnn import describe_study

    references = [Path(path).stem for path in arguments.reference]
    models = [name for name in rdms if name not in references]
    results.title = f"{', '.join(models[:3])}{' and others' if len(models) > 3 else ''}"
    results.title += f" against {', '.join(references)}" if references else " compared"
    whom = " and ".join(references) or "each other"
    results.question = f"How similar are {len(models)} models to {whom} ({arguments.comparison})?"
    for name, extractor in list(extractors.items())[:_MOST_NETWORKS]:
        results.add_inputs(extractor, paths, n_images=4, name=f"What {name} saw")
    if references:
        results.add(table, name="Scores")
    for name, tested in tests.items():
        among = results.add(tested, name=f"Among models, against {name}")
        among[f"Among models, against {name}"].tables.pop("scores")  # in the table above
    if compared is not None:
        results.add(compared, name="Similarities")
    _add_rdms(rdms, arguments, paths)
    told = list(tests.values())
    if compared is not None:
        results.add(describe_study(compared, tests=told), name="Methods")
    elif told:
        results.add(describe_study(told[0], tests=told[1:]), name="Methods")


def of_encoding(
    arguments: Arguments, folds: pd.DataFrame, areas: pd.DataFrame, encoder: Any
) -> None:
    """How well voxels are predicted, and from which layers."""
    results = arguments.report
    if results is None:
        return
    from skdnn import describe_study

    measured, features = _measured(arguments), Path(arguments.features)
    results.title = f"Encoding of {measured.stem} by {features.stem}"
    results.question = (
        f"Which voxels of {measured.name} are predicted by {features.name}, how well, and from "
        "which layers?"
    )
    found = results.add(folds, name="Encoding")["Encoding"]
    found.tables["areas"] = areas
    found.facts["false_discovery_rate"] = arguments.fdr
    study = describe_study(folds, encoder=encoder)
    results.add(_joined(study, arguments.features), name="Methods")


def of_searchlight(arguments: Arguments, result: Any, test: Any, maps: Path) -> None:
    """The maps of all layers, and where the test finds them."""
    results = arguments.report
    if results is None:
        return
    from skdnn._wording import counted

    layers, n_images = counted(len(result.layers), "layer"), result.settings["n_images"]
    results.title = f"Searchlights of {layers}"
    results.question = (
        f"Where in the brain are responses within {arguments.radius:g} mm like which of {layers} "
        f"({counted(n_images, 'image')}, {counted(len(result.subjects), 'subject')})?"
    )
    note("drawing the maps of the report", arguments)
    facts = results.add(result, name="Searchlight")["Searchlight"].facts
    facts["maps"] = f"in the folder {maps}"
    if test is not None:
        results.add(test, name="Test over subjects")


def of_network(
    arguments: Arguments, extractor: Any, layers: Sequence[str], paths: Sequence[str]
) -> None:
    """What a network was shown, and which it was."""
    results = arguments.report
    if results is None:
        return
    results.add_inputs(extractor, paths)
    results.add(extractor.describe(paths, layers=list(layers)), name="Methods")


def of_hierarchy(arguments: Arguments, found: Any) -> None:
    """A fitted study, or a ranking of networks."""
    results = arguments.report
    if results is None:
        return
    from skdnn import describe_study

    name = Path(arguments.accuracies or arguments.features).stem
    results.title = f"Brain hierarchy score of {name}"
    results.question = "Are the layers in the order of the brain's areas?"
    results.add(found, name="Brain hierarchy score")
    if not arguments.accuracies:
        results.add(_joined(describe_study(found), arguments.features), name="Methods")


def of_classes(
    arguments: Arguments, table: pd.DataFrame, classifier: Any, paths: Sequence[str]
) -> None:
    """What each image was taken for, beside the image."""
    results = arguments.report
    if results is None:
        return
    from skdnn.report import Result

    results.title = f"{len(paths)} images as {arguments.model} sees them"
    results.question = f"What do the images show, to {arguments.model}?"
    results.add_inputs(classifier, paths)
    names = list(dict.fromkeys(table["image"]))
    if len(names) == len(paths) <= _MOST_CONDITIONS:
        results.add_images(paths, names)
    told = {"name": "Probability", "generalises_to": "nothing: how sure this network is of this "
            "image, which says little of how often it is right"}  # fmt: skip
    facts = {"note": classifier.classes_note_}
    results.add(Result("classes", {"classes": table}, facts, [told]), name="Classes")


def _measured(arguments: Arguments) -> Path:
    """The file of brain data, or the first of several."""
    return Path(getattr(arguments, "rdm", None) or arguments.responses or arguments.betas[0])


def _add_rdms(rdms: Mapping[str, Any], arguments: Arguments, paths: Sequence[str] | None) -> None:
    """The first RDMs, with images where there are any."""
    from skdnn.cli._images import image_names

    results = arguments.report
    for name, rdm in list(rdms.items())[:_MOST_RDMS]:
        if len(rdm) > _MOST_CONDITIONS:
            note(f"the report shows no RDM of {len(rdm)} images ({_MOST_CONDITIONS} at most)",
                 arguments)  # fmt: skip
            return
        if paths is not None:
            named = dict(zip(rdm.index, image_names(paths), strict=True))
            rdm = rdm.rename(index=named).rename(columns=named, level=-1)
        is_first = paths is not None and not results.images
        results.add_rdm(rdm, images=paths if is_first else None, name=f"RDM: {name}")
    if len(rdms) > _MOST_RDMS:
        note(f"the report shows {_MOST_RDMS} of {len(rdms)} RDMs", arguments)


def _joined(study: Any, features: str) -> Any:
    """The methods text of a study, with the network of its features where their file tells it."""
    from skdnn import MethodsText, load_features

    try:
        file = Path(features)
        known = load_features(file, mmap=file.suffix in (".npy", ".h5", ".hdf5")).provenance
        made = MethodsText.from_provenance(known)
    except (ValueError, TypeError, OSError):  # of another program: the text leaves it open
        return study
    return MethodsText({**made.facts, "study": study.facts["study"]})
