"""The table of all commands, the parser made from it, and the function behind ``metabolism``."""

import argparse
import codecs
import os
import re
import sys
import tomllib
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from itertools import takewhile
from pathlib import Path
from typing import Any, NoReturn

from metabolism.cli import course, evidence, look, members, release, studies
from metabolism.cli.shared import carry_out
from metabolism.errors import Implausible, InvalidValue, MetabolismError, OutputError, UnknownName, UsageError
from metabolism.units import number

#: What carries out each command; ``commands.toml`` says what it is called, takes and shows.
ACTIONS = course.ACTIONS | evidence.ACTIONS | look.ACTIONS | members.ACTIONS | release.ACTIONS | studies.ACTIONS

GREETING = """metabolism: an executable model of one-carbon metabolism, methylcobalamin and
ALSFRS-R.

Three things to do next:
  metabolism run jetals    the main question, with a report (about a minute)
  metabolism explore       the model as a web page: change dose and patient
  metabolism simulate --set als_patient --scenario face_value \\
      --regimen "50 mg im every 3.5 d x 32" --plot course.png

Something wrong with the installation? metabolism doctor
Everything else: metabolism --help"""

_EXAMPLES = """examples:
  metabolism run jetals               the main experiment, with its report
  metabolism simulate --regimen "50 mg im every 3.5 d x 32" --until "16 weeks"
  metabolism show MS_liver            equation, values, sources of a reaction
  metabolism list parameters renal    every number about the kidney
  metabolism export sbml als.xml --regimen "50 mg im every 3.5 d x 32"
  metabolism compare model.xml        a foreign SBML file beside ours
  metabolism ensemble model.xml       many members of a foreign SBML file
  metabolism qualify                  every study case: observed and simulated
  metabolism scan --grid GFR_rel=0.3:1:8 --endpoint hcy_change \\
      --regimen "50 mg im"
  metabolism check                    every check of model, numbers and data
"""


