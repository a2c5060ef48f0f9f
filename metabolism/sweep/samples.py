"""Samples: which parameter values each run of a sweep takes, produced block by block and never all at once.

A `Table` is the rows themselves, from memory or from a Parquet file that is read by row group; a `Grid` computes its
rows from their numbers. `as_samples` makes one from what users have at hand: a mapping of values (a grid), a table,
draws of a posterior, a cohort, or a file.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from metabolism.errors import InvalidValue, UnknownName, UsageError, needs
from metabolism.tables import check_head, column, left_out, read_table
from metabolism.types import Array

if TYPE_CHECKING:
    pass


#: Rows read at a time when samples are checked or hashed.
_BLOCK = 65_536


@dataclass(frozen=True, eq=False)
class Table:
    """Values of each run: samples, posterior draws, patients.

    Attributes
    ----------
    names : tuple of str
        Parameter ids.
    values : ndarray, shape (runs, parameters), or callable
        [model units]; or ``values(begin, end)``, which returns some rows, with `runs` for their number.
    runs : int
    kind : str
        One word for the manifest.
    """

    names: tuple[str, ...]
    values: Array | Callable[[int, int], Array]
    runs: int = 0
    kind: str = "table"

    def __post_init__(self) -> None:
        if callable(self.values):
            return
        if self.values.ndim != 2 or self.values.shape[1] != len(self.names):
            raise InvalidValue(
                f"samples of {len(self.names)} parameters need an array of shape (runs, {len(self.names)}), "
                f"not {self.values.shape}."
            )
        object.__setattr__(self, "runs", len(self.values))

    def __len__(self) -> int:
        return self.runs

    def rows(self, begin: int, end: int) -> Array:
        """Return runs `begin` to `end` (excluded), shape (runs, parameters)."""
        rows = self.values(begin, end) if callable(self.values) else self.values[begin:end]
        return np.ascontiguousarray(rows, dtype=float)

    def blocks(self, size: int = _BLOCK) -> Iterator[tuple[int, Array]]:
        """Yield (first run, values) of successive blocks."""
        for begin in range(0, len(self), size):
            yield begin, self.rows(begin, min(begin + size, len(self)))

    @cached_property
    def digest(self) -> str:
        """SHA-256 of names and values."""
        digest = hashlib.sha256(json.dumps(list(self.names)).encode())
        for _, rows in self.blocks():
            digest.update(np.ascontiguousarray(rows, dtype="<f8").tobytes())
        return digest.hexdigest()


@dataclass(frozen=True)
class Grid:
    """Every combination of some values, the last parameter varying fastest.

    Attributes
    ----------
    values : mapping of str to tuple of float
        Values of each parameter [model units].

    Examples
    --------
    >>> Grid({"GFR_rel": (0.5, 1.0), "MN_k": (1e-5, 2e-5)}).table().rows(1, 3).tolist()
    [[0.5, 2e-05], [1.0, 1e-05]]
    """

    values: Mapping[str, tuple[float, ...]]

    def __post_init__(self) -> None:
        if not self.values:
            raise InvalidValue("a grid needs at least one parameter with values.")
        for name, values in self.values.items():
            if not len(values):
                raise InvalidValue(f"the grid has no values for '{name}'.")

    @property
    def shape(self) -> tuple[int, ...]:
        """Number of values of each parameter."""
        return tuple(len(v) for v in self.values.values())

    def __len__(self) -> int:
        return math.prod(self.shape)

    def rows(self, begin: int, end: int) -> Array:
        """Return runs `begin` to `end` (excluded), computed from their numbers."""
        places = np.unravel_index(np.arange(begin, end), self.shape)
        values = self.values.values()
        return np.column_stack([np.asarray(v, dtype=float)[i] for v, i in zip(values, places, strict=True)])

    def table(self) -> Table:
        """Return the samples of the grid; no row is made before it is asked for."""
        return Table(tuple(self.values), self.rows, len(self), "grid")


def as_samples(source: Any, known: set[str], least: Callable[[str], float] = lambda _: 0.0) -> Table:
    """Make samples of known parameters from what a user has at hand.

    A mapping of id to values is a grid of all combinations. A DataFrame is one run per row; columns that are no
    parameters are left out, unless one is nearly a parameter. A Dataset of posterior draws is stacked over all its
    dimensions, chains first. A path ends in ``.csv`` or ``.parquet``. No runs, a wrong shape, a column that is there
    twice, and values that are not finite or below what `least` says of a parameter are refused.
    """
    samples = _from_source(source, known)
    for name in samples.names:
        if name not in known:
            if least(name):
                raise UnknownName("parameter or state", name, known)
            raise UnknownName("parameter", name, known, "List them with `metabolism list parameters`.")
    if not len(samples):
        raise InvalidValue("the design has no runs.")
    lowest = np.array([least(name) for name in samples.names])
    for begin, rows in samples.blocks():
        bad = ~(np.isfinite(rows) & (rows >= lowest))
        if bad.any():
            run, column = (int(i) for i in np.argwhere(bad)[0])
            raise InvalidValue(
                f"run {begin + run} of the design has {samples.names[column]} = {rows[run, column]}; "
                f"values must be finite{f' and >= {lowest[column]:g}' if np.isfinite(lowest[column]) else ''}."
            )
    return samples


def _from_source(source: Any, known: set[str]) -> Table:
    if isinstance(source, Table):
        return source
    if isinstance(source, Grid):
        return source.table()
    if isinstance(source, str | Path):
        return _from_file(Path(source), known)
    if isinstance(source, Mapping) and not hasattr(source, "data_vars"):
        return Grid({str(k): tuple(column(v, str(k)).tolist()) for k, v in source.items()}).table()
    if hasattr(source, "data_vars"):
        source = source[[n for n in source.data_vars if n in known]].to_dataframe()
    if hasattr(source, "columns") and hasattr(source, "to_numpy"):
        return _from_columns({str(c): source.iloc[:, i] for i, c in enumerate(source.columns)}, source.columns, known)
    raise UsageError(
        f"a design cannot be made from {type(source).__name__}; give a mapping of id to values, a DataFrame, "
        "an xarray.Dataset, or a .csv or .parquet file."
    )


def _from_columns(columns: Mapping[str, Any], head: Iterable[Any], known: set[str]) -> Table:
    names = check_head(head, known, "the design table", more=True)
    if not names:
        first = next(iter(columns), "")
        raise UnknownName("parameter", first, known, "The table has no column that is a parameter of the model.")
    left_out(columns, names, "design table")
    return Table(tuple(names), np.column_stack([column(columns[n], n) for n in names]))


def _from_file(path: Path, known: set[str]) -> Table:
    if not path.is_file():
        raise InvalidValue(f"there is no design file '{path}'.")
    if path.suffix == ".parquet":
        return _from_parquet(path, known)
    if path.suffix == ".csv":
        rows = read_table(path, (), more=True)
        if not rows:
            raise InvalidValue(f"'{path}' has no rows; the first line names parameters, each line below it is one run.")
        head = list(rows[0])
        return _from_columns({name: [row[name] for row in rows] for name in head}, head, known)
    raise InvalidValue(f"'{path}' is no design file; its name must end in .csv or .parquet.")


def _from_parquet(path: Path, known: set[str]) -> Table:
    """Rows of a Parquet file, read by row group: for designs larger than memory."""
    with needs("sensitivity", "a Parquet file"):
        import pyarrow as pa
        import pyarrow.parquet as pq

    try:
        file = pq.ParquetFile(path)
    except (OSError, pa.ArrowException) as error:
        raise InvalidValue(f"'{path}' cannot be read as Parquet ({' '.join(str(error).split())}).") from None
    names = check_head(file.schema_arrow.names, known, f"'{path}'", more=True)
    if not names:
        raise InvalidValue(f"'{path}' has no column that is a parameter of the model.")
    sizes = [file.metadata.row_group(i).num_rows for i in range(file.num_row_groups)]
    edges = np.cumsum([0, *sizes])

    @lru_cache(maxsize=1)
    def group(number: int) -> Array:
        table = file.read_row_group(number, columns=names)
        return np.column_stack([table[n].to_numpy().astype(float) for n in names])

    def rows(begin: int, end: int) -> Array:
        parts = [np.empty((0, len(names)))]
        for number, (low, high) in enumerate(zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True)):
            if low < end and high > begin:
                parts.append(group(number)[max(begin - low, 0) : end - low])
        return np.concatenate(parts)

    return Table(tuple(names), rows, int(edges[-1]), "parquet")
