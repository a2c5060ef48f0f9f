"""Expressions as vector LLVM IR: values of symbols, and what is made of them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import sympy as sp

from metabolism.engines.ensemble.code.functions import special
from metabolism.engines.ensemble.code.ir import Emitter
from metabolism.engines.ensemble.code.symbols import CONSTANT, Exp, Log
from metabolism.errors import ModelError


class Scope:
    """Values of symbols while a function body is emitted; memory is read at first use.

    Parameters
    ----------
    emitter : Emitter
    places : dict of str to (pointer, int)
        Where each symbol is stored.
    clipped : bool
        Whether a negative base of a power that needs a positive one counts as 0.
    """

    def __init__(self, emitter: Emitter, places: dict[str, tuple[Any, int]], clipped: bool = False) -> None:
        self.e, self.places, self.values, self.clipped = emitter, places, dict[str, Any](), clipped
        self.constants: Any = None
        #: Expressions that are emitted at first use, so that values live in registers for a short while only.
        self.waiting = dict[str, Any]()

    def symbol(self, name: str) -> Any:
        """Return the value of a symbol."""
        if name in self.waiting:
            self.values[name] = self.emit(self.waiting.pop(name))
        elif name not in self.values:
            place = self.places.get(name) or (self.constants, int(name.removeprefix(CONSTANT)))
            self.values[name] = self.e.load(*place)
        return self.values[name]

    def emit(self, expression: Any) -> Any:
        """Emit an expression and return its value."""
        e = self.e
        if expression.is_Symbol:
            return self.symbol(expression.name)
        if expression.is_Number or expression is sp.I or expression is sp.zoo:
            return e.const(float(expression) if expression.is_extended_real else math.nan)
        if expression.is_Add:
            return self._sum(expression.args)
        if expression.is_Mul:
            return self._product(expression.args)
        if expression.is_Pow:
            return self._power(*expression.args)
        if isinstance(expression, Exp):
            return e.exp(self.emit(expression.args[0]))
        if isinstance(expression, Log):
            return e.log(self.emit(expression.args[0]))
        if expression.is_NumberSymbol:
            return e.const(float(expression))
        value = special(e, expression, [self.emit(a) for a in expression.args], self.clipped)
        if value is not None:
            return value
        raise ModelError(
            f"the fast engine has no code for '{expression.func}' ({expression}); use engine='roadrunner', or write "
            "the rate with sums, products, powers, exp and ln."
        )

    def _sum(self, terms: Sequence[Any]) -> Any:
        minus = [t for t in terms if t.is_Mul and t.args[0] == -1]
        plus = [t for t in terms if t not in minus]
        if not plus:
            return self.e.sub(self.e.const(-0.0), self._sum([-t for t in minus]))
        total = self.emit(plus[0])
        for term in plus[1:]:
            total = self.e.add(total, self.emit(term))
        for term in minus:
            total = self.e.sub(total, self.emit(-term))
        return total

    def _product(self, factors: Sequence[Any]) -> Any:
        over = [f for f in factors if not (f.is_Pow and f.exp.is_Integer and f.exp < 0)]
        under = [1 / f for f in factors if f not in over]
        top = self._chain(over)
        if not under:
            return top
        # one division for all the denominators of a product
        return self.e.div(top if top is not None else self.e.const(1.0), self._chain(under))

    def _chain(self, factors: Sequence[Any]) -> Any:
        if not factors:
            return None
        total = self.emit(factors[0])
        for factor in factors[1:]:
            total = self.e.mul(total, self.emit(factor))
        return total

    def _power(self, base: Any, exponent: Any) -> Any:
        if exponent.is_Integer and exponent > 0:
            return self.e.integer_power(self.emit(base), int(exponent))
        if exponent.is_Integer:
            return self.e.div(self.e.const(1.0), self._power(base, -exponent) if exponent != -1 else self.emit(base))
        # only halves are left: other powers became exponentials
        value = self.emit(base)
        if self.clipped:
            value = self.e.b.select(self.e.b.fcmp_ordered("<", value, self.e.const(0.0)), self.e.const(0.0), value)
        root = self.e.call("sqrt", value)
        whole = self.e.integer_power(root, abs(int(2 * exponent)))
        return whole if exponent > 0 else self.e.div(self.e.const(1.0), whole)
