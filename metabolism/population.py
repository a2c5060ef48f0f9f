"""The observation period of a trial: it selects patients by how much they fall, and counts who stood at each filter."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from metabolism.errors import InvalidValue
from metabolism.model import Model
from metabolism.patients import (
    HOURS_PER_WEEK,
    PATIENT_COLUMNS,
    Array,
    alsfrs_r,
    candidates,
    plausibility,
    rate_score,
)  # fmt: skip

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class RunIn:
    """An observation period that selects patients by how much they fall in it.

    Attributes
    ----------
    weeks : float
        Length of the observation.
    onset_limit : float
        Longest time from onset to the start of observation [months].
    drop : tuple of int
        Smallest and largest accepted fall of ALSFRS-R [points].
    floor : int
        Lowest accepted ALSFRS-R at baseline [points].
    """

    weeks: float
    onset_limit: float
    drop: tuple[int, int]
    floor: int


#: The observation period of JETALS (Oki2022): at most 12 months from onset, a fall of 1-2 points.
JETALS_RUN_IN = RunIn(weeks=12, onset_limit=12, drop=(1, 2), floor=36)


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
        Exponent and half-score fraction of `metabolism.patients.alsfrs_r`.
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
