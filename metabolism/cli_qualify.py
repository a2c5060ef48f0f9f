"""The command `metabolism qualify`: options, the printed board, the exit code."""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING

from metabolism.errors import InvalidValue

if TYPE_CHECKING:
    from metabolism.model import Model
    from metabolism.qualify import Board, Verdict

Progress = Callable[[], AbstractContextManager[Callable[[str, int], Callable[[int], None]]]]


def options(parser: argparse.ArgumentParser) -> None:
    """Add the options of `qualify`."""
    parser.add_argument(
        "--cases", action="append", metavar="FILE", help="case file; may be repeated (default: all shipped)"
    )
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1, help="threads (default: all cores)")
    parser.add_argument(
        "--uncertainty", type=int, metavar="N", help="add 90 %% intervals from N draws of the parameters"
    )
    parser.add_argument("--peers", nargs="+", metavar="FILE|ID", help="run published SBML models beside ours")


def run(arguments: argparse.Namespace, model: Model, progress: Progress) -> int:
    """Run the board and print it; return 0 if every must-pass case passes, else 1."""
    from metabolism.cases import read_cases
    from metabolism.predict import arms_of
    from metabolism.qualify import qualify

    if arguments.workers < 1:
        raise InvalidValue(f"--workers {arguments.workers} must be at least 1.")
    rows = read_cases(model, arguments.cases)
    drawn = None
    if arguments.uncertainty is not None:
        from metabolism.draws import draws

        drawn = draws(model, arguments.uncertainty)
    with progress() as begin:
        tick = begin("arms simulated", len(arms_of(rows)) * (2 if drawn is not None else 1))
        board = qualify(model, rows, draws=drawn, workers=arguments.workers, progress=tick)
    print(board_text(board))
    data = board.as_json()
    if arguments.peers:
        from metabolism.peers import peer_text, run_peers

        peers = run_peers(model, rows, arguments.peers)
        print()
        print(peer_text(peers, board))
        data["peers"] = [p.as_json() for p in peers]
    arguments.payload = data
    return 0 if board.passed else 1


def board_text(board: Board) -> str:
    """Return the board as a table, with the counts per role at its end."""
    heads = ["case", "row", "study", "observed", "simulated", "band", "unit", ""]
    intervals = any(v.interval for c in board.cases for v in c.verdicts)
    if intervals:
        heads.insert(5, "90 % interval")
    lines, reasons = [], []
    for case in board.cases:
        for verdict in case.verdicts:
            lines.append(_line(verdict, intervals))
            if verdict.failure:
                reasons.append(f"{verdict.row.id}: {verdict.failure}")
    widths = [max(len(line[i]) for line in [heads, *lines]) for i in range(len(heads))]
    right = {"observed", "simulated"}
    text = [
        "  ".join(
            c.rjust(w) if h in right else c.ljust(w) for c, w, h in zip(line, widths, heads, strict=True)
        ).rstrip()
        for line in [heads, *lines]
    ]
    if reasons:
        text += ["", "failed simulations:", *reasons]
    text.append("")
    for role, (good, total) in board.counts().items():
        own = [c for c in board.cases if c.role == role]
        failed = ", ".join(c.id for c in own if not c.passed)
        text.append(f"{role}: {good} of {total} cases pass" + (f"; fail: {failed}" if failed else ""))
    must = [c for c in board.cases if c.must_pass]
    failed = ", ".join(c.id for c in must if not c.passed)
    text.append(f"must pass: {sum(c.passed for c in must)} of {len(must)}" + (f"; fail: {failed}" if failed else ""))
    return "\n".join(text)


def _line(verdict: Verdict, intervals: bool) -> list[str]:
    row = verdict.row
    cells = [
        row.case, row.id, row.study if len(row.study) <= 34 else row.study[:33] + "…", _number(row.observed),
        _number(verdict.simulated), f"{_number(row.low)} to {_number(row.high)}", row.unit if row.unit != "dimensionless" else "-",
        "pass" if verdict.passed else "no value" if verdict.failure else "FAIL",
    ]  # fmt: skip
    if intervals:
        cells.insert(
            5, f"{_number(verdict.interval[0])} to {_number(verdict.interval[1])}" if verdict.interval else "-"
        )
    return cells


def _number(value: float) -> str:
    return "-" if value != value else f"{value:.4g}"
