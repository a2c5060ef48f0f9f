"""What the commands share: the model they run on, and how an answer is shown."""

from __future__ import annotations

import argparse
import json
import math
import os
import shutil
import sys
import textwrap
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext, redirect_stdout
from typing import TYPE_CHECKING, Any

from metabolism.errors import UsageError
from metabolism.progress import Progress, show, silent

if TYPE_CHECKING:
    from metabolism.model import Model

#: What the user asked for.
Arguments = argparse.Namespace


def pair(flag: str, text: str, example: str) -> tuple[str, str]:
    """Split an option that reads ``ID=SOMETHING``.

    Raises
    ------
    UsageError
    """
    name, separator, value = (part.strip() for part in text.partition("="))
    if not (separator and name and value):
        raise UsageError(f"{flag} '{text}' must read ID=VALUE, e.g. {flag} {example}.")
    return name, value


def leave_out(arguments: Arguments, why: str, *names: str) -> None:
    """Refuse options that were given and would not be used.

    Raises
    ------
    UsageError
    """
    given = vars(arguments).get("given", {})
    if flags := [given[name] for name in names if name in given]:
        raise UsageError(f"{why}; leave {' and '.join(flags)} out.")


def drawing(arguments: Arguments) -> Callable[[Any], object] | None:
    """Return what writes a figure to ``--plot``, if it was given, after a look at this and at ``--csv``.

    Raises
    ------
    UsageError, OutputError
    """
    from metabolism.files import check_target, write_atomically

    for path in filter(None, (arguments.csv, arguments.plot)):
        check_target(path, arguments.force)
    if not arguments.plot:
        return None
    kind = arguments.plot.rpartition(".")[2]
    if kind not in ("png", "svg", "pdf"):
        raise UsageError(f"--plot '{arguments.plot}' must end in .png, .svg or .pdf.")
    return lambda figure: write_atomically(arguments.plot, lambda part: figure.savefig(part, format=kind))


def chosen_model(arguments: Arguments) -> Model:
    """Return the model that ``--set``, ``--param`` and ``--scenario`` describe.

    Raises
    ------
    UsageError, UnknownName, InvalidValue, UnitMismatch
    """
    from metabolism.model import load

    model = load()
    for name in arguments.sets:
        model = model.with_set(name)
    for text in arguments.param:
        name, value = pair("--param", text, "GFR_rel=0.5")
        model = model.with_values({name: value})
        lost = model.table[name].kind == "initial" and name not in model.not_at_rest
        if lost and getattr(arguments, "start", None) in (None, "rest"):
            raise UsageError(
                f"--param {name}={value}: a level comes to rest before the run, so this value would be lost; change "
                f"what makes or clears it (metabolism show {name})."
            )
    # a command that gives its effect otherwise (design) has no scenario
    if (scenario := getattr(arguments, "scenario", None)) is not None:
        from metabolism.trials import with_scenario

        model = with_scenario(model, scenario)
    return model


def in_force(arguments: Arguments, model: Model) -> str:
    """Say which effect of the drug on motor neurons is assumed, none included."""
    if arguments.scenario:
        from metabolism.trials import scenarios

        return f"{arguments.scenario} ({scenarios()[arguments.scenario].title})"
    if model.values["MN_Emax"] > 0:
        return f"none by name; MN_Emax = {model.values['MN_Emax']:g} as given"
    return "none: no effect on motor neurons but through homocysteine (see --scenario)"


def progress_bar() -> AbstractContextManager[Progress]:
    """Give progress bars on stderr, silent when stderr is not a terminal."""
    return show() if sys.stderr.isatty() else nullcontext(silent)


@contextmanager
def working(text: str) -> Iterator[None]:
    """Show on a terminal that work is going on."""
    if not sys.stderr.isatty():
        yield
        return
    from rich.console import Console

    with Console(stderr=True).status(text):
        yield


