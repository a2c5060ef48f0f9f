"""Anybody's SBML as plain data: what is said in a document, without sympy, without libsbml once it is read.

A formula is a *tree*: a number, an id, or a list of an operator and its arguments (``["*", "k", "S"]``). The reading is
made in a process with limits (`metabolism.sbml.sandbox`) and travels as JSON, so that nothing but numbers and names
leaves that process.

A species is a concentration where its compartment has a constant size, and an amount otherwise: the amount is then a
state of its own, and the concentration a rule. Stoichiometries that are not numbers, and conversion factors, become
rates of change.
"""

from __future__ import annotations

import math
from typing import Any

from metabolism.errors import ModelError
from metabolism.sbml.foreign import opened
from metabolism.sbml.mathml import Formulas, Tree


def read_document(sbml: str) -> dict[str, Any]:
    """Read an SBML document of Level 2 or 3 as plain data.

    Parameters
    ----------
    sbml : str
        Text that passed `metabolism.sbml.checked_text`.

    Returns
    -------
    dict
        ``states``, ``parameters`` and ``volume`` as in `Equations`; ``values`` (numbers) and ``start`` (trees: what is
        computed at the start) of both; ``rules``, ``rates`` and ``reactions``; ``events``; ``species`` with their
        compartment and whether they are amounts; ``units``, ``remarks``, ``time`` (the state that is
        the time, or none).

    Raises
    ------
    ModelError
        For algebraic rules, delayed values, fast reactions and packages other than comp that change the mathematics.
    """
    document, remarks = opened(sbml)
    return _Reading(document, remarks).data


def _names(tree: Any) -> set[str]:
    """Ids in trees, in lists and dictionaries of them."""
    if isinstance(tree, dict):
        inner = [v for k, v in tree.items() if k not in ("id", "net", "scaled")]
    elif isinstance(tree, list):
        inner = tree[1:] if tree and isinstance(tree[0], str) else tree
    else:
        return {tree} if isinstance(tree, str) else set()
    return set().union(*map(_names, inner))


