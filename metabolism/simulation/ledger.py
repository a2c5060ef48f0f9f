"""The ledger of doses: what was asked beside what the engine's own states rose by."""

import numpy as np

from metabolism.engines import Problem, Solution
from metabolism.errors import MetabolismError
from metabolism.types import Array


def amounts_asked(problem: Problem) -> dict[str, Array]:
    """Amount each patient should receive per target [µmol]: merged boluses as scaled, plus infusions."""
    bolus = {t: np.zeros(len(problem.initial)) for t in problem.plan.asked}
    planned = dict.fromkeys(problem.plan.asked, 0.0)
    for i, (_, target, amount) in enumerate(problem.plan.boluses):
        bolus[target] += amount * problem.dose_scale[:, i]
        planned[target] += amount
    return {t: bolus[t] + (problem.plan.asked[t] - planned[t]) for t in bolus}


def verify_doses(problem: Problem, solution: Solution) -> None:
    """Refuse a result whose measured ledger is not what was asked, to 1e-9.

    Raises
    ------
    MetabolismError
    """
    for target, asked in amounts_asked(problem).items():
        good = [i for i in range(len(asked)) if i not in solution.failures]
        gap = np.abs(solution.delivered[target][good] - asked[good])
        if good and (gap > 1e-9 * np.maximum(asked[good], 1e-30)).any():
            raise MetabolismError(
                f"dose ledger: '{target}' was to receive {asked[good].max():.9g} and the engine delivered "
                f"{solution.delivered[target][good].max():.9g}; please report this."
            )
