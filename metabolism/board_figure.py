"""The qualification board at a glance: where every simulated value lies in its band."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from metabolism.plotting import COLOURS, new_figure
from metabolism.qualify import Board, Verdict

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

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
    verdicts = [v for c in board.cases for v in c.verdicts]
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
