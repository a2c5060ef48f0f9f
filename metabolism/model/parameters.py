"""The one table of numbers, and the named sets that override it.

`models/parameters.csv` holds every number of the model with unit, bounds and source (PEtab column names
first). `models/sets/*.csv` hold overrides such as ``als_patient``. Nothing else in the package reads them.
"""

import csv
import io
import logging
import math
import warnings
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Any

from metabolism.data import models_dir
from metabolism.errors import Implausible, InvalidValue, ModelError, UnknownName
from metabolism.files import write_text
from metabolism.tables import read_table
from metabolism.units import magnitude

_log = logging.getLogger("metabolism")

#: Kinds that appear as symbols of the equations; the others only describe cohorts or the reference state.
MODEL_KINDS = frozenset(
    {"volume", "initial", "Vmax", "Km", "Ki", "rate", "clearance", "exponent", "fraction", "scale", "input"}
)

OTHER_KINDS = frozenset({"reference", "population"})

_HEAD = """parameterId,parameterName,nominalValue,lowerBound,upperBound,estimate,priorDistribution,priorParameters,
unit,module,kind,source,locator,confidence,derivation,scale,note"""

#: Columns of ``models/parameters.csv``; the first eight are those of a PEtab parameter table.
COLUMNS = tuple(_HEAD.replace("\n", "").split(","))


@dataclass(frozen=True)
class Parameter:
    """One number of the model: a parameter, a compartment size or an initial value; its fields are `COLUMNS`.

    Attributes
    ----------
    value, lower, upper : float
        Nominal value and bounds, in `unit`.
    source : str
        BibTeX keys separated by ``;``, ``assumed`` or ``derived``; ``fit:<id>`` first where a fit gave the value.
    confidence : str
        A (human, direct) to D (no measurement, or no traceable source); empty where the value is assumed.
    derivation : str
        Arithmetic that gives the value: ``= expression`` or ``flux(REACTION) = expression``.
    scale : float
        Physiological size used for solver tolerances [unit].
    """

    id: str
    name: str
    value: float
    lower: float
    upper: float
    estimate: bool
    prior: str
    prior_parameters: str
    unit: str
    module: str
    kind: str
    source: str
    locator: str
    confidence: str
    derivation: str
    scale: float
    note: str

    @property
    def keys(self) -> tuple[str, ...]:
        """BibTeX keys of the source; empty when the value is assumed, derived or fitted."""
        return tuple(k for k in self.source.split(";") if k not in ("assumed", "derived") and not k.startswith("fit:"))

    @property
    def most(self) -> float:
        """Largest value that can be meant [unit]: the bound of a share, ten times that of anything else."""
        return self.upper if self.kind == "fraction" else 10 * max(self.upper, abs(self.value))


class ParameterTable(Mapping[str, Parameter]):
    """All parameters by id, in file order."""

    def __init__(self, rows: Mapping[str, Parameter]) -> None:
        self._rows = dict(rows)

    def __getitem__(self, key: str) -> Parameter:
        try:
            return self._rows[key]
        except KeyError:
            raise UnknownName("parameter", key, self._rows, "List them with `metabolism list parameters`.") from None

    def __contains__(self, key: object) -> bool:
        return key in self._rows

    def __iter__(self) -> Iterator[str]:
        return iter(self._rows)

    def __len__(self) -> int:
        return len(self._rows)

    def __repr__(self) -> str:
        return f"<ParameterTable: {len(self)} rows; `Model.parameters` shows them>"

    # one table is one object, so that what is compiled from it can be kept
    __hash__ = object.__hash__
    __eq__ = object.__eq__

    def of(self, *, kind: str | None = None, module: str | None = None) -> list[Parameter]:
        """Return the rows of one kind and/or module.

        >>> [p.id for p in parameter_table().of(kind="exponent", module="motor_neuron")][:1]
        ['MN_gamma']
        """
        return [p for p in self.values() if kind in (None, p.kind) and module in (None, p.module)]

    @cached_property
    def symbols(self) -> dict[str, Parameter]:
        """The rows that appear as symbols of the equations, in file order."""
        return {k: p for k, p in self.items() if p.kind in MODEL_KINDS}


@dataclass(frozen=True)
class ParameterSet:
    """A named override: values in model units and where they come from."""

    name: str
    values: Mapping[str, float]
    rows: tuple[Mapping[str, str], ...]


