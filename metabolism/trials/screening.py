"""The observation period of a trial: it selects patients by how much they fall, and counts who stood at each filter."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from metabolism.errors import InvalidValue
from metabolism.model import Model
from metabolism.trials.design import Design
from metabolism.trials.disease import HOURS_PER_WEEK, alsfrs_r, rate_score
from metabolism.trials.limits import inside
from metabolism.trials.patients import DISEASE, PATIENT_COLUMNS, candidates, plausibility
from metabolism.trials.pool import Columns, Pool
from metabolism.trials.prognosis import at_screening
from metabolism.trials.sections import RunIn
from metabolism.types import Array, in_brief

if TYPE_CHECKING:
    import pandas as pd


def observe(model: Model, people: pd.DataFrame, run_in: RunIn) -> pd.DataFrame:
    """Run the untreated observation period and mark who passes each criterion.

    Without treatment the loss rate is constant, so motor units fall exponentially and no integration is
    needed; a test compares this with the engine.

    Returns
    -------
    DataFrame
        The patients with baseline columns (``motor_units``, ``baseline_rating``, ``drop``) and the flags
        ``recent_onset``, ``above_floor``, ``in_window``, ``eligible``.
    """
    values = model.values
    score_map = values["MN_gamma"], values["MN_n50"]
    return people.assign(**observed_columns(score_map, {str(c): people[c].to_numpy() for c in people}, run_in))


def observed_columns(score_map: tuple[float, float], people: Mapping[str, Any], run_in: RunIn) -> dict[str, Any]:
    """Baseline columns and flags from the columns of candidates; see `observe`.

    Parameters
    ----------
    score_map : tuple of float
        Exponent and half-score fraction of `metabolism.trials.patients.alsfrs_r`.
    """
    units = people["entry_units"] * np.exp(-people["k_run_in"] * run_in.weeks * HOURS_PER_WEEK)
    # without an observation period the rating at entry is the baseline
    rating = rate_score(alsfrs_r(units, *score_map), people["baseline_noise"])
    rating = rating if run_in.weeks else people["entry_rating"]
    drop = people["entry_rating"] - rating
    flags = {
        "recent_onset": people["onset_months"] <= run_in.onset_limit,
        "above_floor": rating >= run_in.floor,
        "in_window": (drop >= run_in.drop[0]) & (drop <= run_in.drop[1]),
    }
    eligible = flags["recent_onset"] & flags["above_floor"] & flags["in_window"]
    return {"motor_units": units, "baseline_rating": rating, "drop": drop, **flags, "eligible": eligible}


@dataclass(frozen=True, eq=False)
class Cohort:
    """Selected patients and how many stood at each filter."""

    people: pd.DataFrame
    counts: dict[str, int]

    def __repr__(self) -> str:
        return in_brief(
            self, f"{len(self.people)} patients in .people", ", ".join(f"{k} {n}" for k, n in self.counts.items())
        )

    @property
    def pass_rate(self) -> float:
        """Share of otherwise eligible patients whose fall was inside the run-in window."""
        return self.counts["in run-in window"] / self.counts["above the score floor"]

    @property
    def columns(self) -> dict[str, Array]:
        """The parameter columns that enter the coupled model."""
        return {name: self.people[name].to_numpy() for name in PATIENT_COLUMNS}


def select(model: Model, count: int, run_in: RunIn, seed: int) -> Cohort:
    """Draw candidates until `count` patients pass the run-in.

    Raises
    ------
    InvalidValue
        If fewer than one in a thousand candidates passes: the criteria exclude nearly everyone.
    """
    import pandas as pd

    inside("patients of a cohort", count, "whole [1, 1000000]")
    rng = np.random.default_rng(seed)
    parts: list[pd.DataFrame] = []
    counts = {"plausible": 0, "onset within limit": 0, "above the score floor": 0, "in run-in window": 0}
    while sum(len(p) for p in parts) < count:
        drawn = candidates(model, max(4 * count, 1024), rng)
        seen = observe(model, drawn[plausibility(drawn).keep], run_in)
        near = seen["recent_onset"]
        counts["plausible"] += len(seen)
        counts["onset within limit"] += int(near.sum())
        counts["above the score floor"] += int((near & seen["above_floor"]).sum())
        counts["in run-in window"] += int(seen["eligible"].sum())
        parts.append(seen[seen["eligible"]])
        if counts["plausible"] >= 1000 and counts["in run-in window"] < counts["plausible"] / 1000:
            raise InvalidValue(f"the run-in leaves almost nobody: {counts}; widen the window, floor or onset limit.")
    people = pd.concat(parts, ignore_index=True).iloc[:count].reset_index(drop=True)
    return Cohort(people, counts)


#: Screening stops after this many candidates, or 200 a patient, without enough eligible ones.
SCREENING_LIMIT = 400_000


def screen(
    pool: Pool, design: Design, count: int, rng: np.random.Generator, factor: float = 1.0
) -> tuple[Columns, dict[str, int]]:
    """Draw candidates, observe them, and keep the first `count` eligible ones.

    Parameters
    ----------
    factor : float
        Trial-wide factor on the loss rates after randomisation.

    Returns
    -------
    people : dict of str to ndarray
        Columns of patients, with the index of the body in ``body``.
    counts : dict of str to int
        Candidates left after each filter, in order.
    """
    g = pool.generator.entering(design.entry)
    counts = dict.fromkeys(
        ["candidates", "onset within limit", "above the score floor", "in run-in window", *design.eligibility], 0
    )
    parts: list[dict[str, Any]] = []
    taken, batch = 0, int(max(12 * count, 500))
    crowd = pool.columns
    while taken < count:
        body = pool.usable[rng.integers(len(pool.usable), size=batch)]
        drawn = g.disease_columns(pool.latents[body], pool.riluzole[body], rng.standard_normal((batch, len(DISEASE))))
        drawn["MN_k"] *= factor
        drawn |= observed_columns(g.score_map, drawn, design.observation)
        drawn |= at_screening(design.asked_risk, design.marker, drawn, crowd, body, g.values, rng)
        keep = np.ones(batch, dtype=bool)
        left = {"candidates": keep.copy()}
        for name, flag in (
            ("onset within limit", "recent_onset"),
            ("above the score floor", "above_floor"),
            ("in run-in window", "in_window"),
        ):
            keep &= drawn[flag].astype(bool)
            left[name] = keep.copy()
        for column, (low, high) in design.eligibility.items():
            value = drawn[column] if column in drawn else crowd[column][body]
            keep &= (value >= low) & (value <= high)
            left[column] = keep.copy()
        # those who would come after the last one needed are not screened
        needed = np.flatnonzero(keep)[: count - taken]
        seen = needed[-1] + 1 if len(needed) == count - taken else batch
        for name, flags in left.items():
            counts[name] += int(flags[:seen].sum())
        mine = body[keep]
        parts.append({"body": mine} | {k: v[mine] for k, v in crowd.items()} | {k: v[keep] for k, v in drawn.items()})
        taken += int(keep.sum())
        if taken < count and (
            counts["candidates"] >= max(SCREENING_LIMIT, 200 * count)
            or (counts["candidates"] >= 20_000 and taken < counts["candidates"] / 2000)
        ):
            stages = ", ".join(f"{k} {v}" for k, v in counts.items())
            raise InvalidValue(
                f"design '{design.id}' finds {taken} of {count} patients; candidates left at each filter: {stages}. "
                "Widen the filter that loses most."
            )
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
