"""Interventions in words: what a study did to its people, as doses and as parameters changed for a while.

The grammar is written down in ``docs/cases.md``. A change of a parameter acts on the patient's own value, so that
"x 0.25" means a quarter of whatever this patient has.
"""

from __future__ import annotations

import csv
import math
import re
from collections.abc import Collection
from dataclasses import dataclass
from functools import cache

from metabolism.errors import InvalidRegimen, InvalidValue, UnitMismatch, UnknownName
from metabolism.parameters import ParameterTable, models_dir, read_set
from metabolism.regimen import Regimen
from metabolism.substances import substance
from metabolism.units import magnitude

#: A steady supply of a substance is added to this input [umol/h]. Cobalamin and riboflavin are left out: what is
#: absorbed of them is not what is swallowed, so they are given as doses.
SUPPLY = {
    "folic acid": "FOLATE_DIET_rate", "pyridoxine": "B6_DIET_rate", "betaine": "BETAINE_DIET_rate",
    "choline": "CHOLINE_DIET_rate", "phosphatidylcholine": "CHOLINE_DIET_rate", "methionine": "MET_DIET_rate", "levodopa": "LEVODOPA_rate",
}  # fmt: skip
NITROUS_OXIDE = "N2O_inspired"
#: Body weight when a population gives none [kg].
WEIGHT = 70.0
EXAMPLE = (
    "write e.g. '0.4 mg/d folic acid', '50 mg im every 3.5 d x 32', 'set fasting from -12 h for 36 h', "
    "'enzyme CBS x 0.02 lifelong' or 'GFR_rel = 0.4 lifelong'"
)
_NUMBER = r"[-+]?(?:\d+\.?\d*|\.\d+)(?:e[-+]?\d+)?"
_TIME = rf"{_NUMBER}\s*[a-z]+"
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
_MATCH = re.compile(rf"(?P<output>\w+)\s*=\s*(?P<value>{_NUMBER}\s+\S+)\s+by\s+(?P<parameter>\w+)")


@dataclass(frozen=True)
class Hold:
    """A parameter changed from `start` to `end` [h]; ``start = -inf`` is before the resting state, for life.

    Attributes
    ----------
    how : {"=", "x", "+"}
        Replace the patient's value, multiply it, or add to it.
    value : float
        [unit of the parameter], or a factor.
    origin : str
        Name of the parameter set the value came from, if any.
    """

    parameter: str
    how: str
    value: float
    start: float = 0.0
    end: float = math.inf
    origin: str = ""


@dataclass(frozen=True)
class Treatment:
    """Holds in the order written, and regimens with the time each starts [h] (may be negative)."""

    holds: tuple[Hold, ...] = ()
    regimens: tuple[tuple[float, Regimen], ...] = ()

    @property
    def start(self) -> float:
        """When the run has to begin: the earliest dose or change, at latest 0 [h]."""
        begins = [h.start for h in self.holds if math.isfinite(h.start)]
        return min([0.0, *begins, *(start for start, _ in self.regimens)])

    def regimen(self, start: float, end: float) -> Regimen:
        """Every dose before `end`, in time since `start` [h]."""
        total = Regimen()
        for begin, regimen in self.regimens:
            total += regimen.delayed(begin - start)
        return total.until(end - start)


@dataclass(frozen=True)
class Target:
    """One value of a study's baseline to be met: an output [its unit], and the input adjusted for it."""

    output: str
    value: float
    parameter: str
    text: str


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


def read_treatment(text: str, table: ParameterTable, known: Collection[str], weight: float = WEIGHT) -> Treatment:
    """Read interventions separated by ``;``.

    Parameters
    ----------
    text : str
        Empty or ``none`` for no intervention.
    table : ParameterTable
        Units of the parameters.
    known : collection of str
        Parameters that may be changed.
    weight : float
        Body weight for doses per kg [kg].

    Raises
    ------
    UnknownName, UnitMismatch, InvalidValue, InvalidRegimen
    """
    holds: list[Hold] = []
    regimens: list[tuple[float, Regimen]] = []
    for part in filter(None, (p.strip() for p in text.split(";"))):
        if part.casefold() == "none":
            continue
        found = _holds(part, table, known, weight)
        if found is None:
            regimens.append(_doses(part, weight))
        else:
            holds += found
    return Treatment(tuple(holds), tuple(regimens))


def read_population(text: str, table: ParameterTable, known: Collection[str]) -> tuple[Treatment, float]:
    """Read what a population is like: lifelong changes, and ``weight = 62 kg``; returns (changes, weight [kg]).

    Raises
    ------
    InvalidValue
        For times, or a weight that cannot be.
    InvalidRegimen
        For doses.
    """
    weight, rest = WEIGHT, []
    for part in filter(None, (p.strip() for p in text.split(";"))):
        key, _, value = part.partition("=")
        if key.strip() == "weight":
            weight = magnitude(value, "kg", "weight")
            if not 1 <= weight <= 500:
                raise InvalidValue(f"weight ={value} must lie between 1 and 500 kg.")
        else:
            _, start, end, timed = _times(part)
            if timed and (start, end) != (-math.inf, math.inf):
                raise InvalidValue(f"'{part}' has times, and a population is for life; move it to interventions.")
            rest.append(part if timed else f"{part} lifelong")
    treatment = read_treatment("; ".join(rest), table, known, weight)
    return treatment, weight


def read_match(text: str, table: ParameterTable, units: dict[str, str], known: Collection[str]) -> tuple[Target, ...]:
    """Read a baseline such as ``hcy_plasma = 12 uM by HCY_CLEARANCE_CL; folate_plasma = 12 nM by FOLATE_DIET_rate``.

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
        value = magnitude(match["value"], units[output], output)
        if value <= 0:
            raise InvalidValue(f"the baseline {output} = {match['value']} must be above 0.")
        targets.append(Target(output, value, parameter, f"{output} = {match['value']}"))
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


def _doses(part: str, weight: float) -> tuple[float, Regimen]:
    body, start, end, _ = _times(part)
    if not math.isfinite(start):
        raise InvalidRegimen(
            f"'{part}': doses cannot go on for life; give 'from' and 'x', or a steady rate such as '0.4 mg/d folic acid'."
        )
    per_kg = _PER_KG.match(body)
    if per_kg:
        body = f"{float(per_kg['amount']) * weight!r} {per_kg['unit']}{body[per_kg.end() :]}"
    try:
        if end < math.inf and not re.search(r"\sx\s*\d+$", body):
            pair = Regimen.parse(f"{body} x 2").doses
            count = max(1, math.ceil((end - start) / (pair[1].time - pair[0].time) - 1e-9))
            body = f"{body} x {count}"
        elif end < math.inf:
            raise InvalidRegimen(f"'{part}' says both how often and for how long; keep one of 'x' and 'for'.")
        return start, Regimen.parse(body)
    except InvalidRegimen as error:
        raise InvalidRegimen(f"'{part}' is no intervention: {error} Or {EXAMPLE}.") from None


def _known(name: str, known: Collection[str]) -> str:
    if name not in known:
        raise UnknownName("parameter", name, known, "List them with `metabolism list parameters`.")
    return name


def _positive(value: float, part: str) -> float:
    if not (math.isfinite(value) and value >= 0):
        raise InvalidValue(f"'{part}': the value must be finite and not negative.")
    return value
