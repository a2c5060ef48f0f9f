"""The command ``ensemble``: many members of any SBML or Antimony file."""

from __future__ import annotations

import math
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from metabolism.cli.course import cell
from metabolism.cli.shared import (
    Arguments,
    drawing,
    leave_out,
    pair,
    print_frame,
    print_table,
    progress_bar,
    working,
)
from metabolism.errors import InvalidValue, UsageError
from metabolism.units import label, number, split

if TYPE_CHECKING:
    from metabolism.ensembles import Ensemble
    from metabolism.simulation import Result

#: Panels of a figure at most.
_PANELS = 12


def _ensemble(arguments: Arguments) -> int:
    """Describe a file, run members of it, and say what came out; return 0, or 1 if a member failed."""
    from metabolism.ensembles import ensemble

    draw = drawing(arguments)
    vary = dict(pair("--vary", text, "k1=lognormal(1,0.3)") for text in arguments.vary)
    _look_over(arguments, vary)
    with working("reading and compiling (a few seconds, once for a file)"):
        asked = {"parameters": [*vary], "outputs": arguments.output or [], "endpoints": arguments.endpoint or []}
        limits = {"seconds": arguments.seconds, "megabytes": arguments.megabytes}
        ens = ensemble(Path(arguments.file), asked=asked, **limits)
    table = ens.draws(vary, arguments.n, arguments.seed) if vary else None
    print(ens)
    arguments.payload = {
        "id": ens.model.id,
        "values": ens.values,
        "units": dict(ens.units),
        "time": ens.model.time_unit,
    }
    if arguments.until is None:
        print("\nnothing was run: say until when with --until, and what varies with --vary")
        return 0
    until: float | str = arguments.until
    with suppress(InvalidValue):
        until = number(arguments.until)
    if arguments.sobol is not None:
        return _sobol(arguments, ens, vary, until)
    options = {"until": until, "doses": arguments.dose, "engine": arguments.engine, "workers": arguments.workers}
    with working("integrating"):
        result = ens.simulate(table, outputs=arguments.output or None, **options)
    _print(arguments, ens, result, vary)
    if arguments.endpoint:
        _print_endpoints(arguments, ens, table, until)
    if draw:
        names, whole = result.outputs[:_PANELS], len(result.outputs)
        many = f": median and central 90 % of {arguments.n} members" if arguments.vary else ""
        draw(result.plot(names, title=f"{ens.model.id}{many}"))
        more = f" (the first {_PANELS} of {whole}; choose with --output)" if len(names) < whole else ""
        print(f"figure written to {arguments.plot}{more}")
    if arguments.csv:
        from metabolism.files import write_atomically

        frame = result.frame()
        write_atomically(arguments.csv, lambda part: frame.to_csv(part, index=False))
        print(f"{len(frame)} rows written to {arguments.csv}")
    arguments.payload |= {"manifest": result.manifest, "failures": result.failures}
    if arguments.json is not None:
        arguments.payload["bands"] = result.bands() if vary else result.frame()
    return 1 if result.failures else 0


def _look_over(arguments: Arguments, vary: dict[str, str]) -> None:
    """Refuse what is seen to be wrong without the file, which takes a while to read, and what would not be used."""
    from metabolism.dosing import Schedule
    from metabolism.engines import check_engine
    from metabolism.sensitivity import METHODS, distribution

    check_engine(arguments.engine)
    for name, how in vary.items():
        distribution(name, how)
    if arguments.dose:
        Schedule.of(arguments.dose)
    if arguments.until is None:
        unused = ("plot", "csv", "dose", "sobol", "endpoint", "output", "n", "engine", "workers")
        leave_out(arguments, "nothing is run without --until TIME", *unused)
    elif not 0 < split(arguments.until, "--until")[0] < math.inf:
        raise InvalidValue(f"--until {arguments.until} must be a time after 0.")
    if arguments.sobol is None:
        if not vary:
            leave_out(arguments, "one member is run where nothing varies (--vary)", "n", "seed")
        return
    if not arguments.endpoint or not vary:
        raise UsageError("--sobol needs --vary and --endpoint, e.g. --endpoint 'final(S1)'.")
    METHODS["sobol"].check(arguments.sobol, len(vary))
    leave_out(arguments, "--sobol draws members of its own and keeps no curves", "n", "output", "plot", "csv")


def _print(arguments: Arguments, ens: Ensemble, result: Result, vary: dict[str, str]) -> None:
    clock, curves = ens.model.time_unit, result.curves
    end = f"t = {curves['time'][-1]:g} {clock}".strip()
    who = f"{arguments.n} members, {', '.join(f'{k} ~ {v}' for k, v in vary.items())}" if vary else "one member"
    print(f"\n{who}; to {end}, in the file's own units; {len(result.failures)} failed")
    print(ens.agreement)
    for member, reason in list(result.failures.items())[:3]:
        print(f"  member {member}: {reason}")
    if len(ledger := result.ledger):
        print(
            "dose ledger: " + "; ".join(f"{t}: {r.asked:g} asked, {r.delivered:g} given" for t, r in ledger.iterrows())
        )
    rows = []
    for name in result.outputs:
        curve = curves[name]
        unit = result[name].attrs["units"]
        rows.append([name, unit or "-", *(cell(v) for v in (curve[..., 0], curve.max(axis=-1), curve[..., -1]))])
    print_table(["", "unit", "start", "largest kept", end], rows, left=2)
    print(f"largest kept: of {len(curves['time'])} times; endpoints such as max({result.outputs[0]}) see every step")
    if vary:
        print("medians, and in brackets the central 90 % of the members")


def _print_endpoints(arguments: Arguments, ens: Ensemble, table: Any, until: float | str) -> None:
    name = (*ens.parameters, *ens.states)[0]
    one = {name: [ens.values[name]]}
    asked = {"endpoints": arguments.endpoint, "engine": arguments.engine, "workers": arguments.workers}
    found = ens.scan(one if table is None else table, until=until, doses=arguments.dose, **asked)
    frame = found.frame()
    print()
    rows = [[e, label(found.units[e]) or "-", cell(frame[e].to_numpy().squeeze())] for e in found.endpoints]
    print_table(["endpoint", "unit", "value"], rows, left=2)
    arguments.payload["endpoints"] = frame


def _sobol(arguments: Arguments, ens: Ensemble, vary: dict[str, str], until: float | str) -> int:
    options: dict[str, Any] = {k: getattr(arguments, k) for k in ("seed", "engine", "workers")}
    options |= {"doses": arguments.dose, "endpoints": arguments.endpoint, "n": arguments.sobol}
    with progress_bar() as progress:
        found = ens.sobol(vary, until=until, progress=progress, **options)
    for endpoint in dict.fromkeys(found.table["endpoint"]):
        print(f"\n{endpoint}: {found.main} with {100 * found.confidence:.0f} % intervals, {found.runs} members")
        print_frame(found.ranking(endpoint)[["factor", "value", "low", "high"]])
        print(found.converged(endpoint))
    arguments.payload |= {"indices": found.table, "interactions": found.interactions, "notes": found.notes}
    return 0


#: What carries out each command of this file.
ACTIONS = {"ensemble": _ensemble}
