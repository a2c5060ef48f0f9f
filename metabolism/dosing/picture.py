"""A regimen as a figure: doses as stems over time, changes as bars below."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from metabolism.dosing.events import Dose, Hold
from metabolism.dosing.formulary import substance
from metabolism.plotting import COLOURS, new_figure, style

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def picture(doses: Sequence[Dose], holds: Sequence[Hold], end: float, title: str) -> Figure:
    """Draw doses [mg] and changes up to a time [h]."""
    day, unit = ("h", 1.0) if end <= 48 else ("days", 24.0) if end < 24 * 21 else ("weeks", 168.0)
    with style():
        figure, axes = new_figure(width=7.0, height=2.6 + 0.3 * len(holds))
        kinds = dict.fromkeys((d.substance, d.route) for d in doses)
        for (name, route), colour in zip(kinds, COLOURS.values(), strict=False):
            own = [d for d in doses if (d.substance, d.route) == (name, route)]
            sizes = [d.amount * substance(name).molar_mass / 1e3 for d in own]
            axes.vlines([d.time / unit for d in own], 0, sizes, color=colour, linewidth=1.5)
            axes.plot([d.time / unit for d in own], sizes, "o", ms=4, color=colour, label=f"{name} {route}")
            for dose, size in zip(own, sizes, strict=True):
                axes.fill_between([dose.time / unit, (dose.time + dose.duration) / unit], size, color=colour, alpha=0.3)
        axes.set_ylim(0, 1.15 * max(axes.get_ylim()[1], 1e-9))
        below = axes.get_ylim()[1] * 0.12
        for row, hold in enumerate(holds, start=1):
            begin, stop = max(hold.start, min(0.0, *(d.time for d in doses), 0.0)), min(hold.end, end)
            axes.plot([begin / unit, stop / unit], [-row * below] * 2, linewidth=5, color=COLOURS["grey"])
            text = hold.said or f"{hold.parameter} {hold.how} {hold.value:g}"
            axes.annotate(text, (begin / unit, -row * below), xytext=(0, 4), textcoords="offset points", fontsize=9)
        if holds:
            axes.set_ylim(bottom=-(len(holds) + 0.5) * below)
            axes.set_yticks([t for t in axes.get_yticks() if 0 <= t <= axes.get_ylim()[1]])
        axes.set_xlabel(f"time [{day}]")
        axes.set_ylabel("dose [mg]")
        if len(kinds) > 1:
            figure.legend(loc="outside lower center", ncols=2)
        figure.suptitle(title, fontsize=12, wrap=True)
    return figure
