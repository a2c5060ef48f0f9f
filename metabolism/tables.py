"""Tables as text, read strictly: every column is used, named as left out, or refused, and so is every cell."""

import csv
import logging
import re
from collections.abc import Iterable, Sequence
from contextlib import suppress
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import numpy as np

from metabolism.errors import InvalidValue, UnknownName
from metabolism.types import Array
from metabolism.units import number, suspect

_log = logging.getLogger("metabolism")


class Line(dict[str, str]):
    """A row of text by column, and the number of the line it ends on."""

    number = 0


def read_table(
    path: str | Path, columns: Sequence[str], *, known: Sequence[str] = (), more: bool = False
) -> list[Line]:
    """Read a CSV file as rows of text.

    Parameters
    ----------
    path : str or Path
    columns : sequence of str
        Those that must be there.
    known : sequence of str
        Those that may be there, if others than `columns` may.
    more : bool
        Any others may be there too, and are read; but none that looks like a misspelt one of these.

    Raises
    ------
    InvalidValue
        If it cannot be read, has other columns, one twice or without a name, or a row of another length.
    """
    file = Path(path)
    try:
        with file.open(newline=None, encoding="utf-8-sig") as handle:
            reader = csv.reader(handle, strict=True)
            head = next(reader, [])
            if len(head) == 1 and head[0].count(";") > 1:
                raise InvalidValue(f"'{file.name}': fields are separated by ';'; save the file with commas.")
            check_head(head, known or columns, f"'{file.name}'", more=more)
            rows: list[Line] = []
            for cells in reader:
                if cells and len(cells) != len(head):
                    raise InvalidValue(
                        f"'{file.name}' line {reader.line_num} has {len(cells)} fields under {len(head)} columns; look "
                        "for a comma at its end, a decimal comma, or a text with a comma that needs quotation marks."
                    )
                if cells:
                    rows.append(Line(zip(head, cells, strict=True)))
                    rows[-1].number = reader.line_num
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InvalidValue(f"'{file}' cannot be read as CSV ({getattr(error, 'strerror', None) or error}).") from None
    missing = [c for c in columns if c not in head]
    if missing:
        raise InvalidValue(f"'{file.name}' has no column {', '.join(missing)}; it has {', '.join(head)}.")
    return rows


def check_head(head: Iterable[Any], known: Iterable[str], where: str, *, more: bool = False) -> list[str]:
    """Return the columns of a head that are known; the others are allowed if `more`, unless they look like a known one.

    Parameters
    ----------
    head : iterable
        The columns as they stand.
    known : iterable of str
    where : str
        What bears them, for the message.
    more : bool
        Whether other columns may stand there.

    Raises
    ------
    InvalidValue
        For a column without a name, twice, or spelled almost like a known one.
    UnknownName
        For another column, unless `more`.
    """
    names, expected = [str(name) for name in head], list(known)
    places = {_bare(n): n for n in expected}
    for name in names:
        if not name.strip():
            raise InvalidValue(f"{where} has a column without a name; look for a comma at the end of the line.")
        if names.count(name) > 1:
            raise InvalidValue(f"{where} has the column '{name}' twice; keep one.")
        if name in expected:
            continue
        meant = places.get(_bare(name)) or next(iter(get_close_matches(name, expected, n=1, cutoff=0.85)), None)
        if meant:
            raise InvalidValue(
                f"{where} has a column '{name}'; write '{meant}' if that is meant, or name it otherwise."
            )
        if not more:
            raise UnknownName("column", name, expected, f"{where} cannot be read with it.")
    return [name for name in names if name in expected]


def _bare(name: str) -> str:
    return re.sub(r"[\s_-]", "", name).casefold()


def left_out(head: Iterable[Any], used: Sequence[str], where: str) -> None:
    """Say which columns of a table play no part."""
    others = [str(name) for name in head if str(name) not in used]
    if others:
        _log.warning("%s: left out, as no parameters of the model: %s", where, ", ".join(others))


def column(values: Any, name: str) -> Array:
    """Return a column as numbers, shape (rows,).

    Parameters
    ----------
    values : array_like
        Numbers, or texts that each are one number.
    name : str
        For the message.

    Raises
    ------
    InvalidValue
        For text that is no number, a value that is missing or masked, or more than one dimension.

    Examples
    --------
    >>> column(["0.5", "1e3"], "GFR_rel")
    array([5.e-01, 1.e+03])
    """
    if np.ma.getmaskarray(values).any() if isinstance(values, np.ma.MaskedArray) else False:
        raise InvalidValue(f"column '{name}' has masked values; fill them in or leave the rows out.")
    array = np.atleast_1d(np.asarray(values, dtype=object if _is_text(values) else None))
    if array.ndim > 1:
        raise InvalidValue(f"the values of '{name}' have {array.ndim} dimensions; give a plain list.")
    if array.dtype.kind in "OUS":
        array = np.array([_cell(cell, name, row) for row, cell in enumerate(array.tolist(), 1)], dtype=object)
    try:
        return np.asarray(array.astype(float))
    except (TypeError, ValueError):
        raise InvalidValue(f"the values of '{name}' are not numbers.") from None


def _cell(cell: Any, name: str, row: int) -> Any:
    read: Any = None
    with suppress(InvalidValue):
        read = number(cell, name) if isinstance(cell, str) else cell
    plain = isinstance(read, (int, float, np.number)) and not isinstance(read, bool)
    if plain and not (isinstance(cell, str) and not np.isfinite(read)):
        return read
    hint = suspect(cell) if isinstance(cell, str) else ""
    raise InvalidValue(f"column '{name}' has '{cell}' in row {row}, which is no number{hint or '; write e.g. 0.5'}.")


def _is_text(values: Any) -> bool:
    return getattr(getattr(values, "dtype", None), "kind", "O") not in "iufb"
