"""From a line of the shell to a command, and how it ends: exit codes, and a line for errors."""

from __future__ import annotations

import argparse
import io
import os
import sys
import traceback
from collections.abc import Sequence

from skdnn.cli import _usage_networks as networks
from skdnn.cli import _usage_searchlight as searchlight
from skdnn.cli import _usage_studies as studies
from skdnn.cli._arguments import made_parser, run
from skdnn.cli._report_files import reporting
from skdnn.cli._terminal import one_line, reason, visible

# In the order in which a study uses them, which is that of the help text.
_COMMANDS = (
    *(networks.DEMO, networks.MODELS, networks.LAYERS_OF, networks.EXTRACT),
    *(studies.RDM, studies.COMPARE, studies.SEARCH, studies.ENCODE, studies.HIERARCHY),
    *(searchlight.SEARCHLIGHT, networks.CLASSIFY, networks.CACHE, networks.DESCRIBE),
    *(studies.REPORT, networks.VERSION),
)
_DESCRIPTION = (
    "Deep network activations for scikit-learn: RSA, encoding models and layer searches for "
    "neuroscience."
)
_EPILOG = """\
exit codes:
  0  done
  1  failed; the reason is on stderr in one line (with --debug also where in the code it was),
     and what had been computed is kept
  2  wrong usage
  130  interrupted; extract, search, searchlight and compare go on where they stopped when
       given again

Shell completion, e.g. for bash: skdnn --print-completion bash >> ~/.bash_completion
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the ``skdnn`` command.

    Parameters
    ----------
    argv : sequence of str, default=None
        Arguments; None takes those of the process.

    Returns
    -------
    code : int
        0 when done, 1 when the command failed (the reason is on stderr). Wrong usage exits
        with 2, an interrupt returns 130.

    Examples
    --------
    >>> from skdnn.cli import main
    >>> main(["version"])  # doctest: +ELLIPSIS
    skdnn ...
    0
    """
    chosen = parser()
    arguments = chosen.parse_args(argv)
    # The command writes files and opens no window; a machine without a display must do.
    os.environ.setdefault("MPLBACKEND", "Agg")
    if isinstance(sys.stdout, io.TextIOWrapper):  # a name that a terminal can't show is no error
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        with reporting(arguments, sys.argv[1:] if argv is None else argv):
            run(arguments)
        sys.stdout.flush()
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:  # the reader, such as `head`, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except argparse.ArgumentError as error:  # usage that only the command itself can judge
        arguments.parser.error(str(error))
    except Exception as error:
        if arguments.debug:
            traceback.print_exc()
        told = one_line(_with_given_names_escaped(reason(error), arguments))
        print(f"skdnn {arguments.command}: error: {told}", file=sys.stderr)
        return 1
    return 0


def _with_given_names_escaped(text: str, arguments: argparse.Namespace) -> str:
    """A message in which no name that was given breaks the line."""
    for value in vars(arguments).values():
        for name in value if isinstance(value, list) else [value]:
            if isinstance(name, str) and visible(name) != name:
                text = text.replace(name, visible(name))
    return text


def parser() -> argparse.ArgumentParser:
    """Build the parser.

    Returns
    -------
    parser : argparse.ArgumentParser
        Of all commands.
    """
    return made_parser(_DESCRIPTION, _EPILOG, _COMMANDS)
