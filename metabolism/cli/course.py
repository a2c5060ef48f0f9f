"""The command ``simulate``: one patient under a regimen, as a summary, a table at round times and a figure."""

from __future__ import annotations

import os
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from metabolism.cli.shared import Arguments, chosen_model, in_force, print_table, working
from metabolism.errors import InvalidValue, UsageError

if TYPE_CHECKING:
    from metabolism.dosing import Dose
    from metabolism.model import Model
    from metabolism.simulation import Result
    from metabolism.types import Array


class Shown(NamedTuple):
    """How a clinic names an output: label, unit, and what one model unit is in it."""

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

#: Time units of the table by the length of the run [h]: up to it, name, hours, and steps a reader likes.
_CLOCKS = (
    (48.0, "h", 1.0, (0.25, 0.5, 1, 2, 3, 4, 6, 8, 12)),
    (24.0 * 21, "day", 24.0, (0.5, 1, 2, 3, 4, 7)),
    (168.0 * 104, "week", 168.0, (1, 2, 4, 8, 13, 26)),
    (float("inf"), "year", 8766.0, (0.5, 1, 2, 5, 10, 20)),
)

#: Rows of the table at most.
_ROWS = 9


def _clock(until: float) -> tuple[str, float, list[float]]:
    """Return the time unit of a table, its hours, and the round times to print [h], the end included."""
    import math

    _, name, hours, steps = next(c for c in _CLOCKS if until <= c[0])
    span = until / hours
    step = next((s for s in steps if span / s <= _ROWS - 1), math.ceil(span / (_ROWS - 1)))
    times = [i * step * hours for i in range(int(span / step * (1 + 1e-12)) + 1)]
    return name, hours, times if until - times[-1] < 1e-9 * until else [*times, until]


def _last_interval(doses: Sequence[Dose], until: float) -> tuple[float, float] | None:
    """Begin of the last dose of a cobalamin and of what would follow it [h]; None without one."""
    times = sorted({d.time for d in doses if "cobalamin" in d.substance})
    if not times:
        return None
    gap = times[-1] - times[-2] if len(times) > 1 else until
    return times[-1], min(times[-1] + gap, until)


def _grid(until: float, doses: Sequence[Dose], interval: tuple[float, float] | None) -> Array:
    """Output times: what the table prints, a fine grid for the figure, and a finer one over the last interval."""
    import numpy as np

    _, _, printed = _clock(until)
    parts = [np.array(printed), np.linspace(0, until, 401)]
    ends = [t for d in doses if d.duration for t in (d.time, d.time + d.duration)]
    starts = np.array([d.time for d in doses][:500])
    parts += [(starts[:, None] + np.array([0, 0.25, 1, 2, 4, 8])).ravel(), np.array(ends)]
    if interval:
        begin, end = interval
        # the peak of an injection is over within hours
        parts.append(begin + (end - begin) * np.linspace(0, 1, 801) ** 2)
    grid = np.unique(np.concatenate(parts))
    return np.asarray(grid[(grid >= 0) & (grid <= until)])


