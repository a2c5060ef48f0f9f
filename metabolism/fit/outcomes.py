"""Survival and vital capacity of a cohort as studies print them, for the fit of prognosis."""

from __future__ import annotations

from typing import Any

import numpy as np

from metabolism.errors import UnknownName
from metabolism.trials import (
    HOURS_PER_MONTH,
    HOURS_PER_WEEK,
    Design,
    Generator,
    mortality,
    vital_capacity,
)
from metabolism.types import Array

#: Months followed for hazard ratios and medians.
FOLLOWED = 72


def outcome(name: str, g: Generator, design: Design, people: dict[str, Any], week: float) -> float:
    """One published number of the selected patients of a cohort; the unit is that of its row.

    Parameters
    ----------
    people : dict
        Selected patients only, with ``life``, a standard exponential each: the hazard at which the patient dies. Keeps
        what several numbers need.
    """
    fvc, rate, units = people["fvc"], people["vc_rate"], people["motor_units"]
    later = units * np.exp(-people["MN_k"] * week * HOURS_PER_WEEK)
    months = week * HOURS_PER_WEEK / HOURS_PER_MONTH
    decline = vital_capacity(fvc, rate, units, later) - fvc
    since = (48 - people["entry_rating"]) / people["onset_months"]
    if name == "fvc_run_in":
        return float((vital_capacity(fvc, rate, people["entry_units"], units) - fvc).mean())
    if name == "fvc_slope":
        return float(decline.mean() / months)
    hours = np.arange(0.0, FOLLOWED + 1) * HOURS_PER_MONTH
    if "total" not in people:
        loss = people["MN_k"][:, None] * hours
        people["total"] = np.cumsum(mortality(people, loss, hours, g.model.values), axis=1)
    total = people["total"]
    if name == "deaths":
        whole = int(months)
        return float(
            1 - np.exp(-total[:, whole - 1] - (months - whole) * (total[:, whole] - total[:, whole - 1])).mean()
        )
    reached = total >= people["life"][:, None]
    time = np.where(reached.any(axis=1), reached.argmax(axis=1) + 0.5, FOLLOWED)
    wait = design.observation.weeks * HOURS_PER_WEEK / HOURS_PER_MONTH
    if name == "median":
        return float(np.median(time))
    if name == "median_onset":
        return float(np.median(time + wait + people["onset_months"]))
    if name == "median_early":
        early = people["onset_months"] <= np.quantile(people["onset_months"], design.early_share or 1.0)
        return float(np.median(time[early]))
    factors = {"bulbar": people["onset"] == "bulbar", "fvc": -fvc / 10, "slope": since}
    if not name.startswith("log_hr_") or name[7:] not in factors:
        raise UnknownName("quantity of a cohort", name, ["log_hr_bulbar", "deaths", "fvc_slope", "median"])
    covariates = np.column_stack([np.asarray(v, dtype=float) for v in factors.values()])
    if "coefficients" not in people:
        people["coefficients"] = cox_coefficients(time, reached.any(axis=1), covariates)
    return float(people["coefficients"][list(factors).index(name[7:])])


def cox_coefficients(time: Array, event: Array, covariates: Array, steps: int = 12) -> Array:
    """Coefficients of a proportional-hazards regression, ties by Breslow, shape (covariates,).

    Examples
    --------
    >>> rng = np.random.default_rng(1)
    >>> x = rng.standard_normal((4000, 1))
    >>> time = rng.exponential(np.exp(-0.5 * x[:, 0]))
    >>> bool(abs(cox_coefficients(time, np.ones(4000, dtype=bool), x)[0] - 0.5) < 0.05)
    True
    """
    order = np.argsort(-time, kind="stable")
    t, d, x = time[order], event[order].astype(float), (covariates - covariates.mean(axis=0))[order]
    last = np.searchsorted(-t, -t, side="right") - 1
    beta = np.zeros(x.shape[1])
    for _ in range(steps):
        w = np.exp(x @ beta)
        s0, s1 = np.cumsum(w)[last], np.cumsum(w[:, None] * x, axis=0)[last]
        s2 = np.cumsum(w[:, None, None] * x[:, :, None] * x[:, None, :], axis=0)[last]
        mean = s1 / s0[:, None]
        information = (d[:, None, None] * (s2 / s0[:, None, None] - mean[:, :, None] * mean[:, None, :])).sum(axis=0)
        move = np.linalg.solve(information, (d[:, None] * (x - mean)).sum(axis=0))
        beta = beta + np.clip(move, -1, 1)
        if np.abs(move).max() < 1e-6:
            break
    return beta
