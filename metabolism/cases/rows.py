"""Study cases as data: read, check and refuse with file, row, column and remedy. The schema is in ``docs/cases.md``."""

from __future__ import annotations

import csv
import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from metabolism.data import experiments_dir
from metabolism.dosing import Hold, Regimen, Target, measured_as, read_match, read_population
from metabolism.errors import InvalidValue, MetabolismError, UnitMismatch, UnknownName, UsageError
from metabolism.model import Model, bibliography, equations
from metabolism.simulation import METRICS, Metric
from metabolism.types import Array
from metabolism.units import magnitude, number, read_unit, registry

COLUMNS = (
    *("case", "row", "study", "source", "population", "match", "interventions", "against", "reading", "observable"),
    *("unit", "metric", "observed", "low", "high", "role", "must_pass", "note", "mixture", "split"),
)


#: Columns a file must have and fill; the others may be left out, or left empty.
REQUIRED = ("case", "row", "source", "reading", "observable", "unit", "metric", "low", "high", "role")


ROLES = ("calibration", "check")


#: What a study is used for, and the role its rows have then. ``cross-validation``: fitted, and predicted by a fit that
#: has not seen it. ``check in view``: never fitted, but known while structure and cases were chosen.
SPLITS = {"fit": "calibration", "cross-validation": "calibration", "check": "check", "check in view": "check"}


#: Shortest fast before a fasting reading [h].
FAST = 8.0


#: Metrics of single readings that look back at the value before time 0, which must be fasting too.
_FROM_BEFORE = ("change", "percent_change", "fold", "increment_percent_change")


_POINTS = 161


_TIME = r"\d+(?:\.\d+)?(?:e[-+]?\d+)?\s*[a-zA-Z]+"


class InvalidCase(UsageError):
    """A case file that cannot be used: which file, row and column, and what to do."""


@dataclass(frozen=True)
class Member:
    """A share of the people of a study who are alike.

    Attributes
    ----------
    share : float
        Weight in the mean over the people; those of all members sum to one.
    population : Regimen
        What they are like, for life.
    targets : tuple of Target
        Baseline of this member alone.
    """

    share: float
    population: Regimen
    targets: tuple[Target, ...] = ()


