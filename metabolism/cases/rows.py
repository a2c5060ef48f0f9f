"""Study cases as data: read, check and refuse with file, row, column and remedy. The schema is in ``docs/cases.md``."""

from __future__ import annotations

import csv
import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from metabolism import units as quantities
from metabolism.cases import rows as fields
from metabolism.data import experiments_dir
from metabolism.dosing import Target, Treatment, read_match, read_population, read_treatment, substance
from metabolism.errors import InvalidValue, MetabolismError, UnitMismatch, UnknownName, UsageError
from metabolism.model import Model, bibliography, equations
from metabolism.simulation import METRICS, Metric
from metabolism.types import Array
from metabolism.units import magnitude, read_unit, registry

COLUMNS = (
    "case",
    "row",
    "study",
    "source",
    "population",
    "match",
    "interventions",
    "against",
    "reading",
    "observable",
    "unit",
    "metric",
    "observed",
    "low",
    "high",
    "role",
    "must_pass",
    "note",
)


#: Columns a file may leave out, or leave empty.
OPTIONAL = ("study", "population", "match", "interventions", "against", "observed", "must_pass", "note")


ROLES = ("calibration", "check")


_POINTS = 161


class InvalidCase(UsageError):
    """A case file that cannot be used: which file, row and column, and what to do."""


