"""One virtual trial: screening, run-in, randomisation, visits, events and ratings, as a design says.

Every patient is a body from a pool that went through the coupled model (`metabolism.trials.pool`) with a disease of its
own, drawn afresh in each trial; ALSFRS-R follows from the motor units, exactly.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from metabolism.trials.design import Design
from metabolism.trials.disease import HOURS_PER_MONTH, HOURS_PER_WEEK, alsfrs_r, hazards, mortality, rate_score
from metabolism.trials.pool import STEP, Columns, Pool
from metabolism.trials.screening import randomise, screen
from metabolism.types import Array


@dataclass(frozen=True, eq=False)
class Trial:
    """What one trial observed.

    Attributes
    ----------
    people : dict of str to ndarray
        Randomised patients with their baseline, one array per column.
    arm : ndarray of int, shape (patients,)
    rated : ndarray, shape (patients, visits)
        ALSFRS-R as rated [points]; NaN where missing.
    event_months : ndarray, shape (patients,)
        Time to death, full ventilation or end of observation [months].
    event : ndarray of bool, shape (patients,)
        Whether that time is an event, not a censoring.
    counts : dict of str to int
        Candidates left at each filter.
    true_score : ndarray, shape (patients, visits)
        ALSFRS-R without rating noise, dead or alive [points].
    """

    design: Design
    people: Columns
    arm: NDArray[np.int64]
    rated: Array
    event_months: Array
    event: NDArray[np.bool_]
    counts: dict[str, int]
    true_score: Array

    def part(self, members: NDArray[np.bool_]) -> Trial:
        """Return the patients flagged by a boolean array, as a trial of their own."""
        return replace(
            self,
            people={k: v[members] for k, v in self.people.items()},
            arm=self.arm[members],
            rated=self.rated[members],
            event_months=self.event_months[members],
            event=self.event[members],
            true_score=self.true_score[members],
        )

    @property
    def change(self) -> Array:
        """Change of the rating from baseline, shape (patients, visits) [points]."""
        return np.asarray(self.rated - self.people["baseline_rating"][:, None])


def simulate_trial(
    pool: Pool, design: Design, maximum: float, rng: np.random.Generator, reduction: float | None = None
) -> Trial:
    """Run one trial.

    Parameters
    ----------
    pool : Pool
    maximum : float
        Maximum of the direct path (Emax) [fraction].
    rng : numpy Generator
        The only source of randomness.
    reduction : float, optional
        Reduction of the loss rate in every comparator arm, in place of what the design says [fraction].

    Raises
    ------
    InvalidValue
        If almost nobody is eligible, with the number of candidates at each filter.
    """
    g = pool.generator
    factor = float(np.exp(g["k_omega_trial"] * rng.standard_normal())) if design.trial_effect else 1.0
    people, counts = screen(pool, design, design.patients, rng, factor)
    arm = randomise(people, design, rng)
    n = len(arm)
    end, months = design.hours, design.hours / HOURS_PER_MONTH
    slowed = [a.loss_reduction if reduction is None or not a.loss_reduction else reduction for a in design.arms]
    k = people["MN_k"] * (1 - np.array(slowed))[arm]
    k = k * np.where(rng.random(n) < design.edaravone, 1 - g["edaravone_effect"], 1.0)
    body = people["body"]
    loss = np.empty((n, pool.slowings[0].homocysteine.shape[1]))
    for i, treated in enumerate(pool.slowings):
        mine = arm == i
        loss[mine] = treated.loss(maximum)[body[mine]]
    units = people["motor_units"]

    def score(relative: Array) -> Array:
        remaining = units[:, None] * np.exp(-k[:, None] * relative)
        return alsfrs_r(remaining, *g.score_map)

    # death or full ventilation: the hazard follows score and vital capacity, its integral reaches an exponential draw
    curve = score(loss)
    grid = np.arange(curve.shape[1]) * STEP
    risk = mortality(people, k[:, None] * loss, grid, g.model.values)
    death = _first_reach(risk, rng.standard_exponential(n))
    left = np.full(n, np.inf)
    if design.drop_out > 0 and design.drop_out_slope == 0:
        left = rng.exponential(1 / design.drop_out, n) * HOURS_PER_MONTH
    elif design.drop_out > 0:
        # `hazards` counts from a full score: shift to the rate at the score of randomisation
        start = design.drop_out / HOURS_PER_MONTH * np.exp(design.drop_out_slope * (curve[:, :1] - 48) / 10)
        left = _first_reach(start * hazards(curve, grid, 1.0, 4.8 * design.drop_out_slope), rng.standard_exponential(n))
    stop = np.minimum(np.minimum(death, left), end)
    planned = np.array(design.visits) * HOURS_PER_WEEK
    when = planned + design.window_days * 24 * (2 * rng.random((n, len(planned))) - 1)
    true = score(_at(loss, when))
    rated = rate_score(true, people["rater_habit"][:, None] + g["rater_sd"] * rng.standard_normal(true.shape))
    missing = (when > stop[:, None]) | (rng.random(true.shape) < design.missing_visits)
    event = (death <= left) & (death <= end)
    return Trial(
        design,
        people,
        arm,
        np.where(missing, np.nan, rated),
        np.minimum(stop / HOURS_PER_MONTH, months),
        event,
        counts,
        true,
    )


def _at(curve: Array, when: Array) -> Array:
    """Linear interpolation of rows on the grid of spacing `STEP`, shape (rows, points)."""
    place = np.clip(when / STEP, 0, curve.shape[1] - 1)
    left = np.minimum(place.astype(int), curve.shape[1] - 2)
    share = place - left
    rows = np.arange(len(curve))[:, None]
    return np.asarray(curve[rows, left] * (1 - share) + curve[rows, left + 1] * share)


def _first_reach(steps: Array, level: Array) -> Array:
    """Time at which the sum of steps `STEP` apart reaches a level, by row [h]; infinite if it does not."""
    total = np.concatenate([np.zeros((len(steps), 1)), np.cumsum(steps, axis=1)], axis=1)
    reached = total >= level[:, None]
    index = np.argmax(reached, axis=1)
    rows = np.arange(len(total))
    before, after = total[rows, index - 1], total[rows, index]
    with np.errstate(invalid="ignore", divide="ignore"):
        time = (index - 1 + (level - before) / (after - before)) * STEP
    return np.where(reached.any(axis=1), time, np.inf)
