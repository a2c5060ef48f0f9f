"""Designs: which parameter values each run of a sweep takes, produced chunk by chunk and never all at once.

A design is anything with `columns`, a length, `rows(begin, end)` and a `digest` of its contents. `as_design` makes
one from what users have at hand: a mapping of values (a grid), a table of samples, draws of a posterior, a cohort, or
a Parquet file.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from metabolism.errors import InvalidValue, UnknownName, UsageError
from metabolism.tables import check_head, column, left_out, read_table
from metabolism.types import Array

if TYPE_CHECKING:
    import pandas as pd


#: Rows read at a time when a design is checked or hashed.
_BLOCK = 65_536


class Design(Protocol):
    """What a sweep needs to know of its inputs."""

    @property
    def columns(self) -> tuple[str, ...]:
        """Parameter ids."""

    @property
    def kind(self) -> str:
        """One word for the manifest."""

    @property
    def digest(self) -> str:
        """SHA-256 of names and values."""

    def __len__(self) -> int:
        """Return the number of runs."""

    def rows(self, begin: int, end: int) -> Array:
        """Return runs `begin` to `end` (excluded), shape (runs, columns) [model units]."""


@dataclass(frozen=True)
class Grid:
    """Every combination of some values, the last parameter varying fastest; computed from the row number.

    Attributes
    ----------
    values : mapping of str to tuple of float
        Values of each parameter [model units].
    """

    values: Mapping[str, tuple[float, ...]]
    kind = "grid"

    def __post_init__(self) -> None:
        if not self.values:
            raise InvalidValue("a grid needs at least one parameter with values.")
        for name, values in self.values.items():
            if not len(values):
                raise InvalidValue(f"the grid has no values for '{name}'.")

    @property
    def columns(self) -> tuple[str, ...]:
        """Parameter ids."""
        return tuple(self.values)

    @property
    def shape(self) -> tuple[int, ...]:
        """Number of values of each parameter."""
        return tuple(len(v) for v in self.values.values())

    @property
    def digest(self) -> str:
        """SHA-256 of names and values."""
        return _sha256([self.kind, [[k, [float(x).hex() for x in v]] for k, v in self.values.items()]])

    def __len__(self) -> int:
        return math.prod(self.shape)

    def rows(self, begin: int, end: int) -> Array:
        """Return runs `begin` to `end` (excluded), shape (runs, columns)."""
        places = np.unravel_index(np.arange(begin, end), self.shape)
        values = self.values.values()
        return np.column_stack([np.asarray(v, dtype=float)[i] for v, i in zip(values, places, strict=True)])


@dataclass(frozen=True, eq=False)
class Table:
    """Values of each run held in memory: samples, posterior draws, patients.

    Attributes
    ----------
    names : tuple of str
    values : ndarray, shape (runs, parameters)
    """

    names: tuple[str, ...]
    values: Array
    kind = "table"

    def __post_init__(self) -> None:
        if self.values.ndim != 2 or self.values.shape[1] != len(self.names):
            raise InvalidValue(
                f"a design of {len(self.names)} parameters needs an array of shape (runs, {len(self.names)}), "
                f"not {self.values.shape}."
            )

    @property
    def columns(self) -> tuple[str, ...]:
        """Parameter ids."""
        return self.names

    @cached_property
    def digest(self) -> str:
        """SHA-256 of names and values."""
        return _digest(self)

    def __len__(self) -> int:
        return len(self.values)

    def rows(self, begin: int, end: int) -> Array:
        """Return runs `begin` to `end` (excluded), shape (runs, columns)."""
        return np.ascontiguousarray(self.values[begin:end], dtype=float)


class ParquetDesign:
    """A table of runs in a Parquet file, read by row group: for designs larger than memory.

    Parameters
    ----------
    path : path
        Columns that are no parameters are ignored.
    known : collection of str
        Parameter ids of the model.
    """

    kind = "parquet"

    def __init__(self, path: str | Path, known: set[str]) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        try:
            self._file = pq.ParquetFile(path)
        except (OSError, pa.ArrowException) as error:
            raise InvalidValue(f"'{path}' cannot be read as Parquet ({' '.join(str(error).split())}).") from None
        self.columns = tuple(n for n in self._file.schema_arrow.names if n in known)
        if not self.columns:
            raise InvalidValue(f"'{path}' has no column that is a parameter of the model.")
        sizes = [self._file.metadata.row_group(i).num_rows for i in range(self._file.num_row_groups)]
        self._edges = np.cumsum([0, *sizes])
        self._held: tuple[int, Array] | None = None

    @cached_property
    def digest(self) -> str:
        """SHA-256 of names and values."""
        return _digest(self)

    def __len__(self) -> int:
        return int(self._edges[-1])

    def rows(self, begin: int, end: int) -> Array:
        """Return runs `begin` to `end` (excluded), shape (runs, columns)."""
        parts = [np.empty((0, len(self.columns)))]
        for group in range(len(self._edges) - 1):
            low, high = int(self._edges[group]), int(self._edges[group + 1])
            if low < end and high > begin:
                parts.append(self._group(group)[max(begin - low, 0) : end - low])
        return np.concatenate(parts)

    def _group(self, group: int) -> Array:
        if self._held is None or self._held[0] != group:
            table = self._file.read_row_group(group, columns=list(self.columns))
            self._held = group, np.column_stack([table[n].to_numpy().astype(float) for n in self.columns])
        return self._held[1]


def as_design(source: Any, known: set[str]) -> Design:
    """Make a design from what a user has at hand.

    Parameters
    ----------
    source : mapping, DataFrame, xarray.Dataset, path or Design
        A mapping of id to values is a grid of all combinations. A DataFrame is one run per row; its columns that
        are no parameters are ignored. A Dataset of posterior draws is stacked over all its dimensions, chains
        first. A path ends in ``.csv`` or ``.parquet``.
    known : set of str
        Parameter ids of the model.

    Raises
    ------
    UnknownName
        For a parameter that does not exist.
    InvalidValue
        For an empty design, one of the wrong shape, or values that are negative or not finite.
    """
    design = _from_source(source, known)
    for name in design.columns:
        if name not in known:
            raise UnknownName("parameter", name, known, "List them with `metabolism list parameters`.")
    if not len(design):
        raise InvalidValue("the design has no runs.")
    for begin, rows in blocks(design):
        bad = ~(np.isfinite(rows) & (rows >= 0))
        if bad.any():
            run, column = (int(i) for i in np.argwhere(bad)[0])
            raise InvalidValue(
                f"run {begin + run} of the design has {design.columns[column]} = {rows[run, column]}; "
                "values must be finite and >= 0."
            )
    return design


def blocks(design: Design, size: int = _BLOCK) -> Iterator[tuple[int, Array]]:
    """Yield (first run, values) of successive blocks of a design."""
    for begin in range(0, len(design), size):
        yield begin, design.rows(begin, min(begin + size, len(design)))


def _from_source(source: Any, known: set[str]) -> Design:
    if isinstance(source, Grid | Table | ParquetDesign):
        return source
    if isinstance(source, str | Path):
        return _from_file(Path(source), known)
    if isinstance(source, Mapping) and not hasattr(source, "data_vars"):
        return Grid({str(k): _values(k, v) for k, v in source.items()})
    if hasattr(source, "data_vars"):
        source = source[[n for n in source.data_vars if n in known]].to_dataframe()
    if hasattr(source, "columns") and hasattr(source, "to_numpy"):
        return _from_frame(source, known)
    raise UsageError(
        f"a design cannot be made from {type(source).__name__}; give a mapping of id to values, a DataFrame, "
        "an xarray.Dataset, or a .csv or .parquet file."
    )


def _values(name: object, values: Any) -> tuple[float, ...]:
    return tuple(column(values, str(name)).tolist())


def _from_frame(frame: pd.DataFrame, known: set[str]) -> Table:
    return _from_columns({str(c): frame.iloc[:, i] for i, c in enumerate(frame.columns)}, frame.columns, known)


def _from_columns(columns: Mapping[str, Any], head: Iterable[Any], known: set[str]) -> Table:
    names = check_head(head, known, "the design table", more=True)
    if not names:
        first = next(iter(columns), "")
        raise UnknownName("parameter", first, known, "The table has no column that is a parameter of the model.")
    left_out(columns, names, "design table")
    return Table(tuple(names), np.column_stack([column(columns[n], n) for n in names]))


def _from_file(path: Path, known: set[str]) -> Design:
    if not path.is_file():
        raise InvalidValue(f"there is no design file '{path}'.")
    if path.suffix == ".parquet":
        return ParquetDesign(path, known)
    if path.suffix == ".csv":
        rows = read_table(path, (), more=True)
        head = list(rows[0]) if rows else []
        return _from_columns({name: [row[name] for row in rows] for name in head}, head, known)
    raise InvalidValue(f"'{path}' is no design file; its name must end in .csv or .parquet.")


def _digest(design: Design) -> str:
    digest = hashlib.sha256(json.dumps(list(design.columns)).encode())
    for _, rows in blocks(design):
        digest.update(np.ascontiguousarray(rows, dtype="<f8").tobytes())
    return digest.hexdigest()


def _sha256(content: Sequence[Any]) -> str:
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()
