"""The grammar of regimens: from words to doses and changes of parameters."""

import math
import re
from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from itertools import zip_longest

from metabolism.data import models_dir
from metabolism.dosing.events import EXAMPLE, Dose, Hold, read_amount, series
from metabolism.dosing.formulary import substance, substances
from metabolism.errors import InvalidRegimen, InvalidValue, UnitMismatch, UnknownName
from metabolism.model import MODEL_KINDS, parameter_table, read_set
from metabolism.tables import read_table
from metabolism.units import magnitude, number

_ROUTES = {
    name: route
    for route, names in {
        "im": ("im", "intramuscular", "intramuscularly"),
        "sc": ("sc", "subcutaneous", "subcutaneously"),
        "iv": ("iv", "intravenous", "intravenously"),
        "oral": ("oral", "orally", "po", "by mouth", "sublingual", "sublingually"),
        "intrathecal": ("intrathecal", "intrathecally"),
    }.items()
    for name in names
}

#: Intervals [h] by the words and abbreviations of prescriptions.
_INTERVALS = {
    **{"daily": 24.0, "once daily": 24.0, "twice daily": 12.0, "three times daily": 8.0, "four times daily": 6.0},
    **{"weekly": 168.0, "once weekly": 168.0, "twice weekly": 84.0, "three times weekly": 56.0, "monthly": 730.5},
    **{"qd": 24.0, "qod": 48.0, "bid": 12.0, "tid": 8.0, "qid": 6.0, "qw": 168.0, "biw": 84.0, "tiw": 56.0},
}

_KEYS = "|".join(("over|every|x(?![a-z])|from|for|until|at|lifelong|q(?=[0-9])", *sorted(_INTERVALS, key=len)[::-1]))

CLAUSE = re.compile(rf"(?:^|(?<=\s))(?P<key>{_KEYS})(?![a-z])", re.IGNORECASE)

#: What may follow a change of a parameter.
LASTING = re.compile(
    rf"\s+(?=(?:from|for|until|lifelong|every|q(?=[0-9])|{'|'.join(sorted(_INTERVALS, key=len)[::-1])})\b)",
    re.IGNORECASE,
)

DOSE = re.compile(
    r"(?P<quantity>(?:\S*[0-9]\S*?|nan|inf)\s*[a-zµμ]+)(?P<kg>/kg)?(?:\s+(?P<substance>.+?))??"
    rf"(?:\s+(?P<route>{'|'.join(sorted(_ROUTES, key=len, reverse=True))}))?",
    re.IGNORECASE,
)

_ENZYME = re.compile(r"enzyme\s+(?P<name>.+?)\s+x\s+(?P<factor>\S+)", re.IGNORECASE)

_GAS = re.compile(r"(?:nitrous oxide|n2o)\s+(?P<fraction>\S+(?:\s*%)?)", re.IGNORECASE)

_VALUE = re.compile(r"(?P<name>[A-Za-z]\w*)\s*(?P<how>=|\+|\sx\s)\s*(?P<value>.+)")

_RATE = re.compile(
    r"(?:fortification\s+)?(?P<amount>\S*[0-9]\S*?\s*[a-zµμ]+)(?P<kg>/kg)?/(?P<per>d|day|h|hour)\s+(?P<name>.+)",
    re.IGNORECASE,
)

NITROUS_OXIDE = "N2O_inspired"

#: Body weight when none is given [kg].
WEIGHT = 70.0


def read(text: str, weight: float = WEIGHT) -> tuple[tuple[Dose, ...], tuple[Hold, ...]]:
    """Read doses and changes of parameters; `metabolism.dosing.Regimen.parse` describes the words and the weight."""
    doses: list[Dose] = []
    holds: list[Hold] = []
    for part in _parts(text):
        if part.casefold() in ("none", "no treatment"):
            continue
        changes = _read_changes(part, weight)
        if changes is None:
            doses += _read_doses(part, weight)
        else:
            holds += changes
    return tuple(doses), tuple(holds)


