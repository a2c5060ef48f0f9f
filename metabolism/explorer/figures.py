"""Figures of the explorer: one small panel per curve for the page, and all panels on one sheet for download."""

from __future__ import annotations

import io
import math
from html import escape
from typing import TYPE_CHECKING, Any

import numpy as np

from metabolism.explorer.choices import Choices
from metabolism.explorer.scenario import CURVES, EFFECT_BAND, View, bands, view
from metabolism.plotting import COLOURS, STYLE, new_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def _panel(axes: Axes, shown: View, key: str) -> None:
    _, name, unit, _, logarithmic = next(c for c in CURVES if c[0] == key)
    weeks = shown.weeks
    axes.fill_between(weeks, shown.low[key], shown.high[key], color=COLOURS["blue"], alpha=0.18, linewidth=0)
    axes.plot(weeks, shown.untreated[key], color=COLOURS["grey"], linestyle="--", label="untreated")
    axes.plot(weeks, shown.treated[key], color=COLOURS["blue"], label="treated")
    if logarithmic:
        axes.set_yscale("log")
    else:
        low, high = axes.get_ylim()
        # a flat curve must not be blown up into drama
        middle, room = (low + high) / 2, 0.05 * max(abs(low), abs(high))
        axes.set_ylim(min(low, middle - room), max(high, middle + room))
    axes.set_title(name + (f" [{unit}]" if unit else ""), loc="left")
    axes.set_xlabel("weeks since the first dose")
    axes.set_xlim(0, float(weeks[-1]))


#: Size of a panel on the page and its margins left, right, top, bottom [px].
WIDTH, HEIGHT, MARGINS = 440, 280, (58, 14, 40, 46)


def panel_svg(shown: View, key: str) -> str:
    """Return one curve as an SVG element.

    Written by hand: six matplotlib panels take most of a second, which is the whole budget of an update.
    """
    _, name, unit, _, logarithmic = next(c for c in CURVES if c[0] == key)
    curves = (shown.low[key], shown.high[key], shown.untreated[key], shown.treated[key])
    left, right, top, bottom = MARGINS
    end = float(shown.weeks[-1])
    low, high, ticks = _scale(min(float(c.min()) for c in curves), max(float(c.max()) for c in curves), logarithmic)

    def x(week: Any) -> Any:
        return left + (WIDTH - left - right) * week / end

    def y(value: Any) -> Any:
        share = np.log(value / low) / np.log(high / low) if logarithmic else (value - low) / (high - low)
        return HEIGHT - bottom - (HEIGHT - top - bottom) * share

    def line(values: Any) -> str:
        return "L".join(f"{a:.1f} {b:.1f}" for a, b in zip(x(shown.weeks), y(values), strict=True))

    title = name + (f" [{unit}]" if unit else "")
    parts = [
        f'<svg class="panel" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(described(shown, key))}">',
        f'<text x="4" y="18" class="t">{escape(title)}</text>',
    ]
    for tick in ticks:
        parts.append(f'<path d="M{left} {y(tick):.1f}H{WIDTH - right}" stroke="#e3e3e3"/>')
        parts.append(f'<text x="{left - 6}" y="{y(tick) + 4:.1f}" text-anchor="end">{tick:g}</text>')
    for tick in _ticks(0, end, 8):
        parts.append(f'<text x="{x(tick):.1f}" y="{HEIGHT - bottom + 17}" text-anchor="middle">{tick:g}</text>')
    parts.append(
        f'<text x="{(left + WIDTH - right) / 2}" y="{HEIGHT - 8}" text-anchor="middle">weeks since the first dose</text>'
    )
    back = "L".join(line(shown.high[key]).split("L")[::-1])
    parts.append(f'<path d="M{line(shown.low[key])}L{back}Z" fill="{COLOURS["blue"]}" fill-opacity="0.18"/>')
    parts.append(
        f'<path d="M{line(shown.untreated[key])}" fill="none" stroke="{COLOURS["grey"]}" stroke-width="2" stroke-dasharray="6 4"/>'
    )
    parts.append(f'<path d="M{line(shown.treated[key])}" fill="none" stroke="{COLOURS["blue"]}" stroke-width="2"/>')
    parts.append(f'<path d="M{left} {top}V{HEIGHT - bottom}H{WIDTH - right}" fill="none" stroke="#555"/></svg>')
    return "".join(parts)


def _scale(low: float, high: float, logarithmic: bool) -> tuple[float, float, list[float]]:
    """Limits and ticks of a vertical axis; a flat curve must not be blown up into drama."""
    if logarithmic:
        down, up = math.floor(math.log10(low)), math.ceil(math.log10(high) + 1e-9)
        up = max(up, down + 1)
        return 10.0**down, 10.0**up, [10.0**i for i in range(down, up + 1)]
    middle, room = (low + high) / 2, 0.05 * max(abs(low), abs(high), 1e-9)
    low, high = min(low, middle - room), max(high, middle + room)
    ticks = _ticks(low, high, 5)
    gap = ticks[1] - ticks[0]
    low, high = math.floor(low / gap) * gap, math.ceil(high / gap) * gap
    return low, high, _ticks(low, high, 6)


def _ticks(low: float, high: float, count: int) -> list[float]:
    from matplotlib.ticker import MaxNLocator

    found = MaxNLocator(count).tick_values(low, high)
    slack = 1e-9 * (high - low)
    return [float(t) for t in found if low - slack <= t <= high + slack]


def sheet(choices: Choices, format: str) -> bytes:
    """Return all curves on one sheet as a PNG or SVG file."""
    import matplotlib as mpl

    shown = view(choices)
    with mpl.rc_context(STYLE):
        figure, axes = new_figure(3, 2, width=9.6, height=10.2)
        for ax, (key, *_) in zip(axes.ravel(), CURVES, strict=True):
            _panel(ax, shown, key)
        axes[0, 0].legend(loc="upper right", ncols=2)
        figure.suptitle(f"{caption(choices)}\n{bands()}\nExploratory research model; not for patient care.", fontsize=9)
        return _bytes(figure, format)


def caption(choices: Choices) -> str:
    """Return one line that says which scenario a figure shows."""
    dose = f"{choices.dose:g} mg methylcobalamin {choices.route} every {choices.interval} days"
    return f"{dose if choices.dose else 'no treatment'}, {choices.weeks:g} weeks; assumed effect: {choices.mechanism}"


def described(shown: View, key: str) -> str:
    """Return a text alternative of one panel."""
    _, name, unit, _, _ = next(c for c in CURVES if c[0] == key)
    start, end, other = shown.untreated[key][0], shown.treated[key][-1], shown.untreated[key][-1]
    band = "range of the assumed effect" if key in EFFECT_BAND else "range over people"
    return (
        f"{name}: {start:.3g} {unit} before treatment, {end:.3g} at week {shown.weeks[-1]:g} treated "
        f"({band} {shown.low[key][-1]:.3g} to {shown.high[key][-1]:.3g}), {other:.3g} untreated."
    )


def _bytes(figure: Any, format: str) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format=format, metadata={"Date": None} if format == "svg" else {"Software": None})
    return buffer.getvalue()
