"""From a regimen to the steps of an engine: boluses, infusion rates and changed parameters at their times."""

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping
from itertools import groupby
from typing import Any

from metabolism.dosing.events import SAME_TIME, Hold, clean
from metabolism.dosing.formulary import substance
from metabolism.dosing.regimen import Regimen
from metabolism.dosing.wording import quantity
from metabolism.engines import Plan, Setting
from metabolism.errors import InvalidRegimen
from metabolism.model import parameter_table
from metabolism.types import Array


def plan(regimen: Regimen, start: float, end: float, overrides: Mapping[str, Array] | None = None) -> Plan:
    """Turn a regimen into steps for a run from `start` to `end` [h].

    Parameters
    ----------
    regimen : Regimen
    start, end : float
        [h]
    overrides : mapping of str to ndarray, optional
        Values, one per patient, that replace what a parameter set says: by ``"set name/parameter"``.

    Raises
    ------
    InvalidRegimen
        If a dose or a change lies outside the run.
    """
    given = regimen.until(end) if any(d.every for d in regimen.doses) else regimen
    stops = [clean(d.time + d.duration) for d in given.doses]
    edges = [edge for h in given.holds for edge in (h.start, h.end) if math.isfinite(edge)]
    when = _one_time([start, end, *stops, *edges, *(d.time for d in given.doses)])
    boluses: dict[tuple[float, str], list[float]] = defaultdict(list)
    rates: dict[str, list[tuple[float, float]]] = defaultdict(list)
    infused: dict[str, str] = {}
    asked: dict[str, list[float]] = defaultdict(list)
    for number, (dose, stop) in enumerate(zip(given.doses, stops, strict=True), start=1):
        begin, stop = when[dose.time], when[stop]
        if begin < start or begin >= end or stop > end or (dose.duration and stop <= begin):
            raise InvalidRegimen(
                f"dose {number} ({dose.substance} {dose.route} at {dose.time:g} h"
                + (f" over {dose.duration:g} h" if dose.duration else "")
                + f") is outside the run of {start:g} to {end:g} h; run longer, or let the doses end: '... until 3 d' "
                "in the text, Regimen.until in Python."
            )
        species, rate = substance(dose.substance).routes[dose.route]
        asked[species].append(dose.amount)
        if dose.duration:
            infused[rate] = species
            speed = dose.amount / (stop - begin)
            rates[rate] += [(begin, speed), (stop, -speed)]
        else:
            boluses[begin, species].append(dose.amount)
    settings = _infusions(rates, end) + _changes(given.holds, start, end, when, rates, overrides or {})
    merged = tuple((t, s, math.fsum(a)) for (t, s), a in sorted(boluses.items()))
    times = {t for t, _, _ in merged} | {t for t, *_ in settings}
    return Plan(
        merged,
        tuple(sorted(settings, key=lambda s: s[:2])),
        {s: math.fsum(a) for s, a in asked.items()},
        infused,
        tuple(sorted(t for t in times if start < t < end)),
    )


def _one_time(times: Iterable[float]) -> dict[float, float]:
    """Map every time [h] to the first of those within one part in 1e12 of it."""
    same: dict[float, float] = {}
    first = -math.inf
    for time in sorted(set(times)):
        if time - first > SAME_TIME * max(abs(time), 1.0):
            first = time
        same[time] = first
    return same


def _infusions(rates: dict[str, list[tuple[float, float]]], end: float) -> list[Setting]:
    """Sum overlapping infusions into absolute rates; after the last one the parameter is given back."""
    settings: list[Setting] = []
    for parameter, changes in rates.items():
        running: list[float] = []
        # the rates still running are kept, not their sum: after the last stop exactly nothing flows
        for time, group in groupby(sorted(changes, key=lambda c: (c[0], c[1] < 0)), key=lambda c: c[0]):
            for _, rate in group:
                if rate > 0:
                    running.append(rate)
                else:
                    running.remove(-rate)
            if time < end:
                settings.append((time, parameter, 0.0, math.fsum(running)) if running else (time, parameter, 1.0, 0.0))
    return settings


def _changes(
    holds: tuple[Hold, ...],
    start: float,
    end: float,
    when: dict[float, float],
    infused: Mapping[str, Any],
    overrides: Mapping[str, Array],
) -> list[Setting]:
    """Compose the changes of each parameter at every time at which one begins or ends."""
    settings: list[Setting] = []
    for parameter in dict.fromkeys(h.parameter for h in holds):
        own = [(when.get(h.start, h.start), when.get(h.end, h.end), h) for h in holds if h.parameter == parameter]
        if parameter in infused:
            raise InvalidRegimen(
                f"'{parameter}' is the rate of an infusion of this regimen and cannot be changed besides."
            )
        volume = parameter in parameter_table() and parameter_table()[parameter].kind == "volume"
        for begin, stop, hold in own:
            if volume and (math.isfinite(begin) or stop < end):
                raise InvalidRegimen(
                    f"'{parameter}' is a volume: what is in it could keep its amount or its concentration, so it can "
                    "be changed for life only; write 'lifelong', or change the model."
                )
            if math.isfinite(begin) and not start <= begin < end:
                raise InvalidRegimen(
                    f"the change of {parameter} at {hold.start:g} h is outside the run of {start:g} to {end:g} h; "
                    "run longer, or change its start."
                )
        before: list[Hold] = []
        for time in sorted({t for begin, stop, _ in own for t in (begin, stop) if t < end and t < math.inf}):
            force = [hold for begin, stop, hold in own if begin <= time < stop]
            if force != before:
                settings.append((time, parameter, *_composed(force, overrides)))
            before = force
    return settings


def _composed(holds: Iterable[Hold], overrides: Mapping[str, Array]) -> tuple[float, float | Array]:
    """Factor and offset of several changes after one another."""
    factor: float = 1.0
    offset: float | Array = 0.0
    for hold in holds:
        value: Any = overrides.get(f"{hold.origin}/{hold.parameter}", hold.value)
        if hold.how == "=":
            factor, offset = 0.0, value
        elif hold.how == "x":
            factor, offset = factor * value, offset * value
        else:
            offset = offset + value
    return factor, offset


def named(regimen: Regimen) -> tuple[dict[tuple[float, str], list[str]], dict[tuple[float, str], list[str]]]:
    """Name what happens: by (time [h], target) of a bolus, and by (time [h], parameter) of an infusion or change."""
    doses: dict[tuple[float, str], list[str]] = defaultdict(list)
    changes: dict[tuple[float, str], list[str]] = defaultdict(list)
    for dose in regimen.doses:
        species, rate = substance(dose.substance).routes[dose.route]
        name = f"{quantity(dose)} {dose.substance} {dose.route}"
        if dose.duration:
            changes[dose.time, rate].append(f"{name} over {dose.duration:g} h")
        else:
            doses[dose.time, species].append(name)
    for hold in regimen.holds:
        changes[hold.start, hold.parameter].append(hold.said or f"{hold.parameter} {hold.how} {hold.value:g}")
    return dict(doses), dict(changes)