def _parts(text: str) -> list[str]:
    """Split at ``;`` and at the ``+`` between doses, not at that of "1e+16 h" or of a parameter plus an amount."""
    plain = re.sub(r"\b([ispt])\.\s?([mvco])\.?(?=\s|$)", r"\1\2", " ".join(text.split()), flags=re.IGNORECASE)
    plain = re.sub(r"\b(times|once|twice) (?:a|per|each|every) (day|week)\b", r"\1 \2ly", plain).replace(
        "dayly", "daily"
    )
    pieces = re.split(r"((?<![0-9.][eE])\+|;)", plain.rstrip("; "))
    parts = [pieces[0].strip()]
    for sign, piece in zip(pieces[1::2], pieces[2::2], strict=True):
        if sign == "+" and parts[-1] in _inputs():
            parts[-1] += f" + {piece.strip()}"
        else:
            parts.append(piece.strip())
    if not any(parts):
        raise InvalidRegimen(f"the regimen is empty; {EXAMPLE}, or leave it out for no treatment.")
    if not all(parts):
        raise InvalidRegimen(f"'{text}' has a '+' or ';' with no dose beside it; {EXAMPLE}.")
    return parts


def _inputs() -> set[str]:
    """Parameters that may be changed while a patient is treated: all but initial values."""
    return {p.id for p in parameter_table().values() if p.kind in MODEL_KINDS - {"initial"}}


# --- doses -----------------------------------------------------------------------------------------------------------


def _read_doses(part: str, weight: float) -> list[Dose]:
    """Read ``dose clauses[, then clauses ...]``: each stretch begins where the one before ends."""
    doses: list[Dose] = []
    model: Dose | None = None
    begin: float | None = 0.0
    for stretch in re.split(r",?\s+then\s+", part):
        first = CLAUSE.search(stretch)
        body, tail = (stretch[: first.start()], stretch[first.start() :]) if first else (stretch, "")
        clauses = clauses_of(tail, part)
        model = _read_dose(body.strip(), model, part, weight)
        if begin is None:
            raise InvalidRegimen(f"'{part}' does not say when what follows 'then' begins; add 'for 4 weeks' or 'x 8'.")
        made, begin = _repeat(replace(model, said=part), clauses, begin, part)
        doses += made
    return doses


def _read_dose(body: str, before: Dose | None, part: str, weight: float) -> Dose:
    """Read amount, substance and route; what is left out is as in the stretch before."""
    if before and not body:
        return replace(before, duration=0.0)
    match = DOSE.fullmatch(body)
    if not match or not (match["route"] or before):
        raise InvalidRegimen(f"cannot read '{part}'; {EXAMPLE}.")
    name = match["substance"] or (before.substance if before else "methylcobalamin")
    if re.search(r",\s*[0-9]|\band\s+[0-9]", name):
        raise InvalidRegimen(f"'{part}' seems to hold two doses; join them with '+', not with a comma or 'and'.")
    route = _ROUTES[match["route"].casefold()] if match["route"] else before.route if before else ""
    if not match["substance"] and not before and route == "oral":
        raise InvalidRegimen(f"'{part}' does not say which substance is taken; {EXAMPLE}.")
    chosen = substance(name)
    return Dose(0.0, read_amount(match["quantity"], chosen) * (weight if match["kg"] else 1.0), chosen.name, route)


def clauses_of(tail: str, part: str) -> dict[str, str]:
    """Split the end of a part into its clauses, in any order: key to what follows it."""
    clauses: dict[str, str] = {}
    keys = list(CLAUSE.finditer(tail))
    for match, following in zip_longest(keys, keys[1:]):
        key = match["key"].casefold()
        value = tail[match.end() : following.start() if following else len(tail)].strip()
        if key in _INTERVALS:
            key, value, stray = "every", f"{_INTERVALS[key]!r} h", value
        elif key in ("q", "every"):
            key, stray = "every", ""
            if word := re.fullmatch(r"(other )?(hour|day|week|month|year)", value, re.IGNORECASE):
                value = f"{2 if word[1] else 1} {word[2]}"
        else:
            stray = value if key == "lifelong" else " ".join(value.split()[1:]) if key == "x" else ""
        if stray:
            raise InvalidRegimen(f"cannot read '{stray}' in '{part}'; {EXAMPLE}.")
        if key in clauses:
            raise InvalidRegimen(f"'{part}' says '{key}' twice; {EXAMPLE}.")
        if not value and key != "lifelong":
            missing = {"x": "a number", "every": "an interval"}.get(key, "a time")
            raise InvalidRegimen(f"'{key}' in '{part}' is not followed by {missing}; {EXAMPLE}.")
        clauses[key] = value
    return clauses


