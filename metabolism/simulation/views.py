"""How a run is shown: under the names and in the units of a clinic, at round times, as numbers and as a figure."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from metabolism.dosing import Dose
from metabolism.errors import UnknownName
from metabolism.simulation.curves import Curve
from metabolism.simulation.endpoints import KINDS, PARTS, terminal_slope
from metabolism.types import Array
from metabolism.units import label, output_unit

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


class Shown(NamedTuple):
    """How an output is shown: label, unit, and what one model unit is in it."""

    label: str
    unit: str
    factor: float


#: Outputs in the units of laboratory reports; everything else stands under its id, in model units.
CLINICAL = {
    "hcy_plasma": Shown("tHcy", "µmol/L", 1.0),
    "met_plasma": Shown("Met", "µmol/L", 1.0),
    "mma_plasma": Shown("MMA", "nmol/L", 1e3),
    "folate_plasma": Shown("folate", "nmol/L", 1e3),
    "cbl_plasma": Shown("B12", "pmol/L", 1e6),
    "cbl_free": Shown("free B12", "pmol/L", 1e6),
    "holo_tc": Shown("holoTC", "pmol/L", 1e6),
    "motor_units": Shown("motor units", "%", 100.0),
    "alsfrs_r": Shown("ALSFRS-R", "points", 1.0),
}

#: Time units by the length of a run [h]: up to it, name, hours, and steps a reader likes.
_CLOCKS = (
    (48.0, "h", 1.0, (0.25, 0.5, 1, 2, 3, 4, 6, 8, 12)),
    (24.0 * 21, "day", 24.0, (0.5, 1, 2, 3, 4, 7)),
    (168.0 * 104, "week", 168.0, (1, 2, 4, 8, 13, 26)),
    (math.inf, "year", 8766.0, (0.5, 1, 2, 5, 10, 20)),
)

#: Rows of a table at round times at most.
_ROWS = 9


class Plain(NamedTuple):
    """What a result is before xarray wakes: ``time`` and outputs as arrays, units, manifest, and how it is kept.

    The ledger has the amounts asked and delivered of each dose target, summed over patients.
    """

    curves: Mapping[str, Array]
    units: Mapping[str, str]
    manifest: Mapping[str, Any]
    panels: bool
    ledger: Mapping[str, tuple[float, float]]

    @property
    def foreign(self) -> bool:
        """Whether it is of a model from a file, in the file's own names and units."""
        return "time_unit" in self.manifest

    @property
    def time_unit(self) -> str:
        """Unit of the times; empty where a file does not say."""
        return str(self.manifest.get("time_unit", "h"))


def clock(until: float) -> tuple[str, float, list[float]]:
    """Return the time unit of a table, its hours, and the round times to print [h], the end included.

    >>> clock(48.0)
    ('h', 1.0, [0.0, 6.0, 12.0, 18.0, 24.0, 30.0, 36.0, 42.0, 48.0])
    """
    _, name, hours, steps = next(c for c in _CLOCKS if until <= c[0])
    span = until / hours
    step = next((s for s in steps if span / s <= _ROWS - 1), math.ceil(span / (_ROWS - 1)))
    times = [i * step * hours for i in range(int(span / step * (1 + 1e-12)) + 1)]
    return name, hours, times if until - times[-1] < 1e-9 * until else [*times, until]


def shown(name: str, unit: str, units: str = "clinical") -> Shown:
    """Return how an output in a model unit is shown, in ``"clinical"`` or ``"model"`` units.

    Raises
    ------
    UnknownName
        For other units.
    """
    if units not in ("clinical", "model"):
        raise UnknownName("units", units, ("clinical", "model"))
    own = Shown(name, label(output_unit(name, unit)) or "-", 1.0)
    return CLINICAL.get(name, own) if units == "clinical" else own


def last_interval(doses: Sequence[Dose], until: float) -> tuple[float, float]:
    """Begin of the last dose, of a cobalamin if there is one, and of what would follow it; else of the run [h]."""
    cobalamin = [d for d in doses if "cobalamin" in d.substance] or doses
    times = sorted({d.time for d in cobalamin if d.time < until})
    if not times:
        return 0.0, until
    gap = times[-1] - times[-2] if len(times) > 1 else until
    return times[-1], min(times[-1] + gap, until)


def exposure(curve: Curve, begin: float, end: float) -> dict[str, tuple[str, Array]]:
    """Read off what pharmacologists ask of a dosing interval: name to unit, of the curve ``{}``, and values.

    Cmax, Cmin, Cavg and AUCtau as any endpoint; tmax from the begin of the interval; Ctrough at its end; the half-life
    from the terminal slope (`lambda_z`) of the rise above the value at time 0, NaN where nothing falls.
    """
    window = curve.between(begin, end)
    rise = window.values - curve.at(np.zeros(1))
    with np.errstate(all="ignore"):
        half = np.log(2) / terminal_slope(window.times, rise)
    read = {"Cmax": "max", "Cmin": "min", "Ctrough": "final", "Cavg": "mean", "AUCtau": "auc"}
    numbers = {
        name: (kind.unit, np.asarray(kind.value(end - begin, *(PARTS[p](window, 0.0) for p in kind.parts))))
        for name, kind in ((name, KINDS[key]) for name, key in read.items())
    }
    return numbers | {"tmax": ("h", window.top()[1] - begin), "half_life": ("h", half)}


def draw(arms: Mapping[str, Plain], names: Sequence[str], *, units: str, level: float, title: str) -> Figure:
    """Draw outputs over time, a panel each, an arm in each colour; many patients as median and central interval."""
    from metabolism.plotting import COLOURS, axis_label, new_figure, style

    first = next(iter(arms.values()))
    columns, end = (
        2 if len(names) == 4 else min(3, len(names)),
        max(float(arm.curves["time"][-1]) for arm in arms.values()),
    )
    clock_name, hours, _ = (first.time_unit, 1.0, []) if first.foreign else clock(end)
    units, many = ("model", "") if first.foreign else (units, "" if clock_name == "h" else "s")
    rows = math.ceil(len(names) / columns)
    with style():
        figure, axes = new_figure(rows, columns, width=1.2 + 3.3 * columns, height=0.6 + 2.5 * rows)
        panels: list[Axes] = list(np.atleast_1d(axes).ravel())
        for panel, name in zip(panels, names, strict=False):
            how = shown(name, first.units[name], units)
            drawn: list[Array] = []
            for (arm, result), colour in zip(arms.items(), COLOURS.values(), strict=False):
                times, values = result.curves["time"] / hours, result.curves[name] * how.factor
                if values.ndim > 1:
                    low, values, high = np.nanquantile(values, [(1 - level) / 2, 0.5, (1 + level) / 2], axis=0)
                    panel.fill_between(times, low, high, color=colour, alpha=0.2, linewidth=0)
                panel.plot(times, values, color=colour, linewidth=1.5, label=arm)
                drawn.append(values)
            bottom, top = min(map(np.nanmin, drawn)), max(map(np.nanmax, drawn))
            if bottom > 0 and top > 50 * bottom:
                panel.set_yscale("log")
            else:
                panel.ticklabel_format(useOffset=False)
            # what is constant but for rounding shall not look like a course
            if top - bottom < 1e-6 * abs(top):
                panel.set_ylim(0.9 * bottom, 1.1 * top)
            panel.set_ylabel(f"{how.label} [{how.unit}]")
            panel.set_xlabel(axis_label("time", f"{clock_name}{many}"))
        for panel in panels[len(names) :]:
            panel.remove()
        if len(arms) > 1:
            figure.legend(*panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=2)
        figure.suptitle(title, fontsize=12)
    return figure
