"""One virtual trial: screening, run-in, randomisation, visits, events and ratings, as a design says.

Every patient is a body from a pool that went through the coupled model (`metabolism.trials.pool`) with a disease of its
own, drawn afresh in each trial; ALSFRS-R follows from the motor units, exactly.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from metabolism.errors import InvalidValue
from metabolism.trials.design import Design
from metabolism.trials.disease import HOURS_PER_MONTH, HOURS_PER_WEEK, alsfrs_r, hazards, mortality, rate_score
from metabolism.trials.limits import inside
from metabolism.trials.pool import STEP, Columns, Pool
from metabolism.trials.screening import randomise, screen
from metabolism.types import Array, in_brief


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
    entry_months : ndarray, shape (patients,), optional
        When each was randomised, counted from the first day of accrual [months].
    ln_nfl : ndarray, shape (patients, visits), optional
        Logarithm of measured neurofilament light [ln pg/mL]; NaN where missing.
    """

    design: Design
    people: Columns
    arm: NDArray[np.int64]
    rated: Array
    event_months: Array
    event: NDArray[np.bool_]
    counts: dict[str, int]
    true_score: Array
    entry_months: Array | None = None
    ln_nfl: Array | None = None

    def __repr__(self) -> str:
        missing = float(np.isnan(self.rated).mean())
        return in_brief(
            self,
            f"{len(self.arm)} patients in {len(np.unique(self.arm))} arms, {self.rated.shape[1]} visits",
            f"{100 * missing:.1f} % of ratings missing",
            f"{int(self.event.sum())} events",
        )

    def __post_init__(self) -> None:
        """Refuse data that no analysis could answer for.

        Raises
        ------
        InvalidValue
        """
        n, visits = len(self.arm), len(self.design.visits)
        shapes = {"rated": (n, visits), "event_months": (n,), "event": (n,)}
        shapes |= {} if self.ln_nfl is None else {"ln_nfl": (n, visits)}
        for name, shape in shapes.items():
            value = np.asarray(getattr(self, name))
            if value.shape != shape:
                raise InvalidValue(f"{name} of {value.shape} must have the shape {shape} of patients and visits.")
            if np.isinf(value).any() or (np.isnan(value).any() and name.startswith("event")):
                raise InvalidValue(f"{name} is not finite for some patient; NaN may stand for a missing visit only.")
        if not np.isin(self.arm, np.arange(-1, len(self.design.arms))).all():
            raise InvalidValue(f"a patient is in none of the {len(self.design.arms)} arms, which count from 0.")
        if not np.isfinite(self.people["baseline_rating"]).all() or (self.event_months < 0).any():
            raise InvalidValue("a patient has no finite baseline rating or a follow-up below 0 months.")

    def part(self, members: NDArray[np.bool_]) -> Trial:
        """Return the patients flagged by a boolean array, as a trial of their own."""
        names = [f.name for f in fields(self) if f.name not in ("design", "people", "counts")]
        rows: dict[str, Any] = {n: None if (v := getattr(self, n)) is None else v[members] for n in names}
        return replace(self, people={k: v[members] for k, v in self.people.items()}, **rows)

    @property
    def change(self) -> Array:
        """Change of the rating from baseline, shape (patients, visits) [points]."""
        return np.asarray(self.rated - self.people["baseline_rating"][:, None])


def simulate_trial(
    pool: Pool, design: Design, maximum: float | Array, rng: np.random.Generator, reduction: float | Array | None = None
) -> Trial:
    """Run one trial in which every arm is open throughout and everybody is followed to the end.

    Parameters
    ----------
    pool : Pool
    maximum : float or ndarray, shape (arms,)
        Maximum of the direct path (Emax) [fraction], the same in every arm or one for each.
    rng : numpy Generator
        The only source of randomness.
    reduction : float or ndarray, shape (arms,), optional
        Reduction of the loss rate in every comparator arm, in place of what the design says [fraction].

    Raises
    ------
    InvalidValue
        If almost nobody is eligible, with the number of candidates at each filter.
    """
    people, counts, entry = enrol(pool, design.changed(enrichment=None), rng)
    trial = follow(pool, design, people, counts, randomise(people, design, rng), maximum, rng, reduction, entry)
    return withdrawn(trial) if design.withdrawal else trial


