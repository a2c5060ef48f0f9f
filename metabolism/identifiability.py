"""What data can and cannot tell: structural rank, Fisher information and profile likelihood, one verdict per parameter.

Structural: the time derivatives of the outputs at the start, as functions of the parameters, carry everything that
perfect data could show (Pohjanpalo 1978, doi:10.1016/0025-5564(78)90063-9). A parameter that a direction of the null
space of their Jacobian moves cannot be found by any amount of data of that kind. The rank is taken at random points
with 60 digits, so that "zero" is not a matter of rounding.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import sympy as sp
from numpy.typing import NDArray

from metabolism.equations import equations
from metabolism.errors import InvalidValue, SolverFailed, UnknownName
from metabolism.local_sensitivity import curves
from metabolism.model import Model
from metabolism.parameters import read_set
from metabolism.posterior import THRESHOLD, Profile
from metabolism.taylor import Series, exponential, solve

if TYPE_CHECKING:
    import pandas as pd

Array = NDArray[np.float64]
#: Digits of the rank computation, and what counts as zero there.
DIGITS, ZERO = 60, 1e-20
#: Standard error of the logarithm above which a parameter is only weakly identified: a factor of e either way
#: covers 95 %.
WEAK = 0.5
#: Eigenvalue of the scaled information, relative to the largest, below which a direction is not informed.
FLAT = 1e-10
IDENTIFIED, WEAKLY, NOT = "identified", "weakly identified", "not identified"


@dataclass(frozen=True, eq=False)
class Structure:
    """A small model for structural analysis.

    Attributes
    ----------
    title : str
    rates : dict of str to sympy expression
        Rate of each state.
    outputs : dict of str to sympy expression
        What is measured, without error and at all times.
    initial : dict of str to sympy expression
        Start of each state: a number, or an expression of parameters.
    parameters : dict of str to float
        Unknowns, with their nominal values.
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
        """Cut a small model out of the full one.

        Parameters
        ----------
        states, outputs, parameters : sequence of str
            What is kept; every other state is 0 and every other parameter has its present value.
        start : mapping, optional
            Start of a state: a number, or the name of a further unknown; the present value by default.
        fixed : mapping, optional
            Other values of parameters and states that are not kept.

        Raises
        ------
        UnknownName
        """
        system = equations(model)
        for kind, names, known in (
            ("state", states, system.states), ("output", outputs, [*system.expanded, *system.states]),
            ("parameter", parameters, system.parameters),
        ):  # fmt: skip
            for name in names:
                if name not in known:
                    raise UnknownName(kind, name, known)
        values: dict[str, float] = {
            **model.values,
            **dict.fromkeys(set(system.states) - set(states), 0.0),
            **(fixed or {}),
        }
        kept = {*states, *parameters}

        def cut(expression: Any) -> Any:
            names = {s.name for s in expression.free_symbols} & values.keys() - kept
            return expression.xreplace({sp.Symbol(n): sp.Rational(repr(float(values[n]))) for n in names})

        given = dict(start or {})
        unknown = {n: model.values[n] for n in parameters}
        initial = {}
        for state in states:
            value = given.get(state, values[state])
            if isinstance(value, str):
                unknown[value] = values[state]
                initial[state] = sp.Symbol(value)
            else:
                initial[state] = sp.Rational(repr(float(value)))
        rhs = dict(zip(system.states, system.rhs, strict=True))
        found = {o: cut(system.expanded.get(o, sp.Symbol(o))) for o in outputs}
        return cls(title, {s: cut(rhs[s]) for s in states}, found, initial, unknown)

    def beside(self, other: Structure, title: str) -> Structure:
        """Observe two experiments that share the parameters of the same name."""

        def renamed(part: dict[str, Any]) -> dict[str, Any]:
            swap = {sp.Symbol(s): sp.Symbol(f"{s}__2") for s in other.rates}
            return {k: sp.sympify(e).xreplace(swap) for k, e in part.items()}

        return Structure(
            title,
            self.rates | {f"{k}__2": e for k, e in renamed(other.rates).items()},
            self.outputs | {f"{k}__2": e for k, e in renamed(other.outputs).items()},
            self.initial | {f"{k}__2": e for k, e in renamed(other.initial).items()},
            self.parameters | other.parameters,
        )

    def verdicts(self, order: int | None = None, points: int = 2, seed: int = 1) -> Structural:
        """Judge every parameter.

        Parameters
        ----------
        order : int, optional
            Highest time derivative; by default the number of unknowns plus one.
        points : int
            Random places at which the rank is taken; the largest counts.
        seed : int

        Raises
        ------
        InvalidValue
            If there is nothing to judge.
        """
        import mpmath

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
                for i in range(len(names)):
                    # with 60 digits a step of 1e-18 leaves 40 of them in the difference
                    step = place[i] * mpmath.mpf(10) ** -18
                    up, down = (
                        self._derivatives([*place[:i], place[i] + s, *place[i + 1 :]], order) for s in (step, -step)
                    )
                    columns.append([(u - d) / (2 * step) for u, d in zip(up, down, strict=True)])
                rank, null = _null_space(mpmath.matrix(columns).T, place)
                if rank > best:
                    best, directions = rank, null
        free = np.abs(directions).max(axis=0) > 1e-9 if len(directions) else np.zeros(len(names), dtype=bool)
        return Structural(self.title, tuple(names), best, tuple(NOT if f else IDENTIFIED for f in free), directions)

    def _derivatives(self, parameters: Sequence[Any], order: int) -> list[Any]:
        """Taylor coefficients of all outputs at one place."""
        import mpmath

        states = solve(self._rates, self._start(*parameters), parameters, order)
        found = []
        for series in self._outputs(*states, *parameters):
            found += series.c if isinstance(series, Series) else [mpmath.mpf(series)]
        return found

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
    """Rank and null space of a Jacobian by elimination with full pivoting, columns scaled to relative changes."""
    import mpmath

    rows, columns = matrix.rows, matrix.cols
    m = [[matrix[i, j] * place[j] for j in range(columns)] for i in range(rows)]
    for row in m:
        top = max(abs(x) for x in row)
        if top:
            row[:] = [x / top for x in row]
    order = list(range(columns))
    rank = 0
    while rank < min(rows, columns):
        i, j = max(
            ((i, j) for i in range(rank, rows) for j in range(rank, columns)), key=lambda ij: abs(m[ij[0]][ij[1]])
        )
        if abs(m[i][j]) < ZERO:
            break
        m[rank], m[i] = m[i], m[rank]
        order[rank], order[j] = order[j], order[rank]
        for row in m:
            row[rank], row[j] = row[j], row[rank]
        pivot = m[rank][rank]
        m[rank] = [x / pivot for x in m[rank]]
        for k in range(rows):
            if k != rank and m[k][rank]:
                factor = m[k][rank]
                m[k] = [x - factor * y for x, y in zip(m[k], m[rank], strict=True)]
        rank += 1
    null = np.zeros((columns - rank, columns))
    for n in range(columns - rank):
        vector = [-m[i][rank + n] for i in range(rank)] + [mpmath.mpf(k == n) for k in range(columns - rank)]
        top = max(abs(x) for x in vector)
        for place_, value in zip(order, vector, strict=True):
            null[n, place_] = float(value / top)
    return rank, null