def _repeat(dose: Dose, clauses: dict[str, str], begin: float, part: str) -> tuple[Sequence[Dose], float | None]:
    """Give a dose as often as its clauses say: (doses, end of the stretch [h] if it has one)."""
    if "lifelong" in clauses:
        raise InvalidRegimen(
            f"'{part}': doses cannot go on for life; give 'from' and 'x', or a steady rate like '0.4 mg/d folic acid'."
        )
    dose = replace(dose, duration=_hours(clauses, "over", "duration"))
    if "at" in clauses:
        if clauses.keys() & {"every", "x", "from", "for", "until"}:
            raise InvalidRegimen(f"'{part}' lists its times after 'at'; leave 'every', 'x', 'from' and 'for' out.")
        return [replace(dose, time=begin + time) for time in _list(clauses["at"])], None
    start = begin + _hours(clauses, "from", "start")
    every = _hours(clauses, "every", "interval")
    if "every" in clauses and every <= 0:
        raise InvalidRegimen(f"the interval between doses must be above 0, not {clauses['every']}; {EXAMPLE}.")
    limits = clauses.keys() & {"x", "for", "until"}
    if limits and not every:
        word = limits.pop()
        raise InvalidRegimen(f"'{part}' says '{word} {clauses[word]}' but not how far apart; add e.g. 'every 3.5 d'.")
    if len(limits) > 1:
        raise InvalidRegimen(f"'{part}' says both how often and for how long; keep one of 'x' and 'for'.")
    end: float | None = None
    count: int | None = None if every else 1
    if "x" in clauses:
        if not re.fullmatch(r"[0-9]{1,6}", clauses["x"]):
            raise InvalidRegimen(f"'x {clauses['x']}' in '{part}' must be a whole number from 1 to 100000.")
        count = int(clauses["x"])
        end = start + count * every
    elif limits:
        end = start + _hours(clauses, "for", "for") if "for" in clauses else begin + _hours(clauses, "until", "until")
        if end <= start:
            raise InvalidValue(f"'{part}' ends before it begins; give a time above 0.")
        count = max(1, math.ceil((end - start) / every - 1e-9))
    return series(replace(dose, time=start), every, count), end


def _hours(clauses: dict[str, str], key: str, name: str) -> float:
    return magnitude(clauses[key], "h", name) if key in clauses else 0.0


def _list(text: str) -> list[float]:
    """Read times such as ``0, 3.5, 7 d``: one without a unit takes that of the next."""
    times: list[float] = []
    unit = ""
    for item in reversed(re.split(r",\s+(?:and\s+)?|\s+and\s+", text)):
        unit = re.sub(r"^[^a-z]*", "", item, flags=re.IGNORECASE) or unit
        times.append(magnitude(item if item.endswith(unit) and unit else f"{item} {unit}", "h", "at"))
    return times[::-1]


# --- changes of parameters -------------------------------------------------------------------------------------------


@cache
def enzymes() -> dict[str, tuple[str, ...]]:
    """Return ``models/enzymes.csv``: enzyme or alias to the capacity parameters that scale with its activity."""
    return {
        name: tuple(row["parameters"].split(";"))
        for row in read_table(models_dir() / "enzymes.csv", ("enzyme", "aliases", "parameters", "note"))
        for name in (row["enzyme"], *filter(None, row["aliases"].split(";")))
    }


def _read_changes(part: str, weight: float) -> list[Hold] | None:
    """Read one part as changes of parameters; None if it reads like doses."""
    body, *tail = LASTING.split(part, maxsplit=1)
    changes = _changes(body.strip(), part, weight)
    if changes is None:
        return None
    spans = _when(clauses_of(tail[0] if tail else "", part), part)
    return [replace(change, start=start, end=end, said=part) for start, end in spans for change in changes]


