"""The grammar of dosing regimens: from words to doses, and back without loss.

A regimen reads ``"50 mg im every 3.5 d x 32 + 0.8 mg folic acid oral daily x 112"``; `metabolism.dosing.regimen.Regimen.parse`
describes the parts.
"""

from __future__ import annotations

import csv
import math
import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

from metabolism.data import models_dir
from metabolism.dosing.events import EXAMPLE, SUPPLY, Hold
from metabolism.dosing.formulary import measured_as, substance
from metabolism.errors import InvalidRegimen, InvalidValue, UnitMismatch, UnknownName
from metabolism.model import ParameterTable, read_set
from metabolism.units import magnitude

_ROUTES = {
    "im": "im",
    "intramuscular": "im",
    "sc": "sc",
    "subcutaneous": "sc",
    "iv": "iv",
    "intravenous": "iv",
    "oral": "oral",
    "orally": "oral",
    "po": "oral",
    "by mouth": "oral",
    "intrathecal": "intrathecal",
}


_INTERVALS = {"daily": 24.0, "weekly": 168.0, "twice weekly": 84.0, "twice daily": 12.0, "monthly": 730.5}


_CLAUSES = {"over": "duration", "every": "interval", "x": "count", "from": "start"}


# the unit must not swallow the next keyword: "every 3.5d x 32" is an interval and a count
_TIME = r"[-+]?[0-9.]+(?:e[-+]?[0-9]+)?\s*(?!(?:x|over|every|from)\b)[a-z]+"


_PART = re.compile(
    r"(?P<amount>[-+]?(?:\d+\.?\d*|\.\d+)(?:e[-+]?\d+)?|nan|inf)\s*(?P<unit>[a-zµμ]+)\s+"
    r"(?:(?P<substance>[a-z][a-z0-9 ,'-]*?)\s+)?"
    rf"(?P<route>{'|'.join(sorted(_ROUTES, key=len, reverse=True))})\b"
    rf"(?:\s+over\s+(?P<over>{_TIME}))?"
    rf"(?:\s+(?:every\s+(?P<every>{_TIME})|(?P<word>daily|weekly|twice weekly|twice daily|monthly)|q(?P<hours>\d+)h))?"
    r"(?:\s+x\s*(?P<count>\S+))?"
    rf"(?:\s+from\s+(?P<start>{_TIME}))?"
)


def read_regimen(text: str) -> Iterator[dict[str, Any]]:
    """Yield the arguments of `metabolism.dosing.regimen.Regimen.of` for each part of a regimen in words.

    Raises
    ------
    InvalidRegimen
    """
    # the plus of "1e+16 h" joins nothing
    parts = [p.strip() for p in re.split(r"(?<![0-9.][eE])\+|;", text)]
    if not any(parts):
        raise InvalidRegimen(f"the regimen is empty; {EXAMPLE}, or leave it out for no treatment.")
    if not all(parts):
        raise InvalidRegimen(f"'{text}' has a '+' or ';' with no dose beside it; {EXAMPLE}.")
    for part in parts:
        yield _read_part(part)


def _read_part(part: str) -> dict[str, Any]:
    folded = " ".join(part.casefold().split())
    match = _PART.match(folded)
    if not match:
        raise InvalidRegimen(f"cannot read '{part}'; {EXAMPLE}.")
    rest = folded[match.end() :].strip()
    if rest:
        clause = _CLAUSES.get(rest.split()[0])
        kind, order = (f"the {clause} ", " (the order is over, every, x, from)") if clause else ("", "")
        raise InvalidRegimen(f"cannot read {kind}'{rest}' at the end of '{part}'{order}; {EXAMPLE}.")
    found = match.groupdict()
    route = _ROUTES[found["route"]]
    if not found["substance"] and route == "oral":
        raise InvalidRegimen(f"'{part}' does not say which substance is taken; {EXAMPLE}.")
    every: float | str | None = found["every"]
    if found["word"]:
        every = _INTERVALS[found["word"]]
    elif found["hours"]:
        every = float(found["hours"])
    if every is not None and not found["count"]:
        raise InvalidRegimen(f"'{part}' repeats without end; add how often, e.g. 'x 32'.")
    if every is None and found["count"]:
        raise InvalidRegimen(f"'{part}' says how often but not how far apart; add e.g. 'every 3.5 d'.")
    if found["count"] and not re.fullmatch(r"[0-9]{1,6}", found["count"]):
        raise InvalidRegimen(f"'x {found['count']}' in '{part}' must be a whole number from 1 to 100000.")
    return {
        "amount": f"{found['amount']} {found['unit']}",
        "substance_name": found["substance"] or "methylcobalamin",
        "route": route,
        "every": every,
        "count": int(found["count"] or 1),
        "start": found["start"] or 0.0,
        "duration": found["over"] or 0.0,
    }


