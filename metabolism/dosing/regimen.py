"""Dosing regimens as values: add, delay, thin, and turn into a plan for an engine.

The rules are written down in ``docs/event_semantics.md`` (version 1).
"""

from __future__ import annotations

import math
import random
import re
from collections import defaultdict
from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace
from itertools import groupby, pairwise
from numbers import Integral

from metabolism.dosing.events import EXAMPLE, Dose, Exposure, Hold, _amount
from metabolism.dosing.formulary import substance
from metabolism.dosing.words import _PER_KG, INTERVENTION_EXAMPLE, WEIGHT, _holds, _times, read_regimen, write_doses
from metabolism.engines import Plan
from metabolism.errors import InvalidRegimen, InvalidValue
from metabolism.model import ParameterTable
from metabolism.units import magnitude


@dataclass(frozen=True)
class Regimen:
    """A schedule of doses and exposures; an empty one is no treatment."""

    doses: tuple[Dose, ...] = ()
    exposures: tuple[Exposure, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "doses", tuple(sorted(self.doses)))
        object.__setattr__(self, "exposures", tuple(sorted(self.exposures)))

    @classmethod
    def parse(cls, text: str) -> Regimen:
        """Read a regimen such as ``"50 mg im every 3.5 d x 32 + 0.8 mg folic acid oral daily x 112"``.

        Parts are joined by ``+`` or ``;``. Each reads: amount, unit, substance (methylcobalamin unless
        said), route, then optionally ``over 2 h``, ``every 3.5 d`` or ``daily``, ``x 32``, ``from 2 weeks``.

        Raises
        ------
        InvalidRegimen, UnknownName, UnitMismatch
        """
        regimen = cls()
        for arguments in read_regimen(text):
            regimen += cls.of(**arguments)
        return regimen

    @classmethod
    def of(
        cls,
        amount: float | str,
        substance_name: str = "methylcobalamin",
        route: str = "im",
        *,
        every: float | str | None = None,
        count: int = 1,
        start: float | str = 0.0,
        duration: float | str = 0.0,
    ) -> Regimen:
        """Build a regimen of equal doses.

        Parameters
        ----------
        amount : float or str
            [µmol], or text with a mass or amount unit.
        route : {"im", "sc", "iv", "oral"}
        every, start, duration : float or str
            [h], or text with a unit. A duration makes an intravenous infusion.
        count : int
            Number of doses, 1 to 100000.

        Raises
        ------
        InvalidRegimen, InvalidValue, UnknownName, UnitMismatch
        """
        chosen = substance(substance_name)
        first = Dose(
            magnitude(start, "h", "start"),
            _amount(amount, chosen),
            chosen.name,
            route,
            magnitude(duration, "h", "duration"),
        )
        gap = magnitude(every, "h", "interval") if every is not None else 0.0
        if not (isinstance(count, Integral) and 1 <= count <= 100_000):
            raise InvalidRegimen(f"a dose can be given 1 to 100000 times, a whole number, not {count!r}; {EXAMPLE}.")
        if (count > 1 or every is not None) and gap <= 0:
            raise InvalidRegimen(f"the interval between doses must be above 0, not {every}; add e.g. every='3.5 d'.")
        return cls(tuple(replace(first, time=first.time + i * gap) for i in range(count)))

    @property
    def last_time(self) -> float:
        """Time at which the last dose has been given in full [h]; 0 without doses."""
        return max((d.time + d.duration for d in self.doses), default=0.0)

    def __add__(self, other: Regimen) -> Regimen:
        return Regimen((*self.doses, *other.doses), (*self.exposures, *other.exposures))

    def expose(self, parameter: str, value: float, start: float | str, duration: float | str = math.inf) -> Regimen:
        """Return the regimen with a parameter held at a value [model units] for a while.

        Parameters
        ----------
        start, duration : float or str
            [h] or text; an infinite duration lasts to the end of the run.
        """
        begin = magnitude(start, "h", "start")
        length = math.inf if duration == math.inf else magnitude(duration, "h", "duration")
        if not (math.isfinite(value) and value >= 0 and begin >= 0 and length > 0):
            raise InvalidValue(f"exposure of {parameter} to {value} from {start} for {duration} is not possible.")
        return replace(self, exposures=(*self.exposures, Exposure(parameter, float(value), begin, begin + length)))

    def delayed(self, by: float | str) -> Regimen:
        """Return the regimen with everything later by a time [h or text]."""
        shift = magnitude(by, "h", "delay")
        if any(time + shift < 0 for time in (*(d.time for d in self.doses), *(e.start for e in self.exposures))):
            raise InvalidRegimen(f"a delay of {by} moves a dose or an exposure before time 0.")
        return Regimen(
            tuple(replace(d, time=d.time + shift) for d in self.doses),
            tuple(replace(e, start=e.start + shift, end=e.end + shift) for e in self.exposures),
        )

    def missing(self, numbers: Iterable[int]) -> Regimen:
        """Return the regimen without some doses, counted from 1."""
        gone = set(numbers)
        wrong = sorted(n for n in gone if not 1 <= n <= len(self.doses))
        if wrong:
            raise InvalidRegimen(f"there is no dose number {wrong[0]}; the regimen has {len(self.doses)} doses.")
        return replace(self, doses=tuple(d for i, d in enumerate(self.doses, start=1) if i not in gone))

    def missed(self, probability: float, seed: int) -> Regimen:
        """Return the regimen with each dose missed at random with a probability."""
        if not 0 <= probability <= 1:
            raise InvalidValue(f"probability of a missed dose = {probability} must lie between 0 and 1.")
        draw = random.Random(seed)
        return replace(self, doses=tuple(d for d in self.doses if draw.random() >= probability))

    def until(self, time: float | str) -> Regimen:
        """Return the regimen with only the doses before a time [h or text]."""
        end = magnitude(time, "h", "until")
        return replace(self, doses=tuple(d for d in self.doses if d.time < end))

    def total(self, substance_name: str) -> float:
        """Total amount of a substance [µmol]."""
        name = substance(substance_name).name
        return math.fsum(d.amount for d in self.doses if d.substance == name)

    def __str__(self) -> str:
        groups: dict[tuple[float, str, str, float], list[float]] = defaultdict(list)
        for d in self.doses:
            groups[d.amount, d.substance, d.route, d.duration].append(d.time)
        parts: list[tuple[float, str]] = []
        for kind, times in groups.items():
            parts += write_doses(*kind, times)
        parts += [
            (e.start, f"hold {e.parameter} at {e.value!r} from {e.start!r} h to {e.end!r} h") for e in self.exposures
        ]
        return " + ".join(text for _, text in sorted(parts)) or "no treatment"


