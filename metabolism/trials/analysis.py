"""Analyses of a trial as trials report them: mixed model, ANCOVA, slopes, responders, combined score, survival."""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from metabolism.errors import FitFailed, InvalidValue, UnknownName
from metabolism.trials.decline import proportional
from metabolism.trials.disease import HOURS_PER_MONTH, HOURS_PER_WEEK
from metabolism.trials.imputation import copy_increments, copy_reference, jump_to_reference
from metabolism.trials.joint import bayes_rate, joint_rate
from metabolism.trials.linear import accept_dead, by_arm, contrasts, covariates, last_observed, linear, wald
from metabolism.trials.mmrm import Estimate, fit
from metabolism.trials.pairs import cafs, net_benefit, win_ratio, win_ratio_stratified
from metabolism.types import Array

if TYPE_CHECKING:
    from metabolism.trials.trial import Trial


#: Analyses of one value per patient, the last one seen: before the end they need patients who were due at it.
LAST_VALUE = ("ancova", "responder", "nfl")


def mixed_model(trial: Trial, method: str = "kenward-roger") -> dict[str, Estimate]:
    """Mixed model for repeated measures of the change from baseline, at the last visit.

    Arm, baseline (each by visit) and strata as fixed effects, unstructured covariance. Data count as missing at random:
    the estimand is hypothetical, the change had nobody died or left.

    Returns
    -------
    dict of str to Estimate
        ``<arm>`` is a least-squares mean change [points], ``<arm> - <control>`` a difference.

    Raises
    ------
    InvalidValue
        If many died and the design does not state the hypothetical estimand; see `accept_dead`.
    """
    accept_dead(trial, "hypothetical")
    change = trial.change
    members = np.asarray(np.isfinite(change).any(axis=1))
    z, by_visit, place = covariates(trial, members)
    model = fit(change[members], z, by_visit)
    return by_arm(model, trial, place, change.shape[1] - 1, method)


def ancova(trial: Trial) -> dict[str, Estimate]:
    """Analysis of covariance of the last observed change (last observation carried forward)."""
    return linear(trial, last_observed(trial.change))


