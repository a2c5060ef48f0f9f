"""Published numbers of placebo arms, predicted for candidate values of the disease of virtual patients.

Patients are drawn once and kept (common random numbers); for each candidate they get their disease anew, pass the
observation period of each design, and are rated as in the virtual trial, by the same code.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from metabolism.data import models_dir, read_data, sources
from metabolism.errors import InvalidValue
from metabolism.fit.definition import HEAD, Rules, names, read_entries, whole
from metabolism.fit.outcomes import outcome
from metabolism.model import Model
from metabolism.trials import (
    BODY,
    DISEASE,
    HOURS_PER_MONTH,
    HOURS_PER_WEEK,
    Design,
    Generator,
    alsfrs_r,
    mortality,
    normals,
    observed_columns,
    rate_score,
    read_design,
)
from metabolism.types import Array

#: Step of finite differences on the log scale: selection makes moments of a finite cohort slightly rough.
STEP = 0.04


#: Months over which the loss of motor units was read.
MUNIX_MONTHS = 15


#: Slowing of the active arm where a published SD is that of both, the effect of the scenario 'pooled'.
POOLED = 0.27


#: SD of the scores in the study of reliability [points].
RELIABILITY_SD = 5.6


@dataclass(frozen=True)
class Arms:
    """What to fit: ``models/fits/<id>/arms.toml``.

    Attributes
    ----------
    data : str
        Rows of published numbers, a name for `metabolism.data.read_data`.
    between_trials : str
        Parameter that is the SD of ln loss rate between trials, fitted too; empty: it keeps its present value.
    """

    id: str
    title: str
    data: str
    candidates: int
    seed: int
    between_trials: str
    parameters: tuple[str, ...]


def arms_fits() -> list[str]:
    """Ids of the fits of placebo arms that are shipped."""
    return sorted(path.parent.name for path in (models_dir() / "fits").glob("*/arms.toml"))


def read_arms(which: str | Path) -> Arms:
    """Read the definition of a fit of placebo arms: the id of a shipped one, or a file.

    Raises
    ------
    ModelError, UsageError
        If there is no such definition, or an entry is missing, unknown, of the wrong kind or out of its range.
    """
    entries = read_entries(which, "arms.toml", _ENTRIES)
    return Arms(**entries | {"parameters": tuple(entries["parameters"])})


_ENTRIES: Rules = {
    **HEAD,
    "data": (
        lambda v: isinstance(v, str) and v in sources(),
        "write a table such as disease/placebo_arms",
    ),
    "candidates": whole(2, 2**20),
    "seed": whole(0, 2**32 - 1),
    "between_trials": (lambda v: isinstance(v, str), "write the id of a parameter, or ''"),
    "parameters": names("ids of models/parameters.csv"),
}


class ArmsObjective:
    """Predictions of published numbers of placebo arms for candidate values.

    Attributes
    ----------
    rows : DataFrame
        Targets and checks.
    centre, sd, low, high : ndarray, shape (parameters,)
        Log-normal priors and bounds, on the log scale.
    """

    def __init__(self, model: Model, definition: Arms) -> None:
        from scipy.special import ndtr

        self.model, self.definition, self.names = model, definition, definition.parameters
        table = [model.table[name] for name in self.names]
        for row in table:
            if row.prior != "log-normal":
                raise InvalidValue(f"'{row.id}' cannot be fitted: it needs a log-normal prior.")
        self.centre, self.sd = np.array([[float(v) for v in r.prior_parameters.split(";")] for r in table]).T
        self.low, self.high = (np.log([getattr(r, side) for r in table]) for side in ("lower", "upper"))
        self.rows = read_data(definition.data)
        if "use" not in self.rows:
            raise InvalidValue(f"'{definition.data}' holds no placebo arms; take one like disease/placebo_arms.")
        self.fitted = (self.rows["use"] == "fit").to_numpy()
        self.trials = self.rows["trial"].to_numpy()
        self.generator = Generator.of(model)
        latent = normals(definition.candidates, len(BODY) + len(DISEASE) + 2, definition.seed)
        self.people = self.generator.bodies(latent[:, : len(BODY)])
        self.body, self.fresh, self.end = latent[:, : len(BODY)], latent[:, len(BODY) : -2], latent[:, -2]
        self.own = {name: self.people[name].to_numpy() for name in ("fvc", "onset")}
        self.own["life"] = -np.log(ndtr(latent[:, -1]))
        self.parts = [
            (str(trial), self._design(str(name), float(str(floor))), float(str(week)), part.index.to_numpy())
            for (trial, name, floor, week), part in self.rows.groupby(
                ["trial", "design", "floor", "week"], dropna=False
            )
        ]

    @staticmethod
    def _design(name: str, floor: float) -> Design:
        design = read_design(name)
        if np.isnan(floor):
            return design
        return design.changed(observation=replace(design.observation, floor=int(floor)))

    def generator_at(self, x: Array) -> Generator:
        """Distributions of patients at a candidate."""
        given = dict(zip(self.names, np.exp(x).tolist(), strict=True))
        cohort = {k.removeprefix("COHORT_").removeprefix("MN_"): v for k, v in given.items()}
        model = self.model.with_values(**{k: v for k, v in given.items() if not k.startswith("COHORT_")})
        return Generator(model, {**self.generator.values, **cohort})

    def predict(self, x: Array, effects: Mapping[str, float], shift: float = 0.0) -> Array:
        """Predicted numbers, shape (rows,).

        Parameters
        ----------
        effects : mapping of str to float
            Logarithm of a factor on every loss rate after randomisation; 0 for a trial that is not named.
        shift : float
            Added to every effect.
        """
        g, found = self.generator_at(x), np.empty(len(self.rows))
        riluzole = self.people["riluzole"].to_numpy()
        for trial, design, week, places in self.parts:
            own, factor = g.entering(design.entry), np.exp(effects.get(trial, 0.0) + shift)
            people: dict[str, Any] = {**self.own, **own.disease_columns(self.body, riluzole, self.fresh)}
            people["MN_k"] = people["MN_k"] * factor
            people |= observed_columns(own.score_map, people, design.observation)
            keep = people["eligible"].copy()
            for column, (low, high) in design.eligibility.items():
                value = people[column] if column in people else self.people[column].to_numpy()
                keep &= (value >= low) & (value <= high)
            kept = {name: column[keep] for name, column in people.items()}
            for i in places:
                name = str(self.rows["quantity"][i])
                found[i] = _quantity(name, own, design, people, kept, self.end[keep], float(week))
        return found

    def linear(self, x: Array, effects: Mapping[str, float]) -> Linear:
        """Predictions about a candidate and about the effects of trials, with their derivatives."""
        value = self.predict(x, effects)
        steps = STEP * np.eye(len(x))
        jacobian = np.array([(self.predict(x + s, effects) - self.predict(x - s, effects)) / (2 * STEP) for s in steps])
        by_trial = (self.predict(x, effects, STEP) - self.predict(x, effects, -STEP)) / (2 * STEP)
        at = np.array([effects.get(t, 0.0) for t in self.trials])
        return Linear(x, value - by_trial * at, jacobian.T, by_trial)


@dataclass(frozen=True, eq=False)
class Linear:
    """Predictions, ``value + jacobian (x - x0) + by_trial b`` of every row."""

    x: Array
    value: Array
    jacobian: Array
    by_trial: Array


def _quantity(
    name: str, g: Generator, design: Design, crowd: Mapping[str, Any], people: dict[str, Any], end: Array, week: float
) -> float:
    """One published number of all candidates (`crowd`) and those selected; the unit is that of its row."""
    values = g.model.values
    if name == "half_ratio":
        return float(np.log(0.5) / np.log(values["MN_n50"]))
    if name == "icc":
        return float(1 - (g["rater_sd"] / RELIABILITY_SD) ** 2)
    if name == "munix":
        kept = np.exp(-people["MN_k"] * MUNIX_MONTHS * HOURS_PER_MONTH)
        return float(-100 * (1 - kept).mean() / MUNIX_MONTHS)
    if name == "pass_rate":
        near = crowd["recent_onset"] & crowd["above_floor"]
        return float(crowd["in_window"][near].mean())
    if name.startswith("drop_") and name[5:].isdigit():
        return float((people["drop"] == int(name[5:])).mean())
    months = HOURS_PER_MONTH
    columns = {
        "baseline": people["baseline_rating"],
        "entry": people["entry_rating"],
        "onset": people["onset_months"],
        "onset_baseline": people["onset_months"] + design.observation.weeks * HOURS_PER_WEEK / months,
    }
    what, _, statistic = name.rpartition("_")
    if what in columns:
        return float(columns[what].mean() if statistic == "mean" else columns[what].std(ddof=1))
    units, k = people["motor_units"], people["MN_k"]

    def score(weeks: float, reduction: float = 0.0) -> Array:
        return alsfrs_r(units * np.exp(-k * (1 - reduction) * weeks * HOURS_PER_WEEK), *g.score_map)

    if name == "slope":
        time = np.array([0.0, *design.visits]) * HOURS_PER_WEEK / months
        weight = (time - time.mean()) / ((time - time.mean()) ** 2).sum()
        return float(sum(w * score(t).mean() for w, t in zip(weight, (0.0, *design.visits), strict=True)))
    slowed = max(a.loss_reduction for a in design.arms) if name.startswith("active") else 0.0
    change = rate_score(score(week, slowed), people["rater_habit"] + g["rater_sd"] * end)
    change = change - people["baseline_rating"]
    if name == "residual_sd":
        # as a mixed model sees it: both arms, given baseline and stratum
        slower = (
            rate_score(score(week, POOLED), people["rater_habit"] + g["rater_sd"] * end) - people["baseline_rating"]
        )
        given = np.column_stack([np.ones(len(k)), people["baseline_rating"], people["drop"]])
        left = [c - given @ np.linalg.lstsq(given, c, rcond=None)[0] for c in (change, slower)]
        return float(np.sqrt((left[0].var() + left[1].var()) / 2))
    if name.endswith("_sd"):
        return float(change.std(ddof=1))
    if name == "drop_correlation":
        return float(np.corrcoef(people["drop"], change)[0, 1])
    if name == "mean_slope":
        return float(change.mean() / (week * HOURS_PER_WEEK / months))
    if name in ("change", "active_change"):
        return float(change.mean())
    if name == "change_seen":
        # of those who are neither dead nor on full ventilation; what leaves the trial is not the average patient
        hours = np.linspace(0.0, week * HOURS_PER_WEEK, 9)
        alive = np.exp(-mortality(people, k[:, None] * hours, hours, values).sum(axis=1))
        return float(alive @ change / alive.sum())
    return outcome(name, g, design, people, week)