def plan(regimen: Regimen, start: float, end: float) -> Plan:
    """Turn a regimen into steps for a run from `start` to `end` [h].

    Raises
    ------
    InvalidRegimen
        If a dose lies outside the run, or two exposures of one parameter overlap.
    """
    boluses: dict[tuple[float, str], list[float]] = defaultdict(list)
    rates: dict[str, list[tuple[float, float]]] = defaultdict(list)
    infused: dict[str, str] = {}
    asked: dict[str, list[float]] = defaultdict(list)
    for number, dose in enumerate(regimen.doses, start=1):
        stop = dose.time + dose.duration
        if dose.time < start or dose.time >= end or stop > end:
            raise InvalidRegimen(
                f"dose {number} ({dose.substance} {dose.route} at {dose.time:g} h"
                + (f" over {dose.duration:g} h" if dose.duration else "")
                + f") is outside the run of {start:g} to {end:g} h; run longer, or cut with Regimen.until()."
            )
        species, rate = substance(dose.substance).target(dose.route, dose.amount)
        asked[species].append(dose.amount)
        if dose.duration:
            infused[rate] = species
            rates[rate] += [(dose.time, dose.amount / dose.duration), (stop, -dose.amount / dose.duration)]
        else:
            boluses[dose.time, species].append(dose.amount)
    settings = _infusion_settings(rates, end) + _exposure_settings(regimen.exposures, start, end, set(rates))
    merged = tuple((t, s, math.fsum(a)) for (t, s), a in sorted(boluses.items()))
    times = {t for t, _, _ in merged} | {t for t, _, _ in settings}
    return Plan(
        merged,
        tuple(sorted(settings, key=lambda s: s[:2])),
        {s: math.fsum(a) for s, a in asked.items()},
        infused,
        tuple(sorted(t for t in times if start < t < end)),
    )


def _infusion_settings(
    rates: dict[str, list[tuple[float, float]]], end: float
) -> list[tuple[float, str, float | None]]:
    """Sum overlapping infusions into absolute rates; after the last one the parameter is given back."""
    settings: list[tuple[float, str, float | None]] = []
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
                settings.append((time, parameter, math.fsum(running) if running else None))
    return settings


