"""The table of all commands, the parser made from it, and the function behind ``metabolism``."""

from __future__ import annotations

import argparse
import codecs
import os
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, NoReturn

from metabolism.cli import course, evidence, look, release, studies
from metabolism.cli.shared import EVERYWHERE, Command, Option, carry_out
from metabolism.errors import MetabolismError, OutputError, UnknownName, UsageError

#: Every command by name, in the order of the help.
COMMANDS: dict[str, Command] = {
    command.name: command for module in (look, course, evidence, studies, release) for command in module.COMMANDS
}

GREETING = """metabolism: one-carbon metabolism, methylcobalamin and ALSFRS-R, as an executable model.

Three things to do next:
  metabolism run jetals    the main question, answered with a report (about a minute)
  metabolism explore       the model as a web page: change dose and patient, see what follows
  metabolism simulate --set als_patient --scenario face_value \\
      --regimen "50 mg im every 3.5 d x 32" --plot course.png

Something wrong with the installation? metabolism doctor. Everything else: metabolism --help."""

_EXAMPLES = """examples:
  metabolism run jetals               the main experiment, with its report
  metabolism simulate --regimen "50 mg im every 3.5 d x 32" --until "16 weeks"
  metabolism show MS_liver            equation, values and sources of one reaction
  metabolism list parameters renal    every number that has to do with the kidney
  metabolism export sbml als.xml --regimen "50 mg im every 3.5 d x 32"
  metabolism compare model.xml        a foreign SBML file beside ours
  metabolism qualify                  every study case: observed, simulated, verdict
  metabolism scan --grid GFR_rel=0.3:1:8 --regimen "50 mg im" --endpoint hcy_change
  metabolism check                    every check of model, numbers and data
"""


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{message}. See '{self.prog} --help'.")

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        if action.choices is not None and value not in action.choices:
            raise UnknownName(action.metavar or action.dest, value, action.choices, f"See '{self.prog} --help'.")  # type: ignore[arg-type]


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of every command, with its help."""
    parser = _Parser(
        prog="metabolism",
        description="Methionine-homocysteine cycle, methylcobalamin and ALSFRS-R: simulate, run experiments, export.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="store_true", help="print the version")
    commands = parser.add_subparsers(dest="command", metavar="command", parser_class=_Parser)
    for command in COMMANDS.values():
        sub = commands.add_parser(
            command.name,
            help=command.help,
            description=command.help[:1].upper() + command.help[1:] + ".",
            formatter_class=argparse.RawDescriptionHelpFormatter,
            epilog="examples:\n" + "\n".join(f"  {line}" for line in command.examples),
        )
        for entry in (*command.options, *EVERYWHERE):
            if isinstance(entry, Option):
                _add(sub, entry)
                continue
            group = sub.add_mutually_exclusive_group(required=True)
            for one in entry:
                _add(group, one)
    return parser


def _add(parser: Any, entry: Option) -> None:
    action = parser.add_argument(*entry.flags, **entry.settings)
    if entry.names:
        action.completer = _completer(entry.names)


def _completer(names: Callable[[], Iterable[str]]) -> Callable[..., list[str]]:
    return lambda prefix, **_: [n for n in names() if n.startswith(prefix)]


#: What a console that cannot show a character is given in its place.
_SPELLED = str.maketrans({"µ": "u", "–": "-", "−": "-", "→": "->", "…": "...", "·": "*", "“": '"', "”": '"', "≤": "<="})


def _spell(error: UnicodeError) -> tuple[str, int]:
    assert isinstance(error, UnicodeEncodeError)
    text = error.object[error.start : error.end].translate(_SPELLED)
    return text.encode("ascii", "replace").decode(), error.end


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit code: 0 done, 1 failed, 2 wrong usage, 130 interrupted."""
    # processes started from here never take a numpy.py of the current folder for the real one
    os.environ.setdefault("PYTHONSAFEPATH", "1")
    codecs.register_error("spell", _spell)
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="spell")
    parser = build_parser()
    try:
        if "_ARGCOMPLETE" in os.environ:
            import argcomplete

            argcomplete.autocomplete(parser)
        arguments = parser.parse_args(argv)
        if arguments.version:
            from metabolism import __version__

            print(f"als-methionine {__version__}")
            return 0
        if arguments.command is None:
            print(GREETING)
            return 0
        return carry_out(COMMANDS[arguments.command], arguments)
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
