"""Who was looked at: baselines to be met, shares of people who are alike, and the arms of a study."""

import math
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from itertools import product

from metabolism.dosing import WEIGHT, Hold, Regimen, measured_as
from metabolism.errors import InvalidRegimen, InvalidValue, UnknownName
from metabolism.model import parameter_table
from metabolism.sbml import Equations
from metabolism.units import magnitude


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


@dataclass(frozen=True)
class Member:
    """A share of the people of a study who are alike.

    Attributes
    ----------
    share : float
        Weight in the mean over the people; those of all members sum to one.
    population : Regimen
        What they are like, for life.
    targets : tuple of Target
        Baseline of this member alone.
    """

    share: float
    population: Regimen
    targets: tuple[Target, ...] = ()


@dataclass(frozen=True)
class Arm:
    """One group of people: who they are, the baseline their mean is matched to, and what is done to them.

    Attributes
    ----------
    targets : tuple of Target
        Met by the mean over the members, through inputs that all share.
    before : Regimen or None
        Under which baselines ``on treatment`` are met, just before time 0.
    weight : float
        Body weight [kg].
    """

    members: tuple[Member, ...]
    targets: tuple[Target, ...]
    before: Regimen | None
    treatment: Regimen
    weight: float


_MATCH = re.compile(r"(?P<output>\w+)\s*=\s*(?P<value>\S+\s+\S+)\s+by\s+(?P<parameter>\w+)(?P<on>\s+on\s+treatment)?")
_SPREAD = re.compile(r"spread\s+(\w+)\s+(\d+(?:\.\d+)?)-fold")
_SHARE = re.compile(r"(\d*\.?\d+)\s*(%?)\s+(\S.*)")


def read_match(text: str, units: Mapping[str, str], known: Collection[str]) -> tuple[Target, ...]:
    """Read a baseline such as ``hcy_plasma = 12 uM by HCY_CLEARANCE_CL; cbl_plasma = 93 pg/mL by CBL_DIET_rate``.

    Parameters
    ----------
    text : str
    units : mapping of str to str
        Unit of every output.
    known : collection of str
        Parameters that may be adjusted.

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
        targets.append(Target(output, value, parameter, f"{output} = {match['value']}", bool(match["on"])))
    for kind, names in (("output", [t.output for t in targets]), ("input", [t.parameter for t in targets])):
        twice = next((n for n in names if names.count(n) > 1), None)
        if twice:
            raise InvalidValue(f"the baseline '{text}' uses the {kind} '{twice}' twice; each {kind} meets one value.")
    return tuple(targets)


def read_changes(text: str, weight: float) -> Regimen:
    """Read doses and changes, and refuse a value that cannot be meant, such as a filtration in mL/min.

    Raises
    ------
    InvalidRegimen, InvalidValue, UnknownName
    """
    made = Regimen.parse(text, weight)
    for hold in made.holds:
        own = parameter_table()[hold.parameter]
        value = hold.value * (own.value if hold.how == "x" else 1.0)
        if hold.how != "+" and value > own.most:
            span = f"its bounds of {own.lower:g} to {own.upper:g}"
            raise InvalidValue(f"'{text}' makes {own.id} {value:g}, further above {span} than can be meant.")
    return made


def read_population(text: str) -> tuple[Regimen, float]:
    """Read what a population is like: lifelong changes, and ``weight = 62 kg``; returns (changes, weight [kg]).

    Raises
    ------
    InvalidValue, InvalidRegimen
        For times, doses, or a weight that cannot be.
    """
    holds: list[Hold] = []
    weight = WEIGHT
    parts = [p.strip() for p in text.split(";") if p.strip()]
    for said in (p.partition("=")[2] for p in parts if p.partition("=")[0].strip() == "weight"):
        weight = magnitude(said, "kg", "weight")
        if not 1 <= weight <= 500:
            raise InvalidValue(f"weight ={said} must lie between 1 and 500 kg.")
    for part in (p for p in parts if p.partition("=")[0].strip() != "weight"):
        made = read_changes(part, weight)
        if made.doses:
            raise InvalidRegimen(f"'{part}' is a dose, and a population is for life; move it to interventions.")
        if any((h.start, h.end) not in ((0.0, math.inf), (-math.inf, math.inf)) for h in made.holds):
            raise InvalidValue(f"'{part}' has times, and a population is for life; move it to interventions.")
        holds += [replace(h, start=-math.inf, said="") for h in made.holds]
    return Regimen((), tuple(holds)), weight


def read_baseline(text: str, system: Equations) -> tuple[Target, ...]:
    """Read a baseline in outputs and parameters of a system; see `read_match`."""
    return read_match(text, {n: system.units[n] for n in (*system.states, *system.computed)}, system.parameters)


def read_members(text: str, population: Regimen, system: Equations) -> tuple[Member, ...]:
    """Read a mixture: groups joined by ``&`` are independent of each other, members of a group by ``|``."""
    groups = [_group(g.strip(), system) for g in text.split("&")] if text else []
    members = []
    for chosen in product(*groups):
        holds = (*population.holds, *(h for m in chosen for h in m.population.holds))
        targets = tuple(t for m in chosen for t in m.targets)
        members.append(Member(math.prod(m.share for m in chosen), Regimen((), holds), targets))
    return tuple(members)


def _group(text: str, system: Equations) -> list[Member]:
    if spread := _SPREAD.fullmatch(text):
        if spread[1] not in system.parameters:
            raise UnknownName("parameter", spread[1], system.parameters, "List them with `metabolism list parameters`.")
        if not 1 < float(spread[2]) <= 20:
            raise InvalidValue(f"'{text}': a geometric standard deviation lies above 1, at most 20; 1.5 is usual.")
        # three-point Gauss-Hermite quadrature of a normal logarithm
        steps = ((1 / 6, -math.sqrt(3)), (2 / 3, 0.0), (1 / 6, math.sqrt(3)))
        factors = [(share, float(spread[2]) ** z) for share, z in steps]
        return [Member(s, Regimen((), (Hold(spread[1], "x", f, -math.inf, math.inf),))) for s, f in factors]
    members = []
    for part in text.split("|"):
        match = _SHARE.fullmatch(part.strip())
        if not match:
            raise InvalidValue(
                f"cannot read '{part.strip()}'; write a share and who it is, e.g. '0.88 none | 0.12 set "
                "mthfr_677tt', or 'spread FOLATE_DIET_rate 1.5-fold'."
            )
        own = [p.strip() for p in match[3].split(";")]
        if any(p.startswith("weight") for p in own):
            raise InvalidValue(f"'{match[3]}': a weight is that of all; put it into 'population'.")
        held, matched = ("; ".join(p for p in own if (" by " in p) == by) for by in (False, True))
        holds = read_population("" if held == "none" else held)[0]
        members.append(Member(float(match[1]) / (100 if match[2] else 1), holds, read_baseline(matched, system)))
    total = math.fsum(m.share for m in members)
    if not (abs(total - 1) <= 0.0051 and all(m.share > 0 for m in members)):
        nearest = " + ".join(f"{m.share / total:.3g}" for m in members) if total else "1"
        raise InvalidValue(f"the shares sum to {total:g}, not to one, or one is 0; the nearest that do are {nearest}.")
    return [replace(m, share=m.share / total) for m in members]