class _Reading:
    def __init__(self, document: Any, remarks: list[str]) -> None:
        import libsbml

        self.model = content = document.getModel()
        self.level, self.formulas = document.getLevel(), Formulas(document.getModel())
        self.tree = self.formulas.tree
        units = (libsbml.SBML_UNIT_DEFINITION, libsbml.SBML_UNIT, libsbml.SBML_LOCAL_PARAMETER)
        self.ids = {e.getId() for e in content.getListOfAllElements() if e.getId() and e.getTypeCode() not in units}
        self.assigned = {r.getVariable(): r for r in content.getListOfRules() if r.isAssignment() and r.isSetMath()}
        self.moved = {r.getVariable(): r for r in content.getListOfRules() if r.isRate() and r.isSetMath()}
        self.initial = {a.getSymbol(): a for a in content.getListOfInitialAssignments() if a.isSetMath()}
        self.jumps = {a.getVariable() for e in content.getListOfEvents() for a in e.getListOfEventAssignments()}
        self.substance: set[str] = set()
        self.states: list[str] = []
        self.parameters: list[str] = []
        self.values: dict[str, float] = {}
        self.start: dict[str, Tree] = {}
        self.rates: dict[str, Tree] = {}
        self.volume: dict[str, str] = {}
        self.amounts: dict[str, str] = {}
        self.units: dict[str, str] = {}
        self.rules: dict[str, Tree] = {k: self.tree(r.getMath()) for k, r in self.assigned.items()}
        # names first: a formula may speak of what stands after it
        for compartment in content.getListOfCompartments():
            self._compartment(compartment, remarks)
        for parameter in content.getListOfParameters():
            self._quantity(parameter, parameter.getValue() if parameter.isSetValue() else math.nan)
        for species in content.getListOfSpecies():
            self._species(species)
        flows, reactions = self._reactions()
        for key, terms in flows.items():
            self._move(key, terms, reactions)
        events = [event for e in content.getListOfEvents() if (event := self._event(e))]
        rates = {k: self._resolved(t, reactions) for k, t in self.rates.items()}
        self.rules = {k: self._resolved(t, reactions) for k, t in self.rules.items()}
        start = {k: self._resolved(t, reactions) for k, t in self.start.items()}
        events = self._resolved(events, reactions)
        reactions = {k: {**r, "rate": self._resolved(r["rate"], reactions)} for k, r in reactions.items()}
        known = {*self.states, *self.parameters, *self.rules, *reactions}
        for name in sorted(_names([self.rules, rates, start, events, reactions]) - known):
            raise ModelError(f"a formula holds '{name}', which is nothing of this file that has a value.")
        for event in events:
            for target in event["assignments"].keys() - {*self.states, *self.parameters}:
                raise ModelError(
                    f"event '{event['id']}' sets '{target}', which is no quantity, or one that a rule sets."
                )
        clock = None
        if self.formulas.timed or events or not self.states:
            clock = self.fresh("time")
            self.states.append(clock)
            self.values[clock], rates[clock] = 0.0, 1.0
        self.data: dict[str, Any] = {
            "id": content.getId(),
            "name": content.getName(),
            "states": self.states,
            "parameters": self.parameters,
            "values": self.values,
            "start": start,
            "rules": self.rules,
            "rates": rates,
            "reactions": reactions,
            "volume": self.volume,
            "species": {
                s.getId(): [s.getCompartment(), s.getId() in self.substance] for s in content.getListOfSpecies()
            },
            "units": self.units,
            "events": events,
            "time": clock,
            "remarks": remarks,
        }

    def fresh(self, name: str) -> str:
        """A name that nothing has."""
        while name in self.ids:
            name += "_"
        self.ids.add(name)
        return name

    # quantities -------------------------------------------------------------------------------------------------

    def _quantity(self, element: Any, value: float) -> None:
        key = element.getId()
        self.units[key] = element.getUnits() if hasattr(element, "getUnits") else ""
        self._place(key, value, None)

    def _place(self, key: str, value: float, start: Tree) -> None:
        """Put a quantity among rules, states or parameters, with its value at the start."""
        if key in self.rules:
            return
        if key in self.moved:
            self.states.append(key)
            self.rates[key] = self.tree(self.moved[key].getMath())
        else:
            self.parameters.append(key)
        self.values[key] = value
        if key in self.initial:
            start = self.tree(self.initial[key].getMath())
        if start is not None:
            self.start[key] = start

    def _compartment(self, compartment: Any, remarks: list[str]) -> None:
        key, size = compartment.getId(), compartment.getSize() if compartment.isSetSize() else math.nan
        if math.isnan(size) and key not in self.initial and key not in self.assigned:
            size = 1.0
            if compartment.getSpatialDimensions():
                remarks.append(f"compartment '{key}' has no size: 1 is taken")
        self._quantity(compartment, size)

    def _species(self, species: Any) -> None:
        key, place = species.getId(), self.model.getCompartment(species.getCompartment())
        size = place.getId()
        whole = species.getHasOnlySubstanceUnits() or place.getSpatialDimensions() == 0
        if whole:
            self.substance.add(key)
        self.units[key] = species.getSubstanceUnits()
        if key in self.rules:
            return
        amount, concentration = (
            species.getInitialAmount() if species.isSetInitialAmount() else math.nan,
            species.getInitialConcentration() if species.isSetInitialConcentration() else math.nan,
        )
        if math.isnan(amount) and math.isnan(concentration) and key not in self.initial:
            amount = 0.0 if self.level < 3 else math.nan
        varies = size in {*self.rules, *self.moved, *self.jumps}
        own, value, start = key, concentration, None
        if whole:
            value, start = (amount, None) if math.isnan(concentration) else (math.nan, ["*", concentration, size])
        elif not varies or (key in self.moved and size not in self.jumps):
            start = None if math.isnan(amount) else ["/", amount, size]
        else:
            own = self.amounts[key] = self.fresh(f"{key}_amount")
            value = amount
            if key in self.initial:
                start = ["*", self.tree(self.initial[key].getMath()), size]
            elif not math.isnan(concentration):
                start = ["*", concentration, size]
            self.rules[key] = ["/", own, size]
            if key in self.moved:
                self.states.append(own)
                law = self.tree(self.moved[key].getMath())
                self.rates[own] = ["+", ["*", law, size], ["*", key, ["rateOf", size]]]
                self.values[own] = value
                if start is not None:
                    self.start[own] = start
                return
        reacts = not species.getBoundaryCondition() and not species.getConstant() and key not in self.moved
        if reacts and self._in_reaction(key):
            self.states.append(own)
            self.values[own] = value
            if key in self.initial and own == key:
                start = self.tree(self.initial[key].getMath())
            if start is not None:
                self.start[own] = start
            if own == key and not whole:
                self.volume[key] = size
        else:
            self._place(own, value, start)

    def _in_reaction(self, key: str) -> bool:
        return any(
            reference.getSpecies() == key
            for reaction in self.model.getListOfReactions()
            for side in (reaction.getListOfReactants(), reaction.getListOfProducts())
            for reference in side
        )

    # reactions --------------------------------------------------------------------------------------------------

    def _reactions(self) -> tuple[dict[str, list[tuple[str, Tree]]], dict[str, Any]]:
        """Flows by species (reaction, coefficient), and the reactions."""
        flows: dict[str, list[tuple[str, Tree]]] = {}
        reactions: dict[str, Any] = {}
        for reaction in self.model.getListOfReactions():
            key, law = reaction.getId(), reaction.getKineticLaw()
            for sign, side in ((-1.0, reaction.getListOfReactants()), (1.0, reaction.getListOfProducts())):
                for reference in side:
                    flows.setdefault(reference.getSpecies(), []).append((key, self._coefficient(reference, sign)))
            if law is None or not law.isSetMath():
                if self._moves(reaction):
                    raise ModelError(f"reaction '{key}' has no rate law; only kinetic models can be run.")
                continue
            local = {}
            for parameter in law.getListOfParameters() if self.level < 3 else law.getListOfLocalParameters():
                name = local[parameter.getId()] = self.fresh(f"{key}_{parameter.getId()}")
                self.parameters.append(name)
                self.values[name] = parameter.getValue() if parameter.isSetValue() else math.nan
                self.units[name] = parameter.getUnits()
            reactions[key] = {"rate": self.tree(law.getMath(), local), "net": {}}
            self.units[key] = ""
        return flows, reactions

    def _moves(self, reaction: Any) -> bool:
        """Whether a reaction changes a species."""
        return any(
            (reference.getSpecies() in self.states or reference.getSpecies() in self.amounts)
            for side in (reaction.getListOfReactants(), reaction.getListOfProducts())
            for reference in side
        )

    def _coefficient(self, reference: Any, sign: float) -> Tree:
        key = reference.getId()
        math_of = reference.getStoichiometryMath() if self.level == 2 else None
        if math_of is not None and math_of.isSetMath():
            return ["*", sign, self.tree(math_of.getMath())]
        value = (
            reference.getStoichiometry() if reference.isSetStoichiometry() else (1.0 if self.level < 3 else math.nan)
        )
        if key:
            self._place(key, value, None)
            self.units[key] = "dimensionless"
            if key in {*self.rules, *self.moved, *self.initial, *self.jumps}:
                return ["*", sign, key]
        return sign * value

    def _move(self, key: str, terms: list[tuple[str, Tree]], reactions: dict[str, Any]) -> None:
        """Let reactions move a species: by numbers where they are numbers, else by a rate of change."""
        own = self.amounts.get(key, key)
        if own not in self.states or key in self.moved:
            return
        species = self.model.getSpecies(key)
        factor = species.getConversionFactor() or self.model.getConversionFactor()
        terms = [(reaction, k) for reaction, k in terms if reaction in reactions]
        if factor or not all(isinstance(k, float) for _, k in terms):
            total: Tree = ["+", *(["*", k, reaction] for reaction, k in terms)]
            total = ["*", factor, total] if factor else total
            self.rates[own] = ["/", total, self.volume[key]] if key in self.volume else total
            return
        for reaction, k in terms:
            if math.isnan(k):
                raise ModelError(f"the stoichiometry of '{key}' in reaction '{reaction}' has no value.")
            net = reactions[reaction]["net"]
            net[own] = net.get(own, 0.0) + k

    # events -----------------------------------------------------------------------------------------------------

    def _event(self, event: Any) -> dict[str, Any] | None:
        trigger = event.getTrigger()
        if trigger is None or not trigger.isSetMath():
            return None
        assignments, scaled = {}, {}
        for a in event.getListOfEventAssignments():
            if not a.isSetMath():
                continue
            target = self.amounts.get(a.getVariable(), a.getVariable())
            assignments[target] = self.tree(a.getMath())
            if target != a.getVariable():
                scaled[target] = self.model.getSpecies(a.getVariable()).getCompartment()
        delay, priority = event.getDelay(), event.getPriority()
        return {
            "id": event.getId() or event.getName(),
            "trigger": self.tree(trigger.getMath()),
            "delay": self.tree(delay.getMath()) if delay is not None and delay.isSetMath() else None,
            "priority": self.tree(priority.getMath()) if priority is not None and priority.isSetMath() else None,
            "initial": trigger.getInitialValue() if trigger.isSetInitialValue() else True,
            "persistent": trigger.getPersistent() if trigger.isSetPersistent() else True,
            "early": event.getUseValuesFromTriggerTime(),
            "assignments": assignments,
            "scaled": scaled,
        }

    # rates of change -------------------------------------------------------------------------------------------

    def _resolved(self, tree: Any, reactions: dict[str, Any]) -> Any:
        """Put the time state and rates of change where they are asked for."""
        if isinstance(tree, dict):
            return {k: self._resolved(t, reactions) for k, t in tree.items()}
        if not isinstance(tree, list):
            return tree
        if tree and tree[0] == "rateOf":
            return self._resolved(self._rate_of(tree[1], reactions), reactions)
        return [self._resolved(t, reactions) for t in tree]

    def _rate_of(self, key: Any, reactions: dict[str, Any]) -> Tree:
        own = self.amounts.get(key, key) if isinstance(key, str) else None
        if own in self.rates:
            rate = self.rates[own]
        elif own in self.states:
            moved: Tree = ["+", *(["*", r["net"][own], n] for n, r in reactions.items() if own in r["net"])]
            rate = ["/", moved, self.volume[key]] if key in self.volume else moved
        elif own in self.parameters:
            rate = 0.0
        else:
            raise ModelError(f"a formula holds the rate of '{key}', which a rule determines; that is not covered.")
        if own != key:
            size = self.model.getSpecies(key).getCompartment()
            change = self._rate_of(size, reactions)
            rate = ["/", ["-", rate, ["*", key, change]], size]
        return rate