def _exposure_settings(
    exposures: tuple[Exposure, ...], start: float, end: float, taken: set[str]
) -> list[tuple[float, str, float | None]]:
    settings: list[tuple[float, str, float | None]] = []
    by_parameter: dict[str, list[Exposure]] = defaultdict(list)
    for exposure in exposures:
        by_parameter[exposure.parameter].append(exposure)
    for parameter, own in by_parameter.items():
        own.sort(key=lambda e: e.start)
        if parameter in taken or any(b.start < a.end for a, b in pairwise(own)):
            raise InvalidRegimen(
                f"two exposures (or infusions) hold '{parameter}' at the same time; give one after the other."
            )
        for i, exposure in enumerate(own):
            if not start <= exposure.start < end:
                raise InvalidRegimen(
                    f"the exposure of {parameter} at {exposure.start:g} h is outside the run of {start:g} to {end:g} h; "
                    "run longer, or change the start of the exposure."
                )
            settings.append((exposure.start, parameter, exposure.value))
            followed = i + 1 < len(own) and own[i + 1].start == exposure.end
            if exposure.end < end and not followed:
                settings.append((exposure.end, parameter, None))
    return settings


@dataclass(frozen=True)
class Treatment:
    """Holds in the order written, and regimens with the time each starts [h] (may be negative)."""

    holds: tuple[Hold, ...] = ()
    regimens: tuple[tuple[float, Regimen], ...] = ()

    @property
    def start(self) -> float:
        """When the run has to begin: the earliest dose or change, at latest 0 [h]."""
        begins = [h.start for h in self.holds if math.isfinite(h.start)]
        return min([0.0, *begins, *(start for start, _ in self.regimens)])

    def regimen(self, start: float, end: float) -> Regimen:
        """Every dose before `end`, in time since `start` [h]."""
        total = Regimen()
        for begin, regimen in self.regimens:
            total += regimen.delayed(begin - start)
        return total.until(end - start)


def read_treatment(text: str, table: ParameterTable, known: Collection[str], weight: float = WEIGHT) -> Treatment:
    """Read interventions separated by ``;``.

    Parameters
    ----------
    text : str
        Empty or ``none`` for no intervention.
    table : ParameterTable
        Units of the parameters.
    known : collection of str
        Parameters that may be changed.
    weight : float
        Body weight for doses per kg [kg].

    Raises
    ------
    UnknownName, UnitMismatch, InvalidValue, InvalidRegimen
    """
    holds: list[Hold] = []
    regimens: list[tuple[float, Regimen]] = []
    for part in filter(None, (p.strip() for p in text.split(";"))):
        if part.casefold() == "none":
            continue
        found = _holds(part, table, known, weight)
        if found is None:
            regimens.append(_doses(part, weight))
        else:
            holds += found
    return Treatment(tuple(holds), tuple(regimens))


def read_population(text: str, table: ParameterTable, known: Collection[str]) -> tuple[Treatment, float]:
    """Read what a population is like: lifelong changes, and ``weight = 62 kg``; returns (changes, weight [kg]).

    Raises
    ------
    InvalidValue
        For times, or a weight that cannot be.
    InvalidRegimen
        For doses.
    """
    weight, rest = WEIGHT, []
    for part in filter(None, (p.strip() for p in text.split(";"))):
        key, _, value = part.partition("=")
        if key.strip() == "weight":
            weight = magnitude(value, "kg", "weight")
            if not 1 <= weight <= 500:
                raise InvalidValue(f"weight ={value} must lie between 1 and 500 kg.")
        else:
            _, start, end, timed = _times(part)
            if timed and (start, end) != (-math.inf, math.inf):
                raise InvalidValue(f"'{part}' has times, and a population is for life; move it to interventions.")
            rest.append(part if timed else f"{part} lifelong")
    treatment = read_treatment("; ".join(rest), table, known, weight)
    return treatment, weight


def _doses(part: str, weight: float) -> tuple[float, Regimen]:
    body, start, end, _ = _times(part)
    if not math.isfinite(start):
        raise InvalidRegimen(
            f"'{part}': doses cannot go on for life; give 'from' and 'x', or a steady rate such as '0.4 mg/d folic acid'."
        )
    per_kg = _PER_KG.match(body)
    if per_kg:
        body = f"{float(per_kg['amount']) * weight!r} {per_kg['unit']}{body[per_kg.end() :]}"
    try:
        if end < math.inf and not re.search(r"\sx\s*\d+$", body):
            pair = Regimen.parse(f"{body} x 2").doses
            count = max(1, math.ceil((end - start) / (pair[1].time - pair[0].time) - 1e-9))
            body = f"{body} x {count}"
        elif end < math.inf:
            raise InvalidRegimen(f"'{part}' says both how often and for how long; keep one of 'x' and 'for'.")
        return start, Regimen.parse(body)
    except InvalidRegimen as error:
        raise InvalidRegimen(f"'{part}' is no intervention: {error} Or {INTERVENTION_EXAMPLE}.") from None