@dataclass(frozen=True, eq=False)
class Information:
    """Fisher information of the logarithms of some parameters.

    Attributes
    ----------
    matrix : ndarray, shape (parameters, parameters)
    """

    parameters: tuple[str, ...]
    matrix: Array

    @property
    def spectrum(self) -> tuple[Array, Array]:
        """Eigenvalues, largest first, and eigenvectors as columns."""
        values, vectors = np.linalg.eigh(self.matrix)
        return np.maximum(values[::-1], 0.0), vectors[:, ::-1]

    @property
    def rank(self) -> int:
        """Number of directions that the data inform."""
        values, _ = self.spectrum
        return int((values > FLAT * values[0]).sum()) if values[0] > 0 else 0

    @property
    def standard_errors(self) -> Array:
        """Standard errors of the logarithms; infinite along directions without information."""
        values, vectors = self.spectrum
        informed = np.arange(len(values)) < self.rank
        blind = (np.abs(vectors[:, ~informed]) > 1e-6).any(axis=1)
        variance = (vectors[:, informed] ** 2 / values[informed]).sum(axis=1)
        return np.where(blind, np.inf, np.sqrt(variance))

    def frame(self) -> pd.DataFrame:
        """Return one row per parameter: standard error of its logarithm, and verdict."""
        import pandas as pd

        errors = self.standard_errors
        verdicts = [NOT if not np.isfinite(e) else WEAKLY if e > WEAK else IDENTIFIED for e in errors]
        columns = {"parameter": list(self.parameters), "SE of ln": errors, "verdict": verdicts}
        return pd.DataFrame(columns)


