"""Doses and changes of parameters as events, and the parts of a document that they need.

One encoding that libRoadRunner and COPASI both deliver: triggers with ``time >=`` (never ``==``), initial value false,
values not fixed at trigger time, explicit priority. SBML Level 2 knows neither initial values of triggers nor
priorities: there (`early`), what happens at time 0 is in the initial values.
"""

from collections.abc import Iterable
from itertools import groupby
from typing import Any

from metabolism.engines import Plan
from metabolism.errors import OutputError

#: No second dose of a single-dose series: longer than any run [h].
_NEVER = 1e9


def set_value(content: Any, key: str, value: float) -> None:
    """Set the value at time 0 of a species, compartment or parameter [its own unit]."""
    species = content.getSpecies(key)
    if species is not None:
        if species.getHasOnlySubstanceUnits():
            species.setInitialAmount(value)
        else:
            species.setInitialConcentration(value)
    elif content.getCompartment(key) is not None:
        content.getCompartment(key).setSize(value)
    else:
        content.getParameter(key).setValue(value)


def add_parameter(content: Any, key: str, value: float, unit: str, name: str, constant: bool = True) -> None:
    """Add a parameter to a libsbml model; `unit` is the id of a unit definition."""
    parameter = content.createParameter()
    parameter.setId(key)
    parameter.setName(name)
    parameter.setValue(value)
    parameter.setUnits(unit)
    parameter.setConstant(constant)
    parameter.setSBOTerm("SBO:0000002")


def _event(content: Any, key: str, name: str, trigger: str, assignments: dict[str, str], priority: int) -> None:
    import libsbml

    event = content.createEvent()
    event.setId(key)
    event.setName(name)
    event.setUseValuesFromTriggerTime(False)
    condition = event.createTrigger()
    condition.setInitialValue(False)
    condition.setPersistent(True)
    condition.setMath(_math(trigger))
    rank = event.createPriority()
    literal = libsbml.ASTNode(libsbml.AST_INTEGER)
    literal.setValue(priority)
    literal.setUnits("dimensionless")
    rank.setMath(literal)
    for variable, formula in assignments.items():
        assignment = event.createEventAssignment()
        assignment.setVariable(variable)
        assignment.setMath(_math(formula))


def _math(formula: str) -> Any:
    import libsbml

    parsed = libsbml.parseL3Formula(formula)
    if parsed is None:
        raise OutputError(f"internal: formula '{formula}' is not valid: {libsbml.getLastParseL3Error()}")
    return parsed


def _series(steps: Plan) -> list[tuple[str, float, float, float, int]]:
    """Group boluses into runs of equal amount and spacing: (target, amount, first, interval, count)."""
    series: list[tuple[str, float, float, float, int]] = []
    ordered = sorted(steps.boluses, key=lambda b: (b[1], b[2], b[0]))
    for (target, amount), group in groupby(ordered, key=lambda b: (b[1], b[2])):
        times = [b[0] for b in group]
        while times:
            gap = times[1] - times[0] if len(times) > 1 else 0.0
            length = 1
            while length < len(times) and abs(times[length] - times[length - 1] - gap) < 1e-9 * max(gap, 1.0):
                length += 1
            series.append((target, amount, times[0], gap, length))
            times = times[length:]
    return series


def add_doses(content: Any, steps: Plan, early: bool, names: dict[tuple[float, str], list[str]]) -> None:
    """Add an event for each series of boluses.

    Parameters
    ----------
    content : libsbml.Model
    steps : Plan
    early : bool
        Put what happens at time 0 into the initial values.
    names : dict of (time [h], species) to list of str
        What each dose is called.
    """
    for i, (target, amount, first, gap, count) in enumerate(_series(steps), start=1):
        species = content.getSpecies(target)
        given, due, last, interval = f"dose_{i}", f"dose_{i}_due", f"dose_{i}_last", f"dose_{i}_interval"
        amounts = species.getHasOnlySubstanceUnits()
        # half an interval late, so that rounding of repeated additions cannot lose the last dose
        end = first + gap * (count - 0.5)
        name = _spoken(names.get((first, target), [f"dose to {target}"]), count)
        if early and first == 0:
            if amounts:
                species.setInitialAmount(species.getInitialAmount() + amount)
            else:
                size = content.getCompartment(species.getCompartment()).getSize()
                species.setInitialConcentration(species.getInitialConcentration() + amount / size)
            first = gap if count > 1 else _NEVER
        add_parameter(content, given, amount, "umol", f"amount of each dose {i} to {target}")
        add_parameter(content, due, first, "h", f"time of the next dose {i}", constant=False)
        add_parameter(content, last, end, "h", f"no dose {i} after this time")
        add_parameter(content, interval, gap if count > 1 else _NEVER, "h", f"interval of dose {i}")
        rise = given if amounts else f"{given} / {species.getCompartment()}"
        _event(
            content,
            f"DOSE_{i}",
            name,
            f"(time >= {due}) && ({due} <= {last})",
            {target: f"{target} + {rise}", due: f"{due} + {interval}"},
            priority=100 + i,
        )


def _spoken(names: Iterable[str], count: int = 1) -> str:
    return " + ".join(dict.fromkeys(names)) + (f", {count} times" if count > 1 else "")


def add_settings(
    content: Any, steps: Plan, own: dict[str, float], early: bool, names: dict[tuple[float, str], list[str]]
) -> None:
    """Add an event for each change of a parameter.

    Parameters
    ----------
    content, steps, early, names
        As in `add_doses`; names by (time [h], parameter).
    own : dict of str to float
        The patient's own values [model units].
    """
    changes = [s for s in steps.settings if s[0] >= 0]
    for i, (time, parameter, factor, offset) in enumerate(changes, start=1):
        element = content.getParameter(parameter) or content.getCompartment(parameter)
        element.setConstant(False)
        new = factor * own[parameter] + float(offset)
        if early and time == 0:
            set_value(content, parameter, new)
            continue
        at, level = f"setting_{i}_time", f"setting_{i}_value"
        add_parameter(content, at, time, "h", f"time of setting {i}")
        add_parameter(content, level, new, element.getUnits(), f"value of {parameter} from setting {i} on")
        name = _spoken(names.get((time, parameter), [f"{parameter} is given back"]))
        _event(content, f"SETTING_{i}", name, f"time >= {at}", {parameter: level}, priority=len(changes) - i + 1)
