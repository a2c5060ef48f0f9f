"""Virtual ALS patients, and the run-in that selects them the way a trial does.

First version of the cohort model: loss rates and entry scores drawn from moments of JETALS and E0761
baselines, rounding noise of a rating, and a loss rate that drifts between periods. Distributions are the
``COHORT_*`` rows of the parameter table.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from metabolism.errors import InvalidValue
from metabolism.model import Model
from metabolism.parameters import read_set

if TYPE_CHECKING:
    import pandas as pd

Array = NDArray[np.float64]
HOURS_PER_WEEK = 168.0
HOURS_PER_MONTH = 730.5
#: Parameter columns of a cohort: what differs between patients inside the coupled model.
PATIENT_COLUMNS = (
    "MN_k", "motor_units", "FOLATE_DIET_rate", "CBL_DIET_rate", "CBL_CLf", "IM_LARGE_ka", "MTHFR_K_fad",
)  # fmt: skip


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


def alsfrs_r(motor_units: Array, gamma: float, n50: float) -> Array:
    """ALSFRS-R from motor-unit fraction, as in ``models/motor_neuron.ant`` [points]."""
    return np.asarray(48 * (1 + n50**gamma) / (1 + (n50 / motor_units) ** gamma))


def motor_units(score: Array, gamma: float, n50: float) -> Array:
    """Motor-unit fraction at an ALSFRS-R score: the inverse of `alsfrs_r` [fraction]."""
    return np.asarray(n50 / (48 * (1 + n50**gamma) / score - 1) ** (1 / gamma))


def rate_score(score: Array, noise: Array) -> Array:
    """What a rater writes down: the score with noise [points], rounded and kept in 0-48."""
    return np.clip(np.round(score + noise), 0, 48)


def candidates(model: Model, count: int, rng: np.random.Generator) -> pd.DataFrame:
    """Draw patients at the start of an observation period, before any selection.

    Parameters
    ----------
    model : Model
        Supplies the ``COHORT_*`` distributions and the values that patients vary around.
    count : int
        Number of patients.
    rng : numpy Generator
        The only source of randomness.

    Returns
    -------
    DataFrame
        One row per patient: loss rates of the two periods [1/h], motor units, months since onset, ratings,
        and the model parameters of `PATIENT_COLUMNS`.
    """
    import pandas as pd
    from scipy.stats import truncnorm

    if count < 1:
        raise InvalidValue(f"a cohort of {count} patients is empty; ask for at least 1.")
    table, values = model.table, model.values
    gamma, n50 = values["MN_gamma"], values["MN_n50"]

    def cohort(name: str) -> float:
        return table[f"COHORT_{name}"].value

    k = cohort("k_median") * np.exp(cohort("k_omega") * rng.standard_normal(count))
    mean, sd = cohort("entry_mean"), cohort("entry_sd")
    low, high = (cohort("entry_low") - mean) / sd, (cohort("entry_high") - mean) / sd
    entry = np.asarray(truncnorm.rvs(low, high, loc=mean, scale=sd, size=count, random_state=rng))
    units = motor_units(entry, gamma, n50)
    tau = cohort("k_tau")
    period = np.exp(tau * rng.standard_normal((2, count)) - tau**2 / 2)
    tt = rng.random(count) < cohort("tt_frequency")

    def spread(name: str, omega: str) -> Array:
        return np.asarray(values[name] * np.exp(cohort(omega) * rng.standard_normal(count)))

    return pd.DataFrame(
        {
            "k_run_in": k * period[0],
            "MN_k": k * period[1],
            "entry_score": entry,
            "entry_units": units,
            "onset_months": -np.log(units) / k / HOURS_PER_MONTH,
            "entry_rating": rate_score(entry, cohort("rater_sd") * rng.standard_normal(count)),
            "baseline_noise": cohort("rater_sd") * rng.standard_normal(count),
            "FOLATE_DIET_rate": spread("FOLATE_DIET_rate", "hcy_omega"),
            "CBL_DIET_rate": spread("CBL_DIET_rate", "cbl_omega"),
            "CBL_CLf": spread("CBL_CLf", "CLf_omega"),
            "IM_LARGE_ka": spread("IM_LARGE_ka", "ka_omega"),
            "MTHFR_K_fad": np.where(tt, read_set("mthfr_677tt").values["MTHFR_K_fad"], values["MTHFR_K_fad"]),
        }
    )


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
    result = people.copy()
    hours = run_in.weeks * HOURS_PER_WEEK
    result["motor_units"] = people["entry_units"] * np.exp(-people["k_run_in"] * hours)
    score = alsfrs_r(result["motor_units"].to_numpy(), values["MN_gamma"], values["MN_n50"])
    result["baseline_rating"] = rate_score(score, people["baseline_noise"].to_numpy())
    result["drop"] = result["entry_rating"] - result["baseline_rating"]
    result["recent_onset"] = result["onset_months"] <= run_in.onset_limit
    result["above_floor"] = result["baseline_rating"] >= run_in.floor
    result["in_window"] = result["drop"].between(*run_in.drop)
    result["eligible"] = result["recent_onset"] & result["above_floor"] & result["in_window"]
    return result


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
    counts = {"observed": 0, "onset within limit": 0, "above the score floor": 0, "in run-in window": 0}
    while sum(len(p) for p in parts) < count:
        seen = observe(model, candidates(model, max(4 * count, 1000), rng), run_in)
        near = seen["recent_onset"]
        counts["observed"] += len(seen)
        counts["onset within limit"] += int(near.sum())
        counts["above the score floor"] += int((near & seen["above_floor"]).sum())
        counts["in run-in window"] += int(seen["eligible"].sum())
        parts.append(seen[seen["eligible"]])
        if counts["observed"] >= 1000 and counts["in run-in window"] < counts["observed"] / 1000:
            raise InvalidValue(f"the run-in leaves almost nobody: {counts}; widen the window, floor or onset limit.")
    people = pd.concat(parts, ignore_index=True).iloc[:count].reset_index(drop=True)
    return Cohort(people, counts)
