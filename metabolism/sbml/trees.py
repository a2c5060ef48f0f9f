"""Formulas of a reading: as sympy expressions for the engines, and as numbers for what happens at an event.

A truth value is a number, 1 or 0, in both. What jumps (comparisons, floor, ceiling) is a function of its own, which
sympy leaves alone; everything else that jumps or bends (piecewise, abs, min, max, quotient, rem) is written with it.
"""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Callable, Mapping
from functools import lru_cache, reduce
from typing import Any

import numpy as np
import sympy as sp

from metabolism.errors import ModelError
from metabolism.types import Array

Tree = Any


class _Flat(sp.Function):  # type: ignore[misc]
    """A function that sympy leaves alone, constant between its jumps."""

    def _eval_derivative(self, symbol: Any) -> Any:
        return sp.Integer(0)


class Less(_Flat):
    """a < b."""


class NotMore(_Flat):
    """a <= b."""


class Same(_Flat):
    """a == b."""


class Both(_Flat):
    """Whether every argument is true."""


class Either(_Flat):
    """Whether any argument is true."""


class Opposite(_Flat):
    """Whether an argument is false."""


class Floor(_Flat):
    """Largest whole number that is not more."""


class Factorial(_Flat):
    """Gamma(x + 1); its slope is left out of Jacobians, where only steps depend on it."""


class Select(sp.Function):  # type: ignore[misc]
    """The second argument where the first is true, and the third elsewhere."""

    nargs = 3

    def _eval_derivative(self, symbol: Any) -> Any:
        condition, yes, no = self.args
        slopes = yes.diff(symbol), no.diff(symbol)
        return slopes[0] if slopes[0] == slopes[1] else Select(condition, *slopes)


class Undefined(_Flat):
    """Not a number: what a piecewise without an otherwise is where no condition holds."""

    nargs = 0


