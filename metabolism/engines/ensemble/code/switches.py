"""What jumps in a model, taken out of its rates: within a step each comparison keeps the value it had at its start.

Each comparison, floor and ceiling that holds a state becomes a *mode*, a parameter of the patient. A step is smooth,
and ends where a mode, or the trigger of an event, would change; there the modes are set anew.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import sympy as sp

from metabolism.sbml import Equations, trees

_JUMPS = (trees.Less, trees.NotMore, trees.Same, trees.Floor)


@dataclass(frozen=True)
class Switches:
    """A model whose rates are smooth.

    Attributes
    ----------
    expanded : dict
        As `Equations.expanded`, with modes in the place of what jumps.
    rates : dict
        As `Equations.rate_rules`, down to states, parameters and modes.
    modes : dict
        What each mode is.
    triggers : list
        What each event waits for.
    """

    expanded: dict[str, Any]
    rates: dict[str, Any]
    modes: dict[str, Any]
    triggers: list[Any]

    @property
    def guards(self) -> list[Any]:
        """Everything that ends a step where it changes."""
        return [*self.modes.values(), *self.triggers]

    @property
    def held(self) -> list[str]:
        """Parameters that hold what each guard was."""
        return [*self.modes, *(f"trigger {n}" for n in range(len(self.triggers)))]


def switches(equations: Equations) -> Switches:
    """Take what jumps out of the rates of a model."""
    symbols = {sp.Symbol(name): e for name, e in equations.expanded.items()}
    rates = {s: e.xreplace(symbols) for s, e in equations.rate_rules.items()}
    if equations.reading is None:
        return Switches(equations.expanded, rates, {}, [])
    states, modes, seen = {sp.Symbol(s) for s in equations.states}, dict[Any, Any](), dict[Any, Any]()

    def locked(e: Any) -> Any:
        if not e.args:
            return e
        if e not in seen:
            own = e.func(*(locked(a) for a in e.args))
            if isinstance(own, _JUMPS) and own.free_symbols & states:
                own = modes.setdefault(own, sp.Symbol(f"mode {len(modes)}"))
            seen[e] = own
        return seen[e]

    def live(e: Any) -> Any:
        if isinstance(e, (trees.Both, trees.Either, trees.Opposite)):
            return e.func(*(live(a) for a in e.args))
        # a mode as well: each comparison by itself is harder to step over than a window that two of them make
        still = locked(e)
        return e.func(*(locked(a) for a in e.args)) if isinstance(e, _JUMPS) else still

    expanded = {name: locked(e) for name, e in equations.expanded.items()}
    rates = {name: locked(e) for name, e in rates.items()}
    triggers = [live(trees.expression(e["trigger"], equations.time).xreplace(symbols)) for e in equations.events]
    return Switches(expanded, rates, {symbol.name: e for e, symbol in modes.items()}, triggers)
