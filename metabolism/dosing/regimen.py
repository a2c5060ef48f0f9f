"""Regimens as values: add, delay, thin, and turn into a plan for an engine."""

from __future__ import annotations

import math
import random
from collections.abc import Iterable
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from metabolism.dosing.events import SAME_TIME, Dose, Hold, clean, read_amount, series
from metabolism.dosing.formulary import substance
from metabolism.dosing.tables import read_events, write_events
from metabolism.dosing.wording import quantity, respelled, write
from metabolism.dosing.words import WEIGHT, read
from metabolism.errors import InvalidRegimen, InvalidValue, UnknownName
from metabolism.types import in_brief
from metabolism.units import magnitude

if TYPE_CHECKING:
    from pathlib import Path

    import pandas as pd
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class Regimen:
    """Everything that is done to a patient: doses, and parameters changed for a while or for life.

    The contract of times (event semantics, version 2; every engine and every export keeps it):

    - Time 0 is when treatment starts; the patient rests before. What is written with a negative time begins the run
      earlier, and what is ``lifelong`` (or ``until`` a time) is in force at rest already.
    - A bolus is instantaneous. Values at the time of a dose or a change are those after it; the values just before are
      kept beside them. Doses at one time to one target are summed.
    - An infusion holds a constant rate; infusions that overlap add, and after the last one exactly nothing flows.
    - A change is in force from its start to just before its end. Changes of one parameter act on the patient's own
      value in the order written: the value is factor x own + offset, and after the last one exactly the own value is
      back.
    - Times within one part in 1e12 are one time.
    - A run covers start <= t < end. A dose or change that begins outside, or an infusion that does not stop by the end,
      is refused; a dose repeated without end is given until the end.
    - A dose of zero or less is no dose. The amount delivered is measured and compared with the amount asked.

    Attributes
    ----------
    doses : tuple of Dose
        In time order.
    holds : tuple of Hold
        In the order written.
    """

    doses: tuple[Dose, ...] = ()
    holds: tuple[Hold, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "doses", tuple(sorted(self.doses)))
        object.__setattr__(self, "holds", tuple(self.holds))

    @classmethod
    def parse(cls, text: str, weight: float | str = WEIGHT) -> Regimen:
        """Read a regimen in words; parts are joined by ``;``, doses also by ``+``.

        A dose reads: amount, unit (also per kg), substance (methylcobalamin unless said), route, then in any order
        ``over 2 h``, ``every 3.5 d`` (or ``daily``, ``twice weekly``, ``q84h``, ``bid``, ``BIW``), ``x 32`` or
        ``for 16 weeks`` or ``until 16 weeks`` (to the end of the run without), ``from 2 weeks``, ``at 0, 3.5 d``;
        ``then`` begins the next stretch. A change reads ``fasting``, ``set NAME``, ``enzyme CBS x 0.02``,
        ``nitrous oxide 60 %``, ``0.4 mg/d folic acid`` or ``ID = 0.5`` (``x``, ``+``), then ``from``, ``for``,
        ``until`` or ``lifelong``.

        Parameters
        ----------
        text : str
            ``none`` is no treatment.
        weight : float or str
            Body weight for amounts per kg [kg].

        Raises
        ------
        InvalidRegimen, InvalidValue, UnknownName, UnitMismatch

        Examples
        --------
        >>> [d.time for d in Regimen.parse("1 mg im daily for 2 d, then weekly x 2").doses]
        [0.0, 24.0, 48.0, 216.0]
        >>> print(Regimen.parse("50 mg i.m. q84h x 32").delayed("1 d"))
        50 mg methylcobalamin im every 84 h x 32 from 1 d
        """
        return cls(*read(text, magnitude(weight, "kg", "weight")))

    @classmethod
    def of(
        cls,
        amount: float | str,
        substance_name: str = "methylcobalamin",
        route: str = "im",
        *,
        every: float | str | None = None,
        count: int | None = 1,
        start: float | str = 0.0,
        duration: float | str = 0.0,
    ) -> Regimen:
        """Build a regimen of equal doses.

        Parameters
        ----------
        amount : float or str
            [µmol], or text with a mass or amount unit.
        substance_name : str
        route : {"im", "sc", "iv", "oral", "intrathecal"}
        every, start, duration : float or str
            [h], or text with a unit. A duration makes an intravenous infusion.
        count : int or None
            Number of doses, 1 to 100000; None repeats them until the end of the run.

        Raises
        ------
        InvalidRegimen, InvalidValue, UnknownName, UnitMismatch

        Examples
        --------
        >>> Regimen.of("50 mg", every="3.5 d", count=32).last_time
        2604.0
        """
        chosen = substance(substance_name)
        gap = magnitude(every, "h", "interval") if every is not None else 0.0
        if every is not None and gap <= 0:
            raise InvalidRegimen(f"the interval between doses must be above 0, not {every}; add e.g. every='3.5 d'.")
        said = f"{_typed(amount, 'umol')} {chosen.name} {route}" + (f" over {_typed(duration)}" if duration else "")
        said += f" every {_typed(every or 0.0)}" if count != 1 else ""
        said += (f" x {count}" if count not in (1, None) else "") + (f" from {_typed(start)}" if start else "")
        length = magnitude(duration, "h", "duration")
        first = Dose(magnitude(start, "h", "start"), read_amount(amount, chosen), chosen.name, route, length, 0.0, said)
        return cls(series(first, gap, count))

    @classmethod
    def from_events(cls, events: str | Path | pd.DataFrame, patient: str | int | None = None, **units: Any) -> Regimen:
        """Read the doses of one patient from an event table (ID, TIME, AMT, EVID, II, ADDL, SS, RATE, CMT).

        Parameters
        ----------
        events : path or DataFrame
        patient : str or int, optional
            ID; needed where there are several.
        **units
            ``amount="mg"``, ``time="h"``, ``name="methylcobalamin"``, ``routes={1: "im"}``, as in `read_events`.

        Raises
        ------
        InvalidRegimen, InvalidValue, UnitMismatch, UnknownName

        Examples
        --------
        >>> import pandas as pd
        >>> table = pd.DataFrame({"TIME": [0], "AMT": [50], "II": [84], "ADDL": [31], "CMT": ["im"]})
        >>> Regimen.from_events(table) == Regimen.parse("50 mg im every 3.5 d x 32")
        True
        """
        patients = read_events(events, **units)
        if patient is None and len(patients) != 1:
            raise InvalidRegimen(
                f"the event table has {len(patients)} patients with doses; name one: {', '.join(patients)}."
            )
        chosen = next(iter(patients)) if patient is None else str(patient)
        if chosen not in patients:
            raise UnknownName("patient", chosen, patients)
        return cls(patients[chosen])

    def to_events(self, amount: str = "mg", patient: int = 1) -> pd.DataFrame:
        """Write the doses as an event table, times in hours.

        Parameters
        ----------
        amount : str
            Unit of AMT, and per hour of RATE; ``umol`` fits the exported models.
        patient : int
            ID.

        Raises
        ------
        InvalidRegimen
            For changes of parameters and doses without end, which a table of doses cannot hold.
        """
        if self.holds:
            raise InvalidRegimen(f"an event table holds doses, and '{self}' changes parameters besides.")
        return write_events(self.doses, amount, patient)

    @property
    def start(self) -> float:
        """When a run has to begin: at the earliest dose or change, at latest 0 [h]."""
        edges = [edge for hold in self.holds for edge in (hold.start, hold.end) if math.isfinite(edge)]
        return min([0.0, *edges, *(d.time for d in self.doses)])

    @property
    def background(self) -> Regimen:
        """What is in force at rest, for good: what an untreated patient has too."""
        return Regimen((), tuple(replace(h, end=math.inf) for h in self.holds if h.start == -math.inf))

    @property
    def last_time(self) -> float:
        """Time at which the last dose has been given in full [h]; 0 without doses, inf if they go on without end."""
        return max((math.inf if d.every else d.time + d.duration for d in self.doses), default=0.0)

    def __add__(self, other: Regimen) -> Regimen:
        return Regimen((*self.doses, *other.doses), (*self.holds, *other.holds))

    def __bool__(self) -> bool:
        return bool(self.doses or self.holds)

    def expose(self, parameter: str, value: float, start: float | str, duration: float | str = math.inf) -> Regimen:
        """Return the regimen with a parameter held at a value [model units] for a while.

        Parameters
        ----------
        parameter : str
        value : float
        start, duration : float or str
            [h] or text; an infinite duration lasts to the end of the run.
        """
        begin = magnitude(start, "h", "start")
        length = math.inf if duration == math.inf else magnitude(duration, "h", "duration")
        return replace(self, holds=(*self.holds, Hold(parameter, "=", float(value), begin, begin + length)))

    def delayed(self, by: float | str) -> Regimen:
        """Return the regimen with everything but what is for life later by a time [h or text]."""
        shift = magnitude(by, "h", "delay")
        return Regimen(
            tuple(replace(d, time=d.time + shift) for d in self.doses),
            tuple(replace(h, start=h.start + shift, end=h.end + shift) for h in self.holds),
        )

    def missing(self, numbers: Iterable[int]) -> Regimen:
        """Return the regimen without some doses, counted from 1."""
        gone = set(numbers)
        wrong = sorted(n for n in gone if not 1 <= n <= len(self._counted("missing").doses))
        if wrong:
            raise InvalidRegimen(f"there is no dose number {wrong[0]}; the regimen has {len(self.doses)} doses.")
        return replace(self, doses=tuple(d for i, d in enumerate(self.doses, start=1) if i not in gone))

    def missed(self, probability: float, seed: int) -> Regimen:
        """Return the regimen with each dose missed at random with a probability."""
        if not 0 <= probability <= 1:
            raise InvalidValue(f"probability of a missed dose = {probability} must lie between 0 and 1.")
        draw = random.Random(seed)
        kept = tuple(d for d in self._counted("missed").doses if draw.random() >= probability)
        return replace(self, doses=kept)

    def until(self, time: float | str) -> Regimen:
        """Return the regimen with only what begins before a time [h or text]; repeats without end are counted out."""
        end = magnitude(time, "h", "until")
        doses: list[Dose] = []
        for dose in self.doses:
            count = max(0, math.ceil((end - dose.time) / dose.every * (1 - SAME_TIME))) if dose.every else 1
            doses += series(replace(dose, every=0.0), dose.every, count) if count else ()
        return Regimen(
            tuple(d for d in doses if d.time < end - SAME_TIME * abs(end)),
            tuple(h for h in self.holds if h.start < end),
        )

    def total(self, substance_name: str) -> float:
        """Total amount of a substance [µmol]."""
        name = substance(substance_name).name
        return math.fsum(d.amount for d in self._counted("total").doses if d.substance == name)

    def _counted(self, verb: str) -> Regimen:
        if any(d.every for d in self.doses):
            raise InvalidRegimen(f"'{self}' repeats without end and has no {verb}(); cut it first with until().")
        return self

    @property
    def every(self) -> float:
        """Interval between equally spaced equal doses [h].

        Raises
        ------
        InvalidRegimen
            If the doses are not all equal and equally spaced, or fewer than two.
        """
        gaps = [b.time - a.time for a, b in pairwise(self.doses)] or [d.every for d in self.doses if d.every]
        alike = {(d.amount, d.substance, d.route, d.duration) for d in self.doses}
        if len(alike) != 1 or not gaps or any(abs(gap - gaps[0]) > 1e-9 * gaps[0] for gap in gaps):
            raise InvalidRegimen(
                f"only equal doses at equal intervals, like '50 mg im every 3.5 d x 32', can be varied, not '{self}'."
            )
        return clean(gaps[0])

    def redosed(
        self, until: float | str, amount: float | str | None = None, every: float | str | None = None
    ) -> Regimen:
        """Return the same series of doses with another amount or interval, given before `until`.

        Parameters
        ----------
        until : float or str
            End of dosing [h or text].
        amount, every : float or str, optional
            New amount [µmol or text] and interval [h or text]; the old ones by default.

        Examples
        --------
        >>> print(Regimen.parse("50 mg im every 3.5 d x 32").redosed("16 weeks", "25 mg", "7 d"))
        25 mg im every 7 d x 16
        """
        gap, one = every if every is not None else self.every, self.doses[0]
        size = magnitude(gap, "h", "interval")
        count = math.ceil((magnitude(until, "h", "until") - one.time) / size - 1e-9) if size > 0 else 1
        new = [None if value is None else _typed(value, unit) for value, unit in ((amount, "umol"), (every, "h"))]
        spelled = respelled(one.said, new[0], new[1], count)
        if spelled:
            return Regimen(Regimen.parse(spelled).doses, self.holds)
        dose = amount if amount is not None else quantity(one)
        start = {"start": one.time, "duration": one.duration}
        return replace(Regimen.of(dose, one.substance, one.route, every=gap, count=count, **start), holds=self.holds)

    def __str__(self) -> str:
        return write(self.doses, self.holds)

    def __repr__(self) -> str:
        return in_brief(self, str(self))

    def plot(self, until: float | str | None = None) -> Figure:
        """Draw doses [mg] over time, and what is changed below.

        Parameters
        ----------
        until : float or str, optional
            End [h or text]; by default that of the last dose or change. Without end there has to be one.

        Raises
        ------
        InvalidRegimen
        """
        from metabolism.dosing.picture import picture

        ends = [h.end if math.isfinite(h.end) else h.start for h in self.holds if math.isfinite(h.start)]
        last = max([self._counted("plot").last_time, *ends]) if until is None else magnitude(until, "h", "until")
        shown = self.until(last * (1 + 1e-9) if until is None else last)
        return picture(shown.doses, shown.holds, last or 24.0, str(self))


def _typed(value: float | str, unit: str = "h") -> str:
    return value if isinstance(value, str) else f"{float(value)!r} {unit}"