def _piecewise(parts: list[Any]) -> Any:
    value = parts[-1] if len(parts) % 2 else Undefined()
    for yes, condition in reversed(list(zip(parts[: len(parts) // 2 * 2 : 2], parts[1::2], strict=True))):
        value = Select(condition, yes, value)
    return value


def _chained(compare: Callable[[Any, Any], Any]) -> Callable[..., Any]:
    """Whether each value compares so with the next; one alone does, as `and` of nothing is true."""

    def compared(*values: Any) -> Any:
        pairs = [compare(a, b) for a, b in itertools.pairwise(values)]
        return Both(*pairs) if pairs else sp.Integer(1)

    return compared


def _trunc(x: Any) -> Any:
    return Select(Less(x, 0), -Floor(-x), Floor(x))


def _divide(a: Any, b: Any) -> Any:
    return a / b if b != 0 else Undefined() if a == 0 else sp.sign(a) * sp.oo if a.is_Number else a * sp.oo


def _exclusive(a: Any, b: Any) -> Any:
    return Either(Both(a, Opposite(b)), Both(b, Opposite(a)))


# a lambda says how many arguments there can be, which a class of ours does not
_BUILT: dict[str, Callable[..., Any]] = {
    "+": lambda *a: sp.Add(*a),
    "*": lambda *a: sp.Mul(*a),
    "-": lambda a, b=None: -a if b is None else a - b,
    "/": _divide,
    "^": lambda a, b: sp.Integer(1) if b == 0 else a**b,
    "<": _chained(Less),
    "<=": _chained(NotMore),
    ">": _chained(lambda a, b: Less(b, a)),
    ">=": _chained(lambda a, b: NotMore(b, a)),
    "==": _chained(Same),
    "!=": lambda a, b: Opposite(Same(a, b)),
    "and": lambda *a: Both(*a) if a else sp.Integer(1),
    "or": lambda *a: Either(*a) if a else sp.Integer(0),
    "xor": lambda *a: reduce(_exclusive, a, sp.Integer(0)),
    "not": lambda a: Opposite(a),
    "implies": lambda a, b: Either(Opposite(a), b),
    "piecewise": lambda *a: _piecewise(list(a)),
    "abs": lambda a: Select(Less(a, 0), -a, a),
    "max": lambda *a: reduce(lambda x, y: Select(Less(x, y), y, x), a),
    "min": lambda *a: reduce(lambda x, y: Select(Less(y, x), y, x), a),
    "floor": lambda a: Floor(a),
    "ceiling": lambda a: -Floor(-a),
    "quotient": lambda a, b: _trunc(a / b),
    "rem": lambda a, b: a - b * _trunc(a / b),
    "factorial": lambda a: Factorial(a),
    "exp": sp.exp,
    "ln": sp.log,
    "log": lambda a, b=None: sp.log(a) / sp.log(10) if b is None else sp.log(b) / sp.log(a),
    "root": lambda a, b=None: sp.sqrt(a) if b is None else b ** (1 / a),
    **{name: getattr(sp, name) for name in ("sin", "cos", "tan", "sinh", "cosh", "tanh")},
    **{f"arc{name}": getattr(sp, f"a{name}") for name in ("sin", "cos", "tan", "sinh", "cosh", "tanh")},
    "sec": lambda a: 1 / sp.cos(a),
    "csc": lambda a: 1 / sp.sin(a),
    "cot": lambda a: 1 / sp.tan(a),
    "sech": lambda a: 1 / sp.cosh(a),
    "csch": lambda a: 1 / sp.sinh(a),
    "coth": lambda a: 1 / sp.tanh(a),
    "arcsec": lambda a: sp.acos(1 / a),
    "arccsc": lambda a: sp.asin(1 / a),
    "arccot": lambda a: sp.atan(1 / a),
    "arcsech": lambda a: sp.acosh(1 / a),
    "arccsch": lambda a: sp.asinh(1 / a),
    "arccoth": lambda a: sp.atanh(1 / a),
}


def expression(tree: Tree, time: str | None) -> Any:
    """Write a tree with sympy; `time` is the state that is the time."""
    if isinstance(tree, str):
        return sp.Symbol(tree)
    if not isinstance(tree, list):
        return _number(float(tree))
    if tree[0] == "time":
        return sp.Symbol(time)
    try:
        return _BUILT[tree[0]](*(expression(t, time) for t in tree[1:]))
    except TypeError:
        raise ModelError(f"'{tree[0]}' has {len(tree) - 1} arguments in a formula, which it cannot take.") from None


@lru_cache(maxsize=4096)
def _read(text: str, time: str | None) -> Any:
    return expression(json.loads(text), time)


def _number(value: float) -> Any:
    if math.isnan(value):
        return Undefined()
    return sp.Integer(int(value)) if value.is_integer() and abs(value) < 2**53 else sp.Float(value, 17)


def _numpy(function: Callable[..., Any]) -> Callable[..., Any]:
    return lambda *a: np.asarray(function(*a), dtype=float)


def _factorial(x: Any) -> Any:
    from scipy.special import gamma

    return gamma(np.asarray(x) + 1.0)


#: What the functions of this module are in numbers; also for `sympy.lambdify`.
NUMBERS: dict[str, Callable[..., Any]] = {
    "Less": _numpy(np.less),
    "NotMore": _numpy(np.less_equal),
    "Same": _numpy(np.equal),
    "Both": lambda *a: reduce(np.multiply, (_numpy(np.not_equal)(x, 0) for x in a), 1.0),
    "Either": lambda *a: reduce(np.maximum, (_numpy(np.not_equal)(x, 0) for x in a), 0.0),
    "Opposite": lambda a: _numpy(np.equal)(a, 0),
    "Floor": np.floor,
    "Factorial": _factorial,
    "Select": lambda c, a, b: np.where(np.asarray(c) != 0, a, b),
    "Undefined": lambda: np.nan,
}


class Values:
    """Numbers of everything in a reading at some points, worked out when they are first asked for.

    Parameters
    ----------
    reading : dict
        As from `read_document`.
    known : mapping of str to ndarray, shape (members,)
        Values of states and parameters; with `first`, those that are given, the others are worked out as at the start.
    time : ndarray, shape (members,)
    """

    def __init__(self, reading: Mapping[str, Any], known: Mapping[str, Array], time: Array, first: bool = False):
        self.reading, self.first = reading, first
        self.known: dict[str, Any] = {**known}
        if reading["time"]:
            self.known[reading["time"]] = time
        self.waiting: list[str] = []

    def __getitem__(self, name: str) -> Array:
        """Return the value of a quantity."""
        if name in self.known:
            return self.known[name]  # type: ignore[no-any-return]
        if name in self.waiting:
            raise ModelError(f"{', '.join(self.waiting)} depend on each other in a circle.")
        self.waiting.append(name)
        reading = self.reading
        if self.first and name in reading["start"]:
            value = self.of(reading["start"][name])
        elif name in reading["rules"]:
            value = self.of(reading["rules"][name])
        elif name in reading["reactions"]:
            value = self.of(reading["reactions"][name]["rate"])
        elif name in reading["values"]:
            value = np.float64(reading["values"][name])
        else:
            raise ModelError(f"a formula holds '{name}', which has no value in this file.")
        self.waiting.pop()
        self.known[name] = value
        return value  # type: ignore[no-any-return]

    def of(self, tree: Tree) -> Any:
        """Return the value of a formula."""
        return self.of_expression(_read(json.dumps(tree), self.reading["time"]))

    def of_expression(self, e: Any) -> Any:
        """Return the value of a sympy expression of this module's functions."""
        with np.errstate(all="ignore"):
            return self._of(e)

    def _of(self, e: Any) -> Any:
        if e.is_Symbol:
            return self[e.name]
        if not e.args:
            return np.float64(e) if e.is_extended_real else np.nan
        parts = [self._of(a) for a in e.args]
        if e.is_Add or e.is_Mul:
            return reduce(np.add if e.is_Add else np.multiply, parts)
        if e.is_Pow:
            return np.power(*(np.asarray(p, dtype=float) for p in parts))
        name = type(e).__name__
        if name in NUMBERS:
            return NUMBERS[name](*parts)
        names = {"asin": "arcsin", "acos": "arccos", "atan": "arctan"}
        names |= {f"{n}h": f"{v}h" for n, v in names.items()}
        return getattr(np, names.get(name, name))(*parts)


class Losses(Values):
    """Numbers as `Values` gives them, and for each member the innermost formula that has none.

    Attributes
    ----------
    lost : ndarray of object, shape (members,)
        None, the sympy expression that is not a number though all it is made of is, or False after an overflow.
    """

    def __init__(self, reading: Mapping[str, Any], known: Mapping[str, Array], time: Array) -> None:
        super().__init__(reading, known, time)
        self.lost = np.full(len(time), None)

    def _of(self, e: Any) -> Any:
        if isinstance(e, Select):
            # what is not chosen need not have a value
            condition, before = self._of(e.args[0]), self.lost
            values, lost = [], []
            for choice in e.args[1:]:
                self.lost = before.copy()
                values.append(self._of(choice))
                lost.append(self.lost)
            self.lost = np.where(np.asarray(condition) != 0, *lost)
            return NUMBERS["Select"](condition, *values)
        value = super()._of(e)
        if e.args or isinstance(e, Undefined):
            fresh = np.broadcast_to(np.isnan(value), self.lost.shape) & (self.lost == None)  # noqa: E711
            if fresh.any():
                # infinity less infinity is an explosion, not the loss of a formula
                parts = [np.broadcast_to(np.isfinite(self._of(a)), fresh.shape) for a in e.args]
                finite = np.logical_and.reduce(parts) if parts else fresh
                self.lost[fresh & finite] = e
                self.lost[fresh & ~finite] = False
        return value
