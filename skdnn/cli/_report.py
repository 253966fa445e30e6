"""``skdnn report``."""

from __future__ import annotations

from skdnn.cli._arguments import Arguments
from skdnn.cli._input_files import reading
from skdnn.cli._output_files import checked_outs
from skdnn.cli._report_files import write_reports


def run(arguments: Arguments) -> None:
    """Make a page of results that were saved."""
    from skdnn.report import load_results

    outs = checked_outs(arguments, (".html",))
    with reading(arguments.results):
        results = load_results(arguments.results)
    results.title = arguments.title or results.title
    results.question = arguments.question or results.question
    write_reports(results, outs)
