"""The qualification board as text for a terminal and as Markdown pages for the documentation."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from metabolism.cases.board import Board, Verdict, known_misfits
from metabolism.cases.intervals import judge, left_out_score, sd_for, share, shipped_sds
from metabolism.data import experiments_dir
from metabolism.model import untraceable
from metabolism.plotting import COLOURS, new_figure
from metabolism.tables import read_table

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from metabolism.cases.peers import Peer


_RIGHT = ("observed", "simulated")
#: How a note says that a number was seen in no source; the board repeats it beside the number.
MEMORY = "from memory"


def board_text(board: Board) -> str:
    """Return the board as a table, with the counts per role at its end."""
    columns = _Columns(board)
    heads = ["case", "row", "study", *columns.heads, ""]
    lines = [
        [c.id, v.row.id, _short(v.row.study), *columns.cells(v), _word(v)] for c in board.cases for v in c.verdicts
    ]
    text = _table(heads, lines)
    for title, reasons in (
        ("refused cases:", {c.id: c.verdicts[0].failure for c in board.cases if c.refused}),
        ("failed simulations:", _failures(board)),
        ("why rows fail:", _causes(board)),
    ):
        if reasons:
            text += ["", title, *(f"{key}: {reason}" for key, reason in reasons.items())]
    return "\n".join([*text, "", *_counts(board)])


def _failures(board: Board) -> dict[str, str]:
    return {v.row.id: v.failure for v in board.verdicts if v.failure and not v.refused}


def _version1() -> dict[str, tuple[float, str]]:
    """What the model's first version said of rows: value and verdict (``docs/evidence/version1.csv``)."""
    path = experiments_dir().parent / "docs" / "evidence" / "version1.csv"
    if not path.is_file():
        return {}
    table = read_table(path, ("row", "predicted", "verdict"), more=True)
    return {e["row"]: (float(e["predicted"] or "nan"), e["verdict"]) for e in table}


class _Columns:
    """Which columns a board has: intervals if it was given draws, version 1 if that knows any of the rows."""

    def __init__(self, board: Board) -> None:
        verdicts = board.verdicts
        self.intervals = any(v.interval for v in verdicts)
        first = _version1()
        self.first: Mapping[str, tuple[float, str]] = {v.row.id: first[v.row.id] for v in verdicts if v.row.id in first}

    @property
    def heads(self) -> list[str]:
        more = [*(["90 % interval"] if self.intervals else []), *(["version 1"] if self.first else [])]
        return ["observed", "simulated", *more, "band", "unit"]

    def cells(self, verdict: Verdict) -> list[str]:
        row = verdict.row
        cells = [number(row.observed), number(verdict.simulated)]
        if self.intervals:
            ends = verdict.interval or (math.nan, math.nan)
            cells.append("-" if math.isnan(ends[0]) else f"{number(ends[0])} to {number(ends[1])}")
        if self.first:
            value, word = self.first.get(row.id, (math.nan, ""))
            cells.append(f"{number(value)} {word}".strip())
        return [*cells, f"{number(row.low)} to {number(row.high)}", row.unit if row.unit != "dimensionless" else "-"]


def _causes(board: Board) -> dict[str, str]:
    """Cause of each failing shipped row; a user's own rows have none."""
    failing = [v.row.id for v in board.verdicts if not v.passed]
    return {row: known_misfits()[row] for row in failing if row in known_misfits()}


def board_markdown(board: Board) -> str:
    """Return the board as a page: what was done, observed, simulated, band and verdict of every row."""
    columns = _Columns(board)
    heads = ["row", "study", "what was done", "read", *columns.heads, "verdict"]
    text = [
        "# Qualification board",
        "",
        "Written by `metabolism qualify --markdown docs/evidence`; how to read a row is in [cases](../cases.md), why",
        "rows fail in [misfits](misfits.md). A case passes only if all its rows do. Fitted rows, and checks tuned in",
        "view, were known while the structure was chosen: their passing is a description. What is predicted is said",
        "by the left-out studies, each by a fit that had not seen it, and by checks not seen before.",
        "",
        *(f"- {line}" for line in _counts(board)),
        "",
        "![place of every simulated value in its acceptance band](qualification.png)",
    ]
    files: dict[str, list[list[str]]] = {}
    lost = untraceable()
    for v in board.verdicts:
        row = v.row
        cited = "; ".join(f"{s}, not traceable" if s in lost else s for s in row.sources)
        cited += "; number from memory" if MEMORY in row.note else ""
        said = f"{_word(v) if v.passed else f'**{_word(v)}**'}, {v.view}{', must pass' if row.must_pass else ''}"
        line = [row.id, f"{row.study} ({cited})", _done(v), row.text["reading"], *columns.cells(v), said]
        files.setdefault(row.file, []).append(line)
    for name, lines in files.items():
        text += ["", f"## {name.removesuffix('.csv').capitalize()}", "", *_grid(heads, lines)]
    text += ["", "## Why rows fail", "", *(f"- {row}: {cause}" for row, cause in _causes(board).items())]
    refused = {c.id: c.verdicts[0].failure for c in board.cases if c.refused}
    for title, reasons in (("Refused cases", refused), ("Failed simulations", _failures(board))):
        if reasons:
            text += ["", f"## {title}", "", *(f"- {key}: {reason}" for key, reason in reasons.items())]
    return "\n".join([*text, ""])