@dataclass(frozen=True)
class Arm:
    """One group of people: what they are like, the baseline they are matched to, and what is done to them."""

    population: Treatment
    targets: tuple[Target, ...]
    treatment: Treatment
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
        source, duplicate row, NaN. All problems found are listed; nothing is run.
    """
    files = [Path(p) for p in paths] if paths is not None else shipped()
    rows: list[Row] = []
    problems: list[str] = []
    seen: dict[str, str] = {}
    kinds: dict[str, tuple[str, bool]] = {}
    for path in files:
        for line, record in _records(path):
            builder = _Builder(model, path.name, line, record, problems)
            row = builder.row()
            name = record["row"]
            if name in seen:
                builder.problem("row", f"'{name}' is already used in {seen[name]}; give every row its own id")
            seen[name] = f"{path.name} line {line}"
            if row is not None:
                rows.append(row)
                if kinds.setdefault(row.case, (row.role, row.must_pass)) != (row.role, row.must_pass):
                    builder.problem(
                        "role", f"the rows of case '{row.case}' differ in role or must_pass; make them agree"
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
            found = list(reader.fieldnames or ())
            missing = [c for c in COLUMNS if c not in found and c not in OPTIONAL]
            unknown = [c for c in found if c not in COLUMNS]
            if len(found) == 1 and found[0].count(";") > 5:
                raise InvalidCase(f"{path.name} line 1: fields are separated by ';'; save the file with commas.")
            if unknown:
                raise InvalidCase(f"{path.name} line 1: {UnknownName('column', unknown[0], COLUMNS)}")
            if missing:
                raise InvalidCase(
                    f"{path.name} line 1: the column '{missing[0]}' is missing; columns are {', '.join(COLUMNS)}."
                )
            records = []
            for record in reader:
                if None in record or None in record.values():
                    raise InvalidCase(
                        f"{path.name} line {reader.line_num}: the line has more or fewer fields than there are columns; "
                        "put texts with a comma in quotation marks."
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

    def _try(self, column: str, read: Callable[[], Any], default: Any) -> Any:
        try:
            return read()
        except MetabolismError as error:
            self.problem(column, str(error))
            return default

    def row(self) -> Row | None:
        record = self.record
        for column in COLUMNS:
            if not record[column] and column not in OPTIONAL:
                remedy = "; give a BibTeX key, DOI, PMID or address" if column == "source" else "; see docs/cases.md"
                self.problem(column, f"is empty{remedy}")
        if not self.good:
            return None
        sources = self._try("source", lambda: fields.sources(record["source"]), ())
        metric = self._try("metric", lambda: fields.choice("metric", record["metric"], METRICS), None)
        arms = self._arms(metric)
        terms = self._try("observable", self._terms, ())
        times = self._try("reading", lambda: fields.reading(record["reading"], metric), ()) if metric else ()
        weight = arms[0].weight if arms else 70.0
        factor = 1.0
        if metric and terms:
            factor = self._try(
                "unit", lambda: fields.factor(record["unit"], metric, self.system.units, terms, weight), 1.0
            )
        low = self._try("low", lambda: fields.number(record["low"]), math.nan)
        high = self._try("high", lambda: fields.number(record["high"]), math.nan)
        if low > high:
            self.problem("low", f"the band {low:g} to {high:g} is upside down")
        observed = (
            self._try("observed", lambda: fields.number(record["observed"], False), 0.0)
            if record["observed"]
            else math.nan
        )
        role = self._try("role", lambda: fields.one_of("role", record["role"], ROLES), "")
        must = self._try(
            "must_pass", lambda: fields.one_of("must_pass", record["must_pass"] or "no", ("yes", "no")), ""
        )
        if not self.good:
            return None
        return Row(
            record["case"],
            record["row"],
            record["study"],
            sources,
            arms,
            times,
            terms,
            record["unit"],
            metric,
            factor,
            observed,
            low,
            high,
            role,
            must == "yes",
            record["note"],
            self.file,
            self.line,
            record,
        )

    def _arms(self, metric: Metric | None) -> tuple[Arm, ...]:
        record, table, known = self.record, self.model.table, self.system.parameters
        units = {n: self.system.units[n] for n in (*self.system.states, *self.system.computed)}
        found = self._try(
            "population", lambda: read_population(record["population"], table, known), (Treatment(), 70.0)
        )
        population, weight = found
        targets = self._try("match", lambda: read_match(record["match"], table, units, known), ())
        others = record["against"].split("|") if record["against"] else []
        texts = [("interventions", record["interventions"]), *(("against", o) for o in others)]
        arms = tuple(
            Arm(
                population, targets, self._try(c, partial(read_treatment, t, table, known, weight), Treatment()), weight
            )
            for c, t in texts
        )
        if metric and metric.arms and len(arms) != metric.arms:
            needs = "none" if metric.arms == 1 else f"{metric.arms - 1} separated by |"
            self.problem("against", f"'{record['metric']}' compares with {needs}, and {len(others)} given")
        if metric and not metric.arms and len(arms) < 2:
            self.problem("against", f"'{record['metric']}' needs at least one other arm")
        return arms

    def _terms(self) -> tuple[tuple[float, str], ...]:
        known = {*self.system.states, *self.system.computed}
        terms: list[tuple[float, str]] = []
        for sign, name in re.findall(r"([-+]?)\s*([^\s+-]+)", self.record["observable"]):
            if name not in known:
                raise UnknownName("observable", name, known, "List them with `metabolism list outputs`.")
            terms.append((-1.0 if sign == "-" else 1.0, name))
        if len({self.system.units[n] for _, n in terms}) != 1:
            raise UnitMismatch(f"'{self.record['observable']}' adds outputs of different units.")
        return tuple(terms)


#: A mass concentration is turned into an amount with this substance (the only one measured by mass).
WEIGHED = "methylcobalamin"


def sources(text: str) -> tuple[str, ...]:
    """Split a source into BibTeX keys and references with DOI, PMID or address; refuse a key that does not exist."""
    found = tuple(filter(None, (s.strip() for s in text.split(";"))))
    for source in found:
        outside = re.match(r"(doi:\s*10\.|10\.\d|pmid:?\s*\d|https?://)", source, re.IGNORECASE)
        if not outside and source not in bibliography():
            raise UnknownName(
                "reference",
                source,
                bibliography(),
                "Give a key of models/references.bib, or doi:..., PMID:..., https://...",
            )
    return found


def choice(kind: str, name: str, known: Mapping[str, Any]) -> Any:
    """Look up a name in a mapping; an unknown one is answered with all of them."""
    if name not in known:
        raise UnknownName(kind, name, known, f"Known: {', '.join(known)}.")
    return known[name]


def one_of(kind: str, name: str, known: Sequence[str]) -> str:
    """Return the name if it is one of a few."""
    if name not in known:
        raise InvalidValue(f"'{name}' is no {kind}; write {' or '.join(known)}.")
    return name


def number(text: str, infinite: bool = True) -> float:
    """Read a number; NaN is refused, infinity where it makes no sense."""
    value = quantities.number(text)
    if math.isnan(value) or (not infinite and math.isinf(value)):
        raise InvalidValue(f"'{text}' is not allowed; give a number{', inf or -inf' if infinite else ''}.")
    return value


def reading(text: str, metric: Metric) -> tuple[float, ...]:
    """Read the times of single readings, or begin and end of a window [h]."""
    if metric.needs == "window":
        parts = re.split(r"\s+to\s+", text)
        if len(parts) != 2:
            raise InvalidValue(f"this metric reads a window; write e.g. '0 h to 24 h', not '{text}'.")
        begin, end = (magnitude(p, "h", "reading") for p in parts)
        if not 0 <= begin < end:
            raise InvalidValue(f"the window '{text}' must begin at 0 h or later and end after it begins.")
        return begin, end
    if re.search(r"\sto\s", text):
        raise InvalidValue(f"this metric reads single times; write e.g. '12 weeks' or '0 h, 3 h, 6 h', not '{text}'.")
    times = tuple(0.0 if p.strip() == "rest" else magnitude(p, "h", "reading") for p in text.split(","))
    if any(t < 0 for t in times):
        raise InvalidValue(f"the reading '{text}' lies before time 0.")
    return times


def _pint(unit: str) -> Any:
    try:
        return registry().Quantity(1.0, read_unit(unit))
    except UnitMismatch:
        raise UnitMismatch(f"the unit '{unit}' cannot be read.") from None


def factor(
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
    target = _pint(unit)
    kg = registry().Quantity(weight, "kg")
    mass = registry().Quantity(substance(WEIGHED).molar_mass, "g/mol")
    weighed = all(name.startswith(("cbl_", "holo_")) for _, name in terms)
    for quantity in (source, source / kg, *([source * mass] if weighed else [])):
        if quantity.is_compatible_with(target.units):
            return float(quantity.to(target.units).magnitude)
    said = f"{model_unit} x h" if metric.unit == "x h" else metric.unit or f"{model_unit} (or that per kg body weight)"
    raise UnitMismatch(f"'{unit}' does not fit: this number is in {said}.")
