"""Metabolic control analysis at a resting state, by implicit differentiation with symbolic elasticities.

In amounts ``n`` the balances read ``dn/dt = N v(n, p)``. With ``N = L N_R`` (``N_R``: independent rows, ``L``: link
matrix, which holds the conserved moieties) a small change of the rates moves the resting state by

    Gamma = -L (N_R E L)^-1 N_R,    E = dv/dn,    C = I + E Gamma

(Reder 1988, doi:10.1016/S0022-5193(88)80073-0; Heinrich and Schuster 1996, ISBN 978-1-4613-1161-4). A state with a
rate rule is a process of its own, whose rate at rest is zero, so that the theorems hold for the whole system.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import numpy as np

from metabolism.errors import SolverFailed, UnknownName
from metabolism.sbml.equations import Equations
from metabolism.types import Array, in_brief

#: A flux below this share of the largest flux through the same states counts as zero: its logarithm has no slope, and a
#: resting state leaves some 1e-12 of the turnover in fluxes that should vanish.
ZERO_FLUX = 1e-9


@dataclass(frozen=True, eq=False)
class Control:
    """Control coefficients of one resting state.

    Attributes
    ----------
    states : tuple of str
        Resting states (accumulators left out), length m.
    processes : tuple of str
        Reactions, then states with a rate rule, length r.
    x : ndarray, shape (m,)
        Resting values [state units].
    v : ndarray, shape (r,)
        Rates at rest [µmol/h; state unit/h for a rate rule].
    link : ndarray, shape (m, rank)
        Link matrix; wider than the identity by one row per conserved moiety.
    elasticities : ndarray, shape (r, m)
        dv/dx, not scaled.
    concentration_response : ndarray, shape (m, r)
        dx/dv, not scaled: change of the state per unit of extra rate.
    flux_response : ndarray, shape (r, r)
        dJ/dv, not scaled.
    """

    system: Equations = field(repr=False)
    states: tuple[str, ...]
    processes: tuple[str, ...]
    x: Array
    v: Array
    link: Array = field(repr=False)
    elasticities: Array = field(repr=False)
    concentration_response: Array = field(repr=False)
    flux_response: Array = field(repr=False)
    full_state: Array = field(repr=False)
    constants: Array = field(repr=False)

    def __repr__(self) -> str:
        return in_brief(self, f"{len(self.states)} states and {len(self.processes)} processes at rest")

    @property
    def flowing(self) -> Array:
        """Whether each process carries a flux that can be scaled, shape (r,) of bool."""
        turnover = _turnover(self)
        return np.asarray(np.abs(self.v) > ZERO_FLUX * turnover)

    @property
    def concentration_control(self) -> Array:
        """Scaled coefficients d ln x / d ln v, shape (m, r); NaN where the state is empty."""
        with np.errstate(divide="ignore", invalid="ignore"):
            scaled = self.concentration_response * self.v / self.x[:, None]
        return np.asarray(np.where(self.x[:, None] > 0, scaled, np.nan))

    @property
    def flux_control(self) -> Array:
        """Scaled coefficients d ln J / d ln v, shape (r, r); NaN where the flux is zero."""
        with np.errstate(divide="ignore", invalid="ignore"):
            scaled = self.flux_response * self.v / self.v[:, None]
        return np.asarray(np.where(self.flowing[:, None], scaled, np.nan))

    @property
    def scaled_elasticities(self) -> Array:
        """Scaled elasticities d ln v / d ln x, shape (r, m); NaN where the flux is zero."""
        with np.errstate(divide="ignore", invalid="ignore"):
            scaled = self.elasticities * self.x / self.v[:, None]
        return np.asarray(np.where(self.flowing[:, None], scaled, np.nan))

    def theorems(self) -> dict[str, float]:
        """Return the largest violation of each theorem, in scaled coefficients.

        Returns
        -------
        dict of str to float
            ``flux_summation`` (every row sums to 1), ``concentration_summation`` (to 0), ``flux_connectivity``
            (C E L = 0) and ``concentration_connectivity`` (Gamma E L = -L).
        """
        flux, amounts = self.flux_control[self.flowing], self.concentration_control[self.x > 0]
        link = self._concentration_link
        size = np.where(self.x != 0, np.abs(self.x), 1.0)
        scale = np.abs(link / size[:, None]).max(axis=0)
        ties = self.elasticities @ link / scale
        moved = np.abs(self.concentration_response @ ties + link / scale) / size[:, None]
        C, J = self.flux_response[self.flowing], np.abs(self.v[self.flowing])[:, None]
        # a sum of large terms of both signs is measured against these terms
        terms = np.maximum(np.abs(C) @ np.abs(ties) / J, 1.0)
        connected = np.abs(C @ ties) / J / terms
        return {
            "flux_summation": float(np.abs(flux.sum(axis=1) - 1).max(initial=0.0)),
            "concentration_summation": float(np.abs(amounts.sum(axis=1)).max(initial=0.0)),
            "flux_connectivity": float(connected.max(initial=0.0)),
            "concentration_connectivity": float(moved.max(initial=0.0)),
        }

    @property
    def _concentration_link(self) -> Array:
        return self.link / _sizes(self.system, self.states, self.constants)[:, None]

    def response(self, parameters: Sequence[str] | None = None, outputs: Sequence[str] | None = None) -> Array:
        """Return scaled response coefficients d ln(output) / d ln(parameter) at rest.

        Parameters
        ----------
        parameters : sequence of str, optional
            Constants of the model, compartment sizes included (amounts of conserved moieties are held); all by default.
        outputs : sequence of str, optional
            States, reactions or rules; the resting states by default.

        Returns
        -------
        ndarray, shape (outputs, parameters)
            NaN where the output is zero; 0 where the parameter is zero.

        Raises
        ------
        UnknownName
        """
        names = tuple(parameters or self.system.parameters)
        wanted = tuple(outputs or self.states)
        for name in names:
            if name not in self.system.parameters:
                raise UnknownName("parameter", name, self.system.parameters)
        slopes = _slopes(self.system)
        moved = self._moved(names, slopes)
        values = {**dict(zip(self.system.states, self.full_state, strict=True))}
        derived = self.system.derived(self.full_state.tolist(), self.constants.tolist())
        values |= dict(zip(self.system.expanded, derived, strict=True))
        place = {s: i for i, s in enumerate(self.states)}
        result = np.full((len(wanted), len(names)), np.nan)
        p = np.array([self.constants[self.system.parameters.index(n)] for n in names])
        for i, output in enumerate(wanted):
            if output not in values:
                raise UnknownName("output", output, values)
            if values[output] == 0:
                continue
            if output in place:
                change = moved[place[output]]
            elif output in self.system.expanded:
                by_state, by_parameter = slopes.output(output, self.full_state, self.constants)
                change = np.array([by_parameter.get(n, 0.0) for n in names])
                for state, slope in by_state.items():
                    if state in place:
                        change = change + slope * moved[place[state]]
            else:
                continue
            result[i] = change * p / values[output]
        return result

    def _moved(self, names: tuple[str, ...], slopes: _Slopes) -> Array:
        """dx/dp of the resting states, shape (m, parameters)."""
        sizes = _sizes(self.system, self.states, self.constants)
        own = {s: self.system.volume.get(s) for s in self.states}
        moved = np.zeros((len(self.states), len(names)))
        for j, name in enumerate(names):
            push = slopes.parameter(name, self.processes, self.full_state, self.constants)
            inside = np.array([own[s] == name for s in self.states])
            if inside.any():
                # a larger compartment dilutes what it holds before the rates answer
                value = self.constants[self.system.parameters.index(name)]
                push = push - self.elasticities[:, inside] @ (self.x[inside] / value)
            amounts = self.concentration_response * sizes[:, None] @ push
            moved[:, j] = amounts / sizes
            if inside.any():
                moved[inside, j] -= self.x[inside] / self.constants[self.system.parameters.index(name)]
        return moved


def control_at(system: Equations, x: Array, p: Array, held: Sequence[str] = ()) -> Control:
    """Return the control coefficients at a given resting state.

    Parameters
    ----------
    system : Equations
    x : ndarray, shape (states,)
        Resting values in solver order.
    p : ndarray, shape (parameters,)
    held : sequence of str
        States that never rest and feed nothing back (accumulators).

    Raises
    ------
    SolverFailed
        If the Jacobian of the independent states is singular.
    """
    keep = [i for i, s in enumerate(system.states) if s not in held]
    states = tuple(system.states[i] for i in keep)
    rules = tuple(s for s in states if s in system.rate_rules)
    processes = (*system.reactions, *rules)
    moved = [j for j, s in enumerate(s for s in system.states if s in system.rate_rules) if s in rules]
    columns = [*range(len(system.reactions)), *(len(system.reactions) + j for j in moved)]
    N = process_matrix(system)[np.ix_(keep, columns)]
    slopes = _slopes(system)
    E = slopes.states(states, processes, x, p)
    v = slopes.rates(processes, x, p)
    sizes = _sizes(system, states, p)
    rows, L = independent_rows(N)
    amounts = x[keep] * sizes
    size = np.where(amounts != 0, np.abs(amounts), 1.0)
    # scaled by the amounts, so that depots of 40 umol and traces of 1e-6 umol are equally well resolved
    matrix = (N[rows] @ (E / sizes) @ L) / size[rows][:, None] * size[rows]
    try:
        solved = np.linalg.solve(matrix, N[rows] / size[rows][:, None])
    except np.linalg.LinAlgError:
        raise SolverFailed(
            "the resting state is not isolated (its Jacobian is singular), so control coefficients do not exist."
        ) from None
    Gamma = -(L @ (solved * size[rows][:, None])) / sizes[:, None]
    C = np.eye(len(processes)) + E @ Gamma
    return Control(system, states, processes, x[keep], v, L, E, Gamma, C, x, p)


def _turnover(control: Control) -> Array:
    """Size of the flux around each process: the largest flux through any state it depends on or changes."""
    through = np.abs(control.elasticities) @ np.abs(control.x)
    return np.asarray(np.maximum(through, np.finfo(float).tiny))


def _sizes(system: Equations, states: Sequence[str], p: Array) -> Array:
    """Compartment size of each concentration state, 1 for amounts and rate rules."""
    index = {name: i for i, name in enumerate(system.parameters)}
    return np.array([p[index[system.volume[s]]] if s in system.volume else 1.0 for s in states])


def process_matrix(system: Equations) -> Array:
    """Return what each reaction, and then each rate rule, does to each state: shape (states, processes)."""
    own = np.eye(len(system.states))[:, [s in system.rate_rules for s in system.states]]
    return np.hstack([system.stoichiometry, own])


def independent_rows(N: Array) -> tuple[list[int], Array]:
    """Return the independent rows of N and the link matrix L with ``N = L N[rows]``."""
    import scipy.linalg

    if not N.size:
        return [], np.zeros((len(N), 0))
    _, R, order = scipy.linalg.qr(N.T, mode="economic", pivoting=True)
    diagonal = np.abs(np.diag(R))
    rank = int((diagonal > 1e-10 * diagonal[0]).sum())
    rows = sorted(order[:rank].tolist())
    if rank == len(N):
        return rows, np.eye(len(N))
    link = N @ np.linalg.pinv(N[rows])
    # stoichiometry is made of small numbers: what is not one is rounding
    link[np.abs(link) < 1e-12] = 0.0
    return rows, link


class _Slopes:
    """Compiled symbolic derivatives of all rates with respect to states and parameters."""

    def __init__(self, system: Equations) -> None:
        import sympy as sp

        self.system = system
        laws = {r: system.expanded[r] for r in system.reactions}
        for state, rate in system.rate_rules.items():
            known = {s: system.expanded[s.name] for s in rate.free_symbols if s.name in system.expanded}
            laws[state] = rate.xreplace(known)
        self.laws = laws
        states, constants = set(system.states), set(system.parameters)
        self.keys: list[tuple[str, str]] = []
        entries: list[Any] = []
        for process, law in laws.items():
            for symbol in sorted(law.free_symbols, key=lambda s: s.name):
                if symbol.name in states | constants:
                    slope = sp.diff(law, symbol)
                    if slope != 0:
                        self.keys.append((process, symbol.name))
                        entries.append(slope)
        arguments = [sp.symbols(system.states), sp.symbols(system.parameters)]
        self._entries = sp.lambdify(arguments, entries, modules="math", cse=True)
        self._rates = sp.lambdify(arguments, list(laws.values()), modules="math", cse=True)
        self._last: tuple[bytes, dict[tuple[str, str], float]] | None = None

    def rates(self, processes: Sequence[str], x: Array, p: Array) -> Array:
        values = dict(zip(self.laws, self._rates(x.tolist(), p.tolist()), strict=True))
        return np.array([values[name] for name in processes])

    def table(self, x: Array, p: Array) -> dict[tuple[str, str], float]:
        key = x.tobytes() + p.tobytes()
        if self._last is None or self._last[0] != key:
            try:
                values = self._entries(x.tolist(), p.tolist())
            except (ZeroDivisionError, ValueError, OverflowError) as error:
                raise SolverFailed(f"a rate law has no slope at the resting state ({error}).") from None
            self._last = key, dict(zip(self.keys, values, strict=True))
        return self._last[1]

    def states(self, states: Sequence[str], processes: Sequence[str], x: Array, p: Array) -> Array:
        row, column = ({n: i for i, n in enumerate(names)} for names in (processes, states))
        matrix = np.zeros((len(processes), len(states)))
        for (process, symbol), slope in self.table(x, p).items():
            if process in row and symbol in column:
                matrix[row[process], column[symbol]] = slope
        return matrix

    def parameter(self, name: str, processes: Sequence[str], x: Array, p: Array) -> Array:
        table = self.table(x, p)
        return np.array([table.get((process, name), 0.0) for process in processes])

    def output(self, name: str, x: Array, p: Array) -> tuple[dict[str, float], dict[str, float]]:
        """Slopes of one rule or reaction by state and by parameter."""
        import sympy as sp

        values = {
            sp.Symbol(k): v
            for names, vector in ((self.system.states, x), (self.system.parameters, p))
            for k, v in zip(names, vector.tolist(), strict=True)
        }
        law = self.system.expanded[name]
        slopes = {s.name: float(sp.diff(law, s).xreplace(values)) for s in law.free_symbols}
        return (
            {k: v for k, v in slopes.items() if k in self.system.states},
            {k: v for k, v in slopes.items() if k in self.system.parameters},
        )


@lru_cache(maxsize=8)
def _slopes(system: Equations) -> _Slopes:
    return _Slopes(system)