def peer_text(peers: Sequence[Peer], board: Board) -> str:
    """Return a table of the rows any of the models can express, ours beside them, and the counts."""
    heads, lines = _peer_rows(peers, board)
    text = [
        "published models on the rows they can express (liver homocysteine in place of plasma, baselines as they are):"
    ]
    text += [*_table(heads, lines), "", _ours(board)]
    for peer in peers:
        text += [_theirs(peer)]
        text += [f"    {count} rows: {reason}" for reason, count in Counter(peer.missing.values()).most_common(6)]
    return "\n".join(text)


def peer_markdown(peers: Sequence[Peer], board: Board) -> str:
    """Return the comparison with published models as a page."""
    heads, lines = _peer_rows(peers, board)
    text = [
        "# Published models on the same rows",
        "",
        "Written by `metabolism qualify --peers FOLDER --markdown docs/evidence`. The models are public SBML files of",
        "[BioModels](https://www.ebi.ac.uk/biomodels/), not shipped here. The reading is generous: a study's own",
        "baseline is left out where a model has no inputs for it, and liver homocysteine stands in for plasma where",
        "only a relative change is asked for. They were not made for these questions; what they cannot express is no",
        "fault of theirs.",
        "",
        f"- {_ours(board)}",
        *(f"- {_theirs(peer)}" for peer in peers),
        "",
        *_grid(heads, lines),
        "",
        "Why the other rows cannot be expressed:",
        "",
    ]
    reasons = [[p.id, text, str(n)] for p in peers for text, n in Counter(p.missing.values()).most_common()]
    return "\n".join([*text, *_grid(["model", "reason", "rows"], reasons), ""])


def _peer_rows(peers: Sequence[Peer], board: Board) -> tuple[list[str], list[list[str]]]:
    ours = {v.row.id: v for v in board.verdicts}
    lines = []
    for key, verdict in ours.items():
        row = verdict.row
        if any(key in p.simulated for p in peers):
            band, own = f"{number(row.low)} to {number(row.high)} {row.unit}", number(verdict.simulated)
            cells = [key, band, f"{own} {_word(verdict)}"]
            for p in peers:
                has = key in p.simulated
                cells.append(f"{number(p.simulated[key])} {'pass' if p.passes(row) else 'FAIL'}" if has else "-")
            lines.append(cells)
    return ["row", "band", "ours", *(p.id for p in peers)], lines


def _ours(board: Board) -> str:
    passed = sum(c.passed for c in board.cases)
    return f"ours: expresses {len(board.cases)} of {len(board.cases)} cases, passes {passed}"


def _theirs(peer: Peer) -> str:
    good, whole, total = peer.cases()
    return (
        f"{peer.id} ({peer.title}): expresses {len(peer.simulated)} of {len(peer.rows)} rows and {whole} of {total} "
        f"cases in full, passes {good}"
    )


def _counts(board: Board) -> list[str]:
    text = []
    for role, (good, total) in board.counts().items():
        failed = ", ".join(c.id for c in board.cases if c.role == role and not c.passed)
        text.append(f"{role}: {good} of {total} cases pass" + (f"; fail: {failed}" if failed else ""))
    must = [c for c in board.cases if c.must_pass]
    failed = ", ".join(c.id for c in must if not c.passed)
    text.append(f"must pass: {sum(c.passed for c in must)} of {len(must)}" + (f"; fail: {failed}" if failed else ""))
    if refused := [c.id for c in board.cases if c.refused]:
        text.append(f"refused: {len(refused)} of {len(board.cases)} cases: {', '.join(refused)}")
    verdicts = board.verdicts
    views = dict.fromkeys(v.view for v in verdicts)
    rows = {view: [v.passed for v in verdicts if v.view == view] for view in views}
    text.append("rows that pass: " + "; ".join(f"{view} {share(sum(own), len(own))}" for view, own in rows.items()))
    if days := sorted({v.row.fixed for v in verdicts} - {""}):
        text.append(f"splits by study were fixed on {', '.join(days)}")
    if first := _Columns(board).first:
        ours = sum(v.passed for v in verdicts if v.row.id in first)
        theirs = sum(word == "pass" for _, word in first.values())
        text.append(f"version 1: {theirs} of {len(first)} of these rows pass, and {ours} of the same in this one")
    for role, (covered, total) in board.coverage().items():
        cover = share(covered, total)
        text.append(f"90 % intervals: cover {cover} published values of {role} rows{judge(covered, total)}")
    bare = [v.row.id for v in verdicts if v.interval and math.isnan(sd_for(v.row, shipped_sds()))]
    if bare:
        few = share(len(bare), len(verdicts))
        text.append(f"90 % intervals: of {few} rows they hold the spread of parameters only")
    return [*text, *left_out_score()]