def information(jacobian: Array, parameters: Sequence[str]) -> Information:
    """Return the Fisher information from a Jacobian of residuals.

    Parameters
    ----------
    jacobian : ndarray, shape (residuals, parameters)
        d residual / d ln parameter, residuals in standard deviations; leave out the rows of priors to see what the
        data alone say.
    parameters : sequence of str
    """
    matrix = np.asarray(jacobian, dtype=float)
    if matrix.ndim != 2 or matrix.shape[1] != len(parameters):
        raise InvalidValue(f"the Jacobian must have shape (residuals, {len(parameters)}), not {matrix.shape}.")
    if not np.isfinite(matrix).all():
        raise InvalidValue("the Jacobian has values that are not finite.")
    return Information(tuple(parameters), matrix.T @ matrix)


def expected_information(
    model: Model,
    parameters: Sequence[str],
    observed: Mapping[str, tuple[Sequence[float], float]],
    regimen: Any = None,
    *,
    relative: bool = False,
    own_baseline: Mapping[str, str] | None = None,
) -> Information:
    """Return what a planned experiment would tell, from exact sensitivities of the coupled model.

    Parameters
    ----------
    observed : mapping of str to (times, standard deviation)
        Output to observation times [h] and the error of one observation [unit of the output; fraction if `relative`].
    regimen : Regimen or str, optional

    Raises
    ------
    UnknownName, InvalidValue
    """
    rows = []
    for output, (times, sd) in observed.items():
        if not sd > 0:
            raise InvalidValue(f"the error of '{output}' must be above 0, not {sd}.")
        end = float(max(times))
        found = curves(
            model, parameters, regimen, end, outputs=[output], times=times, own_baseline=own_baseline, rtol=1e-8
        )[output]
        scaled = found.values.T  # d ln output / d ln parameter
        if not relative:
            from metabolism.simulation import simulate

            run = simulate(model, regimen, end, outputs=[output], times=times, patients={parameters[0]: [model.values[parameters[0]]]},
                           own_baseline=own_baseline, rtol=1e-8)  # fmt: skip
            scaled = scaled * run[output].values[0][:, None]
        rows.append(scaled / sd)
    return information(np.concatenate(rows), parameters)


def profile(
    residuals: Callable[[Array], Array],
    best: Sequence[float],
    names: Sequence[str],
    parameter: str,
    *,
    low: Sequence[float],
    high: Sequence[float],
    points: int = 12,
) -> Profile:
    """Profile minus twice the log likelihood along one parameter of any problem, the others re-fitted.

    Parameters
    ----------
    residuals : callable
        Parameters (all above 0) to residuals in standard deviations.
    best : sequence of float
        The fit.
    low, high : sequence of float
        Bounds of all parameters.
    points : int
        Points on each side, evenly spaced on the log scale to the bound; each starts from its neighbour.

    Raises
    ------
    UnknownName, InvalidValue
    SolverFailed
        If the profile falls below the fit by more than 0.1: the fit was no minimum.
    """
    from scipy.optimize import least_squares

    if parameter not in names:
        raise UnknownName("parameter", parameter, names)
    x, a, b = (np.asarray(v, dtype=float) for v in (best, low, high))
    if not ((a > 0) & (a < b) & (a <= x) & (x <= b)).all():
        raise InvalidValue("bounds must be above 0, increasing, and hold the fit between them.")
    own = list(names).index(parameter)
    free = [i for i in range(len(x)) if i != own]
    base = float((residuals(x) ** 2).sum())
    found = [(x[own], base)]
    for bound in (a[own], b[own]):
        here = np.log(x)
        for value in np.linspace(np.log(x[own]), np.log(bound), points + 1)[1:]:
            here[own] = value
            if free:

                def others(z: Array, value: float = value) -> Array:
                    full = np.empty(len(x))
                    full[own], full[free] = value, z
                    return np.asarray(residuals(np.exp(full)))

                limits = (np.log(a[free]) - 1e-12, np.log(b[free]) + 1e-12)
                solved = least_squares(
                    others, np.clip(here[free], *limits), bounds=limits, xtol=1e-12, ftol=1e-12, gtol=1e-12
                )
                here[free], cost = solved.x, 2 * float(solved.cost)
            else:
                cost = float((residuals(np.exp(here)) ** 2).sum())
            if cost < base - 0.1:
                raise SolverFailed(
                    f"the profile of '{parameter}' falls {base - cost:.2g} below the fit at {np.exp(value):.4g}: the fit "
                    "was no minimum; fit again from there."
                )
            found.append((float(np.exp(value)), cost))
            if cost > base + 3 * THRESHOLD:
                break
    values, costs = (np.array(column) for column in zip(*sorted(found), strict=True))
    return Profile(parameter, values, np.maximum(costs - costs.min(), 0.0))


