"""Model kernels as vector LLVM IR: rates, analytic Jacobian with fixed-pattern LU, solves, derived outputs.

Every function works on `lanes` patients at once, one per vector lane, so nothing a lane computes can depend
on its neighbours. Subexpressions that hold parameters alone are computed once per patient (``prologue``).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import sympy as sp
from llvmlite import ir

from metabolism.engines.ensemble.code.ir import POINTER, VOID, Emitter
from metabolism.engines.ensemble.code.scope import Scope
from metabolism.engines.ensemble.code.switches import switches
from metabolism.engines.ensemble.code.symbols import (
    Hoister,
    eliminate,
    fractional,
    lower,
    prepare,
    slope,
    vanishing,
)
from metabolism.sbml import Equations


class ModelCode:
    """Emits the functions of one model into an IR module.

    Functions (pointers to vectors; parameters p, constants c, states y):

    - ``prologue(p, c)``: constants of each patient.
    - ``rates(p, c, y, f)``: adds dy/dt to f.
    - ``factor(p, c, y, f, lu, w, shift, v, g)``: dy/dt and the LU factors of ``diag(w) shift - J``; if the model is
      driven, also the rates' change with time, g, from that of the inputs, v.
    - ``solve(lu, b)``: solve in place.
    - ``derived_<n>(p, c, y)``: rule or reaction n of ``equations.expanded``.
    - ``domain(p, c, y)``: 0, or no number where a power has no value, if anybody's model has powers that may not have.
      Stages, and they alone, take a negative base as 0: where a state begins with nothing, they look below it.

    Parameters
    ----------
    equations : Equations
    module : llvmlite.ir.Module
    lanes : int
    given : sequence of str
        States of another part of the model; they stand after the own ones in y.
    inputs : sequence of str
        Those of them that rates of this part hold.
    label : str
        Before the names of all functions.
    outputs : bool
        Whether to emit rules and reactions.

    Attributes
    ----------
    moved : list of int
        States whose rates hold an input, and so change with time by themselves.
    clock : int or None
        The state that is the time.
    """

    def __init__(
        self,
        equations: Equations,
        module: Any,
        lanes: int,
        given: Sequence[str] = (),
        inputs: Sequence[str] = (),
        label: str = "",
        outputs: bool = True,
    ) -> None:
        self.equations, self.module, self.lanes, self.label = equations, module, lanes, label
        self.general, self.switches = equations.reading is not None, switches(equations)
        self.states, self.parameters = equations.states, (*equations.parameters, *self.switches.held)
        self.clock = self.states.index(equations.time) if equations.time in self.states else None
        self.given, self.inputs = tuple(given), tuple(inputs)
        self.hoist = Hoister((*self.states, *self.given, *(f"d {name}" for name in self.inputs)))
        self.vector = ir.VectorType(ir.DoubleType(), lanes)
        self.expanded = {k: prepare(e) for k, e in self.switches.expanded.items()}
        self.flows = {k: self.expanded[k] for k, r in equations.reactions.items() if any(r.stoichiometry.values())}
        self.flows |= {f"d_{s}": prepare(e) for s, e in self.switches.rates.items()}
        self.powers = [f for f in self.flows.values() if self.general and fractional(f, self.states)]
        self.elimination = eliminate(self._pattern(), len(self.states))
        self.rates, self.factor, self.solve = self._rates(), self._factor(), self._solve()
        self.derived = [self._derived(n, e) for n, e in enumerate(self.expanded.values() if outputs else ())]
        self.live = self._live()
        self.domain = self._domain() if self.powers else None
        # last: only now every constant is known
        self.prologue = self._prologue()

    @property
    def constants(self) -> int:
        """Number of constants per patient."""
        return len(self.hoist.constants)

    def _feeds(self) -> dict[str, list[tuple[str, float]]]:
        """Which flows change each state, and how much of each."""
        feeds: dict[str, list[tuple[str, float]]] = {s: [] for s in self.states}
        for reaction in self.equations.reactions.values():
            for species, coefficient in reaction.stoichiometry.items():
                if coefficient:
                    feeds[species].append((reaction.id, coefficient))
        for state in self.equations.rate_rules:
            feeds[state].append((f"d_{state}", 1.0))
        return feeds

    def rests(self) -> dict[str, list[list[str]]]:
        """For each state the terms of its rate, each with the names of which one, being zero, makes it vanish."""
        terms = {name: vanishing(flow) for name, flow in self.flows.items()}
        return {s: [term for name, _ in flows for term in terms[name]] for s, flows in self._feeds().items()}

    def _slopes(self) -> dict[tuple[str, str], Any]:
        """Non-zero derivatives of each flow by each state."""
        slopes = {}
        for name, flow in self.flows.items():
            held = flow.free_symbols
            for state in (*self.states, *self.inputs):
                if sp.Symbol(state) in held and (own := slope(flow, sp.Symbol(state))) != 0:
                    slopes[name, state] = own
        return slopes

    def _pattern(self) -> set[tuple[int, int]]:
        self.slopes = self._slopes()
        index = {s: i for i, s in enumerate(self.states)}
        inputs: dict[str, list[int]] = {}
        for name, state in self.slopes:
            if state in index:
                inputs.setdefault(name, []).append(index[state])
        return {(index[s], j) for s, flows in self._feeds().items() for name, _ in flows for j in inputs.get(name, [])}

    def _function(self, name: str, arguments: Sequence[Any], result: Any = VOID) -> tuple[Any, Emitter]:
        function = ir.Function(self.module, ir.FunctionType(result, arguments), self.label + name)
        function.linkage = "internal"
        function.attributes.add("noinline")
        for argument in function.args:
            if argument.type == POINTER:
                argument.add_attribute("noalias")
        return function, Emitter(ir.IRBuilder(function.append_basic_block()), self.lanes, outlined=self.general)

    def _scope(self, emitter: Emitter, p: Any, c: Any, y: Any, clipped: bool = False) -> Scope:
        places = {name: (p, i) for i, name in enumerate(self.parameters)}
        places |= {name: (y, i) for i, name in enumerate((*self.states, *self.given))}
        scope = Scope(emitter, places, clipped)
        # constants are numbered while code is emitted, so they are looked up by name
        scope.constants = c
        return scope

    def _emit(self, scope: Scope, named: dict[str, Any]) -> None:
        """Bind expressions and their common subexpressions to names; they are emitted when they are asked for."""
        shared, reduced = sp.cse(
            [lower(self.hoist(e), self.general) for e in named.values()],
            symbols=sp.numbered_symbols("shared_"),
            order="none",
        )
        scope.waiting |= {symbol.name: expression for symbol, expression in shared}
        scope.waiting |= dict(zip(named, reduced, strict=True))

    def _weighted(self, scope: Scope, terms: Sequence[tuple[str, float]]) -> Any:
        """Sum of bound values with coefficients, gains before losses."""
        e, total = scope.e, None
        for name, k in sorted(terms, key=lambda term: term[1] < 0):
            value = scope.symbol(name)
            if abs(k) != 1:
                value = e.mul(value, e.const(abs(k)))
            if total is None:
                total = value if k > 0 else e.sub(e.const(-0.0), value)
            else:
                total = e.add(total, value) if k > 0 else e.sub(total, value)
        return total

    def _per_volume(self, scope: Scope, state: str, value: Any) -> Any:
        volume = self._volume(state)
        return value if volume is None else scope.e.mul(value, scope.emit(self.hoist(1 / sp.Symbol(volume))))

    def _volume(self, state: str) -> str | None:
        """The compartment by whose size flows into a state are divided; a rate of change is one already."""
        return None if state in self.switches.rates else self.equations.volume.get(state)

    def _rates(self) -> Any:
        function, e = self._function("rates", [POINTER] * 4)
        p, c, y, f = function.args
        scope = self._scope(e, p, c, y, bool(self.powers))
        self._emit(scope, self.flows)
        self._store_rates(scope, f, True)
        e.b.ret_void()
        return function

    def _store_rates(self, scope: Scope, f: Any, onto: bool = False) -> None:
        e = scope.e
        for i, (state, terms) in enumerate(self._feeds().items()):
            value = self._per_volume(scope, state, self._weighted(scope, terms)) if terms else e.const(0.0)
            e.store(e.add(e.load(f, i), value) if onto else value, f, i)

    def _factor(self) -> Any:
        function, e = self._function("factor", [*[POINTER] * 6, self.vector, *[POINTER] * 2])
        p, c, y, f, lu, w, shift, v, g = function.args
        scope = self._scope(e, p, c, y)
        scope.places |= {f"d {name}": (v, i) for i, name in enumerate(self.inputs)}
        own, drifts = set(self.states), dict[str, Any]()
        moving = {f"{n}/{s}": d for (n, s), d in self.slopes.items() if s in own and not self.hoist.fixed(d)}
        for (n, s), d in self.slopes.items():
            if s not in own:
                drifts[n] = drifts.get(n, 0) + d * sp.Symbol(f"d {s}")
        self._emit(scope, {**self.flows, **moving, **{f"d {n}": d for n, d in drifts.items()}})
        self._store_rates(scope, f)
        self._store_drift(scope, g, set(drifts))
        matrix = self._matrix(scope)
        for i in range(len(self.states)):
            diagonal = e.mul(e.load(w, i), shift)
            matrix[i, i] = e.sub(diagonal, matrix[i, i]) if (i, i) in matrix else diagonal
        for key in matrix:
            if key[0] != key[1]:
                matrix[key] = e.sub(e.const(-0.0), matrix[key])
        left = set(range(len(self.states)))
        for k in self.elimination.order:
            left.remove(k)
            matrix[k, k] = e.div(e.const(1.0), matrix[k, k])
            for i in sorted(left):
                if (i, k) not in matrix:
                    continue
                matrix[i, k] = e.mul(matrix[i, k], matrix[k, k])
                for j in sorted(left):
                    if (k, j) in matrix:
                        product = e.mul(matrix[i, k], matrix[k, j])
                        old = matrix.get((i, j))
                        matrix[i, j] = e.sub(e.const(-0.0) if old is None else old, product)
        for key, slot in self.elimination.slots.items():
            e.store(matrix[key], lu, slot)
        e.b.ret_void()
        return function

    def _store_drift(self, scope: Scope, g: Any, driven: set[str]) -> None:
        """Change of the rates with time, of the states in `moved` only."""
        self.moved = []
        for i, (state, terms) in enumerate(self._feeds().items()):
            own = [(f"d {n}", k) for n, k in terms if n in driven]
            if own:
                self.moved.append(i)
                scope.e.store(self._per_volume(scope, state, self._weighted(scope, own)), g, i)

    def _matrix(self, scope: Scope) -> dict[tuple[int, int], Any]:
        """Jacobian entries as values; entries of parameters alone are constants of the patient."""
        index = {s: i for i, s in enumerate(self.states)}
        matrix = {}
        for state, flows in self._feeds().items():
            volume = self._volume(state)
            size = 1 / sp.Symbol(volume) if volume else sp.Integer(1)
            for column in self.states:
                slopes = [(n, k) for n, k in flows if (n, column) in self.slopes]
                if not slopes:
                    continue
                fixed = [(n, k) for n, k in slopes if self.hoist.fixed(self.slopes[n, column])]
                constant = sp.Add(*[sp.Float(k) * self.slopes[n, column] for n, k in fixed]) * size
                value = None
                moving = [(f"{n}/{column}", k) for n, k in slopes if (n, k) not in fixed]
                if moving:
                    value = self._per_volume(scope, state, self._weighted(scope, moving))
                if constant != 0:
                    still = scope.emit(self.hoist(constant))
                    value = still if value is None else scope.e.add(value, still)
                if self.general and value is not None:
                    # where a slope has no value, the steps are shorter without it, and no less right
                    size_of = scope.e.call("fabs", value)
                    finite = scope.e.b.fcmp_ordered("<", size_of, scope.e.const(math.inf))
                    value = scope.e.b.select(finite, value, scope.e.const(0.0))
                matrix[index[state], index[column]] = value
        return matrix

    def _solve(self) -> Any:
        function, e = self._function("solve", [POINTER] * 2)
        lu, b = function.args
        size, slots, order = len(self.states), self.elimination.slots, self.elimination.order
        x = {i: e.load(b, i) for i in range(size)}
        rank = {k: n for n, k in enumerate(order)}
        for k in order:
            for i in order[rank[k] + 1 :]:
                if (i, k) in slots:
                    x[i] = e.sub(x[i], e.mul(e.load(lu, slots[i, k]), x[k]))
        for k in reversed(order):
            for j in order[rank[k] + 1 :]:
                if (k, j) in slots:
                    x[k] = e.sub(x[k], e.mul(e.load(lu, slots[k, j]), x[j]))
            x[k] = e.mul(x[k], e.load(lu, slots[k, k]))
            e.store(x[k], b, k)
        e.b.ret_void()
        return function

    def _derived(self, number: int, expression: Any) -> Any:
        function, e = self._function(f"derived_{number}", [POINTER] * 3, self.vector)
        scope = self._scope(e, *function.args)
        self._emit(scope, {"result": expression})
        e.b.ret(scope.symbol("result"))
        return function

    def _domain(self) -> Any:
        function, e = self._function("domain", [POINTER] * 3, self.vector)
        scope, total = self._scope(e, *function.args), e.const(0.0)
        named = {f"power {n}": flow for n, flow in enumerate(self.powers)}
        self._emit(scope, named)
        for name in named:
            value = scope.symbol(name)
            total = e.add(total, e.sub(value, value))
        e.b.ret(total)
        return function

    def _live(self) -> Any:
        """What every guard is now: stored, and whether any differs from what it was (1 or 0)."""
        function, e = self._function("live", [POINTER] * 4, self.vector)
        p, c, y, out = function.args
        scope, b = self._scope(e, p, c, y), e.b
        guards = {f"guard {n}": prepare(g) for n, g in enumerate(self.switches.guards)}
        self._emit(scope, guards)
        turned = e.const(0.0)
        for n, (name, held) in enumerate(zip(guards, self.switches.held, strict=True)):
            value = scope.symbol(name)
            e.store(value, out, n)
            turned = b.select(b.fcmp_ordered("!=", value, scope.symbol(held)), e.const(1.0), turned)
        b.ret(turned)
        return function

    def _prologue(self) -> Any:
        function, e = self._function("prologue", [POINTER] * 2)
        p, c = function.args
        scope = self._scope(e, p, c, p)
        expressions = [lower(x, self.general) for x in self.hoist.constants]
        shared, reduced = sp.cse(expressions, symbols=sp.numbered_symbols("shared_"), order="none")
        for symbol, expression in shared:
            scope.values[symbol.name] = scope.emit(expression)
        for i, expression in enumerate(reduced):
            e.store(scope.emit(expression), c, i)
        e.b.ret_void()
        return function
