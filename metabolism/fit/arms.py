"""The disease of virtual patients, fitted to placebo arms of trials that differ.

A published number is ``prediction + g b + error``: its standard error is known, and b, one per trial, is how much
faster or slower its patients lost motor units after randomisation. The SD of b is estimated by restricted maximum
likelihood (Patterson and Thompson 1971, doi:10.1093/biomet/58.3.545) beside the parameters, so that a trial with many
rows does not count as many trials.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from metabolism.files import write_text
from metabolism.fit.moments import Arms, ArmsObjective, Linear
from metabolism.fit.posterior import THRESHOLD
from metabolism.types import Array

if TYPE_CHECKING:
    import pandas as pd

Progress = Callable[[str, int], Callable[[int], None]]


@dataclass(frozen=True, eq=False)
class ArmsFit:
    """What the placebo arms say.

    Attributes
    ----------
    x, covariance : ndarray
        Logs of the fitted values, and their covariance (Laplace approximation, priors included).
    information : ndarray
        Of the data alone.
    between : float
        SD of ln loss rate between trials.
    between_profile : ndarray, shape (points, 2)
        SD, and the rise of minus twice the restricted log likelihood.
    effects : dict of str to float
        Logarithm of each trial's factor on the loss rates.
    rows : DataFrame
        Every published number with its prediction, fitted or checked, and the prediction by a fit without its trial.
    """

    definition: Arms
    x: Array
    covariance: Array
    information: Array
    between: float
    between_profile: Array
    effects: dict[str, float]
    rows: pd.DataFrame


def fit_arms(objective: ArmsObjective, progress: Progress | None = None, rounds: int = 12) -> ArmsFit:
    """Fit the parameters and the SD between trials, then once more without each trial.

    Gauss-Newton on the whitened residuals and the priors, linear about the present values and effects of the
    trials; at each step the SD between trials is that of greatest restricted likelihood of the linear problem.

    Parameters
    ----------
    rounds : int
        Steps; each takes two evaluations per parameter.
    """
    everything = np.flatnonzero(objective.fitted)
    trials = list(dict.fromkeys(objective.trials[everything]))
    tick = progress("placebo arms", rounds + len(trials)) if progress else None
    x = np.log([objective.model.table[n].value for n in objective.names])
    effects = dict.fromkeys(trials, 0.0)
    for number in range(rounds):
        linear = objective.linear(x, effects)
        between, profile = _between(objective, linear, everything)
        solved = _solve(objective, linear, between, everything)
        if number < rounds - 1:
            # ever shorter steps: the moments of a finite cohort are rough, and would throw the last ones about
            share = min(1.0, 4 / (number + 1))
            x = np.clip(x + share * np.clip(solved.move, -0.4, 0.4), objective.low, objective.high)
            effects = {t: (1 - share) * effects[t] + share * solved.effects[t] for t in trials}
        if tick:
            tick(1)
    rows = objective.rows.assign(predicted=objective.predict(x, {}), own_effect=objective.predict(x, effects))
    rows["residual"] = (rows["value"] - rows["own_effect"]) / rows["se"]
    rows = rows.assign(unseen=np.nan, unseen_low=np.nan, unseen_high=np.nan)
    for trial in trials:
        # from the whole optimum by one linear step without the trial; the interval holds its own effect and its error
        seen = np.array([i for i in everything if objective.trials[i] != trial])
        sd, open_sd = _between(objective, linear, seen)
        without = _solve(objective, linear, sd, seen)
        reach = 1.96 * predictive(open_sd)
        z = np.clip(x + np.clip(without.move, -0.4, 0.4), objective.low, objective.high)
        own = np.flatnonzero(objective.trials == trial)
        open_ = np.einsum("ij,jk,ik->i", linear.jacobian[own], without.covariance, linear.jacobian[own])
        half = 1.96 * np.sqrt(open_ + rows["se"][own] ** 2)
        middle, ends = objective.predict(z, {})[own], [objective.predict(z, {}, f * reach)[own] for f in (-1, 1)]
        rows.loc[own, "unseen"] = middle
        low, high = np.minimum(*ends), np.maximum(*ends)
        rows.loc[own, "unseen_low"] = middle - np.hypot(half, middle - low)
        rows.loc[own, "unseen_high"] = middle + np.hypot(half, high - middle)
        if tick:
            tick(1)
    return ArmsFit(objective.definition, x, solved.covariance, solved.information, between, profile, effects, rows)


@dataclass(frozen=True, eq=False)
class _Solved:
    """Step of the parameters and effects of the trials, covariance with the priors, information of the data alone."""

    move: Array
    effects: dict[str, float]
    covariance: Array
    information: Array
    height: float


def _solve(objective: ArmsObjective, linear: Linear, between: float, rows: NDArray[np.intp]) -> _Solved:
    """Solve the linear problem for one SD between trials; `height` is minus twice its restricted log likelihood."""
    g, j, trials = linear.by_trial[rows], linear.jacobian[rows], objective.trials[rows]
    shared = between**2 * np.where(trials[:, None] == trials, np.outer(g, g), 0.0)
    v = np.diag(objective.rows["se"].to_numpy()[rows] ** 2) + shared
    weight = np.linalg.inv(v)
    r = objective.rows["value"].to_numpy()[rows] - linear.value[rows]
    information = j.T @ weight @ j
    covariance = np.asarray(np.linalg.inv(information + np.diag(objective.sd**-2.0)), dtype=float)
    move = covariance @ (j.T @ weight @ r + (objective.centre - linear.x) / objective.sd**2)
    left, prior = weight @ (r - j @ move), (linear.x + move - objective.centre) / objective.sd
    effects = {str(t): float(between**2 * (g * left)[trials == t].sum()) for t in dict.fromkeys(trials)}
    height = np.linalg.slogdet(v)[1] - np.linalg.slogdet(covariance)[1] + (r - j @ move) @ left + prior @ prior
    return _Solved(move, effects, covariance, information, float(height))


def _between(objective: ArmsObjective, linear: Linear, rows: NDArray[np.intp]) -> tuple[float, Array]:
    """SD between trials of greatest restricted likelihood, and its profile."""
    fixed = not objective.definition.between_trials
    grid = np.array([objective.generator["k_omega_trial"]]) if fixed else np.arange(0.0, 1.005, 0.01)
    height = np.array([_solve(objective, linear, float(sd), rows).height for sd in grid])
    return float(grid[int(np.argmin(height))]), np.column_stack([grid, height - height.min()])


#: Tables of a fit of placebo arms, by file name.
ARMS_TABLES = ("values.csv", "covariance.csv", "residuals.csv", "between.csv", "report.md")


def write_arms(folder: Path, objective: ArmsObjective, fit: ArmsFit) -> Path:
    """Write the tables and the report of a fit of placebo arms into a folder, ready for `metabolism.fit.adopt`."""
    import pandas as pd

    folder.mkdir(parents=True, exist_ok=True)
    d, table, se = fit.definition, objective.model.table, np.sqrt(np.diag(fit.covariance))
    rise = fit.between_profile
    inside = rise[rise[:, 1] < THRESHOLD, 0]
    values = pd.DataFrame(
        {
            "parameterId": d.parameters,
            "value": np.exp(fit.x),
            "unit": [table[n].unit for n in d.parameters],
            "source": f"fit:{d.id}",
            "prior_median": np.exp(objective.centre),
            "prior_sd_log": objective.sd,
            "se_log": se,
            "low95": np.exp(fit.x - 1.96 * se),
            "high95": np.exp(fit.x + 1.96 * se),
            "told_by_data": 1 - (se / objective.sd) ** 2,
        }
    )
    last = {
        "parameterId": d.between_trials,
        "value": predictive(rise),
        "unit": "dimensionless",
        "source": f"fit:{d.id}",
    }
    last |= {"low95": inside.min(), "high95": inside.max()}
    if d.between_trials:
        values = pd.concat([values, pd.DataFrame([last])], ignore_index=True)
    covariance = pd.DataFrame(fit.covariance, index=list(d.parameters), columns=list(d.parameters))
    tables = {
        "values.csv": values,
        "covariance.csv": covariance.rename_axis("parameterId").reset_index(),
        "residuals.csv": fit.rows.drop(columns=["source", "locator", "note"]),
        "between.csv": pd.DataFrame(rise, columns=["sd", "rise"]),
    }
    for name, frame in tables.items():
        write_text(folder / name, frame.to_csv(index=False, float_format="%.8g", lineterminator="\n"))
    write_text(folder / "report.md", _report(objective, fit, values))
    return folder


def predictive(profile: Array) -> float:
    """SD between trials for a trial that has not been seen: root of the mean square under its restricted likelihood.

    So few trials leave the SD itself open; the best single value would make new trials look too much alike.

    Examples
    --------
    >>> predictive(np.array([[0.1, 0.0], [0.3, 0.0]])).__round__(4)
    0.2236
    """
    weight = np.exp(-profile[:, 1] / 2)
    return float(np.sqrt((weight * profile[:, 0] ** 2).sum() / weight.sum()))


def _report(objective: ArmsObjective, fit: ArmsFit, values: pd.DataFrame) -> str:
    d, rows = fit.definition, fit.rows
    limits = fit.between_profile[fit.between_profile[:, 1] < THRESHOLD, 0][[0, -1]]
    fitted, checks = rows[rows["use"] == "fit"], rows[rows["use"] == "check"]
    unseen = rows[np.isfinite(rows["unseen"])]
    inside = (unseen["value"] >= unseen["unseen_low"]) & (unseen["value"] <= unseen["unseen_high"])
    # what the data say least about, priors taken as the unit of length
    scaled = fit.information * np.outer(objective.sd, objective.sd)
    weakest = np.linalg.eigh(scaled)
    names = [f"{v:+.2f} {n.removeprefix('COHORT_')}" for v, n in zip(weakest[1][:, 0], d.parameters, strict=True)]
    correlation = fit.covariance / np.outer(*[np.sqrt(np.diag(fit.covariance))] * 2)
    strong = [
        f"{d.parameters[i]} and {d.parameters[j]} ({correlation[i, j]:+.2f})"
        for i in range(len(d.parameters))
        for j in range(i)
        if abs(correlation[i, j]) > 0.7
    ]
    text = [
        f"# Fit {d.id}: {d.title}",
        "",
        f"{len(d.parameters)} parameters, {len(fitted)} published numbers of {fitted['trial'].nunique()} trials or "
        f"studies with their own standard errors; {len(checks)} more were held back as checks. {d.candidates} "
        "candidates per design, the same for every value tried.",
        "",
        f"- SD of ln loss rate between trials: {fit.between:.2f} "
        + (
            "(95 % {:.2f} to {:.2f}), restricted maximum likelihood".format(*limits)
            if d.between_trials
            else "(taken as it is)"
        )
        + (f"; {predictive(fit.between_profile):.2f} for a trial not seen" if d.between_trials else "")
        + ". Effects: "
        + ", ".join(f"{k} {v:+.2f}" for k, v in fit.effects.items() if abs(v) >= 0.005)
        + ".",
        f"- Sum of squared residuals, trials at their own effect: {(fitted['residual'] ** 2).sum():.1f}.",
        f"- Every trial predicted by a fit without it: {inside.sum()} of {len(unseen)} numbers lie in their 95 % "
        f"interval; outside: {', '.join(unseen.loc[~inside, 'id']) or 'none'}.",
        f"- Correlations above 0.7 in size: {', '.join(strong) or 'none'}.",
        f"- What the data say least about (information {weakest[0][0]:.2g} of the priors'): {', '.join(names)}.",
        "",
        "## Parameters",
        "",
        "| parameter | unit | prior (median, log-SD) | fitted | 95 % | told by the data |",
        "|---|---|---|---|---|---|",
    ]
    for v in values.iloc[: len(d.parameters)].to_dict("records"):
        text.append(
            f"| `{v['parameterId']}` | {v['unit']} | {v['prior_median']:.3g}, {v['prior_sd_log']:.2g} | "
            f"{v['value']:.3g} | {v['low95']:.3g} to {v['high95']:.3g} | {100 * v['told_by_data']:.0f} % |"
        )
    text += [
        "",
        "Told by the data: one minus the ratio of the variances after and before. Intervals are those of a normal",
        "approximation on the log scale, priors included.",
        "",
        "## Numbers, fitted and checked apart",
        "",
        "| number | unit | published (SE) | any trial | this trial | residual [SE] | without this trial (95 %) |",
        "|---|---|---|---|---|---|---|",
    ]
    for title, part in (("fitted", fitted), ("checked", checks)):
        text.append(f"| **{title}** | | | | | | |")
        for r in part.to_dict("records"):
            without = (
                "" if np.isnan(r["unseen"]) else f"{r['unseen']:.3g} ({r['unseen_low']:.3g}, {r['unseen_high']:.3g})"
            )
            text.append(
                f"| {r['id']} | {r['unit']} | {r['value']:.3g} ({r['se']:.2g}) | {r['predicted']:.3g} | "
                f"{r['own_effect']:.3g} | {r['residual']:+.1f} | {without} |"
            )
    return "\n".join([*text, ""])
