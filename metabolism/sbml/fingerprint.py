"""The kinetic fingerprint of an ODE model: what any simulator must find in the same file, in one small JSON document.

Reference steady state, fluxes, eigenvalues, control coefficients with their theorems, responses to the supplies, and
the ledger of the events. Everything is computed from the SBML text alone. The schema is written down in
``docs/fingerprint.md`` and ``docs/fingerprint.schema.json``.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from metabolism.errors import MetabolismError, OutputError, SolverFailed
from metabolism.sbml.control import Control, control_at, independent_rows, process_matrix
from metabolism.sbml.equations import Equations
from metabolism.sbml.resting import RESIDUAL, rest
from metabolism.types import Array

SCHEMA = "kinetic-fingerprint/1"


#: Dosing of our own fingerprint: four doses of the twice-weekly regimen.
REGIMEN, UNTIL = "50 mg im every 3.5 d x 4", 336.0


#: Factors on each supply.
FACTORS = (0.5, 2.0)


#: Control coefficients smaller than this are left out of the document; the theorems are checked with all of them.
SMALLEST = 1e-3


THEOREMS = 1e-6


_DIGITS = 10


#: Sections whose numbers are compared, and the absolute difference that is only rounding (a zero is rarely exact).
_COMPARED = {
    "steady_state": 1e-14,
    "fluxes": 1e-12,
    "eigenvalues": 1e-9,
    "flux_control": 2e-6,
    "concentration_control": 2e-6,
    "dose_response": 1e-14,
    "events": 0.0,
}


def sbml_fingerprint(sbml: str, until: float = UNTIL, remarks: list[str] | None = None) -> dict[str, Any]:
    """Return the fingerprint of an SBML text.

    Parameters
    ----------
    sbml : str
        Flat SBML (see `metabolism.sbml.foreign.flatten`).
    until : float
        End of the run that executes the events [time unit of the file].
    remarks : list of str, optional
        What the reader of the file should know; kept in the document.

    Returns
    -------
    dict
        As ``docs/fingerprint.schema.json`` says. Without a resting state, the sections that need one are null and
        ``problem`` says why.
    """
    import libsbml

    document = libsbml.readSBMLFromString(sbml)
    content = document.getModel()
    from metabolism.sbml.referee import read_file

    system, values, events = read_file(sbml)
    result: dict[str, Any] = {
        "schema": SCHEMA,
        "model": {
            "id": content.getId(),
            "name": content.getName(),
            "sbml_sha256": hashlib.sha256(sbml.encode()).hexdigest(),
            "states": len(system.states),
            "reactions": len(system.reactions),
            "constants": len(system.parameters),
            "events": len(events),
        },
        "settings": {
            "steady_state_residual": RESIDUAL,
            "theorem_tolerance": THEOREMS,
            "factors": list(FACTORS),
            "smallest_coefficient": SMALLEST,
            "until": until,
            "significant_digits": _DIGITS,
        },
        "remarks": remarks or [],
        "problem": None,
        "held": [],
        "conserved_moieties": [],
        "steady_state": None,
        "fluxes": None,
        "eigenvalues": None,
        "theorems": None,
        "flux_control": None,
        "concentration_control": None,
        "dose_response": None,
        "events": None,
    }
    try:
        result |= _at_rest(system, values)
    except SolverFailed as error:
        result["problem"] = str(error)
    if events:
        try:
            result["events"] = _ledger(sbml, until, system)
        except MetabolismError as error:
            result["problem"] = f"{result['problem'] or ''} events: {error}".strip()
    return result


def _at_rest(system: Equations, values: Mapping[str, float]) -> dict[str, Any]:
    x, p = system.vectors(values)
    scale = np.maximum(np.abs(x), 1e-9 * max(1.0, float(np.abs(x).max())))
    held = _held(system, x, p)
    keep = [i for i, s in enumerate(system.states) if s not in held]
    if not keep:
        raise SolverFailed("no resting state: every state only accumulates, grows or decays by itself.")
    moieties = [m for m in system.moieties() if not set(m) & set(held)]
    x, residual = _find_rest(system, x, p, scale, held)
    control = control_at(system, x, p, held)
    eigenvalues = np.linalg.eigvals(_slopes_at(system, x, p)[np.ix_(keep, keep)])
    order = np.lexsort((eigenvalues.imag, eigenvalues.real))
    derived = dict(zip(system.expanded, system.derived(x.tolist(), p.tolist()), strict=True))
    theorems = control.theorems()
    return {
        "held": sorted(held),
        "conserved_moieties": [{k: _round(v) for k, v in sorted(m.items())} for m in moieties],
        "steady_state": {
            "residual": float(f"{residual:.1e}"),
            "values": {s: _round(v) for s, v in sorted(zip(control.states, control.x, strict=True))},
            "derived": {r: _round(derived[r]) for r in sorted(system.rules)},
        },
        "fluxes": {r: _round(derived[r]) for r in sorted(system.reactions)},
        "eigenvalues": [[_round(e.real), _round(abs(e.imag))] for e in eigenvalues[order]],
        "theorems": {**{k: float(f"{v:.1e}") for k, v in theorems.items()}, "hold": max(theorems.values()) < THEOREMS},
        "flux_control": _matrix(control.flux_control, control.processes, control.processes),
        "concentration_control": _matrix(control.concentration_control, control.states, control.processes),
        "dose_response": _dose_response(system, x, p, scale, tuple(held), control, bool(moieties)),
    }


def _held(system: Equations, x: Array, p: Array) -> list[str]:
    """States that never rest: nothing else depends on them, and they only accumulate, grow or decay by themselves."""
    # at the start a slope may vanish by accident: what a state does by itself, it does at any point
    points = [(z, system.f(z, p), system.J(z, p)) for z in (x, 1.1 * x + 0.1 * max(1e-9, float(np.abs(x).max())))]
    held: list[str] = []
    while True:
        used = {j for (i, j) in system.jacobian if i != j and system.states[i] not in held}
        more = []
        for i in (i for i, s in enumerate(system.states) if i not in used and s not in held):
            drained = points[0][2][i, i] < 0 and x[i] == 0
            alone = all(J[i, i] == 0 or abs(f[i] - J[i, i] * z[i]) <= 1e-9 * abs(f[i]) for z, f, J in points)
            # what feeds one that never rests is held too only if nothing moves it
            still = all(f[i] == 0 and not J[i].any() for _, f, J in points)
            if not drained and (still if held else alone):
                more.append(system.states[i])
        if not more:
            return sorted(held, key=system.states.index)
        held += more


def _find_rest(system: Equations, x: Array, p: Array, scale: Array, held: list[str]) -> tuple[Array, float]:
    """Bring a foreign model to the rest that belongs to its own start, conserved totals included."""
    keep = [i for i, s in enumerate(system.states) if s not in held]
    rows, link = independent_rows(process_matrix(system)[keep])
    if len(rows) == len(keep):
        try:
            x, residual, _ = rest(system, x, p, scale, tuple(held))
            return x, residual
        except SolverFailed:
            # a start far from rest, or with states at 0 whose size nobody can know yet: the integration decides
            pass
    return _settle(system, x, p, scale, keep, rows, link)


def _settle(
    system: Equations, x: Array, p: Array, scale: Array, keep: list[int], rows: list[int], link: Array
) -> tuple[Array, float]:
    """Integrate ever further, and try Newton from there: independent balances, and one total per conserved moiety."""
    from scipy.integrate import solve_ivp

    sizes = np.array([_size(system, system.states[i], p) for i in keep])
    others = [i for i in range(len(keep)) if i not in rows]
    weights = np.zeros((len(others), len(keep)))
    weights[:, rows] = -link[others]
    weights[range(len(others)), others] = 1.0
    weights = weights * sizes
    totals = weights @ x[keep]
    reach, y, scale = 1.0, x.copy(), scale.copy()

    def rates(_: float, z: Array) -> Array:
        moves = np.zeros(len(z))
        moves[keep] = system.f(z, p)[keep]
        return moves

    def slopes(_: float, z: Array) -> Array:
        return _slopes_at(system, z, p)

    for _ in range(40):
        solved = solve_ivp(rates, (0.0, reach), y, method="LSODA", rtol=1e-8, atol=1e-12 * scale, jac=slopes)
        y, reach = solved.y[:, -1], reach * 3
        if not solved.success or not np.isfinite(y).all():
            raise SolverFailed(f"no resting state: the integration stopped ({solved.message}).")
        # a state that began at 0 has the size it grew to
        scale = np.maximum(scale, np.abs(solved.y).max(axis=1))
        y = np.where(np.abs(y) < 1e-9 * scale, np.maximum(y, 0.0), y)
        for _ in range(30):
            matrix = np.vstack([_slopes_at(system, y, p)[np.ix_(keep, keep)][rows], weights])
            gap = np.concatenate([system.f(y, p)[keep][rows], weights @ y[keep] - totals])
            # every unknown in its own size, every equation in the size of its terms
            matrix = matrix * scale[keep]
            size = np.maximum(np.abs(matrix).max(axis=1), 1e-300)
            step = np.linalg.lstsq(matrix / size[:, None], -gap / size, rcond=None)[0] * scale[keep]
            if not np.isfinite(step).all() or (y[keep] + step < -1e-9 * scale[keep]).any():
                break
            y[keep] = np.maximum(y[keep] + step, 0.0)
            moving = np.abs(system.f(y, p)[keep]) / np.maximum(np.abs(y[keep]), 1e-3 * scale[keep])
            kept = np.abs(weights @ y[keep] - totals) <= 1e-9 * (np.abs(weights) @ scale[keep])
            if moving.max() < 1e-2 * RESIDUAL and kept.all() and _balanced(system, y, p, scale)[keep].all():
                return y, float(moving.max())
    moving = np.abs(system.f(y, p)[keep]) / np.maximum(np.abs(y[keep]), 1e-3 * scale[keep])
    state = system.states[keep[int(np.nanargmax(moving))]]
    raise SolverFailed(f"no resting state was found: after {reach / 3:.3g} units of time '{state}' still moves.")


def _balanced(system: Equations, y: Array, p: Array, scale: Array) -> NDArray[np.bool_]:
    """Whether gain and loss of a state cancel, or it is empty; a store that fills for ever is slow beside its size."""
    v = np.abs(system.evaluate(list(system.reactions), y, p))
    sizes = np.array([_size(system, s, p) for s in system.states])
    turnover = np.abs(system.stoichiometry) @ v / sizes
    ruled = np.array([s in system.rate_rules for s in system.states])
    return np.asarray((np.abs(system.f(y, p)) <= 1e-6 * turnover) | (np.abs(y) <= 1e-9 * scale) | ruled)


def _slopes_at(system: Equations, y: Array, p: Array) -> Array:
    """Jacobian at a point; where a power of an empty state has no slope, that a trace away from empty."""
    J = system.J(y, p)
    trace = 1e-12 * max(float(np.abs(y).max()), 1e-12)
    return J if np.isfinite(J).all() else system.J(np.where(y == 0, trace, y), p)


def _size(system: Equations, state: str, p: Array) -> float:
    return float(p[system.parameters.index(system.volume[state])]) if state in system.volume else 1.0


def _dose_response(
    system: Equations, x: Array, p: Array, scale: Array, held: tuple[str, ...], found: Control, closed: bool
) -> dict[str, Any]:
    """Resting states at half and twice each supply: a constant in the rate of a reaction that depends on no state."""
    supplies = sorted(
        {
            s.name
            for r in system.reactions
            if not {t.name for t in system.expanded[r].free_symbols} & set(system.states)
            for s in system.expanded[r].free_symbols
            if s.name not in system.volume.values()
        }
    )
    chosen = [s for s in supplies if p[system.parameters.index(s)] != 0]
    if not chosen and not closed:
        # no open supply: the constants the resting state answers to most
        answers = np.nansum(np.abs(found.response()), axis=0)
        chosen = sorted(system.parameters[i] for i in np.argsort(answers)[-3:])
    table: dict[str, Any] = {}
    for name in chosen:
        table[name] = {}
        for factor in FACTORS:
            q = p.copy()
            q[system.parameters.index(name)] *= factor
            try:
                y, _, _ = rest(system, x.copy(), q, scale, held)
            except SolverFailed:
                table[name][repr(factor)] = None
                continue
            table[name][repr(factor)] = {
                s: _round(v)
                for s, v, w in sorted(zip(system.states, y, x, strict=True))
                if s not in held and abs(v - w) > 1e-6 * max(abs(w), abs(v))
            }
    return table


def _ledger(sbml: str, until: float, system: Equations) -> dict[str, Any]:
    """How often each event fired, when first and last, and how much it added in all."""
    from metabolism.sbml.referee import replay

    run = replay(sbml, [0.0, until], list(system.states[:1]), rtol=1e-8)
    table: dict[str, Any] = {}
    for firing in run.firings:
        row = table.setdefault(firing.event, {"count": 0, "first": _round(firing.time), "last": 0.0, "added": {}})
        row["count"] += 1
        row["last"] = _round(firing.time)
        for variable, change in firing.changes.items():
            row["added"][variable] = _round(row["added"].get(variable, 0.0) + change)
    return table


def _matrix(values: Array, rows: tuple[str, ...], columns: tuple[str, ...]) -> dict[str, dict[str, float]]:
    table = {}
    for name, row in sorted(zip(rows, values, strict=True), key=lambda pair: pair[0]):
        if np.isfinite(row).all():
            table[name] = {
                c: float(f"{v:.6f}") for c, v in sorted(zip(columns, row.tolist(), strict=True)) if abs(v) >= SMALLEST
            }
    return table


def _round(value: float) -> float:
    rounded = float(f"{value:.{_DIGITS - 1}e}")
    return 0.0 if rounded == 0 or not math.isfinite(rounded) else rounded


def read_fingerprint(path: str | Path) -> dict[str, Any]:
    """Read a fingerprint back.

    Raises
    ------
    OutputError
        If the file is missing, no JSON, or no fingerprint of this schema.
    """
    try:
        document = json.loads(Path(path).read_text("utf-8-sig"))
    except (OSError, ValueError, RecursionError) as error:
        reason = getattr(error, "strerror", None) or error
        raise OutputError(f"'{path}' cannot be read as a fingerprint ({reason}).") from None
    if not isinstance(document, dict) or document.get("schema") != SCHEMA:
        raise OutputError(f"'{path}' is no fingerprint of the schema {SCHEMA}.")
    return document


def differences(first: Mapping[str, Any], second: Mapping[str, Any], rtol: float = 1e-6) -> list[str]:
    """Return one line for each number in which two fingerprints differ.

    Parameters
    ----------
    rtol : float
        Largest accepted relative difference; control coefficients smaller than ``SMALLEST`` count as zero.

    Examples
    --------
    >>> one, two = ({"steady_state": {"values": {"A": value}}} for value in (1.0, 1.5))
    >>> differences(one, two)
    ['steady_state.values.A: 1 and 1.5']
    >>> differences(one, two, rtol=0.5)
    []
    """
    lines: list[str] = []
    for section, floor in _COMPARED.items():
        one, two = _flat(first.get(section), section), _flat(second.get(section), section)
        if section == "steady_state":
            one.pop("steady_state.residual", None)
            two.pop("steady_state.residual", None)
        for key in sorted(one.keys() | two.keys()):
            a, b = one.get(key), two.get(key)
            if a is None or b is None:
                there = a if b is None else b
                least = 2 * SMALLEST if section.endswith("control") else floor
                if there is not None and abs(there) > least:
                    lines.append(f"{key}: {'only in the first' if b is None else 'only in the second'} ({there:.8g})")
            elif abs(a - b) > max(rtol * max(abs(a), abs(b)), floor):
                lines.append(f"{key}: {a:.8g} and {b:.8g}")
    if list(first.get("held", [])) != list(second.get("held", [])):
        lines.append(f"held states: {first.get('held')} and {second.get('held')}")
    return lines


def _flat(node: Any, prefix: str) -> dict[str, float]:
    if isinstance(node, Mapping):
        return {k: v for key, value in node.items() for k, v in _flat(value, f"{prefix}.{key}").items()}
    if isinstance(node, list):
        return {k: v for i, value in enumerate(node) for k, v in _flat(value, f"{prefix}[{i}]").items()}
    return {prefix: float(node)} if isinstance(node, (int, float)) and not isinstance(node, bool) else {}