def disease(model: Model) -> list[Structural]:
    """Judge the parameters of disease progression and of the drug effect under five kinds of data.

    The equations are those of the model itself, with the rest of it held.
    """
    off = {"MN_beta_hcy": 0.0, "MN_Emax": 0.0}
    scores = ["MN_k", "MN_gamma", "MN_n50"]
    missing = {"MN_k": read_set("als_patient").values["MN_k"], "MN_Emax": 0.4, "MN_beta_hcy": 0.2}
    model = model.with_values({k: v for k, v in missing.items() if not model.values[k]})

    def cut(title: str, parameters: Sequence[str], outputs: Sequence[str], **fixed: float) -> Structure:
        return Structure.from_model(
            model, title, states=["motor_units"], outputs=outputs, parameters=parameters,
            start={"motor_units": "motor_units_at_baseline"}, fixed={**off, "hcy_plasma": 8.0, "motor_units": 0.55, **fixed},
        )  # fmt: skip

    def arm(title: str, dose: float) -> Structure:
        keep = [*scores, "MN_Emax", "MN_EC50"]
        return cut(title, keep, ["alsfrs_r"], cbl_effect=dose)

    def paths(title: str, dose: float) -> Structure:
        return cut(title, [*scores, "MN_Emax", "MN_beta_hcy"], ["alsfrs_r"], cbl_effect=dose, hcy_plasma=8.0)

    placebo = cut("ALSFRS-R, untreated", scores, ["alsfrs_r"])
    motor = cut("ALSFRS-R and motor-unit count, untreated", scores, ["alsfrs_r", "motor_units"])
    calm = cut("untreated", scores, ["alsfrs_r"])
    one = calm.beside(arm("", 0.06), "ALSFRS-R, placebo and one dose")
    two = one.beside(_renamed(arm("", 0.02), "3"), "ALSFRS-R, placebo and two doses")
    both = calm.beside(paths("", 0.06), "ALSFRS-R, placebo and one dose that also lowers homocysteine")
    return [s.verdicts() for s in (placebo, motor, one, two, both)]


def pharmacokinetics(model: Model) -> list[Structural]:
    """Judge absorption and disposition of free cobalamin after one large intramuscular dose, without carriers."""
    keep = ["IM_LARGE_ka", "central", "peripheral", "CBL_Q", "CBL_CLf", "CBL_CLns"]
    states = ["depot_large", "transit_large", "cbl_free", "cbl_peripheral"]
    quiet = {"CBL_DIET_rate": 0.0, "CBL_Tm": 0.0, "depot_large": 37.2}
    plasma = Structure.from_model(
        model, "free plasma cobalamin", states=states, outputs=["cbl_free"], parameters=keep, fixed=quiet,
        start={"depot_large": 37.2, "transit_large": 0.0, "cbl_free": 0.0, "cbl_peripheral": 0.0},
    )  # fmt: skip
    urine = Structure.from_model(
        model, "free plasma cobalamin and rate of excretion in urine", states=states,
        outputs=["cbl_free", "CBL_EXCRETION"], parameters=keep, fixed=quiet,
        start={"depot_large": 37.2, "transit_large": 0.0, "cbl_free": 0.0, "cbl_peripheral": 0.0},
    )  # fmt: skip
    return [s.verdicts() for s in (plasma, urine)]


def _renamed(part: Structure, mark: str) -> Structure:
    swap = {sp.Symbol(s): sp.Symbol(f"{s}__{mark}") for s in part.rates}

    def of(entries: dict[str, Any], rename: bool) -> dict[str, Any]:
        return {(f"{k}__{mark}" if rename else k): sp.sympify(e).xreplace(swap) for k, e in entries.items()}

    return Structure(part.title, of(part.rates, True), of(part.outputs, True), of(part.initial, True), part.parameters)
