"""Equations generated from the built SBML: states, rates, stoichiometry, Jacobian, conserved moieties.

The symbols come from the SBML document alone, never from the fragments or the table, so that this reading
of the model is independent of libRoadRunner's. A state is a concentration for a concentration species, an
amount for a ``hasOnlySubstanceUnits`` species, and the value itself for a parameter with a rate rule.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from functools import cached_property, lru_cache
from typing import Any

import numpy as np

from metabolism.errors import ModelError
from metabolism.sbml.flat import Expressions, Reaction, outline, read_math
from metabolism.types import Array


@dataclass(frozen=True, eq=False)
class Equations:
    """The model as symbols.

    Attributes
    ----------
    sbml : str
        The document these equations were read from.
    states : tuple of str
        State ids in solver order.
    parameters : tuple of str
        Constants: parameters and compartment sizes.
    computed : tuple of str
        Ids of assignment rules, then of reactions: what follows from states and parameters.
    units : dict of str to str
        SBML unit id of every state, parameter, rule and reaction.
    volume : dict of str to str
        Compartment id of each concentration species (absent for amounts and rate-rule states).
    given : Expressions, optional
        Used in place of those of the document.
    reading : mapping, optional
        What `read_document` found, for anybody's SBML: then `sbml` is its JSON, and values may be negative.
    """

    sbml: str = field(repr=False)
    states: tuple[str, ...]
    parameters: tuple[str, ...]
    computed: tuple[str, ...]
    units: dict[str, str]
    volume: dict[str, str]
    given: Expressions | _Later | None = field(default=None, repr=False)
    reading: Mapping[str, Any] | None = field(default=None, repr=False)
    _compiled: dict[Any, Callable[[Any, Any], list[Any]]] = field(default_factory=dict, repr=False)

    def __reduce__(self) -> tuple[Any, ...]:
        # compiled functions do not pickle; a worker reads the document again (and only once)
        return read_equations, (self.sbml,)

    @cached_property
    def _math(self) -> Expressions | _Later:
        # read when first asked for: names are enough to run compiled code, and sympy is slow to wake
        return self.given or read_math(self.sbml)

    @property
    def events(self) -> list[dict[str, Any]]:
        """Events, as `read_document` gives them."""
        return list(self.reading["events"]) if self.reading else []

    @property
    def time(self) -> str | None:
        """The state that is the time, if there is one."""
        return self.reading["time"] if self.reading else None

    @property
    def rules(self) -> dict[str, Any]:
        """Assignment rules as expressions, in an order that can be evaluated."""
        return self._math.rules

    @property
    def rate_rules(self) -> dict[str, Any]:
        """Rate rules as expressions."""
        return self._math.rate_rules

    @property
    def reactions(self) -> dict[str, Reaction]:
        """Reactions with stoichiometry and rate."""
        return self._math.reactions

    @cached_property
    def expanded(self) -> dict[str, Any]:
        """Rules and reaction rates with every rule and reaction id replaced, down to states and parameters."""
        done: dict[str, Any] = {}
        pending = {**self.rules, **{r.id: r.rate for r in self.reactions.values()}}
        while pending:
            ready = [k for k, e in pending.items() if not {s.name for s in e.free_symbols} & pending.keys()]
            if not ready:
                raise ModelError(f"the rules {', '.join(sorted(pending))} depend on each other in a circle.")
            for key in ready:
                expression = pending.pop(key)
                known = {s: done[s.name] for s in expression.free_symbols if s.name in done}
                done[key] = expression.xreplace(known)
        return done

    @cached_property
    def rhs(self) -> list[Any]:
        """Time derivative of each state [state unit / h]."""
        import sympy as sp

        terms: dict[str, Any] = {s: sp.Integer(0) for s in self.states}
        for reaction in self.reactions.values():
            for species, coefficient in reaction.stoichiometry.items():
                terms[species] += coefficient * self.expanded[reaction.id]
        for species, compartment in self.volume.items():
            terms[species] = terms[species] / sp.Symbol(compartment)
        for state, rate in self.rate_rules.items():
            known = {s: self.expanded[s.name] for s in rate.free_symbols if s.name in self.expanded}
            terms[state] = rate.xreplace(known)
        return [terms[s] for s in self.states]

    @cached_property
    def jacobian(self) -> dict[tuple[int, int], Any]:
        """Non-zero entries of d(rhs)/d(state)."""
        import sympy as sp

        index = {s: i for i, s in enumerate(self.states)}
        entries: dict[tuple[int, int], Any] = {}
        for row, expression in enumerate(self.rhs):
            for symbol in sorted(expression.free_symbols, key=lambda s: s.name):
                if symbol.name in index:
                    entry = sp.diff(expression, symbol)
                    if entry != 0:
                        entries[row, index[symbol.name]] = entry
        return entries

    @cached_property
    def stoichiometry(self) -> Array:
        """Stoichiometric matrix, states by reactions [µmol per µmol]."""
        matrix = np.zeros((len(self.states), len(self.reactions)))
        index = {s: i for i, s in enumerate(self.states)}
        for column, reaction in enumerate(self.reactions.values()):
            for species, coefficient in reaction.stoichiometry.items():
                matrix[index[species], column] = coefficient
        return matrix

    def moieties(self) -> list[dict[str, float]]:
        """Return the conserved moieties: weights of amounts whose sum no reaction changes.

        >>> import antimony
        >>> _ = antimony.loadAntimonyString("model swap; A = 1; B = 0; k = 1; J: A -> B; k*A; end")
        >>> read_equations(antimony.getSBMLString("swap")).moieties()
        [{'A': 1.0, 'B': 1.0}]
        """
        import sympy as sp

        species = [s for s in self.states if s not in self.rate_rules]
        rows = [i for i, s in enumerate(self.states) if s not in self.rate_rules]
        exact = [[Fraction(c).limit_denominator(10**6) for c in row] for row in self.stoichiometry[rows].T.tolist()]
        matrix = sp.Matrix([[sp.Rational(c.numerator, c.denominator) for c in row] for row in exact])
        return [{s: float(w) for s, w in zip(species, vector, strict=True) if w != 0} for vector in matrix.nullspace()]

    @cached_property
    def _arguments(self) -> list[Any]:
        import sympy as sp

        return [sp.symbols(self.states), sp.symbols(self.parameters)]

    @cached_property
    def rates(self) -> Callable[[Any, Any], list[float]]:
        """Compiled right-hand side ``f(x, p)``."""
        return _compile(self._arguments, self.rhs)

    @cached_property
    def jacobian_entries(self) -> Callable[[Any, Any], list[float]]:
        """Compiled non-zero Jacobian entries, in the order of `jacobian`."""
        return _compile(self._arguments, list(self.jacobian.values()))

    def parameter_slope(self, parameter: str) -> Callable[[Any, Any], list[float]]:
        """Return the compiled derivative of the right-hand side by one parameter ``(x, p) -> (states,)``."""
        import sympy as sp

        if parameter not in self._compiled:
            symbol = sp.Symbol(parameter)
            self._compiled[parameter] = _compile(
                self._arguments, [sp.diff(e, symbol) if e.has(symbol) else sp.Integer(0) for e in self.rhs]
            )
        return self._compiled[parameter]

    @cached_property
    def derived(self) -> Callable[[Any, Any], list[float]]:
        """Compiled rules and reaction rates, in the order of `expanded`."""
        return _compile(self._arguments, list(self.expanded.values()))

    def evaluate(self, names: Sequence[str], x: Array, p: Array) -> Array:
        """Evaluate states, constants, rules or reactions at any number of points.

        Parameters
        ----------
        names : sequence of str
            Ids of states, parameters, rules or reactions.
        x : ndarray, shape (..., states)
            States, in the order of `states`.
        p : ndarray, shape (..., parameters)
            Constants, in the order of `parameters`; the leading axes of `x` and `p` are broadcast.

        Returns
        -------
        ndarray, shape (..., names)
            In the units of the document; NaN where a state is NaN, and not finite where a formula divides by zero.
        """
        with np.errstate(all="ignore"):
            values = self._at(tuple(names))(np.moveaxis(x, -1, 0), np.moveaxis(p, -1, 0))
        unknown = np.isnan(x).any(axis=-1)
        result = np.empty((*np.broadcast_shapes(x.shape[:-1], p.shape[:-1]), len(names)))
        for i, value in enumerate(values):
            result[..., i] = np.where(unknown, np.nan, value)
        return result

    def _at(self, names: tuple[str, ...]) -> Callable[[Any, Any], list[Any]]:
        """Return what gives the values of ids from states and constants, whose own need no algebra (slow to wake)."""
        if not {*names} & {*self.computed}:
            places = [
                (n in self.states, (self.states if n in self.states else self.parameters).index(n)) for n in names
            ]
            return lambda x, p: [(x if state else p)[i] for state, i in places]
        import sympy as sp

        if names not in self._compiled:
            asked = [self.expanded.get(n, sp.Symbol(n)) if n in self.computed else sp.Symbol(n) for n in names]
            self._compiled[names] = _compile(self._arguments, asked, "numpy")
        return self._compiled[names]

    def f(self, x: Array, p: Array) -> Array:
        """Evaluate dx/dt at one point: shapes (states,), (parameters,) -> (states,); NaN where it has no value."""
        return _numbers(self.rates, x, p, len(self.states))

    def J(self, x: Array, p: Array) -> Array:
        """Evaluate the dense Jacobian at one point: -> (states, states); NaN where it has no value."""
        matrix = np.zeros((len(self.states), len(self.states)))
        if self.jacobian:
            rows, columns = np.array(list(self.jacobian)).T
            matrix[rows, columns] = _numbers(self.jacobian_entries, x, p, len(rows))
        return matrix

    def vectors(self, values: Mapping[str, float]) -> tuple[Array, Array]:
        """Split a mapping of values into (states, parameters) in solver order."""
        return (np.array([values[s] for s in self.states]), np.array([values[p] for p in self.parameters]))


def _compile(arguments: list[Any], expressions: list[Any], modules: str = "math") -> Callable[[Any, Any], list[Any]]:
    import sympy as sp

    from metabolism.sbml.trees import NUMBERS

    function: Callable[[Any, Any], list[Any]] = sp.lambdify(
        arguments, expressions, modules=[NUMBERS, modules], cse=True
    )
    return function


def _numbers(function: Callable[[Any, Any], list[float]], x: Array, p: Array, count: int) -> Array:
    """Call a compiled function; a division by zero, an overflow or a root of a negative number makes it NaN."""
    try:
        return np.array(function(x.tolist(), p.tolist()), dtype=float)
    except (ArithmeticError, ValueError, TypeError):
        return np.full(count, np.nan)


@lru_cache(maxsize=8)
def read_equations(sbml: str) -> Equations:
    """Read the equations out of an SBML document.

    Raises
    ------
    ModelError
        If the document uses a construct this reading does not cover (events, algebraic rules, functions).
    """
    if sbml.startswith("{"):
        return _general(sbml)
    model = outline(sbml)
    states, volume, units = [], {}, {}
    for species in model["listOfSpecies"]:
        key, amount = species["id"], species.get("hasOnlySubstanceUnits") in ("true", "1")
        states.append(key)
        units[key] = "umol" if amount else "uM"
        if not amount:
            volume[key] = species["compartment"]
    changing = {rule["variable"]: rule["tag"] == "assignmentRule" for rule in model["listOfRules"]}
    reactions = [reaction["id"] for reaction in model["listOfReactions"]]
    units |= {e["id"]: e.get("units", "") for e in model["listOfParameters"]}
    units |= {e["id"]: e.get("units") or "L" for e in model["listOfCompartments"]}
    units |= dict.fromkeys(reactions, "umol_per_h")
    states += sorted(name for name, assigned in changing.items() if not assigned)
    constants = [e["id"] for e in model["listOfParameters"] if e["id"] not in changing]
    constants += [e["id"] for e in model["listOfCompartments"]]
    computed = [name for name, assigned in changing.items() if assigned] + reactions
    return Equations(sbml, tuple(states), tuple(constants), tuple(computed), units, volume)


def _general(text: str) -> Equations:
    """Equations of a reading (`read_document`) as JSON: anybody's SBML."""
    reading = json.loads(text)
    given = _Later(reading)
    computed = (*reading["rules"], *reading["reactions"])
    states, constants = tuple(reading["states"]), tuple(reading["parameters"])
    return Equations(text, states, constants, computed, reading["units"], reading["volume"], given, reading)


class _Later:
    """The expressions of a reading, made when they are first asked for."""

    def __init__(self, reading: Mapping[str, Any]) -> None:
        self.reading = reading

    @cached_property
    def rules(self) -> dict[str, Any]:
        return self._expressions("rules")

    @cached_property
    def rate_rules(self) -> dict[str, Any]:
        return self._expressions("rates")

    @cached_property
    def reactions(self) -> dict[str, Reaction]:
        from metabolism.sbml.trees import expression

        return {
            key: Reaction(key, r["net"], expression(r["rate"], self.reading["time"]))
            for key, r in self.reading["reactions"].items()
        }

    def _expressions(self, name: str) -> dict[str, Any]:
        from metabolism.sbml.trees import expression

        return {key: expression(tree, self.reading["time"]) for key, tree in self.reading[name].items()}
