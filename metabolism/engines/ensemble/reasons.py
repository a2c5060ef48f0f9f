"""Why a patient was given up, said so that its user can act on it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from metabolism.engines.contract import Failure
from metabolism.engines.ensemble.layout import DONE, ENDLESS, FULL, TOO_SMALL, Arrays, Integers
from metabolism.types import Array

if TYPE_CHECKING:
    from metabolism.engines.ensemble.laid import Laid

#: Memory for the records of one thread beyond which a patient is given up [bytes].
MEMORY = 2**31

#: Steps for each event or switch below which those, not the rates, are what uses the steps up.
_BUSY = 10

#: How far beyond the moment of a failure formulas are looked at, as shares of its time or of the span.
_BEYOND = (0.0, 1e-14, 1e-12, 1e-10, 1e-8, 1e-6)

#: Most characters of a formula in a message.
_SHOWN = 60


def failures_of(laid: Laid, parts: list[Arrays], reached: Array) -> dict[int, Failure]:
    """Why each patient that is not done stopped.

    Parameters
    ----------
    laid : Laid
        The problem, after its run.
    parts : list of dict
        What each part of the model wrote.
    reached : ndarray, shape (patients, states)
        State in which each patient was given up.
    """
    rows, failures = np.flatnonzero(parts[-1]["status"] != DONE), {}
    system, course = laid.problem.equations, laid.course
    without = _without_value(laid, rows, parts[-1], reached[rows])
    unit, other = ("", "") if system.reading else (" h", "engine='roadrunner' or ")
    for patient, lost in zip(rows.tolist(), without, strict=True):
        time = float(parts[-1]["failed_at"][patient])
        # a part that is driven stops where its inputs end: then the reason lies in the part before
        n, stopped = next(
            (n, p) for n, p in enumerate(parts) if p["status"][patient] != DONE and p["failed_at"][patient] <= time
        )
        with np.errstate(over="ignore"):
            rates = np.abs(stopped["rates"][patient]) / np.maximum(stopped["atol"], 1e-300)
        # a rate that is not a number is the one to look at
        worst = int(np.argmax(np.where(np.isnan(rates), np.inf, rates)))
        state = system.states[laid.kernel.parts[n].states[worst]]
        status, steps = stopped["status"][patient], int(stopped["steps"][patient])
        turns, lasting = int(course.turns[patient]) if course else 0, False
        advice = f"try {other}a looser rtol, or a tighter one if it explodes"
        if status == FULL:
            reason = f"its course takes more than {MEMORY / 2**30:.2g} GiB"
            advice = f"try a shorter course, {other}a looser rtol"
        elif status == ENDLESS or (status != TOO_SMALL and turns * _BUSY > steps):
            lasting, advice = True, "try a shorter course, or events that are further apart"
            reason = f"its events and switches turned {turns} times, and go on"
            if status == ENDLESS and course and course.endless(patient):
                reason = "its events or switches follow each other without end"
                advice = "they set each other off at one time"
        elif lost:
            formula = str(lost).replace("**", "^")
            shown = formula if len(formula) <= _SHOWN else f"{formula[:_SHOWN]} ..."
            reason = f"beyond it '{shown}' is not a number, like a root or logarithm of what is negative"
            advice = "bound what it is taken of, or vary less"
        else:
            reason = "no step is small enough" if status == TOO_SMALL else f"more than {steps - 1} steps"
        message = f"the fast engine stopped at t = {time:.6g}{unit} in '{state}' ({reason}); {advice}."
        failures[patient] = Failure(time, state, message, lasting)
    return failures


def _without_value(laid: Laid, rows: Integers, stopped: Arrays, reached: Array) -> Any:
    """For each failed patient the formula that is not a number where it was going, or None."""
    system, problem = laid.problem.equations, laid.problem
    lost = np.full(len(rows), None)
    if not len(rows) or system.reading is None:
        return lost
    from metabolism.sbml import trees

    times, names = stopped["failed_at"][rows], (*system.states, *system.parameters)
    scale = np.maximum(np.abs(times), problem.end - problem.start)
    # rates are those of the last part; what drives it is known where it was read
    rates = np.zeros_like(reached)
    rates[:, laid.kernel.parts[-1].states] = np.nan_to_num(stopped["rates"][rows])
    constants = (laid.course.parameters[:, : laid.course.own] if laid.course else problem.loaded)[rows]
    for share in _BEYOND:
        ahead = reached + (share * scale)[:, None] * rates
        known = dict(zip(names, np.concatenate([ahead, constants], axis=1).T, strict=True))
        values = trees.Losses(system.reading, known, times + share * scale)
        for rate in system.rhs:
            values.of_expression(rate)
        lost = np.where(lost == None, values.lost, lost)  # noqa: E711
    return lost
