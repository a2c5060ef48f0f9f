"""SBML files from elsewhere: checked before anything loads them, then flattened to what `read_equations` reads.

Everything here is meant to run in a process with limits of time and memory (`metabolism.sbml.sandbox`).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any
from xml.parsers import expat

from metabolism.errors import ModelError

#: Largest file read [bytes]; the largest public ODE models are a few megabytes.
LARGEST = 50_000_000


#: Packages that leave the mathematics alone whatever the file says of them; libsbml carries the extended MathML of
#: Level 3 Version 2 as one.
_HARMLESS = {"l3v2extendedmath", "layout", "render", "groups"}


#: Deepest nesting of elements; MathML of real models stays below 100.
DEEPEST = 400


def checked_text(path: str | Path) -> str:
    """Return the text of an SBML file after checks that never expand, execute or fetch anything.

    Raises
    ------
    ModelError
        If the file is missing, too large, not text, not well formed, declares entities, or is not SBML.
    """
    file = Path(path)
    try:
        size = file.stat().st_size
        if size > LARGEST:
            raise ModelError(f"'{file}' has {size / 1e6:.0f} MB; files above {LARGEST / 1e6:.0f} MB are not read.")
        raw = file.read_bytes()
    except OSError as error:
        raise ModelError(f"'{file}' cannot be read: {error.strerror or error}.") from None
    if not raw.strip():
        raise ModelError(f"'{file}' is empty.")
    root: list[str] = []
    depth = 0

    def begin(name: str, _: dict[str, str]) -> None:
        nonlocal depth
        depth += 1
        if depth > DEEPEST:
            raise ModelError(f"'{file}' nests elements deeper than {DEEPEST} levels; no SBML model does.")
        if not root:
            root.append(name)

    def end(_: str) -> None:
        nonlocal depth
        depth -= 1

    def refuse(*_: Any) -> None:
        raise ModelError(
            f"'{file}' declares a document type or entities, which SBML never needs and attacks use; remove the "
            "DOCTYPE."
        )

    parser = expat.ParserCreate()
    parser.StartElementHandler, parser.EndElementHandler = begin, end
    parser.StartDoctypeDeclHandler, parser.EntityDeclHandler = refuse, refuse
    try:
        parser.Parse(raw, True)
    except expat.ExpatError as error:
        raise ModelError(
            f"'{file}' is not well-formed XML: {expat.errors.messages[error.code]} in line {error.lineno}"
            + (" (the file looks truncated)." if "no element" in str(error) or "unclosed" in str(error) else ".")
        ) from None
    if root[0].rpartition(":")[2] != "sbml":
        raise ModelError(f"'{file}' is XML but no SBML: its root element is <{root[0]}>.")
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise ModelError(f"'{file}' is not UTF-8, which SBML requires.") from None


def opened(sbml: str) -> tuple[Any, list[str]]:
    """Return the document of an SBML text of Level 2 or 3, and remarks; what no reading of ours covers is refused.

    Raises
    ------
    ModelError
        For an unreadable or invalid document, and for a level, package or construct that is not covered, by name.
    """
    import libsbml

    document = libsbml.readSBMLFromString(sbml)
    errors = [document.getError(i) for i in range(document.getNumErrors())]
    fatal = [e for e in errors if e.getSeverity() >= libsbml.LIBSBML_SEV_ERROR]
    if fatal:
        raise ModelError(
            f"libsbml cannot read it: line {fatal[0].getLine()}: {' '.join(fatal[0].getMessage().split())}"
        )
    content = document.getModel()
    if content is None:
        raise ModelError("the file holds no model.")
    whole = _joined(document) if document.getPlugin("comp") is not None else 0
    content = document.getModel()
    if document.getLevel() == 1:
        raise ModelError("SBML Level 1 is not read; convert it to Level 2 or 3, e.g. with the converter of libsbml.")
    for i in range(document.getNumPlugins()):
        package = document.getPlugin(i).getPackageName()
        if package not in _HARMLESS and document.getPackageRequired(package):
            raise ModelError(f"it needs the SBML package '{package}', which is not covered; flatten it first.")
    algebraic = sum(r.isAlgebraic() for r in content.getListOfRules())
    if algebraic:
        raise ModelError(f"it has {algebraic} algebraic rules, which are not covered.")
    for reaction in content.getListOfReactions():
        if reaction.isSetFast() and reaction.getFast():
            raise ModelError(f"reaction '{reaction.getId()}' is fast (at equilibrium at once), which is not covered.")
    remarks = _remarks(document, content)
    if whole:
        remarks.append(f"its {whole} submodels are written out")
    if content.getNumConstraints():
        remarks.append(f"{content.getNumConstraints()} constraints left out")
    return document, remarks


def _joined(document: Any) -> int:
    """Write the submodels of a document out, in place, and return how many there were.

    Raises
    ------
    ModelError
        If some are in other files, which are never opened, or if libsbml cannot do it.
    """
    import libsbml

    if document.getPlugin("comp").getNumExternalModelDefinitions():
        raise ModelError("it takes submodels from other files, which are not opened; flatten it first.")
    plugin = document.getModel().getPlugin("comp")
    count: int = plugin.getNumSubmodels() if plugin is not None else 0
    properties = libsbml.ConversionProperties()
    properties.addOption("flatten comp", True)
    if document.convert(properties) != libsbml.LIBSBML_OPERATION_SUCCESS:
        errors = [document.getError(i) for i in range(document.getNumErrors())]
        reason = " ".join(errors[-1].getMessage().split()) if errors else "no reason is given"
        raise ModelError(f"its submodels cannot be written out (SBML package 'comp'): {reason}")
    return count


def single(sbml: str) -> str:
    """Return the text of a document with its submodels written out; the text itself if it has none."""
    import libsbml

    document = libsbml.readSBMLFromString(sbml)
    if document.getPlugin("comp") is None:
        return sbml
    _joined(document)
    text: str = libsbml.writeSBMLToString(document)
    return text


def flatten(sbml: str) -> tuple[str, list[str]]:
    """Return the model without functions, local parameters, initial assignments and boundary species, and remarks.

    Raises
    ------
    ModelError
        For an unreadable document, an unsupported level or construct, or a quantity without a value.
    """
    import libsbml

    document, remarks = opened(sbml)
    content = document.getModel()
    _refuse(content)
    if document.getLevel() < 3:
        remarks.append(f"read from Level {document.getLevel()} Version {document.getVersion()}")
        document.setLevelAndVersion(3, 2, False)
        content = document.getModel()
    content.getListOfConstraints().clear()
    for option in ("promoteLocalParameters", "expandFunctionDefinitions", "expandInitialAssignments"):
        properties = libsbml.ConversionProperties()
        properties.addOption(option, True)
        if document.convert(properties) != libsbml.LIBSBML_OPERATION_SUCCESS:
            raise ModelError(f"libsbml cannot carry out '{option}' on it.")
    if content.getNumInitialAssignments():
        raise ModelError("an initial assignment in it has no fixed value.")
    _fix_stoichiometry(content)
    _check_values(content)
    _species_to_parameters(content)
    if _freeze_time(content):
        remarks.append("its rates depend on time: frozen at time 0")
    text: str = libsbml.writeSBMLToString(document)
    if libsbml.readSBMLFromString(text).getNumErrors(libsbml.LIBSBML_SEV_ERROR):
        # annotations of some files do not survive being written; nothing here needs them
        for element in (content, *content.getListOfAllElements()):
            element.unsetAnnotation()
            element.unsetNotes()
        text = libsbml.writeSBMLToString(document)
    return text, remarks


def _refuse(content: Any) -> None:
    """Refuse events that would otherwise be read as something else."""
    for event in content.getListOfEvents():
        for assignment in event.getListOfEventAssignments():
            if content.getCompartment(assignment.getVariable()) is not None:
                raise ModelError(
                    f"event '{event.getId()}' changes the size of compartment '{assignment.getVariable()}', which is "
                    "not covered."
                )


def _fix_stoichiometry(content: Any) -> None:
    """Put the number for stoichiometries that rules or conversion factors give; refuse those that change."""
    import libsbml

    fixed = {p.getId(): p.getValue() for p in content.getListOfParameters() if p.getConstant()}
    for reaction in content.getListOfReactions():
        for side in (reaction.getListOfReactants(), reaction.getListOfProducts()):
            for reference in side:
                key = reference.getId()
                rule = content.getRule(key) if key else None
                where = f"the stoichiometry of '{reference.getSpecies()}' in reaction '{reaction.getId()}'"
                if rule is not None:
                    value = libsbml.SBMLTransforms.evaluateASTNode(rule.getMath(), content)
                    names = _names(rule.getMath())
                    if not rule.isAssignment() or names - fixed.keys() or value != value:
                        raise ModelError(f"{where} changes with time, which is not covered.")
                    reference.setStoichiometry(value)
                    content.removeRuleByVariable(key)
                if not reference.isSetStoichiometry() or reference.getStoichiometry() != reference.getStoichiometry():
                    raise ModelError(f"{where} has no value.")
                species = content.getSpecies(reference.getSpecies())
                factor = species.getConversionFactor() or content.getConversionFactor()
                if factor:
                    reference.setStoichiometry(reference.getStoichiometry() * fixed[factor])
    content.unsetConversionFactor()
    for species in content.getListOfSpecies():
        species.unsetConversionFactor()
    known = {_TIME} | {
        e.getId() for e in content.getListOfAllElements() if e.getTypeCode() != libsbml.SBML_SPECIES_REFERENCE
    }
    laws = [r.getKineticLaw() for r in content.getListOfReactions() if r.isSetKineticLaw()]
    for element in [*content.getListOfRules(), *laws]:
        if element.isSetMath() and (strange := _names(element.getMath()) - known):
            raise ModelError(f"a formula in it uses '{min(strange)}', whose value is not covered.")


#: Stands for the time among ids, one of which may be called "time".
_TIME = "the time"


def _names(math: Any) -> set[str]:
    """Ids that a formula uses."""
    import libsbml

    names, waiting = set(), [math]
    while waiting:
        node = waiting.pop()
        waiting += [node.getChild(i) for i in range(node.getNumChildren())]
        if node.getType() in (libsbml.AST_NAME, libsbml.AST_NAME_TIME):
            names.add(node.getName() if node.getType() == libsbml.AST_NAME else _TIME)
    return names


def _remarks(document: Any, content: Any) -> list[str]:
    import libsbml

    remarks = []
    unitless = [p.getId() for p in content.getListOfParameters() if not p.isSetUnits()]
    if unitless:
        shown = ", ".join(unitless[:3]) + (", ..." if len(unitless) > 3 else "")
        remarks.append(
            f"{len(unitless)} of {content.getNumParameters()} parameters of the model have no unit ({shown})"
        )
    if document.getLevel() == 3:
        missing = [
            q for q in ("substance", "time", "volume", "extent") if not getattr(content, f"isSet{q.title()}Units")()
        ]
        if missing:
            remarks.append(f"no model-wide unit of {', '.join(missing)}")
    document.checkConsistency()
    messages = [document.getError(i) for i in range(document.getNumErrors())]
    # units are an error in some versions of Level 2 and a warning in all others: a remark in each
    units = libsbml.LIBSBML_CAT_UNITS_CONSISTENCY
    wrong = [m for m in messages if m.getSeverity() >= libsbml.LIBSBML_SEV_ERROR and m.getCategory() != units]
    if wrong:
        raise ModelError(f"it breaks the rules of SBML: {' '.join(wrong[0].getMessage().split())}")
    if messages:
        remarks.append(f"libsbml has {len(messages)} warnings about it")
    return remarks


def _check_values(content: Any) -> None:
    ruled = {r.getVariable() for r in content.getListOfRules() if r.isAssignment()}
    for compartment in content.getListOfCompartments():
        if not compartment.getConstant() and content.getRule(compartment.getId()) is not None:
            raise ModelError(f"the size of compartment '{compartment.getId()}' changes, which is not covered.")
        if not compartment.isSetSize():
            if compartment.getSpatialDimensions() == 0:
                compartment.setSpatialDimensions(3)
            compartment.setSize(1.0)
    for parameter in content.getListOfParameters():
        if not parameter.isSetValue() and parameter.getId() not in ruled:
            raise ModelError(f"parameter '{parameter.getId()}' has no value.")
    for species in content.getListOfSpecies():
        if not (species.isSetInitialAmount() or species.isSetInitialConcentration() or species.getId() in ruled):
            raise ModelError(f"species '{species.getId()}' has no initial value.")
    for reaction in content.getListOfReactions():
        if not reaction.isSetKineticLaw() or not reaction.getKineticLaw().isSetMath():
            raise ModelError(f"reaction '{reaction.getId()}' has no rate law; only kinetic models can be compared.")


def _species_to_parameters(content: Any) -> None:
    """Turn species that no reaction moves (boundary, constant, or set by a rule) into parameters of the same id."""
    for species in [content.getSpecies(i) for i in range(content.getNumSpecies())]:
        key = species.getId()
        fixed = species.getBoundaryCondition() or species.getConstant() or content.getRule(key) is not None
        if not fixed:
            continue
        size = content.getCompartment(species.getCompartment()).getSize()
        if species.isSetInitialConcentration():
            value = species.getInitialConcentration() * (size if species.getHasOnlySubstanceUnits() else 1.0)
        else:
            value = species.getInitialAmount() / (1.0 if species.getHasOnlySubstanceUnits() else size)
        parameter_name = species.getName()
        for reaction in content.getListOfReactions():
            for side in (reaction.getListOfReactants(), reaction.getListOfProducts(), reaction.getListOfModifiers()):
                for i in reversed(range(side.size())):
                    if side.get(i).getSpecies() == key:
                        side.remove(i)
        content.removeSpecies(key)
        parameter = content.createParameter()
        parameter.setId(key)
        parameter.setName(parameter_name)
        parameter.setConstant(content.getRule(key) is None)
        if value == value:
            parameter.setValue(value)


def _freeze_time(content: Any) -> bool:
    """Put 0 for the time in rules and rate laws; a resting state exists only for rates that do not run with time."""
    import libsbml

    found = False
    for element in [*content.getListOfRules(), *(r.getKineticLaw() for r in content.getListOfReactions())]:
        math = element.getMath().deepCopy()
        waiting, here = [math], False
        while waiting:
            node = waiting.pop()
            waiting += [node.getChild(i) for i in range(node.getNumChildren())]
            if node.getType() == libsbml.AST_NAME_TIME:
                node.setValue(0.0)
                here = True
        if here:
            element.setMath(math)
            found = True
    return found
