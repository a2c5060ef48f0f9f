"""A flat SBML document, as this package builds them: names, formulas as text, and formulas as symbols."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, NamedTuple

from metabolism.errors import ModelError


@dataclass(frozen=True)
class Reaction:
    """One reaction: net stoichiometry by species and its rate law [µmol/h]."""

    id: str
    stoichiometry: Mapping[str, float]
    rate: Any = field(repr=False)


class Expressions(NamedTuple):
    """The mathematics of a document: assignment rules, rate rules and reactions by id."""

    rules: dict[str, Any]
    rate_rules: dict[str, Any]
    reactions: dict[str, Reaction]


#: Parts of a document that this reading does not cover.
_ABSENT = ("Events", "InitialAssignments", "FunctionDefinitions", "Constraints")


def outline(sbml: str) -> dict[str, list[dict[str, str]]]:
    """Attributes of everything a model lists: names alone, read without libsbml, which is slow to wake."""
    from xml.etree import ElementTree

    try:
        root = ElementTree.fromstring(sbml.encode())
    except ElementTree.ParseError as error:
        raise ModelError(f"this SBML cannot be read ({error}).") from None
    model = next((e for e in root if e.tag.rpartition("}")[2] == "model"), None)
    if model is None:
        raise ModelError("this SBML cannot be read: it holds no model.")
    outline: dict[str, list[dict[str, str]]] = {
        f"listOf{name}": [] for name in (*_ABSENT, "Species", "Parameters", "Compartments", "Rules", "Reactions")
    }
    for group in model:
        name = group.tag.rpartition("}")[2]
        if name in outline:
            outline[name] = [
                {**e.attrib, "tag": e.tag.rpartition("}")[2]}
                for e in group
                if e.tag.rpartition("}")[2] not in ("notes", "annotation")
            ]
    if any(rule["tag"] == "algebraicRule" for rule in outline["listOfRules"]):
        raise ModelError("this SBML has algebraic rules, which the symbolic reading does not cover.")
    for name in _ABSENT:
        if outline[f"listOf{name}"]:
            raise ModelError(f"this SBML has {name}, which the symbolic reading does not cover.")
    return outline


@dataclass(frozen=True)
class Formula:
    """A rule or rate law as written in the document, the ids in it, and what the reaction turns over."""

    text: str
    names: tuple[str, ...]
    stoichiometry: Mapping[str, float] = field(default_factory=dict)


@lru_cache(maxsize=8)
def read_formulas(sbml: str) -> dict[str, Formula]:
    """Read every rule and rate law of an SBML document as text: for people, without symbols that can be derived."""
    import libsbml

    model = _open(sbml).getModel()

    def formula(element: Any, net: Mapping[str, float]) -> Formula:
        names, waiting = set(), [element.getMath()]
        while waiting:
            node = waiting.pop()
            waiting += [node.getChild(i) for i in range(node.getNumChildren())]
            names |= {node.getName()} if node.isName() else set()
        settings = libsbml.L3ParserSettings()
        settings.setParseUnits(False)
        return Formula(libsbml.formulaToL3StringWithSettings(element.getMath(), settings), tuple(sorted(names)), net)

    formulas = {rule.getVariable(): formula(rule, {}) for rule in model.getListOfRules()}
    for reaction in model.getListOfReactions():
        formulas[reaction.getId()] = formula(reaction.getKineticLaw(), _net(reaction))
    return formulas


def _net(reaction: Any) -> dict[str, float]:
    """Net stoichiometry of a reaction by species."""
    net: dict[str, float] = {}
    for sign, side in ((-1.0, reaction.getListOfReactants()), (1.0, reaction.getListOfProducts())):
        for reference in side:
            key = reference.getSpecies()
            net[key] = net.get(key, 0.0) + sign * reference.getStoichiometry()
    return net


def _open(sbml: str) -> Any:
    import libsbml

    document = libsbml.readSBMLFromString(sbml)
    model = document.getModel()
    if model is None or document.getNumErrors(libsbml.LIBSBML_SEV_ERROR):
        raise ModelError("this SBML cannot be read.")
    return document


def read_math(sbml: str) -> Expressions:
    """Return the mathematics of a document as formulas: rates, rules and what they call."""
    import sympy as sp
    from sbmlmath import sbml_math_to_sympy

    document = _open(sbml)
    model = document.getModel()

    def expression(element: Any) -> Any:
        found = sbml_math_to_sympy(element, ignore_units=True)
        plain = {s: sp.Symbol(s.name) for s in found.free_symbols}
        return sp.nsimplify(found.xreplace(plain), rational=False) if found.is_number else found.xreplace(plain)

    rules: dict[str, Any] = {}
    rate_rules: dict[str, Any] = {}
    for rule in model.getListOfRules():
        (rules if rule.isAssignment() else rate_rules)[rule.getVariable()] = expression(rule)
    reactions = {}
    for reaction in model.getListOfReactions():
        key = reaction.getId()
        reactions[key] = Reaction(key, _net(reaction), expression(reaction.getKineticLaw()))
    return Expressions(rules, rate_rules, reactions)
