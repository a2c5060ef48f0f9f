"""One virtual trial: screening, run-in, randomisation, visits, events and ratings, as a design says.

Every patient is a body from a pool that went through the coupled model (`metabolism.slowing`) with a disease of its
own, drawn afresh in each trial; ALSFRS-R follows from the motor units, exactly.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from metabolism.design import Design
from metabolism.errors import InvalidValue
from metabolism.model import Model
from metabolism.patients import DISEASE, HOURS_PER_MONTH, HOURS_PER_WEEK, Generator, alsfrs_r, body_latents, rate_score
from metabolism.population import observed_columns
from metabolism.slowing import STEP, Bodies, Slowing, bodies, slowing, untreated

Array = NDArray[np.float64]
#: A table as arrays: pandas would cost more than the simulation.
Columns = dict[str, NDArray[Any]]
#: Screening stops after this many candidates without enough eligible ones.
SCREENING_LIMIT = 400_000


@dataclass(frozen=True, eq=False)
class Pool:
    """Bodies and their relative loss under each arm of a design, for one elasticity to homocysteine.

    Attributes
    ----------
    generator : Generator
        Draws the diseases.
    bodies : Bodies
        Those whose coupled runs all succeeded, in `usable`.
    slowings : tuple of Slowing
        One per arm.
    usable : ndarray of int
        Bodies without a failed run.
    """

    generator: Generator
    bodies: Bodies
    slowings: tuple[Slowing, ...]
    usable: NDArray[np.int64]

    @cached_property
    def latents(self) -> Array:
        """Latents of all bodies, shape (bodies, latents)."""
        return body_latents(self.bodies.people)

    @cached_property
    def columns(self) -> Columns:
        """Columns of all bodies as arrays, without the latents."""
        found = {str(c): self.bodies.people[c].to_numpy() for c in self.bodies.people if not str(c).startswith("_")}
        return {k: v if v.dtype.kind in "fib" else v.astype(str) for k, v in found.items()}

    @cached_property
    def riluzole(self) -> NDArray[np.bool_]:
        """Which bodies take riluzole."""
        return self.bodies.people["riluzole"].to_numpy(dtype=bool)

    @property
    def failed(self) -> int:
        """Bodies lost to a failed coupled run."""
        return len(self.bodies.people) - len(self.usable)


def make_pool(
    model: Model, design: Design, beta_hcy: float, *, size: int = 512, seed: int = 1, workers: int = 1,
    progress: Callable[[int], None] | None = None, table: str | None = None, drawn: Bodies | None = None,
    done: dict[tuple[str | None, float, float], Slowing] | None = None,
) -> Pool:  # fmt: skip
    """Run a pool of bodies through the coupled model under every arm of a design.

    Parameters
    ----------
    model : Model
        The patient model, e.g. ``load().with_set("als_patient")``.
    beta_hcy : float
        Elasticity of the loss rate to plasma homocysteine.
    size : int
        Bodies drawn.
    table : str, optional
        Path of a user's means and SDs; see `metabolism.patients.Generator.of`.
    drawn : Bodies, optional
        Bodies to use again, so that two pools differ in nothing but the elasticity.
    done : dict, optional
        Coupled runs by regimen, length [h] and missed doses, to share between designs with the same bodies, elasticity
        and seed; new ones are added.
    """
    crowd = drawn or bodies(model, size, seed, table)
    done = {} if done is None else done
    runs = []
    for arm in design.arms:
        key = (arm.regimen, design.hours, design.missed_doses)
        if key not in done:
            done[key] = untreated(len(crowd.people), design.hours) if arm.regimen is None else slowing(
                model, arm.regimen, beta_hcy, crowd.people, design.hours, missed=design.missed_doses, seed=seed,
                workers=workers, progress=progress,
            )  # fmt: skip
        runs.append(done[key])
    failed = np.any([s.failed for s in runs], axis=0)
    return Pool(Generator.of(model, table), crowd, tuple(runs), np.flatnonzero(~failed))


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
            self, people={k: v[members] for k, v in self.people.items()}, arm=self.arm[members], rated=self.rated[members],
            event_months=self.event_months[members], event=self.event[members], true_score=self.true_score[members],
        )  # fmt: skip

    @property
    def change(self) -> Array:
        """Change of the rating from baseline, shape (patients, visits) [points]."""
        return np.asarray(self.rated - self.people["baseline_rating"][:, None])


def simulate_trial(pool: Pool, design: Design, maximum: float, rng: np.random.Generator) -> Trial:
    """Run one trial.

    Parameters
    ----------
    pool : Pool
    maximum : float
        Maximum of the direct path (Emax) [fraction].
    rng : numpy Generator
        The only source of randomness.

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
    k = people["MN_k"] * np.array([1 - a.loss_reduction for a in design.arms])[arm]
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

    # death or full ventilation: the hazard follows the score, its integral reaches an exponential draw
    curve = score(loss)
    hazard = g["h0"] * np.exp(g["h_slope"] * (48 - curve) / 48)
    total = np.concatenate([np.zeros((n, 1)), np.cumsum((hazard[:, 1:] + hazard[:, :-1]) / 2 * STEP, axis=1)], axis=1)
    death = _first_reach(total, rng.standard_exponential(n))
    left = rng.exponential(1 / design.drop_out, n) * HOURS_PER_MONTH if design.drop_out > 0 else np.full(n, np.inf)
    stop = np.minimum(np.minimum(death, left), end)
    planned = np.array(design.visits) * HOURS_PER_WEEK
    when = planned + design.window_days * 24 * (2 * rng.random((n, len(planned))) - 1)
    true = score(_at(loss, when))
    rated = rate_score(true, g["rater_sd"] * rng.standard_normal(true.shape))
    missing = (when > stop[:, None]) | (rng.random(true.shape) < design.missing_visits)
    event = (death <= left) & (death <= end)
    return Trial(design, people, arm, np.where(missing, np.nan, rated), np.minimum(stop / HOURS_PER_MONTH, months), event,
                 counts, true)  # fmt: skip


