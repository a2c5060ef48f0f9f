"""The file of a fit: which parameters, which rows of the cases, how many starts and draws."""

import math
import re
import tomllib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from metabolism.data import experiments_dir, models_dir
from metabolism.errors import ModelError, UnknownName

#: Largest number of starts: the Sobol sample and the present table.
STARTS = 65


@dataclass(frozen=True)
class Definition:
    """What to fit: see ``models/fits/*/fit.toml``.

    Attributes
    ----------
    cases : tuple of str
        Case files of ``experiments/cases``.
    role : str
        Only rows of this role enter the residuals.
    parameters : tuple of str
        Rows of ``parameters.csv`` with a log-normal prior.
    band_sd : float
        Standard deviations that half an acceptance band stands for.
    """

    id: str
    title: str
    cases: tuple[str, ...]
    role: str
    starts: int
    seed: int
    draws: int
    band_sd: float
    parameters: tuple[str, ...]


def shipped_fits() -> list[str]:
    """Ids of the fits whose definitions are in ``models/fits``."""
    return sorted(path.parent.name for path in (models_dir() / "fits").glob("*/fit.toml"))


def read_definition(which: str | Path) -> Definition:
    """Read a fit definition: the id of a shipped fit, or a file.

    Raises
    ------
    ModelError
        If there is no such definition, or an entry is missing, unknown, of the wrong kind or out of its range.
    """
    shipped = shipped_fits()
    file = models_dir() / "fits" / str(which) / "fit.toml" if str(which) in shipped else Path(which)
    try:
        entries = tomllib.loads(file.read_text("utf-8-sig"))
    except (OSError, ValueError) as error:
        raise ModelError(
            f"'{which}' is no fit definition ({error}); give {' or '.join(shipped)}, or a file like "
            "models/fits/*/fit.toml."
        ) from None
    for name in (*_ENTRIES, *entries):
        if name not in entries:
            raise ModelError(f"'{which}': '{name}' is missing; a fit has {', '.join(_ENTRIES)}.")
        if name not in _ENTRIES:
            raise ModelError(f"'{which}': {UnknownName('entry', name, _ENTRIES)}")
        allowed, remedy = _ENTRIES[name]
        if not allowed(entries[name]):
            raise ModelError(f"'{which}': {name} = {entries[name]!r}; {remedy}.")
    known = [path.name for path in sorted((experiments_dir() / "cases").glob("*.csv"))]
    for name in (n for n in entries["cases"] if n not in known):
        raise ModelError(f"'{which}': {UnknownName('case file', name, known, f'Known: {chr(44).join(known)}.')}")
    entries["cases"], entries["parameters"] = tuple(entries["cases"]), tuple(entries["parameters"])
    return Definition(**entries)


def _whole(low: int, high: int) -> tuple[Callable[[Any], bool], str]:
    return lambda v: type(v) is int and low <= v <= high, f"write a whole number from {low} to {high}"


def _names(kind: str) -> tuple[Callable[[Any], bool], str]:
    def allowed(value: Any) -> bool:
        texts = isinstance(value, list) and bool(value) and all(isinstance(v, str) for v in value)
        return texts and len(set(value)) == len(value)

    return allowed, f"write a list of {kind} in quotation marks, each once"


#: What each entry of a definition may be, and what to write.
_ENTRIES: dict[str, tuple[Callable[[Any], bool], str]] = {
    "id": (
        lambda v: isinstance(v, str) and re.fullmatch(r"\w[\w-]*", v, re.ASCII) is not None,
        "write letters, digits, _ and -: it names a folder",
    ),
    "title": (lambda v: isinstance(v, str), "write a text"),
    "cases": _names("files of experiments/cases"),
    "role": (lambda v: v in ("calibration", "check"), "write 'calibration' or 'check'"),
    "starts": _whole(1, STARTS),
    "seed": _whole(0, 2**32 - 1),
    "draws": _whole(1, 100_000),
    "band_sd": (lambda v: type(v) in (int, float) and 0 < v < math.inf, "write a number above 0"),
    "parameters": _names("ids of models/parameters.csv"),
}