class _Parser(argparse.ArgumentParser):
    def __init__(self, **options: Any) -> None:
        super().__init__(**options, allow_abbrev=False)

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Refuse what argparse would drop without a word, and an option that does not exist before all else.

        Options that were given stand in ``given`` of what is returned: their flags by name.
        """
        words = list(sys.argv[1:] if args is None else args)
        own = takewhile(lambda w: w != "--" and (self._subparsers is None or w.startswith("-")), words)
        flags = [w.partition("=")[0] for w in own if re.match("--[^ ]", w)]
        strange = next((f for f in flags if f not in self._option_string_actions and " " not in f), None)
        if strange and "_ARGCOMPLETE" not in os.environ:
            parsed, unknown = namespace, [strange]
        else:
            parsed, unknown = super().parse_known_args(words, namespace)
        if unknown and unknown[0].startswith("-"):
            known = [f for f in self._option_string_actions if f.startswith("--")]
            raise UnknownName("option", unknown[0].partition("=")[0], known, f"See '{self.prog} --help'.")
        if unknown:
            self.error(f"'{unknown[0]}' is one word too many; put quotes around a text of several words")
        given = {flag: self._option_string_actions[flag] for flag in flags if flag in self._option_string_actions}
        for flag, action in given.items():
            if type(action) is argparse._StoreAction and flags.count(flag) > 1:
                raise UsageError(f"{flag} is given twice; give it once.")
            if "=" in str(action.metavar):
                names = [text.partition("=")[0].strip() for text in getattr(parsed, action.dest)]
                if twice := next((name for name in names if names.count(name) > 1), None):
                    raise UsageError(f"{flag} names '{twice}' twice; give it once.")
        if self._subparsers is None:
            parsed.given = {action.dest: flag for flag, action in given.items()}
        return parsed, unknown

    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{message}. See '{self.prog} --help'.")

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        if action.choices is not None and value not in action.choices:
            raise UnknownName(action.metavar or action.dest, value, action.choices, f"See '{self.prog} --help'.")  # type: ignore[arg-type]


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of every command, with its help."""
    parser = _Parser(
        prog="metabolism",
        description="Methionine-homocysteine cycle, methylcobalamin and ALSFRS-R:\nsimulate, run experiments, export.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="store_true", help="print the version")
    table = tomllib.loads((Path(__file__).parent / "commands.toml").read_text(encoding="utf-8"))
    commands = parser.add_subparsers(dest="command", metavar="command", parser_class=_Parser)
    for command in table["command"]:
        sub = commands.add_parser(
            command["name"],
            help=command["help"],
            description=command["help"][:1].upper() + command["help"][1:] + ".",
            formatter_class=argparse.RawDescriptionHelpFormatter,
            epilog="examples:\n" + "\n".join(f"  {line}" for line in command["examples"]),
        )
        group = sub.add_mutually_exclusive_group(required=True) if "one_of" in command else sub
        for place, entries in ((group, command.get("one_of", [])), (sub, command["options"] + table["everywhere"])):
            for entry in entries:
                _add(place, table["options"][entry] if isinstance(entry, str) else entry)
    return parser


def _add(place: Any, entry: dict[str, Any]) -> None:
    """Add an option as the table has it: its flag, what argparse takes, and what completes it."""
    settings = {k: v for k, v in entry.items() if k not in ("flag", "complete", "least")}
    if "type" in settings:
        settings["type"] = partial(_number, entry["flag"], settings["type"] == "int", entry.get("least"))
    if settings.get("default") == "cores":
        settings["default"] = os.cpu_count() or 1
    action = place.add_argument(entry["flag"], **settings)
    if "complete" in entry:
        action.completer = _completer(entry["complete"])


def _check_words(words: Sequence[str]) -> None:
    """Refuse an option that is given nothing: argparse would take it as left out, or ``--`` as an empty list."""
    for n, word in enumerate(words, 1):
        flag, equals, value = word.partition("=")
        empty = value in ("", "--") if equals else words[n : n + 1] == [""]
        if flag.startswith("--") and len(flag) > 2 and empty:
            raise UsageError(f"{flag} is given no value; give one, or leave the option out.")


def _number(flag: str, whole: bool, least: float | None, text: str) -> float:
    """Read the number of an option as every other number is read, before anything is loaded or computed."""
    value = number(text, flag)
    if whole and not value.is_integer():
        raise InvalidValue(f"{flag} = '{text}' is not a whole number.")
    if least is not None and value < least:
        raise InvalidValue(f"{flag} {text} must be at least {least}.")
    return int(value) if whole else value


def _names(what: str) -> Iterable[str]:
    """Return what completes an option: names of a kind, or the words themselves."""
    from metabolism.exports import FORMATS
    from metabolism.model import equations, load, parameter_table, set_names
    from metabolism.report import experiment_names
    from metabolism.trials import scenarios

    def outputs() -> list[str]:
        system = equations(load())
        return [*system.states, *system.computed]

    kinds: dict[str, Callable[[], Iterable[str]]] = {
        "experiments": experiment_names,
        "sets": set_names,
        "scenarios": scenarios,
        "formats": lambda: FORMATS,
        "parameters": lambda: (f"{p}=" for p in parameter_table()),
        "outputs": outputs,
        "ids": lambda: [*outputs(), *parameter_table()],
    }
    return kinds[what]() if what in kinds else what.split()


def _completer(what: str) -> Callable[..., list[str]]:
    return lambda prefix, **_: [n for n in _names(what) if n.startswith(prefix)]


#: What a console that cannot show a character is given in its place.
_SPELLED = str.maketrans(
    {"µ": "u", "–": "-", "−": "-", "→": "->", "…": "...", "·": "*", "“": '"', "”": '"', "≤": "<=", "×": "x"}
    | dict(zip("⁻⁰¹²³⁴⁵⁶⁷⁸⁹", "-0123456789", strict=True))
)


def _spell(error: UnicodeError) -> tuple[str, int]:
    assert isinstance(error, UnicodeEncodeError)
    text = error.object[error.start : error.end].translate(_SPELLED)
    return text.encode("ascii", "replace").decode(), error.end


@contextmanager
def _safe_path() -> Iterator[None]:
    """Keep processes started meanwhile from taking a numpy.py of the current folder for the real one."""
    given = os.environ.get("PYTHONSAFEPATH")
    os.environ["PYTHONSAFEPATH"] = given or "1"
    try:
        yield
    finally:
        # a caller in Python gets its environment back as it was
        if given is None:
            del os.environ["PYTHONSAFEPATH"]
        else:
            os.environ["PYTHONSAFEPATH"] = given


@_safe_path()
def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit code: 0 done, 1 failed, 2 wrong usage, 130 interrupted."""
    codecs.register_error("spell", _spell)
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="spell")
    warnings.simplefilter("error", Implausible)
    try:
        parser = build_parser()
        if "_ARGCOMPLETE" in os.environ:
            import argcomplete

            try:
                argcomplete.autocomplete(parser)
            except Exception:
                # a shell that asks what a line may go on with has no use for a traceback: nothing is offered
                return 1
        # before argparse, which from Python 3.13 on hands ``--`` to what reads the value
        _check_words(sys.argv[1:] if argv is None else argv)
        arguments = parser.parse_args(argv)
        if arguments.version:
            from metabolism import __version__

            print(f"als-methionine {__version__}")
            return 0
        if arguments.command is None:
            print(GREETING)
            return 0
        return carry_out(ACTIONS[arguments.command], arguments)
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
