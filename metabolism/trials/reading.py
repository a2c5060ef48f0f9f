"""Reading of a design file: every section and entry known by name, every number one, before a `Design` is made."""

from __future__ import annotations

import dataclasses
import math
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from metabolism.errors import InvalidValue, MetabolismError, UnknownName
from metabolism.trials.design import RANGES, Design
from metabolism.trials.limits import refuse
from metabolism.trials.prognosis import Marker, Risk
from metabolism.trials.sections import Accrual, Arm, Enrichment, Looks, RunIn, Withdrawal
from metabolism.units import number

_SECTIONS = {
    "observation": ("weeks", "onset_limit", "drop", "floor"),
    "entry": ("mean", "sd", "low", "high"),
    "eligibility": tuple(RANGES),
    "randomisation": ("strata", "block", "control"),
    "visits": ("weeks", "window_days"),
    "conduct": ("missed_doses", "missing_visits", "drop_out", "drop_out_slope", "trial_effect", "edaravone"),
    "analysis": ("primary", "estimand", "early_share", "responder_points"),
}


#: Sections that are objects of their own.
_PARTS: dict[str, type] = {
    "accrual": Accrual,
    "looks": Looks,
    "withdrawal": Withdrawal,
    "risk": Risk,
    "marker": Marker,
    "enrichment": Enrichment,
}


def _fields(kind: type) -> tuple[str, ...]:
    return tuple(f.name for f in dataclasses.fields(kind))


def designs_dir() -> Path:
    """Return the folder of shipped designs."""
    from metabolism.data import experiments_dir

    return experiments_dir() / "designs"


def design_names() -> list[str]:
    """Return the ids of the shipped designs."""
    return sorted(p.stem for p in designs_dir().glob("*.toml"))


def read_design(name: str | Path) -> Design:
    """Read a design: the id of a shipped one, or the path of a TOML file.

    Raises
    ------
    UnknownName
        For an unknown id, section, key, column or analysis.
    InvalidValue
        For a file that cannot be read, or a design that cannot be carried out.
    """
    path = Path(name)
    if path.suffix != ".toml":
        if str(name) not in design_names():
            raise UnknownName("design", str(name), design_names(), "Or give the path of a .toml file.")
        path = designs_dir() / f"{name}.toml"
    return parse_design(path.stem, read_toml(path))


def parse_design(name: str, entries: Mapping[str, Any]) -> Design:
    """Turn the content of a design file into a `Design`; see `read_design`."""
    sections = _SECTIONS | {name: _fields(kind) for name, kind in _PARTS.items()}
    top = ("title", "source", "patients", "arm", *sections)
    for key in entries:
        if key not in top:
            raise UnknownName(f"entry of design '{name}'", key, top)
    no_quoted(entries, f"design '{name}'")
    get: dict[str, dict[str, Any]] = {}
    for section, keys in sections.items():
        part = entries.get(section, {})
        if not isinstance(part, Mapping):
            raise InvalidValue(f"design '{name}': [{section}] must be a table.")
        for key in part:
            if key not in keys:
                raise UnknownName(f"entry in [{section}] of design '{name}'", key, keys)
        get[section] = {k: tuple(v) if isinstance(v, list) else v for k, v in part.items()}
    for key in ("arm", "observation", "visits"):
        if key not in entries:
            raise InvalidValue(f"design '{name}' has no '{key}'.")
    try:
        arms = []
        for entry in entries["arm"]:
            for key in entry:
                if key not in _fields(Arm):
                    raise UnknownName(f"entry in [[arm]] of design '{name}'", key, _fields(Arm))
            arms.append(Arm(**entry))
        patients = entries.get("patients", _together(arms))
        if patients is None:
            raise InvalidValue(f"design '{name}' has no 'patients', of its own or of each active arm.")
        watch, visits, chance = get["observation"], get["visits"], get["randomisation"]
        return Design(
            id=name,
            title=str(entries.get("title", name)),
            source=str(entries.get("source", "")),
            patients=patients,
            arms=tuple(arms),
            observation=RunIn(
                _real("weeks", watch["weeks"]),
                _real("onset_limit", watch["onset_limit"]),
                _ends("drop", watch["drop"]),
                watch["floor"],
            ),
            visits=tuple(_real("weeks", w) for w in visits["weeks"]),
            window_days=_real("window_days", visits.get("window_days", 0)),
            entry={k: _real(k, v) for k, v in get["entry"].items()},
            eligibility={k: _ends(k, v) for k, v in get["eligibility"].items()},
            strata=chance.get("strata", ()),
            block=chance.get("block", 2),
            control_share=chance.get("control", "fixed"),
            **get["conduct"],
            **get["analysis"],
            **{part: kind(**get[part]) for part, kind in _PARTS.items() if part in entries},
        )
    except InvalidValue as error:
        prefix = f"design '{name}'"
        raise InvalidValue(str(error) if str(error).startswith(prefix) else f"{prefix}: {error}") from None
    except MetabolismError:
        raise
    except KeyError as error:
        raise InvalidValue(f"design '{name}' lacks the entry {error}.") from None
    except (TypeError, ValueError, IndexError) as error:
        raise InvalidValue(f"design '{name}' has an entry of the wrong form: {error}.") from None


def _ends(name: str, found: Any) -> tuple[Any, Any]:
    if not isinstance(found, tuple) or len(found) != 2:
        raise InvalidValue(f"{name} = {found} must be two numbers, the smallest and the largest: [LOW, HIGH].")
    return _real(name, found[0]), _real(name, found[1])


def _real(name: str, value: Any) -> float:
    if not isinstance(value, (int, float)):
        raise InvalidValue(f"{name} = {value!r} is no number.")
    return float(value)


def _together(arms: list[Arm]) -> int | None:
    """Most patients of arms that state their own numbers, with the control's share; None where one does not."""
    active, control = [a for a in arms if a.treated], next((a for a in arms if not a.treated), None)
    if control is None or not all(a.patients for a in active):
        return None
    return sum(a.patients + math.ceil(a.patients * control.ratio / a.ratio) for a in active if a.patients)


def no_quoted(found: Any, where: str) -> None:
    """Refuse a number between quotation marks, which other rules would read, and yes or no for a number."""
    refuse(isinstance(found, bool) and not where.endswith(": trial_effect"), f"{where} = {found} is no number.")
    if isinstance(found, (Mapping, list)):
        for key, value in found.items() if isinstance(found, Mapping) else ((where, v) for v in found):
            if key not in ("title", "source", "name", "regimen"):
                no_quoted(value, f"{where}: {key}" if isinstance(found, Mapping) else where)
    elif isinstance(found, str) and re.fullmatch(r"\s*[-+]?[.0-9][-+.,_' 0-9eE]*", found):
        number(found, where)
        raise InvalidValue(f"{where} = '{found}' is text; write the number without quotation marks.")


def read_toml(path: Path) -> dict[str, Any]:
    """Read the file of a design; where a number of it is none, say what it may mean."""
    try:
        # editors of Windows put a byte-order mark first
        return tomllib.loads(text := path.read_text("utf-8-sig"))
    except tomllib.TOMLDecodeError as error:
        for entry in re.finditer(r"^\s*(\w+)\s*=\s*([-+.,0-9]+)\s*(?:#.*)?$", text, re.MULTILINE):
            number(entry[2], f"design '{path}': {entry[1]}")
        raise InvalidValue(f"design '{path}' cannot be read: {error}.") from None
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidValue(f"design '{path}' cannot be read: {error}.") from None
