"""Symbolic preparation of a model: powers, constants taken out of the rates, elimination order of the LU."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import sympy as sp

#: Name of constant number n of a patient: this, then n.
CONSTANT = "constant_"


class Power(sp.Function):  # type: ignore[misc]
    """A real power whose derivative is again a power, so that nothing divides by the base."""

    nargs = 2

    def fdiff(self, argindex: int = 1) -> Any:
        """Differentiate by the base or by the exponent."""
        base, exponent = self.args
        return exponent * Power(base, exponent - 1) if argindex == 1 else self * Log(base)


class Log(sp.Function):  # type: ignore[misc]
    """Natural logarithm that sympy leaves alone."""

    nargs = 1

    def fdiff(self, argindex: int = 1) -> Any:
        """Differentiate."""
        return 1 / self.args[0]


class Exp(sp.Function):  # type: ignore[misc]
    """Exponential that sympy leaves alone."""

    nargs = 1

    def fdiff(self, argindex: int = 1) -> Any:
        """Differentiate."""
        return self


class Hoister:
    """Replaces every subexpression without states by a constant of the patient.

    Parameters
    ----------
    states : iterable of str
    """

    def __init__(self, states: Iterable[str]) -> None:
        self.states = frozenset(sp.Symbol(s) for s in states)
        self.constants: dict[Any, Any] = {}
        self._seen: dict[Any, Any] = {}

    def __call__(self, expression: Any) -> Any:
        """Return the expression with constants taken out."""
        if expression not in self._seen:
            self._seen[expression] = self._take(expression)
        return self._seen[expression]

    def fixed(self, expression: Any) -> bool:
        """Whether an expression holds no state."""
        return not (expression.free_symbols & self.states)

    def _take(self, expression: Any) -> Any:
        if expression.is_Atom:
            return expression
        if self.fixed(expression):
            return self.constants.setdefault(expression, sp.Symbol(f"{CONSTANT}{len(self.constants)}"))
        if expression.is_Add or expression.is_Mul:
            still = [a for a in expression.args if self.fixed(a)]
            moving = [self(a) for a in expression.args if not self.fixed(a)]
            # a bare sign or number is cheaper in place
            gathered = expression.func(*still)
            return expression.func(gathered if gathered.is_Number else self(gathered), *moving)
        return expression.func(*[self(a) for a in expression.args])


def prepare(expression: Any) -> Any:
    """Turn real powers, exponentials and logarithms into the functions of this module."""

    def real(e: Any) -> bool:
        return bool(e.is_Pow and not (2 * e.exp).is_Integer)

    # what was read from MathML is not evaluated yet: a square root is a power with exponent 2^-1
    expression = expression.doit().replace(real, lambda e: Power(e.base, e.exp))
    return expression.replace(sp.exp, Exp).replace(sp.log, Log)


def vanishing(expression: Any) -> list[list[str]]:
    """For each term of a sum, the symbols of which any, being zero, makes it zero."""
    terms = [t.as_powers_dict() for t in sp.Add.make_args(expression)]
    return [sorted(b.name for b, n in t.items() if b.is_Symbol and n.is_Integer and n > 0) for t in terms]


def fractional(expression: Any, states: Iterable[str]) -> bool:
    """Whether an expression holds a power of states, or a root, that negative bases may not have."""
    moving = {sp.Symbol(s) for s in states}
    powers = [p for p in expression.atoms(Power, sp.Pow) if isinstance(p, Power) or not p.exp.is_Integer]
    return any(p.args[0].free_symbols & moving for p in powers)


class Raised(sp.Function):  # type: ignore[misc]
    """A power of any real base: base, exponent and the logarithm of the base's size."""

    nargs = 3


class Size(sp.Function):  # type: ignore[misc]
    """Absolute value that sympy leaves alone."""

    nargs = 1


def lower(expression: Any, signed: bool = False) -> Any:
    """Write powers as exponentials, so that powers of one base share its logarithm; `signed` bases may be negative."""

    def written(base: Any, exponent: Any) -> Any:
        if signed and not base.is_positive:
            return Raised(base, exponent, Log(Size(base)))
        return Exp(exponent * Log(base))

    return expression.replace(Power, written)


@dataclass(frozen=True)
class Elimination:
    """A fixed-pattern LU factorisation with diagonal pivots.

    Attributes
    ----------
    order : list of int
        Pivots in order.
    slots : dict of (row, column) to int
        Storage of every entry of L and U, fill included; the diagonal holds reciprocal pivots.
    """

    order: list[int]
    slots: dict[tuple[int, int], int]


def eliminate(pattern: Iterable[tuple[int, int]], size: int) -> Elimination:
    """Choose pivots by Markowitz count (1957, doi:10.1287/mnsc.3.3.255) plus depth, on the diagonal.

    The depth of a pivot is the number of pivots it has to wait for: short chains let the processor work on
    several pivots at once.
    The matrix I / (h gamma) - J has a dominant diagonal for small steps; for large ones the error estimate
    and the residual checks guard the result.
    """
    entries = {*pattern, *((i, i) for i in range(size))}
    left, order, depth = set(range(size)), [], [0] * size
    while left:
        rows = {k: [j for j in left if j != k and (k, j) in entries] for k in left}
        columns = {k: [i for i in left if i != k and (i, k) in entries] for k in left}
        pivot = min(left, key=lambda k: (len(rows[k]) * len(columns[k]) + depth[k], k))
        for other in (*rows[pivot], *columns[pivot]):
            depth[other] = max(depth[other], depth[pivot] + 1)
        entries |= set(itertools.product(columns[pivot], rows[pivot]))
        order.append(pivot)
        left.remove(pivot)
    return Elimination(order, {key: n for n, key in enumerate(sorted(entries))})


def slope(expression: Any, symbol: Any, known: dict[Any, Any] | None = None) -> Any:
    """Return what ``expression.diff(symbol)`` does, in a third of the time: sums, products and powers are done here."""
    memo: dict[Any, Any] = {} if known is None else known
    if expression not in memo:
        memo[expression] = _slope(expression, symbol, memo)
    return memo[expression]


def _slope(e: Any, x: Any, memo: dict[Any, Any]) -> Any:
    if not e.args:
        return sp.Integer(int(e == x))
    inner = [slope(a, x, memo) for a in e.args]
    if all(d == 0 for d in inner):
        return sp.Integer(0)
    if e.is_Add:
        return sp.Add(*inner)
    if e.is_Mul:
        return sp.Add(*(sp.Mul(*e.args[:n], d, *e.args[n + 1 :]) for n, d in enumerate(inner) if d != 0))
    if e.is_Pow:
        (base, exponent), (of_base, of_exponent) = e.args, inner
        # a product with nought asks sympy whether the rest is finite, which costs as much as all others
        terms = [of_exponent * sp.log(base)] if of_exponent != 0 else []
        return e * sp.Add(*terms, *([of_base * exponent / base] if of_base != 0 else []))
    return e.diff(x)