def _simulate(arguments: Arguments) -> int:
    from metabolism.dosing import Regimen
    from metabolism.files import check_target, write_atomically
    from metabolism.simulation import DEFAULT_OUTPUTS, simulate
    from metabolism.units import magnitude

    for path in filter(None, (arguments.csv, arguments.plot)):
        check_target(path, arguments.force)
    if arguments.plot and Path(arguments.plot).suffix not in (".png", ".svg", ".pdf"):
        raise UsageError(f"--plot '{arguments.plot}' must end in .png, .svg or .pdf.")
    if arguments.units not in ("clinical", "model"):
        raise UsageError(f"--units '{arguments.units}' must be clinical or model.")
    until = magnitude(arguments.until, "h", "until")
    if until <= 0:
        raise InvalidValue(f"until = {arguments.until} must be after 0 h.")
    model = chosen_model(arguments)
    regimen = Regimen.parse(arguments.regimen) if arguments.regimen else Regimen()
    interval = _last_interval(regimen.doses, until)
    names = list(dict.fromkeys(arguments.output or DEFAULT_OUTPUTS))
    options: dict[str, Any] = {"outputs": names, "engine": arguments.engine, "workers": os.cpu_count() or 1}
    if arguments.uncertainty is not None:
        from metabolism.model import draws

        options["patients"] = draws(model, arguments.uncertainty)
    with working("simulating"):
        times = _grid(until, regimen.doses, interval)
        result = simulate(model, regimen, until, times=times, **options)
        untreated = simulate(model, None, until, times=[0.0, until], **options) if arguments.regimen else None
    shown = {n: _shown(model, n, arguments.units) for n in names}
    for line in (f"{_title(arguments)}; {arguments.until}", f"scenario: {in_force(arguments, model)}"):
        print(textwrap.fill(line, 80, subsequent_indent="  "))
    if given := sum(d.amount for d in regimen.doses):
        print(f"dose ledger: {len(regimen.doses)} doses, {given:.9g} umol asked and delivered")
    print()
    _summary(until, result, untreated, shown)
    _exposure(interval, result, shown)
    print()
    _course(until, result, shown, 7 if arguments.uncertainty is None else 2)
    if arguments.uncertainty is not None:
        print(f"\nIn brackets: 90 % band of {arguments.uncertainty} draws of the fitted numbers of metabolism")
        print("and kinetics. Loss rate, drug effect and rating scale are not drawn: the band")
        print("of ALSFRS-R leaves them out.")
    if arguments.plot:
        figure = _figure(result, shown, until, f"{_title(arguments)}; scenario: {arguments.scenario or 'none'}")
        kind = Path(arguments.plot).suffix[1:]
        write_atomically(arguments.plot, lambda part: figure.savefig(part, format=kind))
        print(f"\nfigure written to {arguments.plot}")
    if arguments.csv or arguments.json is not None:
        frame = result.frame() if arguments.uncertainty is None else result.bands()
    if arguments.csv:
        heads = {c: f"{c} [{result[c.split(' ')[0]].attrs['units']}]" for c in frame.columns if c != "time"}
        heads["time"] = "time [h]"
        write_atomically(arguments.csv, lambda part: frame.rename(columns=heads).to_csv(part, index=False))
        print(f"\n{len(frame)} time points written to {arguments.csv} (model units)")
    if arguments.json is not None:
        arguments.payload = {
            "columns": {c: frame[c].to_numpy() for c in frame.columns},
            "units": {"time": "h", **{name: result[name].attrs["units"] for name in result.outputs}},
            "scenario": arguments.scenario,
            "ledger_umol": result.ledger.to_dict("index"),
            "manifest": result.manifest,
        }
    return 0


def _shown(model: Model, name: str, units: str) -> Shown:
    from metabolism.model import equations
    from metabolism.units import label

    if units == "clinical" and name in CLINICAL:
        return CLINICAL[name]
    unit = equations(model).units.get(name, model.table[name].unit if name in model.table else "")
    return Shown(name, label(unit) or "-", 1.0)


def _title(arguments: Arguments) -> str:
    who = " + ".join([*arguments.sets, *arguments.param]) or "reference adult"
    return f"{who}; {arguments.regimen or 'no dose'}"


def _number(value: float) -> str:
    """Write a number as people do: thousands apart, three or four digits, no exponent where it can be avoided."""
    size = abs(value)
    if 1000 <= size < 1e9:
        return f"{round(value, 4 - len(str(int(size)))):,.0f}"
    return "0" if size < 1e-9 else f"{value:.3g}" if size >= 1e9 or size < 1e-4 else f"{value:.4g}"


def _cell(values: Array) -> str:
    """One number, or the median of many with their central 90 %."""
    import numpy as np

    if values.ndim == 0:
        return _number(float(values))
    low, middle, high = np.nanquantile(values, [0.05, 0.5, 0.95])
    return f"{_number(middle)} ({_number(low)}-{_number(high)})"


