"""Study cases as data: read, check and refuse with file, row, column and remedy. The schema is in ``docs/cases.md``."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from metabolism.cases.cells import bounded, one_from, one_of, read_reading, read_sources, read_split, unit_factor
from metabolism.cases.metrics import METRICS, Metric
from metabolism.cases.people import Arm, read_baseline, read_changes, read_members, read_population
from metabolism.data import experiments_dir
from metabolism.dosing import Regimen
from metabolism.errors import InvalidValue, MetabolismError, UnitMismatch, UnknownName, UsageError
from metabolism.model import Model, equations
from metabolism.tables import read_table
from metabolism.types import Array

COLUMNS = (
    *("case", "row", "study", "source", "population", "match", "interventions", "against", "reading", "observable"),
    *("unit", "metric", "observed", "low", "high", "role", "must_pass", "note", "mixture", "split"),
)

#: Columns a file must have and fill; the others may be left out, or left empty.
REQUIRED = ("case", "row", "source", "reading", "observable", "unit", "metric", "low", "high", "role")

ROLES = ("calibration", "check")

#: Shortest fast before a fasting reading [h].
FAST = 8.0

#: Metrics of single readings that look back at the value before time 0, which must be fasting too.
_FROM_BEFORE = ("change", "percent_change", "fold", "increment_percent_change")


class InvalidCase(UsageError):
    """A case file that cannot be used: which file, row and column, and what to do."""


@dataclass(frozen=True, eq=False)
class Row:
    """One number of one study.

    Attributes
    ----------
    sources : tuple of str
        BibTeX keys, or references with a DOI, PMID or address.
    arms : tuple of Arm
        The arm itself, then those it is compared with.
    times : tuple of float
        Reading times [h], or the begin and end of a window.
    terms, below : tuple of (sign, id)
        The observable as a sum of outputs, over another sum where it is a ratio.
    unit, observed, low, high
        Unit of the number, the published value (NaN if none is given) and its acceptance band.
    factor : float
        From model units to `unit`; NaN for ``% of dose``, which depends on the dose given.
    split : str
        One of `SPLITS`, or empty where the file does not say.
    fixed : str
        Day the split was fixed, ISO.
    """

    case: str
    id: str
    study: str
    sources: tuple[str, ...]
    arms: tuple[Arm, ...]
    times: tuple[float, ...]
    terms: tuple[tuple[float, str], ...]
    below: tuple[tuple[float, str], ...]
    unit: str
    metric: Metric
    factor: float
    observed: float
    low: float
    high: float
    role: str
    must_pass: bool
    note: str
    split: str
    fixed: str
    file: str
    line: int
    text: Mapping[str, str]

    @property
    def window(self) -> bool:
        """Whether the metric reads a window instead of single times."""
        return self.metric.needs == "window"

    @property
    def grid(self) -> Array:
        """Times the curves of this row are needed at [h]: dense at the begin of a window."""
        if not self.window:
            return np.array(self.times)
        begin, end = self.times
        return np.asarray(begin + (end - begin) * np.linspace(0, 1, 161) ** 2)

    @property
    def publication(self) -> str:
        """The study as one publication: its first source, or its title where that is a mere assumption."""
        return self.study if self.sources[0] == "Assumed" and self.study else self.sources[0]

    @property
    def limit(self) -> bool:
        """Whether the row has no published value, or only a limit: a value at an edge of an open band."""
        return not (self.low < self.observed < self.high)

    def where(self, column: str) -> str:
        """Say file, row and column."""
        return f"{self.file} line {self.line} (row {self.id}), column '{column}'"


def shipped() -> list[Path]:
    """Return the case files that come with the package."""
    return sorted((experiments_dir() / "cases").glob("*.csv"))


def read_cases(model: Model, paths: Iterable[str | Path] | None = None) -> list[Row]:
    """Read case files.

    Parameters
    ----------
    model : Model
        Supplies the names and units that cases may use.
    paths : iterable of path, optional
        All shipped files by default.

    Raises
    ------
    InvalidCase
        For a file that cannot be read, wrong columns, or any wrong entry: unknown name, unit mismatch, missing
        source, duplicate row, NaN, shares that do not sum to one, a study in two splits. All problems found are
        listed; nothing is run.
    """
    files = [Path(p) for p in paths] if paths is not None else shipped()
    rows: list[Row] = []
    problems: list[str] = []
    seen: dict[str, str] = {}
    kinds: dict[str, tuple[str, bool]] = {}
    splits: dict[str, Row] = {}
    for path in files:
        for line, record in _records(path):
            builder = _Builder(model, path.name, line, record, problems)
            row = builder.row()
            name = record["row"]
            if name in seen:
                builder.problem("row", f"'{name}' is already used in {seen[name]}; give every row its own id")
            seen[name] = f"{path.name} line {line}"
            if row is None:
                continue
            rows.append(row)
            if kinds.setdefault(row.case, (row.role, row.must_pass)) != (row.role, row.must_pass):
                builder.problem("role", f"the rows of case '{row.case}' differ in role or must_pass; make them agree")
            for study in {row.publication, row.study} - {""} if row.split else ():
                first = splits.setdefault(study, row)
                if first.split != row.split:
                    builder.problem(
                        "split",
                        f"the study '{study}' is '{row.split}' here and '{first.split}' in {first.file} line "
                        f"{first.line} (row {first.id}); a study is in one split",
                    )
    if problems:
        more = f" ... and {len(problems) - 8} more problems" if len(problems) > 8 else ""
        raise InvalidCase(" | ".join(problems[:8]) + more)
    if not rows:
        raise InvalidCase(f"{', '.join(p.name for p in files)}: there is no row to run; see docs/cases.md.")
    return rows


def _records(path: Path) -> list[tuple[int, dict[str, str]]]:
    try:
        table = read_table(path, REQUIRED, known=COLUMNS)
    except UsageError as error:
        raise InvalidCase(str(error)) from None
    return [(line.number, {c: line.get(c, "").strip() for c in COLUMNS}) for line in table]


class _Builder:
    """Turns one record into a row and notes every problem with its place."""

    def __init__(self, model: Model, file: str, line: int, record: dict[str, str], problems: list[str]) -> None:
        self.model, self.file, self.line, self.record, self.problems = model, file, line, record, problems
        self.system = equations(model)
        self.good = True

    def problem(self, column: str, text: str) -> None:
        self.good = False
        self.problems.append(
            f"{self.file} line {self.line} (row {self.record['row'] or '?'}), column '{column}': {text.rstrip('.')}."
        )

    def _try(self, column: str, read: Callable[[str], Any], default: Any) -> Any:
        """Read a column; a problem is noted, and the default stands in so that the other columns are read too."""
        try:
            return read(self.record[column])
        except MetabolismError as error:
            self.problem(column, str(error))
            return default

    def row(self) -> Row | None:
        record = self.record
        for column in REQUIRED:
            if not record[column]:
                remedy = "; give a BibTeX key, DOI, PMID or address" if column == "source" else "; see docs/cases.md"
                self.problem(column, f"is empty{remedy}")
        if not self.good:
            return None
        metric: Metric | None = self._try("metric", partial(one_from, "metric", METRICS), None)
        terms, below = self._try("observable", self._ratio, ((), ()))
        arms = self._arms(metric)
        times, fast = self._try("reading", partial(read_reading, metric=metric), ((), None)) if metric else ((), None)
        if metric and arms and fast is not None:
            arms = self._fasting(arms, times, fast)
        factor = 1.0
        if metric and terms:
            weight = arms[0].weight if arms else 70.0
            factor = self._try("unit", lambda u: unit_factor(u, metric, self.system.units, terms, below, weight), 1.0)
        low, high = (self._try(side, bounded, math.nan) for side in ("low", "high"))
        if low > high:
            self.problem("low", f"the band {low:g} to {high:g} is upside down")
        observed = self._try("observed", lambda t: bounded(t, False) if t else math.nan, math.nan)
        role = self._try("role", partial(one_of, "role", ROLES), "")
        split, fixed = self._try("split", partial(read_split, role=role), ("", ""))
        must = self._try("must_pass", lambda t: one_of("must_pass", ("yes", "no"), t or "no"), "no") == "yes"
        sources = self._try("source", read_sources, ())
        if metric is None or not self.good:
            return None
        said = (
            record["case"],
            record["row"],
            record["study"],
            sources,
            arms,
            times,
            terms,
            below,
            record["unit"],
            metric,
        )
        asked = (factor, observed, low, high, role, must, record["note"], split, fixed)
        return Row(*said, *asked, self.file, self.line, record)

    def _arms(self, metric: Metric | None) -> tuple[Arm, ...]:
        record = self.record
        population, weight = self._try("population", read_population, (Regimen(), 70.0))
        members = self._try("mixture", lambda t: read_members(t, population, self.system), ())
        targets = self._try("match", lambda t: read_baseline(t, self.system), ())
        shared = {t.parameter for t in targets}
        for target in (t for m in members for t in m.targets):
            if target.parameter in shared or target.treated:
                self.problem(
                    "mixture",
                    f"'{target.text} by {target.parameter}': a member's own baseline is at rest, by an input "
                    "of its own; put what all share, or is measured on treatment, into 'match'",
                )
        others = record["against"].split("|") if record["against"] else []

        def treatment(text: str) -> Regimen:
            read = read_changes(text.strip() or "none", weight)
            state = next((h for h in read.holds if h.parameter not in self.system.parameters), None)
            if state:
                raise InvalidValue(
                    f"'{state.origin or state.parameter}' sets {state.parameter}, which people start with; "
                    "say it under 'population'."
                )
            return read

        compared = self._try("against", lambda _: [*map(treatment, others)], [Regimen() for _ in others])
        treatments = [self._try("interventions", treatment, Regimen()), *compared]
        before = treatments[0] if any(t.treated for t in targets) else None
        arms = tuple(Arm(members, targets, before, t, weight) for t in treatments)
        if metric and metric.arms and len(arms) != metric.arms:
            needs = {1: "no other arm", 2: "one other arm"}.get(metric.arms, f"{metric.arms - 1} arms, with | between")
            self.problem("against", f"'{record['metric']}' compares with {needs}, and {len(others)} given")
        if metric and not metric.arms and len(arms) < 2:
            self.problem("against", f"'{record['metric']}' needs at least one other arm")
        return arms

    def _fasting(self, arms: tuple[Arm, ...], times: Sequence[float], fast: float) -> tuple[Arm, ...]:
        """Add the fasts a reading states (0 h: none), and refuse a fasting reading without one."""
        moments = sorted({*times, *([0.0] if self.record["metric"] in _FROM_BEFORE else [])})
        given = "; ".join(f"fasting from {t - fast!r} h for {fast!r} h" for t in moments) if fast else ""
        added = Regimen.parse(given or "none").holds
        fed: list[Arm] = []
        for place, arm in enumerate(arms):
            treatment = Regimen(arm.treatment.doses, (*arm.treatment.holds, *added))
            before = treatment if arm.before is not None and place == 0 else arm.before
            fed.append(replace(arm, before=before, treatment=treatment))
            for t in moments:
                starts = [h.start for h in treatment.holds if h.origin == "fasting" and h.start < t <= h.end]
                length = t - min(starts, default=t)
                if length < FAST:
                    self.problem(
                        "reading",
                        f"'{self.record['reading']}' is fasting, and at {t:g} h arm {place + 1} "
                        + (f"has fasted for {length:g} h" if starts else "has not fasted")
                        + f"; nearest is a fast of {FAST:g} h: write e.g. 'fasting for 12 h' here, or 'fasting from "
                        f"{t - 12:g} h for 12 h' under interventions",
                    )
                    break
        return tuple(fed)

    def _ratio(self, text: str) -> tuple[tuple[tuple[float, str], ...], ...]:
        """Read a sum of outputs, or one sum over another."""
        above, *below = text.split("/")
        if len(below) > 1:
            raise InvalidValue(f"'{text}' has more than one '/'; write e.g. 'sam_plasma / sah_plasma'.")
        return self._terms(above), self._terms(below[0]) if below else ()

    def _terms(self, text: str) -> tuple[tuple[float, str], ...]:
        known = {*self.system.states, *self.system.computed}
        terms: list[tuple[float, str]] = []
        if not re.search(r"[^\s+-]", text):
            raise InvalidValue("an output is missing; write e.g. 'hcy_plasma' or 'sam_plasma / sah_plasma'.")
        for sign, name in re.findall(r"([-+]?)\s*([^\s+-]+)", text):
            if name not in known:
                raise UnknownName("observable", name, known, "List them with `metabolism list outputs`.")
            terms.append((-1.0 if sign == "-" else 1.0, name))
        if len({self.system.units[n] for _, n in terms}) != 1:
            raise UnitMismatch(f"'{text}' adds outputs of different units.")
        return tuple(terms)
