"""One patient and one regimen as a self-contained SBML document, in any level other tools read.

What happens to the patient becomes events (`metabolism.exports.events`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from xml.sax.saxutils import escape

from metabolism.dosing import Regimen, named, plan
from metabolism.engines import Plan
from metabolism.errors import InvalidValue, ModelError, SolverFailed, UnknownName
from metabolism.exports.drawing import add_drawing
from metabolism.exports.events import add_doses, add_parameter, add_settings, set_value
from metabolism.files import commit, versions
from metabolism.model import Model, equations, model_settings, write_identity
from metabolism.sbml import REGIMEN, UNTIL, Equations, sbml_fingerprint
from metabolism.simulation import rest_patients
from metabolism.units import magnitude

#: SBML level and version by the name of the export format.
LEVELS = {"sbml": (3, 2), "sbml-plain": (3, 2), "sbml-l3v1": (3, 1), "sbml-l2v4": (2, 4)}


def sbml_text(
    model: Model,
    regimen: Regimen | str | None = None,
    *,
    until: float | str = "16 weeks",
    start: str = "rest",
    format: str = "sbml",
    drawing: bool = True,
) -> str:
    """Return the SBML of a model at its own values, with the regimen as events.

    Parameters
    ----------
    regimen : Regimen or str, optional
        Doses and changes; one that begins before time 0 is moved to begin there.
    until : float or str
        End of the dosing horizon [h or text]; doses after it are refused.
    start : {"rest", "initial"}
        Initial values: the resting state of this model, or the table's.
    format : {"sbml", "sbml-plain", "sbml-l3v1", "sbml-l2v4"}
        Plain is for simple readers: no reaction in a rule, no unit on a number, a value for everything, no drawing.
    drawing : bool
        Draw the flux map and group reactions by pathway (SBML layout, render and groups), where the level has them.

    Raises
    ------
    InvalidRegimen, UnitMismatch
        For a regimen that cannot be carried out.
    SolverFailed
        If the model has no resting state to start from.
    """
    import libsbml

    if format not in LEVELS:
        raise UnknownName("SBML export format", format, LEVELS)
    schedule, _, steps, values = scenario(model, regimen, until, start)
    own = model.values
    document = libsbml.readSBMLFromString(model.sbml)
    content = document.getModel()
    early = LEVELS[format][0] == 2
    for key, value in values.items():
        set_value(content, key, value)
    for p in model.table.values():
        grade = f", grade {p.confidence}" if p.confidence else ""
        text = f'<p xmlns="http://www.w3.org/1999/xhtml">Bounds {p.lower!r} to {p.upper!r}{grade}.</p>'
        if element := content.getElementBySId(p.id):
            element.appendNotes(text)
    _readable(content)
    doses, changes = named(schedule)
    add_doses(content, steps, early, doses)
    add_settings(content, steps, own, early, changes)
    lines = "".join(f"<li>{escape(k)}: {escape(v)}</li>" for k, v in described(model, regimen, until, start).items())
    if format == "sbml-plain":
        _plain(content, equations(model), values)
    content.appendNotes(f'<ul xmlns="http://www.w3.org/1999/xhtml">{lines}</ul>')
    return _at_level(document, LEVELS[format], drawing and format != "sbml-plain")


def scenario(
    model: Model, regimen: Regimen | str | None, until: float | str, start: str
) -> tuple[Regimen, float, Plan, dict[str, float]]:
    """Return what an export holds: the regimen from time 0, its end [h], its steps, and all values at time 0.

    Raises
    ------
    InvalidRegimen, UnitMismatch
        For a regimen that cannot be carried out.
    SolverFailed
        If the model has no resting state to start from.
    """
    import numpy as np

    schedule, end = from_zero(regimen, until)
    steps = plan(schedule, 0.0, end)
    system, own = equations(model), dict(model.values)
    # what is changed for life is in force at rest; what it is given back to is the model's own value
    lasting = steps.lasting(system.parameters, np.array([[own[name] for name in system.parameters]]))[0]
    values = own | dict(zip(system.parameters, lasting.tolist(), strict=True))
    if start == "rest":
        x, p = system.vectors(values)
        patients = rest_patients(model, p[None], x[None])
        if patients.failures:
            raise SolverFailed(patients.failures[0])
        values |= dict(zip(system.states, patients.states[0].tolist(), strict=True))
    return schedule, end, steps, values


def from_zero(regimen: Regimen | str | None, until: float | str) -> tuple[Regimen, float]:
    """Return a regimen and the end of its run [h], moved so that the run begins at time 0, as other tools want it."""
    schedule = Regimen.parse(regimen) if isinstance(regimen, str) else regimen or Regimen()
    end, begin = magnitude(until, "h", "until"), schedule.start
    if not end > 0:
        raise InvalidValue(f"until = {until} must be after 0 h.")
    return (schedule.delayed(-begin) if begin else schedule), end - begin


def described(model: Model, regimen: Regimen | str | None, until: float | str, start: str = "rest") -> dict[str, str]:
    """Say what an export is: patient, changed values, doses, span, version and hashes.

    Parameters
    ----------
    model : Model
    regimen : Regimen or str, optional
    until : float or str
        End of the run [h or text].
    start : {"rest", "initial"}
    """
    end = from_zero(regimen, until)[1]
    asked = Regimen.parse(regimen) if isinstance(regimen, str) else regimen or Regimen()
    changed = "; ".join(f"{k} = {v!r} {model.table[k].unit}" for k, v in model.changed.items())
    span = f"0 to {end:g} h"
    if asked.start:
        span += f" (time 0 of this file is {asked.start:g} h of the regimen)"
    return {
        "Parameter sets": ", ".join(model.sets) or "none",
        "Changed values": changed or "none",
        "Regimen": str(asked),
        "Run": f"{span}, from {'the resting state' if start == 'rest' else 'the initial values of the table'}",
        "Software": f"als-methionine {versions()['als-methionine']}, commit {commit()}",
        "Model hash": model.structure_hash,
        "Parameter hash": model.parameter_hash,
    }


def _readable(content: Any) -> None:
    """Give units and amounts the form in which other tools show them: hours, and amounts in a compartment of 1 L."""
    for definition in content.getListOfUnitDefinitions():
        for unit in definition.getListOfUnits():
            if unit.isSecond() and unit.getScale() == 3:
                unit.setScale(0)
                unit.setMultiplier(3600.0)
    amounts = [s for s in content.getListOfSpecies() if s.getHasOnlySubstanceUnits()]
    if amounts:
        place = content.createCompartment()
        place.setId("amounts")
        place.setName("holds amounts, of which no concentration is defined")
        place.setSize(1.0)
        place.setSpatialDimensions(3)
        place.setUnits("L")
        place.setConstant(True)
        place.setSBOTerm("SBO:0000290")
    for species in amounts:
        species.setCompartment("amounts")


def _at_level(document: Any, level: tuple[int, int], drawing: bool) -> str:
    import libsbml

    if level != (3, 2):
        content = document.getModel()
        if level[0] == 2:
            _name_literals(content)
        if not document.setLevelAndVersion(*level, False):
            problems = [document.getError(i).getMessage().strip() for i in range(document.getNumErrors())]
            raise ModelError(f"this model cannot be written as SBML Level {level[0]}: {' '.join(problems)}")
    if level[0] == 2:
        # Level 2 wants a delay beside values of the execution time; no two of our events touch one variable at a time
        for event in document.getModel().getListOfEvents():
            event.setUseValuesFromTriggerTime(True)
    elif drawing:
        add_drawing(document)
    _describe(document.getModel())
    text: str = libsbml.writeSBMLToString(document)
    return text


def _describe(content: Any) -> None:
    """Call the licence a licence, not a publication, and name the kind of model."""
    import libsbml

    settings = model_settings()
    # written again: libsbml keeps the RDF vocabulary of Level 3 on conversion
    content.unsetAnnotation()
    write_identity(content, settings)
    terms = [content.getCVTerm(i).clone() for i in range(content.getNumCVTerms())]
    approach = libsbml.CVTerm(libsbml.BIOLOGICAL_QUALIFIER)
    approach.setBiologicalQualifierType(libsbml.BQB_HAS_PROPERTY)
    approach.addResource("http://identifiers.org/mamo/MAMO_0000046")
    content.unsetCVTerms()
    for term in (*terms, approach):
        if term.getResourceURI(0) != settings["licence_url"]:
            content.addCVTerm(term)
    content.appendAnnotation(
        '<dcterms:license xmlns:dcterms="http://purl.org/dc/terms/" xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"'
        f' rdf:resource="{settings["licence_url"]}"/>'
    )
    content.setSBOTerm("SBO:0000293")


def _plain(content: Any, system: Equations, values: Mapping[str, float]) -> None:
    """Write what simple readers cannot follow in words they know."""
    rates = {r.getId(): r.getKineticLaw().getMath() for r in content.getListOfReactions()}
    x, p = system.vectors(values)
    begin = dict(zip(system.rules, system.evaluate(list(system.rules), x[None], p[None])[0], strict=True))
    # in an order that can be evaluated: some readers know no other
    for key in (*system.rules, *system.rate_rules):
        rule = content.removeRuleByVariable(key)
        math = rule.getMath().deepCopy()
        for reaction, rate in rates.items():
            math.replaceArgument(reaction, rate)
        rule.setMath(math)
        content.addRule(rule)
        if key in begin:
            set_value(content, key, float(begin[key]))
    for key, place in system.volume.items():
        # the amount: some read nothing else, and none but the amount may then be there
        content.getSpecies(key).unsetInitialConcentration()
        content.getSpecies(key).setInitialAmount(values[key] * values[place])
    _name_literals(content, *(event.getPriority() for event in content.getListOfEvents()))


def _name_literals(content: Any, *others: Any) -> None:
    """Replace numbers in formulas by constants: a literal of Level 2 cannot carry its unit."""
    import libsbml

    formulas = [*content.getListOfRules()] + [r.getKineticLaw() for r in content.getListOfReactions()]
    for element in (*formulas, *others):
        math = element.getMath().deepCopy()
        waiting = [math]
        while waiting:
            node = waiting.pop()
            waiting += [node.getChild(i) for i in range(node.getNumChildren())]
            if node.isNumber():
                value = node.getValue()
                key = "number_" + f"{value:g}".replace(".", "p").replace("-", "m").replace("+", "")
                if content.getParameter(key) is None:
                    add_parameter(content, key, value, node.getUnits() or "dimensionless", f"the number {value:g}")
                node.setType(libsbml.AST_NAME)
                node.setName(key)
        element.setMath(math)


def model_fingerprint(model: Model, regimen: str | None = REGIMEN, until: float | str = UNTIL) -> dict[str, Any]:
    """Return the fingerprint of one of our own models, through its own SBML export.

    Parameters
    ----------
    regimen : str, optional
        Doses whose ledger is recorded.
    until : float or str
        End of the dosed run [h or text].

    Raises
    ------
    SolverFailed
        If the model has no resting state.
    """
    end = magnitude(until, "h", "until")
    return sbml_fingerprint(sbml_text(model, regimen, until=end, drawing=False), end)