def _summary(until: float, result: Result, untreated: Result | None, shown: dict[str, Shown]) -> None:
    """Print every output at both ends, and what the drug did."""
    name, hours, _ = _clock(until)
    rows = []
    for key, how in shown.items():
        curve = result.curves[key] * how.factor
        last = curve[..., -1]
        row = [f"{how.label} [{how.unit}]", _cell(curve[..., 0]), _cell(last), _cell(last - curve[..., 0])]
        if untreated is not None:
            row.append(_cell(last - untreated.curves[key][..., -1] * how.factor))
        rows.append(row)
    heads = ["", "start", f"{name} {until / hours:g}", "change", "against no drug"]
    print_table(heads[: len(rows[0])], rows)


def _exposure(interval: tuple[float, float] | None, result: Result, shown: dict[str, Shown]) -> None:
    """Print peak, trough, mean and area of the drug over its last interval."""
    import numpy as np

    drug = next((k for k in ("cbl_plasma", "cbl_free") if k in shown), None)
    if not interval or not drug or interval[1] <= interval[0]:
        return
    (begin, stop), times, (label, unit, factor) = interval, result.curves["time"], shown[drug]
    within = (times >= begin) & (times <= stop)
    curve = result.curves[drug][..., within] * factor
    area = np.asarray(np.trapezoid(curve, times[within], axis=-1))
    print(f"\n{label} over the last interval, {_span(stop - begin)} from {_span(begin)}:")
    heads = [f"Cmax [{unit}]", f"Ctrough [{unit}]", f"Cavg [{unit}]", f"AUC [{unit} h]"]
    print_table(heads, [[*map(_cell, (curve.max(axis=-1), curve[..., -1], area / (stop - begin), area))]], left=0)


def _course(until: float, result: Result, shown: dict[str, Shown], most: int) -> None:
    """Print the outputs at round times, some columns at a time."""
    import numpy as np

    name, hours, printed = _clock(until)
    places = np.searchsorted(result.curves["time"], np.array(printed) * (1 - 1e-12))
    keys, blocks = list(shown), -(-len(shown) // most)
    for some in (keys[i * len(keys) // blocks : (i + 1) * len(keys) // blocks] for i in range(blocks)):
        columns = [result.curves[k][..., places] * shown[k].factor for k in some]
        rows = [[f"{t / hours:g}", *(_cell(c[..., i]) for c in columns)] for i, t in enumerate(printed)]
        print_table([name, *(f"{shown[k].label} {shown[k].unit}" for k in some)], rows, left=0)


def _span(hours: float) -> str:
    name, unit, _ = _clock(max(hours, 1e-9))
    value = hours / unit
    return f"{value:.4g} {name if value == 1 or name == 'h' else name + 's'}"


def _figure(result: Result, shown: dict[str, Shown], until: float, title: str) -> Any:
    import math

    import numpy as np

    from metabolism.plotting import COLOURS, new_figure, style

    name, hours, _ = _clock(until)
    columns = min(3, len(shown))
    rows = math.ceil(len(shown) / columns)
    with style():
        figure, axes = new_figure(rows, columns, width=1.2 + 3.3 * columns, height=0.6 + 2.5 * rows)
        panels = np.atleast_1d(axes).ravel()
        for panel, (key, how) in zip(panels, shown.items(), strict=False):
            curve = result.curves[key] * how.factor
            if curve.ndim > 1:
                low, curve, high = np.nanquantile(curve, [0.05, 0.5, 0.95], axis=0)
                panel.fill_between(result.curves["time"] / hours, low, high, color=COLOURS["blue"], alpha=0.2)
            panel.plot(result.curves["time"] / hours, curve, color=COLOURS["blue"], linewidth=1.5)
            if np.nanmin(curve) > 0 and np.nanmax(curve) > 50 * np.nanmin(curve):
                panel.set_yscale("log")
            else:
                panel.ticklabel_format(useOffset=False)
            panel.set_ylabel(f"{how.label} [{how.unit}]")
            panel.set_xlabel(f"time [{name}{'' if name == 'h' else 's'}]")
        for panel in panels[len(shown) :]:
            panel.remove()
        figure.suptitle(title, fontsize=12)
    return figure


#: What carries out each command of this file.
ACTIONS = {"simulate": _simulate}