def enrol(pool: Pool, design: Design, rng: np.random.Generator) -> tuple[Columns, dict[str, int], Array | None]:
    """Screen patients; with accrual, let them arrive and give each a centre.

    Returns
    -------
    people, counts
        Of `metabolism.trials.screening.screen`.
    entry : ndarray, shape (patients,), or None
        Rising times of randomisation [months].
    """
    g, flow = pool.generator, design.accrual
    factor = float(np.exp(g["k_omega_trial"] * rng.standard_normal())) if design.trial_effect else 1.0
    # arms with numbers of their own leave blocks unfinished
    capped = any(a.patients for a in design.arms)
    # a trial that narrows itself passes over patients who arrive
    spare = 3 * design.patients if design.enrichment else 0
    spare += len(design.arms) * design.block * sum(a.ratio for a in design.arms) if capped else 0
    people, counts = screen(pool, design, design.patients + spare, rng, factor)
    if flow is None:
        return people, counts, None
    n = len(people["body"])
    # a Poisson process: its expected count reaches sums of exponential draws; the ramp has half the full rate
    full = np.cumsum(rng.standard_exponential(n)) / flow.per_month
    ramp = flow.ramp_months
    entry = np.where(full < ramp / 2, np.sqrt(2 * ramp * full), full + ramp / 2)
    if flow.centres:
        size = rng.standard_exponential(flow.centres)
        people["centre"] = rng.choice(flow.centres, size=n, p=size / size.sum())
        people["MN_k"] = people["MN_k"] * np.exp(flow.centre_sd * rng.standard_normal(flow.centres))[people["centre"]]
    return people, counts, entry


def follow(
    pool: Pool,
    design: Design,
    people: Columns,
    counts: dict[str, int],
    arm: NDArray[np.int64],
    maximum: float | Array,
    rng: np.random.Generator,
    reduction: float | Array | None = None,
    entry: Array | None = None,
) -> Trial:
    """Follow patients in their arms; chance is drawn alike whatever the arms. See `simulate_trial` and `enrol`."""
    arms = len(design.arms)
    maxima = np.broadcast_to(np.asarray(maximum, dtype=float), arms)
    for one in maxima:
        inside("maximum", one, "[-100, 100]")
    for one in () if reduction is None else np.broadcast_to(reduction, arms):
        inside("reduction", one, "[0, 1)")
    g = pool.generator
    n = len(arm)
    end, months = design.hours, design.hours / HOURS_PER_MONTH
    stated = np.array([a.loss_reduction for a in design.arms])
    slowed = stated if reduction is None else np.where(stated > 0, reduction, 0.0)
    k = people["MN_k"] * np.where(rng.random(n) < design.edaravone, 1 - g["edaravone_effect"], 1.0)
    body = people["body"]
    loss = np.empty((n, pool.slowings[0].homocysteine.shape[1]))
    grid = np.arange(loss.shape[1]) * STEP
    for i, (treated, one) in enumerate(zip(pool.slowings, design.arms, strict=True)):
        mine = arm == i
        relative = treated.loss(float(maxima[i]))
        if slowed[i]:
            until = grid[-1] if one.until_week is None else one.until_week * HOURS_PER_WEEK
            treated_at = np.clip(grid, one.from_week * HOURS_PER_WEEK, until)[None, :]
            during = _at(relative, treated_at)
            relative = relative - slowed[i] * (during - during[:, :1])
        loss[mine] = relative[body[mine]]
    units = people["motor_units"]

    def score(relative: Array) -> Array:
        remaining = units[:, None] * np.exp(-k[:, None] * relative)
        return alsfrs_r(remaining, *g.score_map)

    # death or full ventilation: the hazard follows score and vital capacity, its integral reaches an exponential draw
    curve = score(loss)
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
    ln_nfl = None
    if design.marker is not None:
        lag = design.marker.lag_weeks * HOURS_PER_WEEK
        before = np.where(when < lag, when - lag, _at(loss, when - lag))
        measured = design.marker.course(people["ln_nfl_mean"], (_at(loss, when) - before) / lag, rng)
        ln_nfl = np.where(missing, np.nan, measured)
    return Trial(
        design,
        people,
        arm,
        np.where(missing, np.nan, rated),
        np.minimum(stop / HOURS_PER_MONTH, months),
        event,
        counts,
        true,
        entry,
        ln_nfl,
    )


def withdrawn(trial: Trial) -> Trial:
    """Return a trial from its withdrawal on: those still in it and within the window, from the rating of that visit."""
    design = trial.design
    assert design.withdrawal is not None
    week, (low, high) = design.withdrawal.week, design.withdrawal.drop
    place = design.visits.index(week)
    fall = -trial.change[:, place]
    stays = trial.part((fall >= low) & (fall <= high))
    months, first, nfl = week * HOURS_PER_WEEK / HOURS_PER_MONTH, place + 1, stays.ln_nfl
    start = {"baseline_rating": stays.rated[:, place]} | ({} if nfl is None else {"ln_nfl": nfl[:, place]})
    return replace(
        stays,
        design=design.after(tuple(w - week for w in design.visits[first:])),
        people={**stays.people, **start},
        rated=stays.rated[:, first:],
        true_score=stays.true_score[:, first:],
        ln_nfl=None if nfl is None else nfl[:, first:],
        event_months=np.maximum(stays.event_months - months, 0.0),
        entry_months=None if stays.entry_months is None else stays.entry_months + months,
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
