"""The command line; each module beside it adds its subcommands, with the function that runs each as ``action``."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from metabolism.cli import evidence, look, release, shared, studies
from metabolism.cli import help as helps
from metabolism.errors import MetabolismError, OutputError, UsageError

EXAMPLES = """examples:
  metabolism run jetals                      the main experiment, with its report
  metabolism simulate --regimen "50 mg im every 3.5 d x 32" --until "16 weeks" --csv out.csv
  metabolism simulate --set b12_deficient --regimen "1 mg hydroxocobalamin im weekly x 8"
  metabolism show MS_liver                   equation, values and sources of one reaction
  metabolism export sbml als.xml --regimen "50 mg im every 3.5 d x 32"
  metabolism compare model.xml               a foreign SBML file beside ours
  metabolism qualify                         every study case: observed, simulated, pass or fail
  metabolism scan --grid GFR_rel=0.3:1:8 --regimen "50 mg im" --store results/gfr
  metabolism sensitivity sobol --regimen "50 mg im every 3.5 d x 32" --endpoint hcy_change --n 64
  metabolism check                           every check of model, numbers and data
"""


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{message}. See '{self.prog} --help'.")


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of every command, with its help."""
    from metabolism import __version__

    parser = _Parser(
        prog="metabolism",
        description="Methionine-homocysteine cycle, methylcobalamin and ALSFRS-R: simulate, run experiments, export.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"als-methionine {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", parser_class=_Parser)

    for add in (
        look.add_commands,
        look.add_surfaces,
        evidence.add_fit,
        evidence.add_commands,
        studies.add_design,
        studies.add_commands,
        release.add_commands,
    ):
        add(commands)
    helps.finish(parser, commands)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit code: 0 done, 1 failed, 2 wrong usage, 130 interrupted."""
    # processes started from here never take a numpy.py of the current folder for the real one
    os.environ.setdefault("PYTHONSAFEPATH", "1")
    parser = build_parser()
    try:
        arguments = parser.parse_args(argv)
        if arguments.command is None:
            print(helps.GREETING)
            return 0
        return shared.carry_out(arguments.action, arguments)
    except MetabolismError as error:
        print(f"metabolism: {' '.join(str(error).split())}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("metabolism: interrupted; nothing half-written was kept.", file=sys.stderr)
        return 130
    except BrokenPipeError:
        # the reader (head, less) closed the pipe: not an error of ours
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:
        where = f" '{Path(error.filename)}'" if error.filename else ""
        print(f"metabolism: {OutputError(f'{error.strerror or error}{where}')}", file=sys.stderr)
        return 1
