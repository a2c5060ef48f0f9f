"""What several analyses share: covariates, the linear model of one value per patient, estimates, many dead."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from metabolism.errors import FitFailed, InvalidValue
from metabolism.trials.mmrm import Estimate, Fit, fit
from metabolism.types import Array

if TYPE_CHECKING:
    from metabolism.trials.trial import Trial


#: Largest share of deaths at which scores after death are modelled without the design saying that it wants that.
DEAD_LIMIT = 0.1


def contrasts(trial: Trial) -> Iterator[tuple[str, int]]:
    """Yield ``<arm> - <control>`` and the index of each active arm.

    Raises
    ------
    FitFailed
        If nobody is in one of them.
    """
    arms, control = trial.design.arms, trial.design.control
    for i, arm in enumerate(arms):
        if not (trial.arm == i).any():
            raise FitFailed(f"nobody is in arm '{arm.name}'; there is nothing to compare.")
        if i != control:
            yield f"{arm.name} - {arms[control].name}", i


def wald(value: float, se: float, df: float = np.inf, p: float | None = None) -> Estimate:
    """Estimate with its Student (or normal) interval, and P unless another test gives it.

    Examples
    --------
    >>> found = wald(1.0, 0.5)
    >>> round(found.low, 2), round(found.p, 4)
    (0.02, 0.0455)

    Raises
    ------
    FitFailed
        Without a standard error above 0, unless P comes from another test.
    """
    from scipy.stats import t as student

    if not (se > 0 or p is not None):
        raise FitFailed("the outcome does not vary within the arms; its estimate has no error.")
    half = float(student.ppf(0.975, df)) * se
    p = float(2 * student.sf(abs(value) / se, df)) if p is None else p
    return Estimate(float(value), float(se), float(df), p, float(value - half), float(value + half))


def accept_dead(trial: Trial, strategy: str) -> None:
    """Let an analysis that gives the dead a score pass if few died, or the design states its estimand.

    Raises
    ------
    InvalidValue
        If more than a tenth, and at least ten patients, died and the design does not state `strategy`.
    """
    dead = float(trial.event.sum() / max(len(trial.arm), 1))
    # a handful of deaths can exceed a tenth of a small trial by chance
    if dead > DEAD_LIMIT and trial.event.sum() >= 10 and trial.design.estimand != strategy:
        raise InvalidValue(
            f"in a trial of design '{trial.design.id}' {100 * dead:.0f} % died: a mixed model takes the dead as "
            "missing at random and extrapolates them, and imputation gives them scores. Use the analysis survival, "
            "cafs, win_ratio, joint_rate or bayes_rate, or write "
            f'`estimand = "{strategy}"` into [analysis] if that is what you want.'
        )


def covariates(trial: Trial, members: NDArray[np.bool_]) -> tuple[Array, list[bool], dict[int, int]]:
    """Design of an analysis: intercept, arms, baseline and strata.

    Returns
    -------
    z : ndarray, shape (members, columns)
        Centred except intercept and arms, so that intercept plus arm is a least-squares mean.
    by_visit : list of bool
        Intercept, arms and baseline have a coefficient at each visit; strata one for all.
    place : dict of int to int
        Column of each active arm.
    """
    if not members.any():
        raise FitFailed("nobody was seen after baseline; there is nothing to analyse.")
    people, arm = {k: v[members] for k, v in trial.people.items()}, trial.arm[members]
    columns, by_visit = [np.ones(len(arm))], [True]
    place: dict[int, int] = {}
    for i in range(len(trial.design.arms)):
        if i != trial.design.control:
            place[i] = len(columns)
            columns.append((arm == i).astype(float))
            by_visit.append(True)
    baseline = people["baseline_rating"].astype(float)
    columns.append(baseline - baseline.mean())
    by_visit.append(True)
    for name in trial.design.strata:
        levels = np.unique(people[name])
        for level in levels[1:]:
            flag = (people[name] == level).astype(float)
            if 0 < flag.sum() < len(flag):
                columns.append(flag - flag.mean())
                by_visit.append(False)
    return np.column_stack(columns), by_visit, place


def linear(trial: Trial, outcome: Array) -> dict[str, Estimate]:
    """Compare arms on one value per patient, adjusted for baseline and strata."""
    members = np.isfinite(outcome)
    z, _, place = covariates(trial, members)
    model = fit(outcome[members][:, None], z, [False] * z.shape[1])
    return by_arm(model, trial, place)


def by_arm(
    model: Fit, trial: Trial, place: dict[int, int], visit: int = 0, method: str = "kenward-roger"
) -> dict[str, Estimate]:
    """Least-squares mean of each arm at a visit, and the differences from control, of a fit with `covariates`."""
    arms, control = trial.design.arms, trial.design.control
    lines = {arms[control].name: {(visit, 0): 1.0}}
    for i, column in place.items():
        lines[arms[i].name] = {(visit, 0): 1.0, (visit, column): 1.0}
        lines[f"{arms[i].name} - {arms[control].name}"] = {(visit, column): 1.0}
    return {name: model.contrast(model.vector(line), method) for name, line in lines.items()}


def last_observed(change: Array) -> Array:
    """Last value of each row that is not NaN; NaN if there is none."""
    seen = np.isfinite(change)
    last = change.shape[1] - 1 - np.argmax(seen[:, ::-1], axis=1)
    return np.where(seen.any(axis=1), change[np.arange(len(change)), last], np.nan)
