"""Exports: the model with one patient's values and a regimen as events, as SBML or Antimony.

Doses become events in one place, in the encoding that libRoadRunner and COPASI both deliver: triggers with
``time >=`` (never ``==``), initial value false, values not fixed at trigger time, explicit priority.
"""

from __future__ import annotations

from itertools import groupby
from pathlib import Path
from typing import Any

from metabolism.equations import equations
from metabolism.errors import OutputError, UnknownName
from metabolism.model import Model, antimony_from_sbml
from metabolism.regimen import Plan, Regimen, plan
from metabolism.resting import steady_state
from metabolism.result import write_text
from metabolism.units import magnitude

FORMATS = ("sbml", "antimony")


def export(
    model: Model,
    path: str | Path,
    format: str = "sbml",
    *,
    regimen: Regimen | str | None = None,
    until: float | str = "16 weeks",
    start: str = "rest",
    force: bool = False,
) -> Path:
    """Write the model to a file; the file appears complete or not at all.

    Parameters
    ----------
    format : {"sbml", "antimony"}
    regimen : Regimen or str, optional
        Doses and exposures, written as events.
    until : float or str
        End of the dosing horizon [h or text]; doses after it are refused.
    start : {"rest", "initial"}
        Initial values: the resting state of this model, or the table's.
    force : bool
        Overwrite an existing file.

    Raises
    ------
    UnknownName
        For an unknown format.
    OutputError
        If the file exists and `force` is not given, or cannot be written.
    """
    if format not in FORMATS:
        raise UnknownName("export format", format, FORMATS)
    target = Path(path)
    if target.exists() and not force:
        raise OutputError(f"'{target}' exists; give --force (force=True) to overwrite it.")
    sbml = sbml_text(model, regimen, until=until, start=start)
    return write_text(target, sbml if format == "sbml" else antimony_from_sbml(sbml))


def sbml_text(
    model: Model, regimen: Regimen | str | None = None, *, until: float | str = "16 weeks", start: str = "rest"
) -> str:
    """Return SBML L3V2 of a model at its own values, with the regimen as events."""
    import libsbml

    schedule = Regimen.parse(regimen) if isinstance(regimen, str) else regimen or Regimen()
    steps = plan(schedule, 0.0, magnitude(until, "h", "until"))
    values = dict(model.values)
    if start == "rest":
        resting = steady_state(model).values
        values |= {s: resting[s] for s in equations(model).states}
    document = libsbml.readSBMLFromString(model.sbml)
    content = document.getModel()
    for key, value in values.items():
        _set_value(content, key, value)
    _add_doses(content, steps)
    _add_settings(content, steps, values)
    text: str = libsbml.writeSBMLToString(document)
    return text


def _set_value(content: Any, key: str, value: float) -> None:
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


def _parameter(content: Any, key: str, value: float, unit: str, name: str, constant: bool = True) -> None:
    parameter = content.createParameter()
    parameter.setId(key)
    parameter.setName(name)
    parameter.setValue(value)
    parameter.setUnits(unit)
    parameter.setConstant(constant)
    parameter.setSBOTerm("SBO:0000002")


def _event(content: Any, key: str, trigger: str, assignments: dict[str, str], priority: int) -> None:
    import libsbml

    event = content.createEvent()
    event.setId(key)
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
    found: list[tuple[str, float, float, float, int]] = []
    ordered = sorted(steps.boluses, key=lambda b: (b[1], b[2], b[0]))
    for (target, amount), group in groupby(ordered, key=lambda b: (b[1], b[2])):
        times = [b[0] for b in group]
        while times:
            gap = times[1] - times[0] if len(times) > 1 else 0.0
            length = 1
            while length < len(times) and abs(times[length] - times[length - 1] - gap) < 1e-9 * max(gap, 1.0):
                length += 1
            found.append((target, amount, times[0], gap, length))
            times = times[length:]
    return found


def _add_doses(content: Any, steps: Plan) -> None:
    for i, (target, amount, first, gap, count) in enumerate(_series(steps), start=1):
        species = content.getSpecies(target)
        given, due, last, interval = f"dose_{i}", f"dose_{i}_due", f"dose_{i}_last", f"dose_{i}_interval"
        _parameter(content, given, amount, "umol", f"amount of each dose {i} to {target}")
        _parameter(content, due, first, "h", f"time of the next dose {i}", constant=False)
        # half an interval late, so that rounding of repeated additions cannot lose the last dose
        _parameter(content, last, first + gap * (count - 0.5), "h", f"no dose {i} after this time")
        _parameter(content, interval, gap if count > 1 else 1e9, "h", f"interval of dose {i}")
        rise = given if species.getHasOnlySubstanceUnits() else f"{given} / {species.getCompartment()}"
        _event(
            content,
            f"DOSE_{i}",
            f"(time >= {due}) && ({due} <= {last})",
            {target: f"{target} + {rise}", due: f"{due} + {interval}"},
            priority=100 + i,
        )


def _add_settings(content: Any, steps: Plan, values: dict[str, float]) -> None:
    for i, (time, parameter, value) in enumerate(steps.settings, start=1):
        element = content.getParameter(parameter)
        element.setConstant(False)
        at, level = f"setting_{i}_time", f"setting_{i}_value"
        _parameter(content, at, time, "h", f"time of setting {i}")
        new = values[parameter] if value is None else value
        _parameter(content, level, new, element.getUnits(), f"value of {parameter} from setting {i} on")
        _event(content, f"SETTING_{i}", f"time >= {at}", {parameter: level}, priority=len(steps.settings) - i + 1)
