"""What separate steps for pharmacokinetics and metabolism could gain: the measurement behind decision 5.

Cobalamin drives metabolism and is not driven by it. The program measures (1) the whole model, (2) the cobalamin
part alone, both in the fast engine, (3) the cost of a step of the rest, and (4) how many steps the rest needs when
cobalamin is given, by a plain Rosenbrock integration whose input is a spline through a tight solution. From these
follows the largest possible gain: it leaves out the cost of storing cobalamin and reading it back.

    python benchmarks/cascade.py
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from bench import HOURS, block, part, seconds_of, trial
from scipy.interpolate import CubicHermiteSpline

from metabolism.engines import Problem, get_engine
from metabolism.engines.fast_control import GROW, LEAST, SAFETY, SHRINK
from metabolism.engines.rodas import RODAS5P
from metabolism.regimen import Plan, Regimen, plan

INTERVAL, INTERVALS = 84.0, 4


def steps_of_the_rest(whole: Problem, fast: list[int], rest: list[int], rtol: float) -> float:
    """Steps per dose interval that the rest takes when cobalamin is known (one patient, first intervals)."""
    system, method = whole.equations, RODAS5P
    local = np.geomspace(1e-4, INTERVAL, 1500)
    end = INTERVAL * INTERVALS
    grid = np.unique(np.concatenate([[0.0, end], *(INTERVAL * k + np.append(0, local[:-1]) for k in range(INTERVALS))]))
    schedule = plan(Regimen.parse(f"50 mg im every 3.5 d x {INTERVALS}"), 0.0, end)
    tight = replace(
        whole, plan=schedule, end=end, times=grid, outputs=system.states, parameters=whole.parameters[:1],
        initial=whole.initial[:1], dose_scale=np.ones((1, len(schedule.boluses))), rtol=1e-10,
        atol=whole.atol / whole.rtol * 1e-10,
    )  # fmt: skip
    solved = get_engine("fast").solve(tight)
    values, before, p = solved.values[0], solved.pre_dose[0], tight.parameters[0]
    alpha, beta, _ = method.classical()
    nodes, drift = alpha.sum(axis=1), (beta - alpha).sum(axis=1)
    atol, x, taken, size = (whole.atol / whole.rtol * rtol)[rest], whole.initial[0, rest].copy(), 0, len(system.states)
    first = 1e-2
    for k in range(INTERVALS):
        inside = (grid >= INTERVAL * k) & (grid <= INTERVAL * (k + 1))
        course = values[inside].copy()
        if k + 1 < INTERVALS:
            course[-1] = before[k + 1]
        rates = np.array([system.f(state, p)[fast] for state in course])
        known = CubicHermiteSpline(grid[inside], course[:, fast], rates)
        slope = known.derivative()

        def state(t: float, y: np.ndarray, known: CubicHermiteSpline = known) -> np.ndarray:
            full = np.empty(size)
            full[rest], full[fast] = y, known(t)
            return full

        t, stop, h, before_error, before_h, refused, settled = (
            INTERVAL * k,
            INTERVAL * (k + 1),
            first,
            0.0,
            0.0,
            False,
            False,
        )
        while t < stop:
            h = stop - t if 1.01 * h >= stop - t else h
            jacobian = system.J(state(t, x), p)
            moved = jacobian[np.ix_(rest, fast)] @ slope(t)
            inverse = np.linalg.inv(np.eye(len(rest)) / (h * method.gamma) - jacobian[np.ix_(rest, rest)])
            u: list[np.ndarray] = []
            for i in range(method.stages):
                y = x + sum((a * v for a, v in zip(method.a[i], u, strict=True)), np.zeros_like(x))
                mixed = sum((c * v for c, v in zip(method.c[i], u, strict=True)), np.zeros_like(x)) / h
                u.append(inverse @ (system.f(state(t + nodes[i] * h, y), p)[rest] + mixed + h * drift[i] * moved))
            new = y + u[-1]
            # the norm of the whole model, so that both controls ask for the same
            error = np.sqrt(np.sum((u[-1] / (atol + rtol * np.maximum(abs(x), abs(new)))) ** 2) / size)
            factor = SAFETY * max(error, 1e-12) ** (-1 / method.order)
            taken += 1
            if error <= 1:
                if before_error:
                    factor = min(factor, factor * h / before_h * (error / before_error) ** (-1 / method.order))
                factor = min(max(factor, SHRINK), 1.0 if refused else GROW)
                first = first if settled else h
                t, x, before_error, before_h, refused, settled = t + h, new, max(error, LEAST), h, False, True
                t = stop if stop - t < 1e-9 else t
            else:
                factor, refused = min(max(factor, SHRINK), 1.0), True
            h *= factor
    return taken / INTERVALS


def main() -> None:
    """Print the largest possible gain at two tolerances."""
    for rtol in (1e-5, 1e-6):
        whole = trial(64, rtol)
        system = whole.equations
        keep = block(system, "cbl_free")
        upper, lower = part(system, keep, "cobalamin"), part(system, set(system.states) - keep, "rest")
        fast, rest = ([system.states.index(s) for s in e.states] for e in (upper, lower))
        inputs = [system.states.index(s) for s in lower.parameters[len(system.parameters) :]]
        all_ms, all_steps = seconds_of(whole)
        pk = replace(
            whole, equations=upper, outputs=("cbl_free",), initial=whole.initial[:, fast].copy(), atol=whole.atol[fast]
        )
        pk_ms, pk_steps = seconds_of(pk)
        # cobalamin frozen and the rest disturbed: only its cost per step is of interest here
        frozen = replace(
            whole, equations=lower, plan=replace(Plan(), boundaries=whole.plan.boundaries), outputs=lower.states[:1],
            parameters=np.hstack([whole.parameters, whole.initial[:, inputs]]), initial=whole.initial[:, rest] * 1.02,
            dose_scale=np.ones((64, 0)), atol=whole.atol[rest],
        )  # fmt: skip
        frozen_ms, frozen_steps = seconds_of(frozen)
        needed = steps_of_the_rest(whole, fast, rest, rtol) * HOURS / INTERVAL
        rest_ms = needed * frozen_ms / frozen_steps
        print(
            f"rtol {rtol:.0e}: whole {len(system.states)} states {all_steps:.0f} steps {1e3 * all_ms:.2f} ms; cobalamin {len(fast)} states "
            f"{pk_steps:.0f} steps {1e3 * pk_ms:.2f} ms; rest {len(rest)} states {needed:.0f} steps {1e3 * rest_ms:.2f} ms; "
            f"gain at most {all_ms / (pk_ms + rest_ms):.2f}"
        )


if __name__ == "__main__":
    main()
