"""Functions beyond sums, products, powers, exp and ln, as vector LLVM IR."""

from __future__ import annotations

import math
from functools import partial, reduce
from typing import Any

import sympy as sp
from llvmlite import ir

from metabolism.engines.ensemble.code.ir import DOUBLE, I32, Emitter
from metabolism.engines.ensemble.code.symbols import Raised, Size
from metabolism.sbml import trees

#: Functions of the C library, called lane by lane.
_LIBRARY = {
    getattr(sp, name): name
    for name in ("sin", "cos", "tan", "asin", "acos", "atan", "sinh", "cosh", "tanh", "asinh", "acosh", "atanh")
}


def special(e: Emitter, expression: Any, values: list[Any], clipped: bool = False) -> Any:
    """Return the value of a function from those of its arguments, or None if there is no code for it.

    With `clipped`, a negative base of a power that needs a positive one counts as 0.
    """
    b, one, zero = e.b, e.const(1.0), e.const(0.0)
    kind = type(expression)

    def true(value: Any) -> Any:
        return b.fcmp_unordered("!=", value, zero)

    def number(mask: Any) -> Any:
        return b.select(mask, one, zero)

    compared = {trees.Less: "<", trees.NotMore: "<=", trees.Same: "=="}
    if kind in compared:
        return number(b.fcmp_ordered(compared[kind], *values))
    if kind is trees.Select:
        return b.select(true(values[0]), *values[1:])
    if kind in (trees.Both, trees.Either):
        return number(reduce(b.and_ if kind is trees.Both else b.or_, map(true, values)))
    if kind is trees.Opposite:
        return b.select(true(values[0]), zero, one)
    if kind is trees.Floor:
        return e.call("floor", *values)
    if kind is Size:
        return e.call("fabs", *values)
    if kind is trees.Undefined:
        return e.const(math.nan)
    if kind is Raised:
        name = "own_power_clipped" if clipped else "own_power"
        return e.own(name, partial(_raised, clipped=clipped), *values)
    if kind is trees.Factorial:
        return library(e, "tgamma", e.add(values[0], one))
    return library(e, _LIBRARY[kind], *values) if kind in _LIBRARY else None


def _raised(e: Emitter, base: Any, exponent: Any, log: Any, *, clipped: bool) -> Any:
    """A power: of a negative base for whole exponents, and 1 for an exponent of 0."""
    b, zero, half = e.b, e.const(0.0), e.const(0.5)
    value = e.exp(e.mul(exponent, log))
    whole = b.fcmp_ordered("==", e.call("floor", exponent), exponent)
    halved = b.fmul(exponent, half)
    odd = b.fcmp_unordered("!=", e.call("floor", halved), halved)
    mirrored = b.select(odd, e.sub(e.const(-0.0), value), value)
    undefined = e.const(math.nan)
    if clipped:
        undefined = b.select(b.fcmp_ordered(">", exponent, zero), zero, undefined)
    negative = b.select(whole, mirrored, undefined)
    value = b.select(b.fcmp_ordered("<", base, zero), negative, value)
    return b.select(b.fcmp_ordered("==", exponent, zero), e.const(1.0), value)


def library(e: Emitter, name: str, *values: Any) -> Any:
    """Call a function of the C library in every lane."""
    function = e.b.module.globals.get(name)
    if function is None:
        function = ir.Function(e.b.module, ir.FunctionType(DOUBLE, [DOUBLE] * len(values)), name)
    result = ir.Constant(e.vector, ir.Undefined)
    for lane in range(e.lanes):
        place = ir.Constant(I32, lane)
        scalar = e.b.call(function, [e.b.extract_element(value, place) for value in values])
        result = e.b.insert_element(result, scalar, place)
    return result