def write_doses(amount: float, name: str, route: str, duration: float, times: list[float]) -> list[tuple[float, str]]:
    """Write equal doses [µmol] at some times [h] as regimens in words, each with its start [h]; they read back exactly."""
    parts = []
    for first, gap, count in _runs(times):
        text = f"{amount!r} umol {name} {route}"
        text += f" over {duration!r} h" if duration else ""
        text += f" every {gap!r} h x {count}" if count > 1 else ""
        text += f" from {first!r} h" if first else ""
        parts.append((first, text))
    return parts


def _runs(times: list[float]) -> list[tuple[float, float, int]]:
    """Split times into runs that ``first + i * gap`` gives back exactly: (first, gap, count)."""
    runs, i = [], 0
    while i < len(times):
        gap = times[i + 1] - times[i] if i + 1 < len(times) else 0.0
        count = 1
        while gap > 0 and i + count < len(times) and times[i] + count * gap == times[i + count]:
            count += 1
        runs.append((times[i], gap if count > 1 else 0.0, count))
        i += count
    return runs


NITROUS_OXIDE = "N2O_inspired"


#: Body weight when a population gives none [kg].
WEIGHT = 70.0


INTERVENTION_EXAMPLE = (
    "write e.g. '0.4 mg/d folic acid', '50 mg im every 3.5 d x 32', 'set fasting from -12 h for 36 h', "
    "'enzyme CBS x 0.02 lifelong' or 'GFR_rel = 0.4 lifelong'"
)


_NUMBER = r"[-+]?(?:\d+\.?\d*|\.\d+)(?:e[-+]?\d+)?"


_WHEN = rf"{_NUMBER}\s*[a-z]+"


_TAIL = re.compile(
    rf"(?:\s+(?P<lifelong>lifelong)|\s+until\s+(?P<until>{_TIME})"
    rf"|(?:\s+from\s+(?P<start>{_TIME}))?(?:\s+for\s+(?P<length>{_TIME}))?)\s*$",
    re.IGNORECASE,
)


_ENZYME = re.compile(rf"enzyme\s+(?P<name>.+?)\s+x\s+(?P<factor>{_NUMBER})", re.IGNORECASE)


_GAS = re.compile(rf"(?:nitrous oxide|n2o)\s+(?P<fraction>{_NUMBER})\s*(?P<percent>%)?", re.IGNORECASE)


_VALUE = re.compile(rf"(?P<name>[A-Za-z]\w*)\s*(?P<how>=|\+|\sx\s)\s*(?P<value>{_NUMBER}(?:\s+\S+)?)")


_RATE = re.compile(
    rf"(?:fortification\s+)?(?P<amount>{_NUMBER})\s*(?P<unit>\S+)/(?P<per>d|day|h)\s+(?P<name>.+)", re.IGNORECASE
)


_PER_KG = re.compile(rf"(?P<amount>{_NUMBER})\s*(?P<unit>[a-zµμ]+)/kg\b", re.IGNORECASE)


_MATCH = re.compile(
    rf"(?P<output>\w+)\s*=\s*(?P<value>{_NUMBER}\s+\S+)\s+by\s+(?P<parameter>\w+)(?P<treated>\s+on\s+treatment)?"
)


@dataclass(frozen=True)
class Target:
    """One value of a study's baseline to be met: an output [its unit], and the input adjusted for it.

    Attributes
    ----------
    treated : bool
        Met just before time 0, under what is done before; at rest without it otherwise.
    """

    output: str
    value: float
    parameter: str
    text: str
    treated: bool = False


@cache
def enzymes() -> dict[str, tuple[str, ...]]:
    """Return ``models/enzymes.csv``: enzyme or alias to the capacity parameters that scale with its activity."""
    with (models_dir() / "enzymes.csv").open(newline="", encoding="utf-8") as handle:
        rows = list(csv.DictReader(handle))
    found: dict[str, tuple[str, ...]] = {}
    for row in rows:
        for name in (row["enzyme"], *filter(None, row["aliases"].split(";"))):
            found[name] = tuple(row["parameters"].split(";"))
    return found


