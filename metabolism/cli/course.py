"""The command ``simulate``: one patient under a regimen, as a summary, a table at round times and a figure."""

from __future__ import annotations

import os
import sys
import textwrap
from typing import TYPE_CHECKING, Any

from metabolism.cli.shared import Arguments, chosen_model, drawing, in_force, print_table, working
from metabolism.errors import InvalidValue, UsageError

if TYPE_CHECKING:
    from metabolism.dosing import Regimen
    from metabolism.simulation import Result, Shown
    from metabolism.types import Array


def _simulate(arguments: Arguments) -> int:
    from metabolism.dosing import Regimen
    from metabolism.files import write_atomically
    from metabolism.simulation import DEFAULT_OUTPUTS, clock, shown, simulate
    from metabolism.units import magnitude, output_unit

    draw = drawing(arguments)
    if arguments.units not in ("clinical", "model"):
        raise UsageError(f"--units '{arguments.units}' must be clinical or model.")
    until = magnitude(arguments.until, "h", "until")
    if until <= 0:
        raise InvalidValue(f"until = {arguments.until} must be after 0 h.")
    model = chosen_model(arguments)
    regimen = Regimen.parse(arguments.regimen) if arguments.regimen else Regimen()
    _judge_doses(regimen)
    names = list(dict.fromkeys(arguments.output or DEFAULT_OUTPUTS))
    options: dict[str, Any] = {"outputs": names, "engine": arguments.engine, "workers": os.cpu_count() or 1}
    if arguments.uncertainty is not None:
        from metabolism.model import draws

        options["patients"] = draws(model, arguments.uncertainty)
    with working("simulating"):
        result = simulate(model, regimen, until, add=clock(until)[2], **options)
        untreated = simulate(model, None, until, times=[0.0, until], **options) if arguments.regimen else None
    hows = {n: shown(n, result.units[n], arguments.units) for n in names}
    for line in (f"{_title(arguments)}; {arguments.until}", f"scenario: {in_force(arguments, model)}"):
        print(textwrap.fill(line, 80, subsequent_indent="  "))
    if doses := regimen.until(until).doses:
        many = "s" if len(doses) > 1 else ""
        print(f"dose ledger: {len(doses)} dose{many}, {sum(d.amount for d in doses):.9g} umol asked and delivered")
    print()
    _summary(until, result, untreated, hows)
    drug = next((k for k in ("cbl_plasma", "cbl_free") if k in hows), None)
    if drug and any("cobalamin" in d.substance for d in doses):
        _exposure(result, drug, hows[drug].label, arguments.units)
    print()
    _course(until, result, hows, 7 if arguments.uncertainty is None else 2)
    if arguments.uncertainty is not None:
        print(f"\nIn brackets: 90 % band of {arguments.uncertainty} draws of the fitted numbers of metabolism")
        print("and kinetics. Loss rate, drug effect and rating scale are not drawn: the band")
        print("of ALSFRS-R leaves them out.")
    if draw:
        title = f"{_title(arguments)}; scenario: {arguments.scenario or 'none'}"
        draw(result.plot(units=arguments.units, title=title))
        print(f"\nfigure written to {arguments.plot}")
    if arguments.csv or arguments.json is not None:
        frame = result.frame() if arguments.uncertainty is None else result.bands()
    if arguments.csv:
        asked = {n: output_unit(n, result.units[n]) for n in names}
        heads = {c: f"{c} [{asked[c.split(' ')[0]]}]" for c in frame.columns if c != "time"}
        heads["time"] = "time [h]"
        write_atomically(arguments.csv, lambda part: frame.rename(columns=heads).to_csv(part, index=False))
        print(f"\n{len(frame)} time points written to {arguments.csv} (model units)")
    if arguments.json is not None:
        arguments.payload = {
            "columns": {c: frame[c].to_numpy() for c in frame.columns},
            "units": {"time": "h", **result.units},
            "scenario": arguments.scenario,
            "ledger_umol": result.ledger.to_dict("index"),
            "manifest": result.manifest,
        }
    return 0


def _judge_doses(regimen: Regimen) -> None:
    """Remark on stderr a dose of a cobalamin that nobody has been given: trials went up to 50 mg at once."""
    from metabolism.dosing import Regimen, substance

    for dose in regimen.doses:
        if "cobalamin" in dose.substance and dose.amount * substance(dose.substance).molar_mass > 500e3:
            print(
                f"metabolism: {Regimen((dose,))} is over ten times the largest dose of any trial here.", file=sys.stderr
            )
            return


def _title(arguments: Arguments) -> str:
    who = " + ".join([*arguments.sets, *arguments.param]) or "reference adult"
    return f"{who}; {arguments.regimen or 'no dose'}"


def cell(values: Array) -> str:
    """One number, or the median of many with their central 90 %."""
    import numpy as np

    from metabolism.units import written

    if values.ndim == 0:
        return written(float(values)) if np.isfinite(values) else "-"
    low, middle, high = np.nanquantile(values, [0.05, 0.5, 0.95]) if np.isfinite(values).any() else [np.nan] * 3
    return f"{written(middle)} ({written(low)}{' to ' if low < 0 else '-'}{written(high)})"


def _summary(until: float, result: Result, untreated: Result | None, hows: dict[str, Shown]) -> None:
    """Print every output at both ends, and what the drug did."""
    from metabolism.simulation import clock

    name, hours, _ = clock(until)
    rows = []
    for key, how in hows.items():
        curve = result.curves[key] * how.factor
        # with an intravenous dose at 0 its own first value is the one after the dose
        first, last = (untreated or result).curves[key][..., 0] * how.factor, curve[..., -1]
        row = [f"{how.label} [{how.unit}]", cell(first), cell(last), cell(last - first)]
        if untreated is not None:
            row.append(cell(last - untreated.curves[key][..., -1] * how.factor))
        rows.append(row)
    heads = ["", "start", f"{name} {until / hours:g}", "change", "against no drug"]
    print_table(heads[: len(rows[0])], rows)


def _exposure(result: Result, drug: str, label: str, units: str) -> None:
    """Print what a dosing interval shows of the drug."""
    (begin, end), numbers = result.exposure(drug, units=units)
    names = ("Cmax", "tmax", "Ctrough", "Cavg", "AUCtau", "half_life")
    print(f"\n{label} over the last interval, {_span(end - begin)} from {_span(begin)}:")
    heads = [f"{n.replace('_', '-')} [{numbers[n][0]}]" for n in names]
    print_table(heads, [[cell(numbers[n][1]) for n in names]], left=0)


def _course(until: float, result: Result, hows: dict[str, Shown], most: int) -> None:
    """Print the outputs at round times, some columns at a time."""
    import numpy as np

    from metabolism.simulation import clock

    name, hours, printed = clock(until)
    keys, blocks = list(hows), -(-len(hows) // most)
    for some in (keys[i * len(keys) // blocks : (i + 1) * len(keys) // blocks] for i in range(blocks)):
        columns = [result.curve(k).at(np.array(printed)) * hows[k].factor for k in some]
        rows = [[f"{t / hours:g}", *(cell(c[..., i]) for c in columns)] for i, t in enumerate(printed)]
        print_table([name, *(f"{hows[k].label} {hows[k].unit}" for k in some)], rows, left=0)


def _span(hours: float) -> str:
    from metabolism.simulation import clock

    name, unit, _ = clock(max(hours, 1e-9))
    value = hours / unit
    return f"{value:.4g} {name if value == 1 or name == 'h' else name + 's'}"


#: What carries out each command of this file.
ACTIONS = {"simulate": _simulate}