def _done(verdict: Verdict) -> str:
    """Say what a row simulates: people, baseline, interventions, comparison, metric."""
    text = verdict.row.text
    parts = [text["population"], text["match"] and f"[{text['match']}]", text["interventions"] or "none"]
    if text["against"]:
        parts.append(f"against {text['against']}")
    return f"{'; '.join(p for p in parts if p)}: {text['metric']} of {text['observable']}"


def _word(verdict: Verdict) -> str:
    return "pass" if verdict.passed else "refused" if verdict.refused else "no value" if verdict.failure else "FAIL"


def number(value: float) -> str:
    """Write a number with four digits; a dash for none."""
    return "-" if value != value else f"{value:.4g}"


def _short(text: str) -> str:
    return text if len(text) <= 34 else f"{text[:33]}…"


def _grid(heads: Sequence[str], lines: Sequence[Sequence[str]]) -> list[str]:
    """Lines of a table in Markdown."""
    rows = [heads, ["---"] * len(heads), *lines]
    return [f"| {' | '.join(cell.replace('|', '/') for cell in row)} |" for row in rows]


def _table(heads: list[str], lines: list[list[str]]) -> list[str]:
    widths = [max(len(line[i]) for line in [heads, *lines]) for i in range(len(heads))]
    return [
        "  ".join(
            c.rjust(w) if h in _RIGHT else c.ljust(w) for c, w, h in zip(line, widths, heads, strict=True)
        ).rstrip()
        for line in [heads, *lines]
    ]


#: A value further out than this many half bands is drawn at the edge, as an arrow.
_EDGE = 2.4


def place(value: float, low: float, high: float) -> float:
    """Position in the band: -1 at its low edge, 1 at its high edge.

    An open band has its one edge at -1 (or 1), and its far end is squeezed to the other side.
    """
    if math.isfinite(low) and math.isfinite(high):
        return (value - low) / ((high - low) / 2 or 1.0) - 1
    edge, sign = (low, 1.0) if math.isfinite(low) else (high, -1.0)
    if not math.isfinite(edge):
        return 0.0
    depth = sign * (value - edge) / (abs(edge) or 1.0)
    return sign * (2 * depth / (1 + depth) - 1 if depth > 0 else depth - 1)


def board_figure(board: Board) -> Figure:
    """Draw every row: band, published value, simulated value with its interval if there is one."""
    verdicts = board.verdicts
    columns = 1 if len(verdicts) <= 30 else 2 if len(verdicts) <= 72 else 3
    length = math.ceil(len(verdicts) / columns)
    figure, axes = new_figure(1, columns, width=3.9 * columns, height=max(2.6, 1.3 + 0.21 * length))
    grid = [axes] if columns == 1 else list(axes[0])
    for i, own in enumerate(grid):
        _draw(own, verdicts[i * length : (i + 1) * length], length)
    handles = [
        grid[0].plot([], [], "o", color=COLOURS["blue"], label="simulated, in the band")[0],
        grid[0].plot([], [], "D", color=COLOURS["orange"], label="simulated, outside (arrow: far outside)")[0],
        grid[0].plot([], [], "|", color=COLOURS["black"], markersize=9, markeredgewidth=1.6, label="published")[0],
        grid[0].fill_between([], [], [], color=COLOURS["sky"], alpha=0.25, linewidth=0, label="acceptance band"),
    ]
    figure.legend(handles=handles, loc="outside upper center", ncols=min(4, 2 * columns), fontsize=9)
    return figure


def _draw(axes: Axes, verdicts: list[Verdict], length: int) -> None:
    axes.axvspan(-1, 1, color=COLOURS["sky"], alpha=0.25, linewidth=0)
    for i, verdict in enumerate(verdicts):
        row, y = verdict.row, -i
        if math.isfinite(row.observed):
            at = place(row.observed, row.low, row.high)
            axes.plot(at, y, "|", color=COLOURS["black"], markersize=9, markeredgewidth=1.6)
        colour = COLOURS["blue" if verdict.passed else "orange"]
        if not math.isfinite(verdict.simulated):
            axes.text(0, y, "no value", ha="center", va="center", fontsize=8, color=colour)
            continue
        at = place(verdict.simulated, row.low, row.high)
        if verdict.interval:
            ends = [max(-_EDGE, min(_EDGE, place(v, row.low, row.high))) for v in verdict.interval]
            axes.plot(ends, [y, y], color=colour, linewidth=1.6)
        marker = ("o" if verdict.passed else "D") if abs(at) <= _EDGE else "<" if at < 0 else ">"
        axes.plot(max(-_EDGE, min(_EDGE, at)), y, marker, color=colour, markersize=5.5)
    axes.set_yticks([-i for i in range(len(verdicts))], [v.row.id for v in verdicts], fontsize=8)
    axes.set_ylim(-length + 0.4, 0.6)
    axes.set_xlim(-_EDGE - 0.2, _EDGE + 0.2)
    axes.set_xticks([-2, -1, 0, 1, 2])
    axes.set_xlabel("place in the band [half bands]")
    axes.grid(axis="y", visible=False)
