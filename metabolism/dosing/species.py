"""Doses and changes by the ids of a model, for models whose substances have no entry in the formulary."""

from __future__ import annotations

import math
import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from metabolism.engines import Plan
from metabolism.errors import InvalidRegimen

NONE = "no doses"
_NUMBER = r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?"
_DOSE = re.compile(rf"({_NUMBER})\s+(\w+)\s+at\s+({_NUMBER})(?:\s+every\s+({_NUMBER})\s+x\s+(\d+))?")
_CHANGE = re.compile(rf"(\w+)\s*=\s*({_NUMBER})\s+from\s+({_NUMBER})(?:\s+to\s+({_NUMBER}))?")


@dataclass(frozen=True)
class Schedule:
    """What is added to species, and what parameters are set to, and when.

    Attributes
    ----------
    doses : tuple of (time, species, amount)
        [time unit, amount unit of the model]
    changes : tuple of (begin, end, parameter, value)
        A parameter held at a value; the end may be infinite.
    """

    doses: tuple[tuple[float, str, float], ...] = ()
    changes: tuple[tuple[float, float, str, float], ...] = ()
    start = 0.0

    @classmethod
    def parse(cls, text: str) -> Schedule:
        """Read ``AMOUNT SPECIES at TIME [every TIME x NUMBER]`` and ``PARAMETER = VALUE from TIME [to TIME]``.

        Raises
        ------
        InvalidRegimen

        Examples
        --------
        >>> schedule = Schedule.parse("5 S1 at 0 every 12 x 2; k1 = 0 from 10 to 20")
        >>> schedule.doses, schedule.changes
        (((0.0, 'S1', 5.0), (12.0, 'S1', 5.0)), ((10.0, 20.0, 'k1', 0.0),))
        """
        doses: list[tuple[float, str, float]] = []
        changes = []
        for part in filter(None, map(str.strip, text.replace(NONE, "").split(";"))):
            if found := _DOSE.fullmatch(part):
                amount, species, begin, every, count = found.groups()
                steps = range(int(count or 1))
                doses += [(float(begin) + i * float(every or 0), species, float(amount)) for i in steps]
            elif found := _CHANGE.fullmatch(part):
                name, value, begin, end = found.groups()
                changes.append((float(begin), float(end or "inf"), name, float(value)))
            else:
                raise InvalidRegimen(
                    f"'{part}' cannot be read; write doses as '5 S1 at 0 every 12 x 14' and changes as "
                    "'k1 = 0 from 10 to 20', with ';' between them."
                )
        return cls(tuple(doses), tuple(changes))

    @classmethod
    def of(cls, given: Schedule | str | Sequence[tuple[float, str, float]] | None) -> Schedule:
        """Make a schedule of a text, or of rows ``(time, species, amount)``."""
        if isinstance(given, Schedule):
            return given
        if isinstance(given, str):
            return cls.parse(given)
        return cls(tuple((float(time), str(species), float(amount)) for time, species, amount in given or ()))

    @property
    def background(self) -> Schedule:
        """What remains in the arm without doses."""
        return Schedule(changes=self.changes)

    def plan(self, end: float) -> Plan:
        """Return the steps of a run from 0 to `end`.

        Raises
        ------
        InvalidRegimen
            If something lies outside the run, a dose is negative, or two changes of a parameter overlap.
        """
        boluses: dict[tuple[float, str], list[float]] = defaultdict(list)
        asked: dict[str, list[float]] = defaultdict(list)
        for time, species, amount in self.doses:
            if not (0 <= time < end and 0 <= amount < math.inf):
                raise InvalidRegimen(f"{amount:g} of {species} at {time:g}: a dose is 0 or more, within 0 to {end:g}.")
            boluses[time, species].append(amount)
            asked[species].append(amount)
        settings: dict[tuple[float, str], tuple[float, float]] = {}
        free: dict[str, float] = {}
        for begin, stop, name, value in sorted(self.changes):
            if not free.get(name, 0.0) <= begin < min(stop, end):
                raise InvalidRegimen(
                    f"{name} = {value:g} from {begin:g} to {stop:g} overlaps another or the end {end:g}."
                )
            settings[begin, name], free[name] = (0.0, value), stop
            if stop < end:
                settings[stop, name] = (1.0, 0.0)
        times = {t for t, _ in [*boluses, *settings]}
        return Plan(
            tuple((t, s, math.fsum(a)) for (t, s), a in sorted(boluses.items())),
            tuple((t, n, *how) for (t, n), how in sorted(settings.items())),
            {s: math.fsum(a) for s, a in asked.items()},
            {},
            tuple(sorted(t for t in times if 0 < t < end)),
        )

    def __str__(self) -> str:
        given = [f"{amount!r} {species} at {time!r}" for time, species, amount in self.doses]
        for begin, end, name, value in self.changes:
            given.append(f"{name} = {value!r} from {begin!r}" + (f" to {end!r}" if end < math.inf else ""))
        return "; ".join(given) or NONE