def _when(clauses: dict[str, str], part: str) -> list[tuple[float, float]]:
    """Begins and ends [h] of a change: one, or as many as ``for 4 h every 56 h x 36`` says."""
    if "every" not in clauses:
        return [_span(clauses, part)]
    often = f"'{part}': what recurs is said as 'for 4 h every 56 h x 36', or 'until 12 weeks' in place of 'x 36'"
    if clauses.keys() - {"from"} not in ({"for", "every", "x"}, {"for", "every", "until"}):
        raise InvalidRegimen(f"{often}.")
    start, length, every = (_hours(clauses, key, key) for key in ("from", "for", "every"))
    if not 0 < length < every:
        raise InvalidRegimen(f"{often}; each lasts longer than 0 h and ends before the next begins.")
    if "x" in clauses and not re.fullmatch(r"[1-9][0-9]{0,4}", clauses["x"]):
        raise InvalidRegimen(f"'x {clauses['x']}' in '{part}' must be a whole number from 1 to 99999.")
    count = int(clauses["x"]) if "x" in clauses else math.ceil((_hours(clauses, "until", "until") - start) / every)
    return [(start + i * every, start + i * every + length) for i in range(count)]


def _span(clauses: dict[str, str], part: str) -> tuple[float, float]:
    """Begin and end [h] of a change that happens once."""
    if wrong := clauses.keys() - {"from", "for", "until", "lifelong"}:
        raise InvalidRegimen(f"'{part}' changes a parameter, which takes no '{wrong.pop()}'; {EXAMPLE}.")
    if "lifelong" in clauses:
        return -math.inf, math.inf
    if "until" in clauses and "from" not in clauses:
        return -math.inf, _hours(clauses, "until", "until")
    start = _hours(clauses, "from", "from")
    end = _hours(clauses, "until", "until") if "until" in clauses else math.inf
    if "for" in clauses:
        end = start + _hours(clauses, "for", "for")
    if end <= start:
        raise InvalidValue(f"'{part}' ends before it begins; give a time above 0.")
    return start, end


def _changes(body: str, part: str, weight: float) -> list[Hold] | None:
    words = body.split()
    if body.casefold() == "fasting" or (len(words) == 2 and words[0].casefold() == "set"):
        name = words[-1] if len(words) == 2 else "fasting"
        return [Hold(p, "=", v, origin=name) for p, v in read_set(name).values.items()]
    if match := _ENZYME.fullmatch(body):
        folded = {name.casefold(): parameters for name, parameters in enzymes().items()}
        if match["name"].casefold() not in folded:
            raise UnknownName("enzyme", match["name"], enzymes(), "Enzymes are listed in models/enzymes.csv.")
        return [Hold(p, "x", number(match["factor"], part)) for p in folded[match["name"].casefold()]]
    if match := _GAS.fullmatch(body):
        fraction = magnitude(match["fraction"], "dimensionless", part)
        if not 0 <= fraction <= 1:
            raise InvalidValue(f"'{part}': the inspired fraction must lie between 0 and 1, or 0 % and 100 %.")
        return [Hold(NITROUS_OXIDE, "=", fraction)]
    if match := _RATE.fullmatch(body):
        return [_supply(match, part, weight)]
    if match := _VALUE.fullmatch(body):
        name, how = match["name"], match["how"].strip()
        if name not in _inputs():
            remedy = "List them with `metabolism list parameters`."
            if name in parameter_table():
                remedy = "It is a level, which follows from the rest: a case meets it as a baseline, in column 'match'."
            raise UnknownName("parameter", name, _inputs(), remedy)
        unit = parameter_table()[name].unit if how != "x" else "dimensionless"
        fed = next((s.molar_mass for s in substances().values() if s.steady == name), None)
        return [Hold(name, how, magnitude(match["value"], unit, name, fed))]
    return None


def _supply(match: re.Match[str], part: str, weight: float) -> Hold:
    """Read a steady rate as an addition to what the diet brings."""
    chosen = substance(match["name"])
    if not chosen.steady:
        known = ", ".join(s.name for s in substances().values() if s.steady)
        raise InvalidRegimen(
            f"'{part}': {chosen.name} cannot be given as a steady rate (known: {known}); "
            f"give doses, e.g. '{match['amount']} {chosen.name} oral daily x 84'."
        )
    hours = 1.0 if match["per"].casefold().startswith("h") else 24.0
    try:
        amount = magnitude(match["amount"], "umol", chosen.name, chosen.molar_mass) * (weight if match["kg"] else 1.0)
    except UnitMismatch as error:
        raise UnitMismatch(f"{error} A supply is a mass or an amount per day, e.g. '0.4 mg/d folic acid'.") from None
    return Hold(chosen.steady, "+", amount / hours)
