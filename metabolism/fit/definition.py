"""The file of a fit: which parameters, which rows of the cases, how many starts and draws."""

import math
import re
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from metabolism.data import experiments_dir, models_dir
from metabolism.errors import ModelError, UnknownName, UsageError

#: What an entry of a definition may be, and what to write.
Rule = tuple[Callable[[Any], bool], str]
Rules = Mapping[str, Rule]

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
    ModelError, UsageError
        If there is no such definition, or an entry is missing, unknown, of the wrong kind or out of its range.
    """
    entries = read_entries(which, "fit.toml", _ENTRIES)
    known = [path.name for path in sorted((experiments_dir() / "cases").glob("*.csv"))]
    for name in (n for n in entries["cases"] if n not in known):
        raise ModelError(f"'{which}': {UnknownName('case file', name, known, f'Known: {chr(44).join(known)}.')}")
    entries["cases"], entries["parameters"] = tuple(entries["cases"]), tuple(entries["parameters"])
    return Definition(**entries)


def read_entries(which: str | Path, name: str, rules: Rules) -> dict[str, Any]:
    """Read the entries of a definition, ``fit.toml`` or ``arms.toml``: of a shipped fit by its id, or of a file.

    Raises
    ------
    ModelError, UsageError
        If there is none, it is of the other sort, or an entry is missing, unknown or not what `rules` allow.
    """
    fits = models_dir() / "fits"
    shipped = sorted(path.parent.name for path in fits.glob(f"*/{name}"))
    others = sorted(path.parent.name for path in fits.glob("*/*.toml"))
    key = str(which)
    if key in others and key not in shipped:
        sort = "rows of cases" if name == "fit.toml" else "placebo arms of trials"
        raise UsageError(f"'{key}' is no fit to {sort}; such fits: {', '.join(shipped)}.")
    file = fits / key / name if key in shipped else Path(which)
    try:
        entries = tomllib.loads(file.read_text("utf-8-sig"))
    except (OSError, ValueError) as error:
        if isinstance(error, FileNotFoundError) and not file.suffix:
            raise UnknownName("fit", key, others, f"Or give a file like models/fits/*/{name}.") from None
        reason = error.strerror if isinstance(error, OSError) else error
        raise ModelError(f"'{key}' is no fit definition: {reason}; write one like models/fits/*/{name}.") from None
    for entry in (*rules, *entries):
        if entry not in entries:
            raise ModelError(f"'{key}': '{entry}' is missing; a fit has {', '.join(rules)}.")
        if entry not in rules:
            raise ModelError(f"'{key}': {UnknownName('entry', entry, rules)}")
        allowed, remedy = rules[entry]
        if not allowed(entries[entry]):
            raise ModelError(f"'{key}': {entry} = {entries[entry]!r}; {remedy}.")
    return entries


def whole(low: int, high: int) -> Rule:
    """Allow a whole number between two."""
    return lambda v: type(v) is int and low <= v <= high, f"write a whole number from {low} to {high}"


def names(kind: str) -> Rule:
    """Allow a list of texts, each once."""

    def allowed(value: Any) -> bool:
        texts = isinstance(value, list) and bool(value) and all(isinstance(v, str) for v in value)
        return texts and len(set(value)) == len(value)

    return allowed, f"write a list of {kind} in quotation marks, each once"


#: What every definition begins with.
HEAD: Rules = {
    "id": (
        lambda v: isinstance(v, str) and re.fullmatch(r"\w[\w-]*", v, re.ASCII) is not None,
        "write letters, digits, _ and -: it names a folder",
    ),
    "title": (lambda v: isinstance(v, str), "write a text"),
}

_ENTRIES: Rules = {
    **HEAD,
    "cases": names("files of experiments/cases"),
    "role": (lambda v: v in ("calibration", "check"), "write 'calibration' or 'check'"),
    "starts": whole(1, STARTS),
    "seed": whole(0, 2**32 - 1),
    "draws": whole(1, 100_000),
    "band_sd": (lambda v: type(v) in (int, float) and 0 < v < math.inf, "write a number above 0"),
    "parameters": names("ids of models/parameters.csv"),
}