def carry_out(action: Callable[[Arguments], int], arguments: Arguments) -> int:
    """Run a command in the mode asked for and return its exit code."""
    from metabolism.files import check_target, write_text

    target = arguments.json
    given = (getattr(arguments, name, None) for name in ("json", "csv", "plot", "store", "out"))
    written = [str(path) for path in given if path not in (None, "-")]
    if len({os.path.realpath(path) for path in written}) < len(written):
        raise UsageError(f"two of the results would be written to one file: {', '.join(written)}.")
    if target not in (None, "-"):
        check_target(target, arguments.force)
    arguments.payload = {}
    with (
        open(os.devnull, "w", encoding="utf-8") as nowhere,
        redirect_stdout(nowhere if arguments.quiet or target == "-" else sys.stdout),
    ):
        code = action(arguments)
    if target is None:
        return code
    text = json.dumps(plain(arguments.payload), indent=1, ensure_ascii=False, allow_nan=False)
    if target == "-":
        print(text)
    else:
        path = write_text(target, text + "\n")
        if not arguments.quiet:
            print(f"JSON written to {path}")
    return code


def plain(value: Any) -> Any:
    """Return a value with numpy types as Python ones and numbers that are not finite as None."""
    if isinstance(value, dict):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(v) for v in value]
    if hasattr(value, "to_dict"):
        return plain(value.to_dict("records"))
    if hasattr(value, "tolist"):
        return plain(value.tolist())
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def print_table(head: Sequence[str], rows: Iterable[Sequence[Any]], *, left: int = 1) -> None:
    """Print a table that fits the terminal, 80 columns where there is none: long cells are wrapped, never cut.

    A table whose numbers would break even so is printed row by row, each value beside the name of its column.

    Parameters
    ----------
    head : sequence of str
    rows : iterable of sequence
        Numbers are printed with four digits.
    left : int
        Columns of text before those of numbers, which stand to the right.
    """
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    cells = [[f"{cell:.4g}" if isinstance(cell, float) else str(cell) for cell in row] for row in rows]
    console = Console(file=sys.stdout, highlight=False, emoji=False)
    words = [max(len(w) for text in column for w in text.split() or [""]) for column in zip(head, *cells, strict=True)]
    whole = [max(map(len, column)) for column in zip(head, *cells, strict=True)]
    room = console.width - 2 * (len(words) - 1)
    spare = max(room - sum(words), 0) // len(words)
    for i, name in enumerate(head):
        # texts may break anywhere, numbers between words only
        fits = i < left or sum(whole) <= room
        table.add_column(
            Text(name),
            justify="left" if i < left else "right",
            overflow="fold",
            width=None if fits else min(whole[i], words[i] + spare),
        )
    for row in cells:
        table.add_row(*map(Text, row))
    if sum(words[left:]) + 2 * (len(words) - 1) + left > console.width:
        for i, row in enumerate(cells):
            if i:
                print()
            print_list(zip(head, row, strict=True))
        return
    lines = console.render_lines(table, pad=False)
    # printed here, so that a table in a file or a pipe has no blanks at the ends of its lines
    for line in lines:
        text = "".join(part.text for part in line)
        styled = console.is_terminal and any(part.style for part in line)
        print(f"\x1b[1m{text.rstrip()}\x1b[0m" if styled else text.rstrip())


def print_list(rows: Iterable[Sequence[str]]) -> None:
    """Print rows of texts: the first as a heading, the others after it, wrapped to the terminal."""
    width = max(shutil.get_terminal_size((80, 24)).columns, 40)
    for head, *others in rows:
        line = f"{head:<24}  {'; '.join(filter(None, others))}"
        print(textwrap.fill(line, width, subsequent_indent=" " * 26, break_long_words=False, break_on_hyphens=False))


def print_frame(frame: Any, *, left: int = 1) -> None:
    """Print a DataFrame as a table."""
    print_table([str(c) for c in frame.columns], frame.itertuples(index=False), left=left)
