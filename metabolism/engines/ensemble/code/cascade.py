"""Two parts of a model, of which the upper drives the lower one and is not driven by it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from metabolism.sbml import Equations, Expressions, Reaction


@dataclass(frozen=True)
class Split:
    """The states of both parts, in the order of the model.

    Attributes
    ----------
    upper, lower : tuple of str
        States that depend on no lower state, and all others.
    inputs : tuple of str
        Upper states that the rates of lower ones hold.
    """

    upper: tuple[str, ...]
    lower: tuple[str, ...]
    inputs: tuple[str, ...]


def split(equations: Equations) -> Split | None:
    """Find the two parts of a model, or none.

    The two largest sets of mutually dependent states are the cores. If one drives the other, the upper part is
    what the driving core depends on, the core, and what depends on it but not on the other core: such a state
    (an effect compartment, a cofactor) is slow, and so a better input for the other part than what drives it. What the
    other part does not need and what can be had from its inputs goes below after all: steps are fewer there.
    """
    needs, within = _needs(equations), dependence(equations)
    cores: dict[frozenset[str], int] = {}
    for own in within.values():
        cores[own] = cores.get(own, 0) + 1
    largest = sorted(cores, key=lambda c: (-cores[c], sorted(c)))[:2]
    if len(largest) < 2 or cores[largest[1]] < 2 or not (largest[0] < largest[1] or largest[1] < largest[0]):
        return None
    driving, driven = sorted(largest, key=len)
    core = next(s for s, own in within.items() if own == driven)
    source = next(s for s, own in within.items() if own == driving)
    free = {s for s, own in within.items() if core not in own}
    # closed: what an upper state depends on is upper, too
    upper = set().union(*(within[s] for s in free if source in within[s]))
    inputs = {n for s in equations.states if s not in upper for n in needs[s]} & upper
    needed = set().union(*(within[s] for s in inputs))
    while led := {s for s in upper - needed if needs[s] - {s} <= inputs | (set(equations.states) - upper)}:
        upper -= led

    def ordered(names: set[str]) -> tuple[str, ...]:
        return tuple(s for s in equations.states if s in names)

    return Split(ordered(upper), ordered(set(equations.states) - upper), ordered(inputs))


def _needs(equations: Equations) -> dict[str, set[str]]:
    """States that the rate of each state holds, whether or not their derivative vanishes."""
    states = set(equations.states)
    return {
        s: {x.name for x in rate.free_symbols} & states for s, rate in zip(equations.states, equations.rhs, strict=True)
    }


def dependence(equations: Equations) -> dict[str, frozenset[str]]:
    """Each state with everything it depends on, itself included."""
    needs = _needs(equations)
    return {s: _closure(s, needs) for s in equations.states}


def _closure(state: str, needs: Mapping[str, set[str]]) -> frozenset[str]:
    """The state and everything it depends on."""
    keep, todo = {state}, [state]
    while todo:
        new = needs[todo.pop()] - keep
        keep |= new
        todo += new
    return frozenset(keep)


def part(equations: Equations, states: tuple[str, ...]) -> Equations:
    """The model with only some of its states moving; the others stay in the expressions."""
    keep = set(states)
    reactions = {
        r.id: Reaction(r.id, {s: k for s, k in r.stoichiometry.items() if s in keep and k}, r.rate)
        for r in equations.reactions.values()
    }
    rates = {s: e for s, e in equations.rate_rules.items() if s in keep}
    volume = {s: v for s, v in equations.volume.items() if s in keep}
    return replace(
        equations, states=states, volume=volume, given=Expressions(equations.rules, rates, reactions), _compiled={}
    )