@dataclass(frozen=True)
class Arm:
    """One group of people: who they are, the baseline their mean is matched to, and what is done to them.

    Attributes
    ----------
    targets : tuple of Target
        Met by the mean over the members, through inputs that all share.
    before : Regimen or None
        Under which baselines ``on treatment`` are met, just before time 0.
    weight : float
        Body weight [kg].
    """

    members: tuple[Member, ...]
    targets: tuple[Target, ...]
    before: Regimen | None
    treatment: Regimen
    weight: float


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
    terms : tuple of (sign, id)
        The observable as a sum of outputs.
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
        return np.asarray(begin + (end - begin) * np.linspace(0, 1, _POINTS) ** 2)

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
        with path.open(newline="", encoding="utf-8-sig") as handle:
            reader = csv.DictReader(handle)
            heads = list(reader.fieldnames or ())
            if len(heads) == 1 and heads[0].count(";") > 5:
                raise InvalidCase(f"{path.name} line 1: fields are separated by ';'; save the file with commas.")
            for head in heads:
                if head not in COLUMNS:
                    raise InvalidCase(f"{path.name} line 1: {UnknownName('column', head, COLUMNS)}")
                if heads.count(head) > 1:
                    raise InvalidCase(f"{path.name} line 1: the column '{head}' stands twice; keep one.")
            for column in REQUIRED:
                if column not in heads:
                    raise InvalidCase(
                        f"{path.name} line 1: the column '{column}' is missing; columns are {', '.join(COLUMNS)}."
                    )
            records = []
            for record in reader:
                if None in record or None in record.values():
                    raise InvalidCase(
                        f"{path.name} line {reader.line_num}: the line has more or fewer fields than there are "
                        "columns; put texts with a comma in quotation marks."
                    )
                records.append((reader.line_num, {c: (record.get(c) or "").strip() for c in COLUMNS}))
            return records
    except OSError as error:
        raise InvalidCase(f"the case file '{path}' cannot be read: {error.strerror or error}.") from None
    except (UnicodeDecodeError, csv.Error) as error:
        raise InvalidCase(f"{path.name} is not a CSV file in UTF-8 ({error}).") from None


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
        metric: Metric | None = self._try("metric", partial(_choice, "metric", METRICS), None)
        terms = self._try("observable", self._terms, ())
        arms = self._arms(metric)
        times, fast = self._try("reading", partial(_reading, metric=metric), ((), None)) if metric else ((), None)
        if metric and arms and fast is not None:
            arms = self._fasting(arms, times, fast)
        factor = 1.0
        if metric and terms:
            weight = arms[0].weight if arms else 70.0
            factor = self._try("unit", lambda u: _factor(u, metric, self.system.units, terms, weight), 1.0)
        low, high = (self._try(side, _number, math.nan) for side in ("low", "high"))
        if low > high:
            self.problem("low", f"the band {low:g} to {high:g} is upside down")
        observed = self._try("observed", lambda t: _number(t, False) if t else math.nan, math.nan)
        role = self._try("role", partial(_one_of, "role", ROLES), "")
        split, fixed = self._try("split", partial(_split, role=role), ("", ""))
        must = self._try("must_pass", lambda t: _one_of("must_pass", ("yes", "no"), t or "no"), "no") == "yes"
        sources = self._try("source", _sources, ())
        if metric is None or not self.good:
            return None
        return Row(
            case=record["case"],
            id=record["row"],
            study=record["study"],
            sources=sources,
            arms=arms,
            times=times,
            terms=terms,
            unit=record["unit"],
            metric=metric,
            factor=factor,
            observed=observed,
            low=low,
            high=high,
            role=role,
            must_pass=must,
            note=record["note"],
            split=split,
            fixed=fixed,
            file=self.file,
            line=self.line,
            text=record,
        )

    def _arms(self, metric: Metric | None) -> tuple[Arm, ...]:
        record = self.record
        population, weight = self._try("population", read_population, (Regimen(), 70.0))
        members = self._try("mixture", lambda t: self._members(t, population, weight), ())
        targets = self._try("match", self._targets, ())
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
            read = Regimen.parse(text.strip() or "none", weight)
            self._no_states(read.holds)
            return read

        def compared(text: str) -> list[Regimen]:
            return [treatment(t) for t in others]

        treatments = [
            self._try("interventions", treatment, Regimen()),
            *self._try("against", compared, [Regimen() for _ in others]),
        ]
        before = treatments[0] if any(t.treated for t in targets) else None
        arms = tuple(Arm(members, targets, before, t, weight) for t in treatments)
        if metric and metric.arms and len(arms) != metric.arms:
            needs = "none" if metric.arms == 1 else f"{metric.arms - 1} separated by |"
            self.problem("against", f"'{record['metric']}' compares with {needs}, and {len(others)} given")
        if metric and not metric.arms and len(arms) < 2:
            self.problem("against", f"'{record['metric']}' needs at least one other arm")
        return arms

    def _no_states(self, holds: Sequence[Hold]) -> None:
        state = next((h for h in holds if h.parameter not in self.system.parameters), None)
        if state:
            raise InvalidValue(
                f"'{state.origin or state.parameter}' sets {state.parameter}, which people start with; "
                "say it under 'population'."
            )

    def _targets(self, text: str) -> tuple[Target, ...]:
        units = {n: self.system.units[n] for n in (*self.system.states, *self.system.computed)}
        return read_match(text, units, self.system.parameters)

    def _members(self, text: str, population: Regimen, weight: float) -> tuple[Member, ...]:
        """Read a mixture: groups joined by ``&`` are independent of each other, members of a group by ``|``."""
        groups = [self._group(g.strip(), weight) for g in text.split("&")] if text else []
        members = []
        for chosen in product(*groups):
            holds = (*population.holds, *(h for m in chosen for h in m.population.holds))
            targets = tuple(t for m in chosen for t in m.targets)
            members.append(Member(math.prod(m.share for m in chosen), Regimen((), holds), targets))
        return tuple(members)

    def _group(self, text: str, weight: float) -> list[Member]:
        known = self.system.parameters
        spread = re.fullmatch(r"spread\s+(\w+)\s+(\d+(?:\.\d+)?)-fold", text)
        if spread:
            if spread[1] not in known:
                raise UnknownName("parameter", spread[1], known, "List them with `metabolism list parameters`.")
            if not 1 < float(spread[2]) <= 20:
                raise InvalidValue(f"'{text}': a geometric standard deviation lies above 1, at most 20; 1.5 is usual.")
            # three-point Gauss-Hermite quadrature of a normal logarithm
            steps = ((1 / 6, -math.sqrt(3)), (2 / 3, 0.0), (1 / 6, math.sqrt(3)))
            factors = [(share, float(spread[2]) ** z) for share, z in steps]
            return [Member(s, Regimen((), (Hold(spread[1], "x", f, -math.inf, math.inf),))) for s, f in factors]
        members = []
        for part in text.split("|"):
            found = re.fullmatch(r"(\d*\.?\d+)\s*(%?)\s+(\S.*)", part.strip())
            if not found:
                raise InvalidValue(
                    f"cannot read '{part.strip()}'; write a share and who it is, e.g. '0.88 none | 0.12 set "
                    "mthfr_677tt', or 'spread FOLATE_DIET_rate 1.5-fold'."
                )
            share = float(found[1]) / (100 if found[2] else 1)
            own = [p.strip() for p in found[3].split(";")]
            if any(p.startswith("weight") for p in own):
                raise InvalidValue(f"'{found[3]}': a weight is that of all; put it into 'population'.")
            held = "; ".join(p for p in own if " by " not in p)
            matched = "; ".join(p for p in own if " by " in p)
            holds = read_population("" if held == "none" else held)[0]
            members.append(Member(share, holds, self._targets(matched)))
        total = math.fsum(m.share for m in members)
        if not (abs(total - 1) <= 0.0051 and all(m.share > 0 for m in members)):
            nearest = " + ".join(f"{m.share / total:.3g}" for m in members) if total else "1"
            raise InvalidValue(
                f"the shares sum to {total:g}, not to one, or one is 0; the nearest that do are {nearest}."
            )
        return [Member(m.share / total, m.population, m.targets) for m in members]

    def _fasting(self, arms: tuple[Arm, ...], times: Sequence[float], fast: float) -> tuple[Arm, ...]:
        """Add the fasts a reading states (0 h: none), and refuse a fasting reading without one."""
        moments = sorted({*times, *([0.0] if self.record["metric"] in _FROM_BEFORE else [])})
        given = "; ".join(f"fasting from {t - fast!r} h for {fast!r} h" for t in moments) if fast else ""
        added = Regimen.parse(given or "none").holds
        fed: list[Arm] = []
        for place, arm in enumerate(arms):
            treatment = Regimen(arm.treatment.doses, (*arm.treatment.holds, *added))
            before = treatment if arm.before is not None and place == 0 else arm.before
            fed.append(Arm(arm.members, arm.targets, before, treatment, arm.weight))
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

    def _terms(self, text: str) -> tuple[tuple[float, str], ...]:
        known = {*self.system.states, *self.system.computed}
        terms: list[tuple[float, str]] = []
        for sign, name in re.findall(r"([-+]?)\s*([^\s+-]+)", text):
            if name not in known:
                raise UnknownName("observable", name, known, "List them with `metabolism list outputs`.")
            terms.append((-1.0 if sign == "-" else 1.0, name))
        if len({self.system.units[n] for _, n in terms}) != 1:
            raise UnitMismatch(f"'{text}' adds outputs of different units.")
        return tuple(terms)