def read_match(text: str, table: ParameterTable, units: dict[str, str], known: Collection[str]) -> tuple[Target, ...]:
    """Read a baseline such as ``hcy_plasma = 12 uM by HCY_CLEARANCE_CL; cbl_plasma = 93 pg/mL by CBL_DIET_rate``.

    Parameters
    ----------
    units : dict of str to str
        Unit of every output.

    Raises
    ------
    InvalidValue, UnknownName, UnitMismatch
    """
    targets: list[Target] = []
    for part in filter(None, (p.strip() for p in text.split(";"))):
        match = _MATCH.fullmatch(part)
        if not match:
            raise InvalidValue(
                f"cannot read the baseline '{part}'; write e.g. 'hcy_plasma = 12 uM by FOLATE_DIET_rate'."
            )
        output, parameter = match["output"], match["parameter"]
        if output not in units:
            raise UnknownName("output", output, units, "List them with `metabolism list outputs`.")
        if parameter not in known:
            raise UnknownName("parameter", parameter, known, "List them with `metabolism list parameters`.")
        weighed = measured_as(output)
        value = magnitude(match["value"], units[output], output, weighed.molar_mass if weighed else None)
        if value <= 0:
            raise InvalidValue(f"the baseline {output} = {match['value']} must be above 0.")
        targets.append(Target(output, value, parameter, f"{output} = {match['value']}", bool(match["treated"])))
    for kind, names in (("output", [t.output for t in targets]), ("input", [t.parameter for t in targets])):
        twice = next((n for n in names if names.count(n) > 1), None)
        if twice:
            raise InvalidValue(f"the baseline '{text}' uses the {kind} '{twice}' twice; each {kind} meets one value.")
    return tuple(targets)


def _times(part: str) -> tuple[str, float, float, bool]:
    """Split off ``lifelong``, ``until``, ``from`` and ``for``: (what remains, start [h], end [h], any given)."""
    tail = _TAIL.search(part)
    assert tail is not None
    body = part[: tail.start()].strip()
    if tail["lifelong"]:
        return body, -math.inf, math.inf, True
    if tail["until"]:
        return body, -math.inf, magnitude(tail["until"], "h", "until"), True
    start = magnitude(tail["start"], "h", "from") if tail["start"] else 0.0
    length = magnitude(tail["length"], "h", "for") if tail["length"] else math.inf
    if length <= 0:
        raise InvalidValue(f"'{part}' lasts {tail['length']}; give a time above 0.")
    return body, start, start + length, bool(tail["start"] or tail["length"])


def _holds(part: str, table: ParameterTable, known: Collection[str], weight: float) -> list[Hold] | None:
    """Read one part as changes of parameters; None if it reads like doses."""
    body, start, end, _ = _times(part)
    words = body.split()
    if body.casefold() == "fasting" or (len(words) == 2 and words[0].casefold() == "set"):
        name = words[-1] if len(words) == 2 else "fasting"
        return [Hold(p, "=", v, start, end, name) for p, v in read_set(name).values.items()]
    if match := _ENZYME.fullmatch(body):
        table_ = enzymes()
        folded = {n.casefold(): n for n in table_}
        if match["name"].casefold() not in folded:
            raise UnknownName("enzyme", match["name"], table_, "Enzymes are listed in models/enzymes.csv.")
        factor = _positive(float(match["factor"]), part)
        return [Hold(p, "x", factor, start, end) for p in table_[folded[match["name"].casefold()]]]
    if match := _GAS.fullmatch(body):
        fraction = float(match["fraction"]) / (100 if match["percent"] else 1)
        if not 0 <= fraction <= 1:
            raise InvalidValue(f"'{part}': the inspired fraction must lie between 0 and 1, or 0 % and 100 %.")
        return [Hold(_known(NITROUS_OXIDE, known), "=", fraction, start, end)]
    if match := _RATE.fullmatch(body):
        return [_supply(match, part, start, end, known, weight)]
    if match := _VALUE.fullmatch(body):
        name, how, value = _known(match["name"], known), match["how"].strip(), match["value"]
        unit = table[name].unit if how != "x" else "dimensionless"
        return [Hold(name, how, _positive(magnitude(value, unit, name), part), start, end)]
    return None


def _supply(match: re.Match[str], part: str, start: float, end: float, known: Collection[str], weight: float) -> Hold:
    chosen = substance(match["name"])
    if chosen.name not in SUPPLY:
        raise InvalidRegimen(
            f"'{part}': {chosen.name} cannot be given as a steady rate (known: {', '.join(SUPPLY)}); "
            f"give doses, e.g. '{match['amount']} {match['unit']} {chosen.name} oral daily x 84'."
        )
    hours = 1.0 if match["per"].casefold() == "h" else 24.0
    unit, per_kg, _ = match["unit"].partition("/kg")
    try:
        amount = magnitude(f"{match['amount']} {unit}", "umol", chosen.name, chosen.molar_mass) * (
            weight if per_kg else 1.0
        )
    except UnitMismatch as error:
        raise UnitMismatch(f"{error} A supply is a mass or an amount per day, e.g. '0.4 mg/d folic acid'.") from None
    return Hold(_known(SUPPLY[chosen.name], known), "+", _positive(amount / hours, part), start, end)


def _known(name: str, known: Collection[str]) -> str:
    if name not in known:
        raise UnknownName("parameter", name, known, "List them with `metabolism list parameters`.")
    return name


def _positive(value: float, part: str) -> float:
    if not (math.isfinite(value) and value >= 0):
        raise InvalidValue(f"'{part}': the value must be finite and not negative.")
    return value