def read_parameters(path: Path) -> ParameterTable:
    """Read a parameter table.

    Raises
    ------
    ModelError
        For wrong columns, a duplicate id, an unknown kind or a value that is not a finite number.
    """
    with path.open(newline="", encoding="utf-8") as handle:
        reader = csv.DictReader(handle)
        if tuple(reader.fieldnames or ()) != COLUMNS:
            raise ModelError(f"{path.name}: columns must be {', '.join(COLUMNS)}.")
        rows: dict[str, Parameter] = {}
        for line, row in enumerate(reader, start=2):
            key = row["parameterId"]
            if key in rows:
                raise ModelError(f"{path.name} line {line}: '{key}' appears twice; keep one row.")
            if row["kind"] not in MODEL_KINDS | OTHER_KINDS:
                raise ModelError(f"{path.name} line {line}: kind '{row['kind']}' of '{key}' is not known.")
            try:
                numbers = {c: float(row[c]) for c in ("nominalValue", "lowerBound", "upperBound")}
                numbers["scale"] = float(row["scale"]) if row["scale"] else (abs(numbers["nominalValue"]) or 1.0)
            except ValueError as error:
                raise ModelError(f"{path.name} line {line}: '{key}': {error}.") from None
            if not all(map(math.isfinite, numbers.values())):
                raise ModelError(f"{path.name} line {line}: '{key}' is not finite.")
            cells: dict[str, Any] = {**row, **numbers, "estimate": row["estimate"] == "1"}
            rows[key] = Parameter(*(cells[c] for c in COLUMNS))
    return ParameterTable(rows)


@cache
def parameter_table() -> ParameterTable:
    """Return the shipped parameter table (read once per process)."""
    return read_parameters(models_dir() / "parameters.csv")


def write_rows(rows: Iterable[Mapping[str, str]]) -> None:
    """Replace the rows of the shipped parameter table: all of them, or, if one cannot be written, none."""
    path = models_dir() / "parameters.csv"
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_text(path, text.getvalue())
    parameter_table.cache_clear()


def set_names() -> list[str]:
    """Return the names of all shipped parameter sets."""
    return sorted(p.stem for p in (models_dir() / "sets").glob("*.csv"))


def read_set(name: str) -> ParameterSet:
    """Read one named set of overrides.

    Raises
    ------
    UnknownName
        If there is no such set, or a row names an unknown parameter.

    Examples
    --------
    >>> "als_patient" in set_names(), read_set("als_patient").values["motor_units"] < 1
    (True, True)
    """
    path = models_dir() / "sets" / f"{name}.csv"
    if name not in set_names():
        raise UnknownName("parameter set", name, set_names(), "List them with `metabolism list sets`.")
    table = parameter_table()
    values: dict[str, float] = {}
    rows = read_table(path, ("parameterId", "value", "unit", "source", "locator", "note"))
    for row in rows:
        parameter = table[row["parameterId"]]
        if parameter.id in values:
            raise ModelError(f"{path.name}: '{parameter.id}' appears twice; keep one row.")
        values[parameter.id] = magnitude(f"{row['value']} {row['unit']}", parameter.unit, parameter.id)
    return ParameterSet(name, values, tuple(rows))


def check_value(parameter: Parameter, value: float | str) -> float:
    """Convert a value to the parameter's unit, remark on one outside its bounds, and refuse what cannot be.

    Anything but a share above ten times its bound is an `Implausible`: warned of, and refused by the command line.

    Raises
    ------
    InvalidValue
        If the value is not finite, negative where its bounds are not, or a share above its bound.

    Examples
    --------
    >>> check_value(parameter_table()["hcy_plasma"], "12 nM")
    0.012
    """
    number = magnitude(value, parameter.unit, parameter.id)
    if number < min(parameter.lower, 0):
        raise InvalidValue(f"{parameter.id} = {value} is too low; give a value >= {min(parameter.lower, 0):g}.")
    if not parameter.lower <= number <= parameter.upper:
        span = f"{parameter.id} = {number:g} lies outside its bounds of {parameter.lower:g} to {parameter.upper:g}"
        where = f"see `metabolism show {parameter.id}`."
        far = f"{span}, further than can be meant; {where}"
        # the motor units that are left begin as a share, too
        share = parameter.kind == "fraction" or (parameter.kind == "initial" and parameter.upper == 1)
        if share and number > parameter.upper:
            raise InvalidValue(far)
        if number > parameter.most:
            warnings.warn(Implausible(far), stacklevel=3)
        else:
            _log.warning("%s; %s", span, where)
    return number
