"""Tables of virtual trials as reports show them: replicates beside a published result, courses, subgroups, cohorts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from metabolism.errors import FitFailed, InvalidValue
from metabolism.trials.analysis import ancova
from metabolism.trials.power import wilson
from metabolism.trials.replicates import Replicates
from metabolism.trials.trial import Trial
from metabolism.types import Array

if TYPE_CHECKING:
    import pandas as pd


def interval(values: ArrayLike) -> tuple[float, float]:
    """Central 95 % of replicates, missing ones left out.

    Examples
    --------
    >>> interval([0.0, 1.0, 2.0])
    (0.05, 1.95)
    """
    found = np.asarray(values, dtype=float)
    if not np.isfinite(found).any():
        raise InvalidValue("there is no finite value to give an interval of.")
    low, high = np.nanquantile(found, [0.025, 0.975])
    return float(low), float(high)


def percent(flags: ArrayLike) -> str:
    """Share of replicates in words, with its 95 % Monte-Carlo interval.

    Examples
    --------
    >>> percent([True] * 3 + [False] * 37)
    '7.5 % (2.6 to 19.9)'
    """
    seen = np.asarray(flags, dtype=bool)
    low, high = wilson(int(seen.sum()), seen.size)
    return f"{100 * seen.mean():.1f} % ({100 * low:.1f} to {100 * high:.1f})"


def difference_row(replicates: Replicates, contrast: str, observed: float, analysis: str = "mmrm") -> dict[str, Any]:
    """One row: mean estimates of both arms and their difference, its spread over trials, and chances with intervals.

    Parameters
    ----------
    replicates : Replicates
    contrast : str
        ``<arm> - <control>``.
    observed : float
        Published difference [unit of the analysis].
    analysis : str
        In the unit of which the row is.
    """
    table, column = replicates.table, f"{analysis}:{contrast}"
    active, control = contrast.split(" - ")
    value = table[f"{column}:value"]
    low, high = interval(value)
    significant = (table[f"{column}:p"] < 0.05) & (value > 0)
    return {
        f"{control} [points]": table[f"{analysis}:{control}:value"].mean(),
        f"{active} [points]": table[f"{analysis}:{active}:value"].mean(),
        "difference [points]": value.mean(),
        "difference 2.5 % [points]": low,
        "difference 97.5 % [points]": high,
        "mean SE [points]": table[f"{column}:se"].mean(),
        "significant benefit (95 %)": percent(significant),
        f"{observed:g} or more (95 %)": percent(value >= observed),
        "replicates": len(table),
        "failed fits": replicates.failures(analysis),
        "failed bodies": replicates.failed_bodies,
    }


def course(trial: Trial) -> pd.DataFrame:
    """Change from baseline by arm and visit: mean, 5, 50 and 95 % of patients, share missing [points]."""
    import pandas as pd

    rows = []
    for i, arm in enumerate(trial.design.arms):
        change = trial.change[trial.arm == i]
        for j, week in enumerate(trial.design.visits):
            low, middle, high = np.nanquantile(change[:, j], [0.05, 0.5, 0.95])
            missing = float(np.isnan(change[:, j]).mean())
            row = {"arm": arm.name, "week": week, "mean": np.nanmean(change[:, j]), "5 %": low, "median": middle}
            rows.append(row | {"95 %": high, "share missing": missing})
    return pd.DataFrame(rows)


def wide(trial: Trial) -> pd.DataFrame:
    """One row per patient of a trial: arm, baseline, change at each visit [points], follow-up [months] and event."""
    import pandas as pd

    names = np.array([a.name for a in trial.design.arms])[trial.arm]
    changes = {f"week {w:g}": trial.change[:, i] for i, w in enumerate(trial.design.visits)}
    return pd.DataFrame(
        {"arm": names, "baseline": trial.people["baseline_rating"]}
        | changes
        | {"months": trial.event_months, "event": trial.event.astype(int)}
    )


def subgroups(trial: Trial, groups: Mapping[str, NDArray[np.bool_]], contrast: str, patients: int) -> pd.DataFrame:
    """Expected difference in subgroups of a large trial, with the interval a trial of the published size would have.

    Parameters
    ----------
    trial : Trial
        Large, so that its estimate is nearly the expectation.
    groups : mapping of str to ndarray of bool
        Members of each subgroup; those too small for an analysis are left out.
    contrast : str
        ``<arm> - <control>``.
    patients : int
        Size of the published trial.
    """
    import pandas as pd

    rows = []
    for name, members in groups.items():
        try:
            estimate = ancova(trial.part(members))[contrast]
        except FitFailed:
            continue
        half = 1.96 * estimate.se * np.sqrt(len(trial.arm) / patients)
        value = estimate.value
        row = {"subgroup": name, "share": float(members.mean()), "difference [points]": value}
        rows.append(row | {"low [points]": value - half, "high [points]": value + half})
    return pd.DataFrame(rows)


def balance(features: Array, targets: Array) -> Array:
    """Weights of least relative entropy under which the features have the target means.

    The second way to make a cohort: instead of drawing patients from fitted distributions, patients from a wide
    distribution are weighted until they have the published moments (entropy balancing, Hainmueller 2012,
    doi:10.1093/pan/mpr025).

    Parameters
    ----------
    features : ndarray, shape (patients, moments)
        Give a column and its square to set a mean and an SD.
    targets : ndarray, shape (moments,)

    Returns
    -------
    ndarray, shape (patients,)
        Positive weights with sum 1; see `effective_size`.

    Raises
    ------
    InvalidValue
        If no weights reach the targets: they lie outside what these patients span.

    Examples
    --------
    >>> weights = balance(np.array([[0.0], [1.0]]), np.array([0.25]))
    >>> weights.round(6)
    array([0.75, 0.25])
    """
    from scipy.optimize import minimize
    from scipy.special import logsumexp, softmax

    if not (np.isfinite(features).all() and np.isfinite(targets).all()):
        raise InvalidValue("a feature or a target is not finite; leave such patients out.")
    scale = features.std(axis=0)
    centred = (features - targets) / np.where(scale > 0, scale, 1.0)

    def dual(tilt: Array) -> tuple[float, Array]:
        exponent = centred @ tilt
        return float(logsumexp(exponent)), softmax(exponent) @ centred

    def curvature(tilt: Array) -> Array:
        weight, gradient = softmax(centred @ tilt), dual(tilt)[1]
        return np.asarray(centred.T @ (weight[:, None] * centred) - np.outer(gradient, gradient))

    # the dual is convex; targets out of reach send the tilt to infinity
    options: Any = {"gtol": 1e-10, "maxiter": 200}
    found = minimize(dual, np.zeros(features.shape[1]), jac=True, hess=curvature, method="trust-exact", options=options)
    weight = softmax(centred @ found.x)
    miss = np.abs(weight @ centred)
    if not (miss < 1e-5).all():
        raise InvalidValue(
            f"no weights reach the published moments (worst miss {miss.max():.2g} SD); draw a wider cohort."
        )
    return np.asarray(weight)


def effective_size(weights: Array) -> float:
    """Effective sample size of weighted patients, (sum w)^2 / sum w^2 (Kish 1965).

    >>> effective_size(np.full(4, 0.25)), effective_size(np.array([1.0, 0.0, 0.0]))
    (4.0, 1.0)
    """
    return float(weights.sum() ** 2 / (weights**2).sum())


def reweighted(
    trial: Trial, moments: Mapping[str, tuple[float, float]], shares: Mapping[str, tuple[Array, float]]
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Weight a trial's patients to published moments (entropy balancing) and compare the answer with the unweighted.

    Parameters
    ----------
    trial : Trial
        Of two arms.
    moments : mapping of column to (mean, SD)
        Published moments of numeric columns of the patients.
    shares : mapping of str to (flags, share)
        Membership of each patient, and the published share.

    Returns
    -------
    answers : DataFrame
        Change of the true score by arm and the difference, both ways.
    reached : DataFrame
        Each moment as sampled, as weighted, and as published.
    """
    import pandas as pd

    numeric = {n: np.asarray(trial.people[n], dtype=float) for n in moments}
    columns = [c for v in numeric.values() for c in (v, v**2)] + [
        np.asarray(f, dtype=float) for f, _ in shares.values()
    ]
    targets = [t for mean, sd in moments.values() for t in (mean, mean**2 + sd**2)] + [s for _, s in shares.values()]
    equal = np.full(len(trial.arm), 1 / len(trial.arm))
    weights = balance(np.column_stack(columns), np.array(targets))
    last = trial.true_score[:, -1] - trial.people["baseline_rating"]
    answers, reached = [], []
    for method, w in (
        ("sampled from fitted distributions", equal),
        ("weighted to Table 1 (entropy balancing)", weights),
    ):
        control, active = (float(np.average(last[trial.arm == i], weights=w[trial.arm == i])) for i in (0, 1))
        row = {"method": method, "effective sample size": effective_size(w), "placebo [points]": control}
        row |= {"active [points]": active, "difference [points]": active - control}
        answers.append(row | {"relative slowing [%]": 100 * (1 - active / control)})
    for name, values in numeric.items():
        both = [(np.average(values, weights=w), w) for w in (equal, weights)]
        spread = [float(np.sqrt(np.average((values - m) ** 2, weights=w))) for m, w in both]
        for kind, (sampled, weighted), published in zip(
            ("mean", "SD"), ([m for m, _ in both], spread), moments[name], strict=True
        ):
            row = {"moment": f"{name} {kind}", "sampled": sampled, "weighted": weighted, "published": published}
            reached.append(row)
    for name, (flags, share) in shares.items():
        row = {"moment": name, "sampled": np.mean(flags), "weighted": np.average(flags, weights=weights)}
        reached.append(row | {"published": share})
    return pd.DataFrame(answers), pd.DataFrame(reached)
