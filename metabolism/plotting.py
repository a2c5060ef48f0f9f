"""Figures in one style: units on every axis, intervals shown, colours safe for colour-blind readers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from metabolism.units import label, minus

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


#: Okabe and Ito's palette (jfly.uni-koeln.de/color), told apart in every form of colour blindness.
COLOURS = {
    **{"blue": "#0072B2", "orange": "#D55E00", "green": "#009E73", "pink": "#CC79A7"},
    **{"sky": "#56B4E9", "amber": "#E69F00", "black": "#222222", "grey": "#767676"},
}

_STYLE = Path(__file__).with_name("metabolism.mplstyle")


@contextmanager
def style() -> Iterator[None]:
    """Everything drawn inside has the project style, legends and lines included."""
    import matplotlib as mpl

    with mpl.rc_context(fname=_STYLE):
        yield


def new_figure(rows: int = 1, columns: int = 1, width: float = 6.4, height: float = 4.0) -> tuple[Figure, Any]:
    """Return a figure and its axes in the project style [inches]; nothing is shown on screen."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    with style():
        figure = Figure(figsize=(width, height))
        FigureCanvasAgg(figure)
        axes = figure.subplots(rows, columns, squeeze=False)
    return figure, axes if rows * columns > 1 else axes[0, 0]


def save_figure(figure: Figure | str, stem: Path) -> None:
    """Write ``stem.png`` and ``stem.svg``; a drawing that is SVG text already becomes ``stem.svg`` alone."""
    if isinstance(figure, str):
        stem.with_suffix(".svg").write_text(figure, encoding="utf-8")
        return
    with style():
        figure.savefig(stem.with_suffix(".png"), metadata={"Software": None})
        figure.savefig(stem.with_suffix(".svg"), metadata={"Date": None})


def axis_label(name: str, unit: str) -> str:
    """Return ``name [unit]``, or the bare name of a dimensionless quantity.

    >>> axis_label("homocysteine", "uM"), axis_label("effect", "dimensionless")
    ('homocysteine [µM]', 'effect')
    """
    unit = label(unit)
    return f"{name} [{unit}]" if unit else name


def band(axes: Axes, curve: xr.DataArray, colour: str, text: str, *, days: bool = True, factor: float = 1.0) -> None:
    """Draw the median and the 5-95 % range of a curve over patients.

    Parameters
    ----------
    curve : DataArray
        Dimensions (patient, time) with time in hours.
    days : bool
        Draw time in weeks (True) or hours (False).
    factor : float
        Unit conversion of the values, e.g. 1000 for µM to nM.
    """
    time = curve["time"].values / (168.0 if days else 1.0)
    low, middle, high = np.nanquantile(curve.transpose("patient", "time").values * factor, [0.05, 0.5, 0.95], axis=0)
    axes.fill_between(time, low, high, color=COLOURS[colour], alpha=0.18, linewidth=0)
    axes.plot(time, middle, color=COLOURS[colour], linewidth=1.8, label=text)


def intervals(
    axes: Axes, rows: Sequence[tuple[str, float, float, float, str, str]], unit: str, *, reference: float | None = None
) -> None:
    """Draw labelled points with intervals, one row each, top to bottom.

    Parameters
    ----------
    rows : sequence of (text, value, low, high, colour, marker)
    unit : str
        Text of the horizontal axis.
    reference : float, optional
        A vertical guide line.
    """
    for i, (_, value, low, high, colour, marker) in enumerate(rows):
        y = len(rows) - 1 - i
        axes.plot([low, high], [y, y], color=COLOURS[colour], linewidth=2.2, solid_capstyle="butt")
        axes.plot([value], [y], marker=marker, color=COLOURS[colour], markersize=8, markeredgecolor="white")
        look: Any = {"textcoords": "offset points", "ha": "center", "fontsize": 8.5, "color": COLOURS["black"]}
        # the line of no effect does not cross the words
        look["bbox"] = {"boxstyle": "square,pad=0.1", "facecolor": "white", "edgecolor": "none"}
        said = [f"{round(v, 2) + 0.0:.2f}" for v in (value, low, high)]  # no minus before 0.00
        axes.annotate(minus(f"{said[0]}  ({said[1]} to {said[2]})"), (value, y), xytext=(0, 9), **look)
    if reference is not None:
        axes.axvline(reference, color=COLOURS["grey"], linewidth=1, linestyle="--")
    axes.set_yticks(range(len(rows)), [r[0] for r in reversed(rows)])
    axes.set_ylim(-0.6, len(rows) - 0.3)
    axes.set_xlabel(unit)
    axes.grid(axis="y", visible=False)


def bars(axes: Axes, names: Sequence[str], groups: Mapping[str, Sequence[float]], colours: Sequence[str]) -> None:
    """Draw values as labelled bars from 0, names top to bottom, the groups of each name below each other.

    Parameters
    ----------
    names : sequence of str
    groups : mapping of str to sequence of float
        Legend to the values of all names.
    colours : sequence of str
        One for each group.

    Raises
    ------
    ValueError
        If a group has not one value for each name.
    """
    from matplotlib.ticker import MaxNLocator

    y, height = np.arange(len(names))[::-1], 0.76 / len(groups)
    for i, ((text, values), colour) in enumerate(zip(groups.items(), colours, strict=True)):
        at = y + height * ((len(groups) - 1) / 2 - i)
        drawn = axes.barh(at, np.asarray(values, dtype=float), height=height, color=COLOURS[colour], label=text)
        said = [minus(f"{v:.2f}") for v in values]
        axes.bar_label(drawn, said, padding=3, fontsize=8.5)
    axes.set_yticks(y, list(names), fontsize=9)
    axes.xaxis.set_major_locator(MaxNLocator(6, steps=[1, 2, 5, 10]))
    axes.margins(x=0.16)
    axes.grid(axis="y", visible=False)
    if len(groups) > 1:
        axes.legend(fontsize=8.5, loc="best")