def slopes(trial: Trial) -> dict[str, Estimate]:
    """Least-squares slope of each patient's ratings, compared by a linear model [points/month]."""
    months = np.concatenate([[0.0], np.array(trial.design.visits) * HOURS_PER_WEEK / HOURS_PER_MONTH])
    y = np.column_stack([np.zeros(len(trial.arm)), trial.change])
    seen = np.isfinite(y)
    n = seen.sum(axis=1)
    mean_t, mean_y = (np.where(seen, v, 0.0).sum(axis=1) / n for v in (np.broadcast_to(months, y.shape), y))
    dt = np.where(seen, months - mean_t[:, None], 0.0)
    sxx = (dt**2).sum(axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        slope = np.where(n > 1, (dt * np.where(seen, y - mean_y[:, None], 0.0)).sum(axis=1) / sxx, np.nan)
    return linear(trial, slope)


def responders(trial: Trial) -> dict[str, Estimate]:
    """Share of patients who fall no more than the design's `responder_points`; a patient without a visit is none.

    The difference has a normal interval and Fisher's exact P.
    """
    from scipy.stats import fisher_exact

    change = last_observed(trial.change)
    response = np.nan_to_num(change, nan=-99.0) >= -trial.design.responder_points
    response &= ~trial.event
    arms, control = trial.design.arms, trial.design.control
    pairs = list(contrasts(trial))
    mine = {i: response[trial.arm == i] for i in range(len(arms))}
    estimates = {arms[i].name: wald(v.mean(), np.sqrt(v.var() / len(v)), p=np.nan) for i, v in mine.items()}
    c = mine[control]
    for label, i in pairs:
        v = mine[i]
        p = float(fisher_exact(np.array([[v.sum(), (~v).sum()], [c.sum(), (~c).sum()]])).pvalue)
        se = np.sqrt(v.var() / len(v) + c.var() / len(c))
        if se == 0:
            raise FitFailed("in both arms all responded or nobody did; the difference has no error.")
        estimates[label] = wald(v.mean() - c.mean(), se, p=p)
    return estimates


def survival(trial: Trial) -> dict[str, Estimate]:
    """Cox hazard ratio against control, with the log-rank P [ratio].

    The interval is the Cox model's; P is the two-sided log-rank test of the pair of arms. Several active arms are also
    taken together (``all active``).
    """
    arms, control = trial.design.arms, trial.design.control
    groups = {arms[i].name: [i] for i in range(len(arms)) if i != control}
    if len(groups) > 1:
        groups["all active"] = [i for (i,) in groups.values()]
    estimates = {}
    for name, members in groups.items():
        active = np.isin(trial.arm, members)
        chosen = active | (trial.arm == control)
        time, event, group = trial.event_months[chosen], trial.event[chosen], active[chosen].astype(float)
        log_hr, se = cox(time, event, group)
        _, p = log_rank(time, event, group)
        line = wald(log_hr, se, p=p)
        ratio, low, high = np.exp([line.value, line.low, line.high]).tolist()
        estimates[f"{name} - {arms[control].name}"] = Estimate(ratio, se, np.inf, p, low, high)
    return estimates


def _two_groups(time: Array, event: NDArray[np.bool_], group: Array) -> tuple[Array, NDArray[np.bool_], Array]:
    """Follow-up of patients of two groups, after a check of each number.

    Raises
    ------
    InvalidValue
    """
    found = [np.asarray(v, dtype=float) for v in (time, event, group)]
    if any(v.ndim != 1 or v.shape != found[0].shape for v in found):
        raise InvalidValue(f"times, events and groups must be as many, not {', '.join(str(v.shape) for v in found)}.")
    if not (np.isfinite(found[0]) & (found[0] >= 0)).all():
        raise InvalidValue("a time to event or censoring is missing, below 0 or infinite; leave such patients out.")
    for name, values in zip(("event", "group"), found[1:], strict=True):
        if not np.isin(values, (0, 1)).all():
            raise InvalidValue(f"{name} must be 0 or 1 for every patient, not {values[~np.isin(values, (0, 1))][0]:g}.")
    if len(np.unique(found[2])) < 2:
        raise InvalidValue("all patients are in one group; a comparison needs two.")
    return found[0], found[1] > 0, found[2]


def cox(time: Array, event: NDArray[np.bool_], group: Array) -> tuple[float, float]:
    """Cox regression on one two-level covariate, Efron ties: log hazard ratio and its standard error.

    One covariate needs only a few Newton steps; a test compares this with lifelines.

    Raises
    ------
    FitFailed
        If the ratio has no finite estimate: a group without an event, or with all of its events after all of the other.
    """
    time, event, group = _two_groups(time, event, group)
    if not (event & (group == 1)).any() or not (event & (group == 0)).any():
        raise FitFailed("a group has no event; its hazard ratio cannot be estimated.")
    times, inverse = np.unique(time[event], return_inverse=True)
    died = np.bincount(inverse, minlength=len(times)).astype(float)
    died1 = np.bincount(inverse, weights=group[event], minlength=len(times))
    order = np.sort(time)
    at_risk = len(time) - np.searchsorted(order, times)
    order1 = np.sort(time[group == 1])
    risk1 = len(order1) - np.searchsorted(order1, times)
    # Efron: within a tie the members leave one by one, on average
    step = np.concatenate([np.arange(d) / d for d in died.astype(int)])
    index = np.repeat(np.arange(len(times)), died.astype(int))
    n1, n0 = risk1[index] - step * died1[index], (at_risk - risk1)[index] - step * (died - died1)[index]
    # the slope of the likelihood towards a ratio of 0 and of infinity: the maximum lies there if it vanishes
    if died1.sum() in ((n0 == 0).sum(), (n1 > 0).sum()):
        raise FitFailed(
            "one group had its events when nobody of the other was left: the hazard ratio has no finite value."
        )
    beta = 0.0
    for _ in range(50):
        share = n1 * np.exp(beta) / (n1 * np.exp(beta) + n0)
        information = float((share * (1 - share)).sum())
        if information <= 0:
            break
        move = float(died1.sum() - share.sum()) / information
        beta += float(np.clip(move, -1, 1))
        if abs(move) < 1e-10:
            return beta, float(1 / np.sqrt(information))
    raise FitFailed("the Cox model did not converge.")


def log_rank(time: Array, event: NDArray[np.bool_], group: Array) -> tuple[float, float]:
    """Two-sample log-rank test: z (positive: more events in the group) and two-sided P; equals lifelines'."""
    from scipy.stats import CensoredData, logrank

    time, event, group = _two_groups(time, event, group)
    one, other = (CensoredData.right_censored(time[group == g], ~event[group == g]) for g in (1, 0))
    with np.errstate(invalid="ignore", divide="ignore"):
        found = logrank(one, other)
    if not np.isfinite(found.statistic):
        raise FitFailed("there are too few events for a log-rank test.")
    return float(found.statistic), float(found.pvalue)


def marker_fall(trial: Trial) -> dict[str, Estimate]:
    """Analysis of covariance of the fall of ln NfL from baseline to the last sample seen, adjusted for baseline."""
    if trial.ln_nfl is None:
        raise InvalidValue(f"design '{trial.design.id}' has no marker to analyse; give marker = {{}} in the file.")
    before = trial.people["ln_nfl"]
    adjusted = replace(trial, people={**trial.people, "baseline_rating": before})
    return linear(adjusted, before - last_observed(trial.ln_nfl))


#: Analyses by name; `metabolism.trials.design.ANALYSES` states the estimand of each.
ANALYSED = {
    "mmrm": mixed_model,
    "ancova": ancova,
    "slope": slopes,
    "responder": responders,
    "cafs": cafs,
    "win_ratio": win_ratio,
    "win_ratio_stratified": win_ratio_stratified,
    "net_benefit": net_benefit,
    "survival": survival,
    "proportional": proportional,
    "jump_to_reference": jump_to_reference,
    "copy_reference": copy_reference,
    "copy_increments": copy_increments,
    "joint_rate": joint_rate,
    "bayes_rate": bayes_rate,
    "nfl": marker_fall,
}


def benefit(analysis: str, value: float | Array) -> float | Array:
    """Estimate on a scale on which benefit is above 0: the logarithm, sign changed, of a hazard ratio."""
    return -np.log(value) if analysis == "survival" else value


def estimates(trial: Trial, name: str) -> dict[str, Estimate]:
    """Run one analysis by name."""
    if name not in ANALYSED:
        raise UnknownName("analysis", name, ANALYSED)
    return ANALYSED[name](trial)


def analyse(trial: Trial, names: tuple[str, ...]) -> dict[str, float | str]:
    """Run analyses and flatten them: ``mmrm:<arm> - <control>:value`` and so on.

    A failed fit leaves NaN values and its reason under ``<analysis>:failed``.
    """
    row: dict[str, float | str] = {}
    for name in names:
        try:
            results = estimates(trial, name)
        except FitFailed as error:
            row[f"{name}:failed"] = str(error)
            continue
        row[f"{name}:failed"] = ""
        for label, estimate in results.items():
            row |= {f"{name}:{label}:{key}": value for key, value in asdict(estimate).items()}
    return row
