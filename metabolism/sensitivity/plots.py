"""Figures of sensitivity studies: indices with intervals, convergence, heat maps, tornado."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from metabolism.errors import UnknownName
from metabolism.plotting import COLOURS, axis_label, new_figure
from metabolism.units import minus

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr
    from matplotlib.figure import Figure

    from metabolism.sensitivity.overall import Indices

#: Axis texts of the indices.
NAMES = {
    "S1": "first-order share of the variance",
    "ST": "total share of the variance",
    "mu_star": "mean size of the elementary effect",
    "median": "PAWN distance (median over slices)",
    "delta": "Borgonovo's delta",
    "PRCC": "partial rank correlation",
}

MARKERS = ("o", "s", "^", "D", "v", "P")


def bars(indices: Indices, endpoint: str | None = None, count: int = 12) -> Figure:
    """Draw the most influential factors of an endpoint with their intervals; Sobol and eFAST show S1 beside ST."""
    top = indices.ranking(endpoint).head(count)
    name = str(top["endpoint"].iloc[0])
    figure, axes = new_figure(width=7.2, height=1.4 + 0.34 * len(top))
    table = indices.table[indices.table["endpoint"] == name].set_index(["index", "factor"])
    shown = [indices.main, "S1"] if indices.main == "ST" else [indices.main]
    for i, (index, colour) in enumerate(zip(shown, ("blue", "amber"), strict=False)):
        part = table.loc[index].loc[top["factor"]]
        y = np.arange(len(top))[::-1] + (0.16 if len(shown) > 1 else 0.0) * (1 - 2 * i)
        look = {"fmt": MARKERS[i], "color": COLOURS[colour], "markersize": 6, "capsize": 2, "label": NAMES[index]}
        axes.errorbar(part["value"], y, xerr=_errors(part), **look)
    axes.axvline(0, color=COLOURS["grey"], linewidth=1)
    axes.set_yticks(range(len(top)), list(top["factor"])[::-1])
    unit = indices.units.get(name, "") if indices.main == "mu_star" else ""
    alone = axis_label(NAMES[indices.main], unit)
    axes.set_xlabel(f"index with {100 * indices.confidence:.0f} % interval" if len(shown) > 1 else alone)
    axes.set_title(f"{name}: {indices.runs:,} runs, {len(indices.failed)} failed", fontsize=10)
    axes.grid(axis="y", visible=False)
    if len(shown) > 1:
        axes.legend(loc="lower right", fontsize=8.5)
    return figure


def convergence(indices: Indices, endpoint: str | None = None, count: int = 5) -> Figure:
    """Draw the main index against the sample size, for the most influential factors."""
    top = indices.ranking(endpoint).head(count)
    name = str(top["endpoint"].iloc[0])
    course = indices.convergence[indices.convergence["endpoint"] == name]
    figure, axes = new_figure(width=6.4, height=3.8)
    sizes = sorted(course["n"].unique())
    for i, factor in enumerate(top["factor"]):
        part = course[course["factor"] == factor].sort_values("n")
        shift = 1 + 0.03 * (i - (len(top) - 1) / 2)
        colour = COLOURS[list(COLOURS)[i % len(COLOURS)]]
        look = {"color": colour, "marker": MARKERS[i % len(MARKERS)], "capsize": 2, "linewidth": 1.4, "label": factor}
        axes.errorbar(part["n"] * shift, part["value"], _errors(part), **look)
    axes.set_xscale("log")
    axes.set_xticks(sizes, [f"{s:,}" for s in sizes])
    axes.minorticks_off()
    axes.set(xlabel="base sample size n", ylabel=NAMES[indices.main])
    axes.set_title(name, fontsize=10)
    axes.legend(fontsize=8.5, loc="center left", bbox_to_anchor=(1.0, 0.5))
    return figure


def heat(indices: Indices, count: int = 15) -> Figure:
    """Draw the main index of every endpoint as a map, factors by their best endpoint."""
    table = _by_endpoint(indices.table[indices.table["index"] == indices.main], "factor", "value")
    scaled = table / table.abs().max() if indices.main == "mu_star" else table
    label = NAMES[indices.main] + (", relative to the largest" if indices.main == "mu_star" else "")
    return _map(scaled.loc[_largest(scaled, count)], label, signed=indices.main == "PRCC")


def slope_map(slopes: pd.DataFrame, count: int = 15) -> Figure:
    """Draw the elasticities of `metabolism.sensitivity.local.slopes` as a map."""
    table = _by_endpoint(slopes, "parameter", "elasticity")
    return _map(table.loc[_largest(table, count)], "elasticity d ln endpoint / d ln parameter", signed=True)


def _by_endpoint(table: pd.DataFrame, rows: str, values: str) -> pd.DataFrame:
    """One column per endpoint, in the order asked."""
    return table.pivot(index=rows, columns="endpoint", values=values)[list(dict.fromkeys(table["endpoint"]))]


def _largest(table: pd.DataFrame, count: int) -> Any:
    return table.abs().max(axis=1).sort_values(ascending=False).index[:count]


def curve_map(curve: xr.DataArray, count: int = 12) -> Figure:
    """Draw scaled sensitivities of one output over time (`metabolism.sensitivity.local.curves`) as a map."""
    size = np.abs(curve.values).max(axis=1)
    order = np.argsort(-np.nan_to_num(size))[:count]
    values, time = curve.values[order], curve["time"].values / 168
    figure, axes = new_figure(width=7.6, height=1.6 + 0.3 * len(order))
    top = float(np.nanmax(np.abs(values))) or 1.0
    edges = np.append(time, time[-1] + (time[-1] - time[-2]))
    image = axes.pcolormesh(edges, np.arange(len(order) + 1), values[::-1], cmap="RdBu_r", vmin=-top, vmax=top)
    axes.set_yticks(np.arange(len(order)) + 0.5, [str(n) for n in curve["parameter"].values[order]][::-1])
    axes.set_xlabel("time [weeks]")
    axes.set_title(f"{curve.name}: d ln output / d ln parameter", fontsize=10)
    axes.grid(visible=False)
    figure.colorbar(image, ax=axes)
    return figure


def tornado_figure(swings: pd.DataFrame, endpoint: str, count: int = 12) -> Figure:
    """Draw the swings of one endpoint, largest on top (`metabolism.sensitivity.local.tornado`)."""
    known = list(dict.fromkeys(swings["endpoint"]))
    if endpoint not in known:
        raise UnknownName("endpoint", endpoint, known)
    part = swings[(swings["endpoint"] == endpoint) & swings["swing"].notna()].head(count).iloc[::-1]
    base = float(part["base"].iloc[0])
    figure, axes = new_figure(width=7.2, height=1.4 + 0.34 * len(part))
    y, ends = np.arange(len(part)), part[["factor", "low", "high"]].itertuples(index=False)
    for side, colour, text in (("at_low", "sky", "factor at its low end"), ("at_high", "orange", "at its high end")):
        axes.barh(y, part[side] - base, left=base, height=0.62, color=COLOURS[colour], label=text)
    axes.axvline(base, color=COLOURS["black"], linewidth=1)
    axes.set_yticks(y, [f"{factor}  ({low:.3g} to {high:.3g})" for factor, low, high in ends], fontsize=8.5)
    axes.set_xlabel(endpoint)
    axes.set_title(f"one factor at a time; {base:.4g} as it is", fontsize=10)
    axes.grid(axis="y", visible=False)
    axes.legend(loc="lower right", fontsize=8.5)
    return figure


#: The name of `tornado_figure` in notebooks written before the rooms.
tornado = tornado_figure


def _errors(part: Any) -> list[Any]:
    return [part["value"] - part["low"], part["high"] - part["value"]]


def _map(table: pd.DataFrame, label: str, signed: bool) -> Figure:
    figure, axes = new_figure(width=2.6 + 1.15 * table.shape[1], height=1.8 + 0.32 * len(table))
    top = float(np.nanmax(np.abs(table.to_numpy()))) or 1.0
    colours, least = ("RdBu_r", -top) if signed else ("Blues", 0.0)
    image = axes.imshow(table, aspect="auto", cmap=colours, vmin=least, vmax=top)
    for (i, j), value in np.ndenumerate(table.to_numpy()):
        if np.isfinite(value):
            ink = "white" if abs(value) > 0.6 * top else "black"
            axes.text(j, i, minus(f"{value:.2f}"), ha="center", va="center", fontsize=8, color=ink)
    axes.set_yticks(range(len(table)), list(table.index))
    axes.set_xticks(range(table.shape[1]), [str(c) for c in table.columns], rotation=25, ha="right")
    axes.grid(visible=False)
    figure.colorbar(image, ax=axes, label=label)
    return figure
