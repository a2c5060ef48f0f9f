"""Structural identifiability: what perfect data can and cannot tell, one verdict per parameter.

The time derivatives of the outputs at the start, as functions of the parameters, carry everything that
perfect data could show (Pohjanpalo 1978, doi:10.1016/0025-5564(78)90063-9). A parameter that a direction of the null
space of their Jacobian moves cannot be found by any amount of data of that kind. The rank is taken at random points
with 60 digits, so that "zero" is not a matter of rounding.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import count
from typing import TYPE_CHECKING, Any

import mpmath
import numpy as np
import sympy as sp

from metabolism.errors import InvalidValue, UnknownName
from metabolism.model import Model, equations, read_set
from metabolism.types import Array

if TYPE_CHECKING:
    import pandas as pd

#: Digits of the rank computation, and what counts as zero there.
DIGITS, ZERO = 60, 1e-20

IDENTIFIED, WEAKLY, NOT = "identified", "weakly identified", "not identified"


@dataclass(frozen=True, eq=False)
class Structure:
    """A small model for structural analysis.

    Attributes
    ----------
    rates : dict of str to sympy expression
        Rate of each state.
    outputs : dict of str to sympy expression
        What is measured, without error and at all times.
    initial : dict of str to sympy expression
        Start of each state: a number, or an expression of parameters.
    parameters : dict of str to float
        Unknowns, with their nominal values.

    Examples
    --------
    Two clearances that only add up cannot be told apart, however good the data.

    >>> a, b, x = sp.symbols("a b x")
    >>> both = Structure("washout", {"x": -(a + b) * x}, {"x": x}, {"x": sp.Integer(1)}, {"a": 1.0, "b": 2.0})
    >>> both.verdicts().verdicts
    ('not identified', 'not identified')
    """

    title: str
    rates: dict[str, Any] = field(repr=False)
    outputs: dict[str, Any] = field(repr=False)
    initial: dict[str, Any] = field(repr=False)
    parameters: dict[str, float]

    @classmethod
    def from_model(
        cls,
        model: Model,
        title: str,
        *,
        states: Sequence[str],
        outputs: Sequence[str],
        parameters: Sequence[str],
        start: Mapping[str, float | str] | None = None,
        fixed: Mapping[str, float] | None = None,
    ) -> Structure:
        """Cut a small model out of the full one: every other state is 0, every other parameter has its present value.

        A state starts at its present value unless `start` gives a number, or the name of a further unknown; `fixed`
        gives other values to what is not kept.
        """
        system = equations(model)
        known = {"state": system.states, "output": (*system.expanded, *system.states), "parameter": system.parameters}
        for (kind, valid), names in zip(known.items(), (states, outputs, parameters), strict=True):
            for name in names:
                if name not in valid:
                    raise UnknownName(kind, name, valid)
        absent = dict.fromkeys({*system.states} - {*states}, 0.0)
        values: dict[str, float] = {**model.values, **absent, **(fixed or {})}

        def exact(value: float | str) -> Any:
            return sp.Rational(repr(float(value)))

        def cut(expression: Any) -> Any:
            names = {s.name for s in expression.free_symbols} & values.keys() - {*states, *parameters}
            return expression.xreplace({sp.Symbol(n): exact(values[n]) for n in names})

        begin = {s: values[s] for s in states} | dict(start or {})
        named = {s: name for s, name in begin.items() if isinstance(name, str)}
        unknown = {n: model.values[n] for n in parameters} | {name: values[s] for s, name in named.items()}
        initial = {s: sp.Symbol(named[s]) if s in named else exact(begin[s]) for s in states}
        rhs = dict(zip(system.states, system.rhs, strict=True))
        observed = {o: cut(system.expanded.get(o, sp.Symbol(o))) for o in outputs}
        return cls(title, {s: cut(rhs[s]) for s in states}, observed, initial, unknown)

    def beside(self, other: Structure, title: str) -> Structure:
        """Observe two experiments that share the parameters of the same name."""
        taken = {*self.rates, *self.outputs}
        number = next(n for n in count(2) if not any(name.endswith(f"__{n}") for name in taken))
        swap = {sp.Symbol(s): sp.Symbol(f"{s}__{number}") for s in other.rates}

        def joined(own: dict[str, Any], added: dict[str, Any]) -> dict[str, Any]:
            return own | {f"{k}__{number}": sp.sympify(e).xreplace(swap) for k, e in added.items()}

        parts = ((self.rates, other.rates), (self.outputs, other.outputs), (self.initial, other.initial))
        rates, outputs, initial = (joined(*pair) for pair in parts)
        return Structure(title, rates, outputs, initial, self.parameters | other.parameters)

    def verdicts(self, order: int | None = None, points: int = 2, seed: int = 1) -> Structural:
        """Judge every parameter, from time derivatives up to `order` (by default the number of unknowns plus one).

        The rank is taken at some random points; the largest counts.
        """
        if not self.parameters or not self.outputs:
            raise InvalidValue("a structural analysis needs parameters and outputs.")
        for name, value in self.parameters.items():
            if not value > 0:
                raise InvalidValue(f"'{name}' is {value:g}; a structural analysis needs values above 0.")
        names = list(self.parameters)
        order = order or len(names) + 1
        rng = np.random.default_rng(seed)
        best, directions = -1, np.empty((0, len(names)))
        with mpmath.workdps(DIGITS):
            for _ in range(points):
                place = [mpmath.mpf(v) * mpmath.mpf(float(rng.uniform(0.7, 1.3))) for v in self.parameters.values()]
                columns = []
                for i, value in enumerate(place):
                    # with 60 digits a step of 1e-18 leaves 40 of them in the difference
                    step = value * mpmath.mpf(10) ** -18
                    beside = ([*place[:i], value + s, *place[i + 1 :]] for s in (step, -step))
                    up, down = (self._derivatives(p, order) for p in beside)
                    columns.append([(u - d) / (2 * step) for u, d in zip(up, down, strict=True)])
                rank, null = _null_space(mpmath.matrix(columns).T, place)
                if rank > best:
                    best, directions = rank, null
        free = np.abs(directions).max(axis=0) > 1e-9 if len(directions) else np.zeros(len(names), dtype=bool)
        return Structural(self.title, tuple(names), best, tuple(NOT if f else IDENTIFIED for f in free), directions)

    def _derivatives(self, parameters: Sequence[Any], order: int) -> list[Any]:
        """Taylor coefficients of all outputs at one place."""
        states = solve(self._rates, self._start(*parameters), parameters, order)
        outputs = self._outputs(*states, *parameters)
        return [c for o in outputs for c in (o.c if isinstance(o, Series) else [mpmath.mpf(o)])]

    @cached_property
    def _rates(self) -> Any:
        return self._compiled(list(self.rates.values()))

    @cached_property
    def _outputs(self) -> Any:
        return self._compiled(list(self.outputs.values()))

    @cached_property
    def _start(self) -> Any:
        return sp.lambdify([sp.Symbol(n) for n in self.parameters], list(self.initial.values()), modules="mpmath")

    def _compiled(self, expressions: list[Any]) -> Any:
        arguments = [sp.Symbol(n) for n in (*self.rates, *self.parameters)]
        return sp.lambdify(arguments, expressions, modules=[{"exp": exponential}, "mpmath"], cse=True)


@dataclass(frozen=True, eq=False)
class Structural:
    """Verdicts of a structural analysis.

    Attributes
    ----------
    rank : int
        Number of parameter combinations that perfect data determine (locally: mirror images are not excluded).
    verdicts : tuple of str
    directions : ndarray, shape (parameters - rank, parameters)
        Relative changes of the parameters that leave every output as it is, at a random point.
    """

    title: str
    parameters: tuple[str, ...]
    rank: int
    verdicts: tuple[str, ...]
    directions: Array

    def frame(self) -> pd.DataFrame:
        """Return one row per parameter: verdict, and what it can be traded for."""
        import pandas as pd

        rows = []
        for i, (name, verdict) in enumerate(zip(self.parameters, self.verdicts, strict=True)):
            moving = [d for d in self.directions if abs(d[i]) > 1e-9]
            partners = {p for d in moving for p, x in zip(self.parameters, d, strict=True) if abs(x) > 1e-9} - {name}
            rows.append((self.title, name, verdict, ", ".join(sorted(partners))))
        return pd.DataFrame(rows, columns=["data", "parameter", "verdict", "traded for"])


def _null_space(matrix: Any, place: Sequence[Any]) -> tuple[int, Array]:
    """Rank and null space of a Jacobian, its columns scaled to relative changes and its rows to their largest entry."""
    scaled = sp.Matrix(matrix.rows, matrix.cols, lambda i, j: sp.Float(matrix[i, j] * place[j], DIGITS))
    tops = [max(map(abs, scaled.row(i))) for i in range(scaled.rows)]
    rows = [scaled.row(i) / top for i, top in enumerate(tops) if top]
    null = sp.Matrix.vstack(*rows).nullspace(iszerofunc=lambda x: abs(x) < ZERO)
    directions = [[float(x / max(map(abs, vector))) for x in vector] for vector in null]
    return matrix.cols - len(null), np.reshape(directions, (-1, matrix.cols)).astype(float)


def disease(model: Model) -> list[Structural]:
    """Judge the parameters of disease progression and of the drug effect under five kinds of data.

    The equations are those of the model itself, with the rest of it held.
    """
    off = {"MN_beta_hcy": 0.0, "MN_Emax": 0.0}
    scores = ["MN_k", "MN_gamma", "MN_n50"]
    missing = {"MN_k": read_set("als_patient").values["MN_k"], "MN_Emax": 0.4, "MN_beta_hcy": 0.2}
    model = model.with_values({k: v for k, v in missing.items() if not model.values[k]})

    def cut(title: str, parameters: Sequence[str], outputs: Sequence[str], **fixed: float) -> Structure:
        kept: Any = {"states": ["motor_units"], "outputs": outputs, "parameters": parameters}
        held = {**off, "hcy_plasma": 8.0, "motor_units": 0.55, **fixed}
        return Structure.from_model(model, title, start={"motor_units": "motor_units_at_baseline"}, fixed=held, **kept)

    def arm(dose: float, *unknown: str) -> Structure:
        return cut("", [*scores, *unknown], ["alsfrs_r"], cbl_effect=dose)

    placebo = cut("ALSFRS-R, untreated", scores, ["alsfrs_r"])
    motor = cut("ALSFRS-R and motor-unit count, untreated", scores, ["alsfrs_r", "motor_units"])
    one = placebo.beside(arm(0.06, "MN_Emax", "MN_EC50"), "ALSFRS-R, placebo and one dose")
    two = one.beside(arm(0.02, "MN_Emax", "MN_EC50"), "ALSFRS-R, placebo and two doses")
    lowered = "ALSFRS-R, placebo and one dose that also lowers homocysteine"
    both = placebo.beside(arm(0.06, "MN_Emax", "MN_beta_hcy"), lowered)
    return [s.verdicts() for s in (placebo, motor, one, two, both)]


def pharmacokinetics(model: Model) -> list[Structural]:
    """Judge absorption and disposition of free cobalamin after one large intramuscular dose, without carriers."""
    keep = ["IM_ka", "central", "peripheral", "CBL_Q", "CBL_CLf", "CBL_CLns"]
    quiet = {"CBL_DIET_rate": 0.0, "CBL_Tm": 0.0}
    start = {"depot_im": 37.2, "transit_im": 0.0, "cbl_free": 0.0, "cbl_peripheral": 0.0}

    def cut(title: str, outputs: Sequence[str]) -> Structure:
        kept: Any = {"states": list(start), "outputs": outputs, "parameters": keep}
        return Structure.from_model(model, title, start=start, fixed=quiet, **kept)

    plasma = cut("free plasma cobalamin", ["cbl_free"])
    urine = cut("free plasma cobalamin and rate of excretion in urine", ["cbl_free", "CBL_EXCRETION"])
    return [s.verdicts() for s in (plasma, urine)]


class Series:
    """A power series in time, cut off after a fixed number of coefficients, from the constant term on.

    >>> [float(c) for c in (1 / (1 - Series([mpmath.mpf(0), mpmath.mpf(1), mpmath.mpf(0)]))).c]
    [1.0, 1.0, 1.0]
    """

    def __init__(self, coefficients: Sequence[Any]) -> None:
        self.c = list(coefficients)

    def _other(self, other: Any) -> list[Any]:
        return other.c if isinstance(other, Series) else [mpmath.mpf(other), *[mpmath.mpf(0)] * (len(self.c) - 1)]

    def __neg__(self) -> Series:
        return self * -1

    def __add__(self, other: Any) -> Series:
        return Series([a + b for a, b in zip(self.c, self._other(other), strict=True)])

    __radd__ = __add__

    def __sub__(self, other: Any) -> Series:
        return self.__add__(-other)

    def __rsub__(self, other: Any) -> Series:
        return self.__neg__().__add__(other)

    def __mul__(self, other: Any) -> Series:
        if not isinstance(other, Series):
            return Series([a * other for a in self.c])
        return Series([mpmath.fsum(self.c[j] * other.c[k - j] for j in range(k + 1)) for k in range(len(self.c))])

    __rmul__ = __mul__

    def __truediv__(self, other: Any) -> Series:
        return self.__mul__(other**-1 if isinstance(other, Series) else 1 / mpmath.mpf(other))

    def __rtruediv__(self, other: Any) -> Series:
        return self.__pow__(-1).__mul__(other)

    def __pow__(self, exponent: Any) -> Series:
        # (x^p)' x = p x^p x', coefficient by coefficient
        x, power = self.c, [self.c[0] ** exponent]
        for k in range(1, len(x)):
            total = mpmath.fsum((exponent * j - (k - j)) * x[j] * power[k - j] for j in range(1, k + 1))
            power.append(total / (k * x[0]))
        return Series(power)

    def exp(self) -> Series:
        """Exponential of the series."""
        terms = [mpmath.exp(self.c[0])]
        for k in range(1, len(self.c)):
            terms.append(mpmath.fsum(j * self.c[j] * terms[k - j] for j in range(1, k + 1)) / k)
        return Series(terms)


def exponential(x: Any) -> Any:
    """Exponential of a number or a series."""
    return x.exp() if isinstance(x, Series) else mpmath.exp(x)


def solve(
    rates: Callable[..., Sequence[Any]], start: Sequence[Any], parameters: Sequence[Any], order: int
) -> list[Series]:
    """Return the Taylor series of the states of ``dx/dt = rates(*states, *parameters)`` up to an order."""
    zero = mpmath.mpf(0)
    states = [[mpmath.mpf(x), *[zero] * order] for x in start]
    for k in range(order):
        slopes = rates(*[Series(x[: k + 1]) for x in states], *parameters)
        for x, slope in zip(states, slopes, strict=True):
            x[k + 1] = (slope.c[k] if isinstance(slope, Series) else slope if k == 0 else zero) / (k + 1)
    return [Series(x) for x in states]