def _sources(text: str) -> tuple[str, ...]:
    """Split a source into BibTeX keys and references with DOI, PMID or address; refuse a key that does not exist."""
    cited = tuple(filter(None, (s.strip() for s in text.split(";"))))
    for source in cited:
        outside = re.match(r"(doi:\s*10\.|10\.\d|pmid:?\s*\d|https?://)", source, re.IGNORECASE)
        if not outside and source not in bibliography():
            raise UnknownName(
                "reference",
                source,
                bibliography(),
                "Give a key of models/references.bib, or doi:..., PMID:..., https://...",
            )
    return cited


def _choice(kind: str, known: Mapping[str, Any], name: str) -> Any:
    """Look up a name in a mapping; an unknown one is answered with all of them."""
    if name not in known:
        raise UnknownName(kind, name, known, f"Known: {', '.join(known)}.")
    return known[name]


def _one_of(kind: str, known: Sequence[str], name: str) -> str:
    """Return the name if it is one of a few."""
    if name not in known:
        raise InvalidValue(f"'{name}' is no {kind}; write {' or '.join(known)}.")
    return name


def _number(text: str, infinite: bool = True) -> float:
    """Read a number; NaN is refused, infinity where it makes no sense."""
    value = number(text)
    if math.isnan(value) or (not infinite and math.isinf(value)):
        raise InvalidValue(f"'{text}' is not allowed; give a number{', inf or -inf' if infinite else ''}.")
    return value


