"""Patients with one course of the part that drives: it is integrated once, and each of them reads its record.

So the members of a Sobol design or of a fit whose draws leave the drug alone pay for metabolism only. What is shared is
the same to the bit, so no result depends on it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from metabolism.engines.contract import Problem, Solution
from metabolism.engines.ensemble.compile import Kernel
from metabolism.engines.ensemble.layout import Integers
from metabolism.engines.ensemble.run import Run
from metabolism.types import Array


def shared(problem: Problem, kernel: Kernel, call: Callable[[Run], Solution]) -> Solution:
    """Run a problem with those patients beside each other who share the course of the driving part."""
    leads = leaders(problem, kernel)
    if leads is None:
        return call(Run(problem, kernel))
    order = np.argsort(leads, kind="stable")
    back = np.argsort(order)
    found = call(Run(problem.take(order), kernel, leads[order]))
    return replace(
        found,
        values=found.values[back],
        pre_dose=found.pre_dose[back],
        delivered={target: amounts[back] for target, amounts in found.delivered.items()},
        final=found.final[back],
        failures={int(order[row]): failure for row, failure in found.failures.items()},
    )


def leaders(problem: Problem, kernel: Kernel) -> Integers | None:
    """Number of the course of the driving part for each patient, from 0; None if every patient has one of its own."""
    if len(kernel.parts) == 1 or len(problem.initial) < 2:
        return None
    part, plan, names = kernel.parts[0], problem.plan, problem.equations.parameters
    own, states = {names[n] for n in part.parameters}, {problem.equations.states[n] for n in part.states}
    columns: list[Array] = [
        *problem.parameters[:, part.parameters].T,
        *problem.initial[:, part.states].T,
        *(problem.dose_scale[:, n] for n, (_, species, _) in enumerate(plan.boluses) if species in states),
        *(offset for _, name, _, offset in plan.settings if name in own and isinstance(offset, np.ndarray)),
    ]
    varied = [column for column in columns if (column != column[0]).any()]
    if not varied:
        return np.zeros(len(problem.initial), np.int64)
    if any(len(np.unique(column)) == len(column) for column in varied):
        return None
    found, leads = np.unique(np.stack(varied, axis=1), axis=0, return_inverse=True)
    return None if len(found) == len(leads) else leads.reshape(-1).astype(np.int64)