def screen(
    pool: Pool, design: Design, count: int, rng: np.random.Generator, factor: float = 1.0
) -> tuple[Columns, dict[str, int]]:
    """Draw candidates, observe them, and keep the first `count` eligible ones.

    Parameters
    ----------
    factor : float
        Trial-wide factor on the loss rates after randomisation and before.

    Returns
    -------
    people : dict of str to ndarray
        Columns of patients, with the index of the body in ``body``.
    counts : dict of str to int
        Candidates left after each filter, in order.
    """
    g = pool.generator
    counts = dict.fromkeys(["candidates", "onset within limit", "above the score floor", "in run-in window", *design.eligibility], 0)  # fmt: skip
    parts: list[dict[str, Any]] = []
    found, batch = 0, int(max(12 * count, 500))
    crowd = pool.columns
    while found < count:
        body = pool.usable[rng.integers(len(pool.usable), size=batch)]
        drawn = g.disease_columns(pool.latents[body], pool.riluzole[body], rng.standard_normal((batch, len(DISEASE))))
        drawn["k_run_in"] *= factor
        drawn["MN_k"] *= factor
        drawn |= observed_columns(g.score_map, drawn, design.observation)
        counts["candidates"] += batch
        keep = np.ones(batch, dtype=bool)
        for name, flag in (("onset within limit", "recent_onset"), ("above the score floor", "above_floor"), ("in run-in window", "in_window")):  # fmt: skip
            keep &= drawn[flag].astype(bool)
            counts[name] += int(keep.sum())
        for column, (low, high) in design.eligibility.items():
            value = drawn[column] if column in drawn else crowd[column][body]
            keep &= (value >= low) & (value <= high)
            counts[column] += int(keep.sum())
        mine = body[keep]
        parts.append({"body": mine} | {k: v[mine] for k, v in crowd.items()} | {k: v[keep] for k, v in drawn.items()})
        found += int(keep.sum())
        if found < count and (counts["candidates"] >= SCREENING_LIMIT or (counts["candidates"] >= 20_000 and found < counts["candidates"] / 2000)):  # fmt: skip
            stages = ", ".join(f"{k} {v}" for k, v in counts.items())
            raise InvalidValue(f"design '{design.id}' finds {found} of {count} patients; candidates left at each filter: {stages}. Widen the filter that loses most.")  # fmt: skip
    return {k: np.concatenate([p[k] for p in parts])[:count] for k in parts[0]}, counts


def randomise(people: Columns, design: Design, rng: np.random.Generator) -> NDArray[np.int64]:
    """Assign arms by permuted blocks within strata; returns the arm index of each patient."""
    block = np.tile(np.repeat(np.arange(len(design.arms)), [a.ratio for a in design.arms]), design.block)
    n = len(people["body"])
    label = np.zeros(n, dtype=np.int64)
    for name in design.strata:
        level = np.unique(people[name], return_inverse=True)[1]
        label = label * (level.max() + 1) + level
    arm = np.empty(n, dtype=np.int64)
    for stratum in np.unique(label):
        members = np.flatnonzero(label == stratum)
        blocks = -(-len(members) // len(block))
        arm[members] = np.concatenate([rng.permutation(block) for _ in range(blocks)])[: len(members)]
    return arm


def _at(curve: Array, when: Array) -> Array:
    """Linear interpolation of rows on the grid of spacing `STEP`, shape (rows, points)."""
    place = np.clip(when / STEP, 0, curve.shape[1] - 1)
    left = np.minimum(place.astype(int), curve.shape[1] - 2)
    share = place - left
    rows = np.arange(len(curve))[:, None]
    return np.asarray(curve[rows, left] * (1 - share) + curve[rows, left + 1] * share)


def _first_reach(total: Array, level: Array) -> Array:
    """Time at which each rising row reaches its level [h]; infinite if it does not."""
    reached = total >= level[:, None]
    index = np.argmax(reached, axis=1)
    rows = np.arange(len(total))
    before, after = total[rows, index - 1], total[rows, index]
    with np.errstate(invalid="ignore", divide="ignore"):
        time = (index - 1 + (level - before) / (after - before)) * STEP
    return np.where(reached.any(axis=1), time, np.inf)