def _split(text: str, role: str) -> tuple[str, str]:
    """Read ``cross-validation 2026-11-29``: what a study is used for, and the day that was fixed."""
    if not text:
        return "", ""
    split, _, day = text.rpartition(" ")
    if split not in SPLITS:
        raise InvalidValue(
            f"'{text}' is no split; write {', '.join(SPLITS)}, and the day it was fixed: 'fit 2026-11-29'."
        )
    try:
        fixed = date.fromisoformat(day)
    except ValueError:
        raise InvalidValue(f"'{day}' is no day; write year-month-day, e.g. '{split} 2026-11-29'.") from None
    if role and SPLITS[split] != role:
        raise InvalidValue(f"a study to '{split}' has rows of role {SPLITS[split]}, and this one says {role}.")
    return split, fixed.isoformat()


def _reading(text: str, metric: Metric) -> tuple[tuple[float, ...], float | None]:
    """Read times [h], or begin and end of a window; and the fast [h] (0: given elsewhere, None: none)."""
    plain = re.sub(rf"[,\s]*\bfasting\b(\s+for\s+{_TIME})?[,\s]*", "", text).strip() or "rest"
    stated = re.search(rf"\bfasting\b(?:\s+for\s+({_TIME}))?", text)
    fast = None if not stated else magnitude(stated[1], "h", "fasting") if stated[1] else 0.0
    if metric.needs == "window":
        parts = re.split(r"\s+to\s+", plain)
        if len(parts) != 2 or stated:
            raise InvalidValue(f"this metric reads a window; write e.g. '0 h to 24 h', not '{text}'.")
        begin, end = map(_time, parts)
        if not 0 <= begin < end:
            raise InvalidValue(f"the window '{text}' must begin at 0 h or later and end after it begins.")
        return (begin, end), None
    if re.search(r"\sto\s", plain):
        raise InvalidValue(f"this metric reads single times; write e.g. '12 weeks' or '0 h, 3 h, 6 h', not '{text}'.")
    times = tuple(0.0 if p.strip() == "rest" else _time(p) for p in plain.split(","))
    if any(t < 0 for t in times):
        raise InvalidValue(f"the reading '{text}' lies before time 0.")
    return times, fast


def _time(text: str) -> float:
    if not re.fullmatch(rf"[-+]?{_TIME}", text.strip()):
        raise InvalidValue(
            f"cannot read the time '{text.strip()}'; write a number and its unit, e.g. '1.5 h' or '12 weeks'."
        )
    return magnitude(text.strip(), "h", "reading")


def _pint(unit: str) -> Any:
    try:
        return registry().Quantity(1.0, read_unit(unit))
    except UnitMismatch:
        raise UnitMismatch(f"the unit '{unit}' cannot be read.") from None


def _factor(
    unit: str, metric: Metric, units: Mapping[str, str], terms: Sequence[tuple[float, str]], weight: float
) -> float:
    """Return the factor from a metric in model units to the row's unit; NaN for ``% of dose``.

    Parameters
    ----------
    units : mapping of str to str
        Model unit of every output.
    terms : sequence of (sign, id)
        The observable.
    weight : float
        Body weight for units per kg [kg].

    Raises
    ------
    UnitMismatch
    """
    model_unit = units[terms[0][1]]
    if unit == "% of dose":
        if metric.unit or model_unit != "umol":
            raise UnitMismatch(
                "'% of dose' needs an amount such as cbl_urine, and a metric with the unit of the observable."
            )
        return math.nan
    source = _pint(model_unit)
    if metric.unit == "x h":
        source = source * registry().Quantity(1.0, "hour")
    elif metric.unit:
        source = _pint(metric.unit)
    target, readable = _pint(unit), [source, source / registry().Quantity(weight, "kg")]
    masses = {weighed.molar_mass if (weighed := measured_as(name)) else math.nan for _, name in terms}
    if len(masses) == 1 and not math.isnan(mass := masses.pop()):
        readable.append(source * registry().Quantity(mass, "g/mol"))
    for quantity in readable:
        if quantity.is_compatible_with(target.units):
            return float(quantity.to(target.units).magnitude)
    said = f"{model_unit} x h" if metric.unit == "x h" else metric.unit or f"{model_unit} (or that per kg body weight)"
    raise UnitMismatch(f"'{unit}' does not fit: this number is in {said}.")
