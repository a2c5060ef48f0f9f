"""What a fit leaves open: profile likelihoods with a verdict, and draws weighted by their likelihood."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from metabolism.errors import InvalidValue, SolverFailed, UnknownName
from metabolism.files import Parts
from metabolism.fit.objective import Fit, Objective, minimise
from metabolism.progress import Tick, unseen
from metabolism.types import Array

if TYPE_CHECKING:
    import pandas as pd


#: 95 % point of chi-square with one degree of freedom: how far a profile must rise to bound a parameter.
THRESHOLD = 3.841

#: Places of a profile, in prior standard deviations from the fit.
PLACES = (-2.5, -1.75, -1.0, -0.5, -0.25, 0.0, 0.25, 0.5, 1.0, 1.75, 2.5)

#: Degrees of freedom and inflation of the proposals: heavier tails than the target, or weights run away.
FREEDOM, INFLATION = 7, 1.2

#: Rounds of proposals; each is placed by all draws before it.
ROUNDS = 8


@dataclass(frozen=True, eq=False)
class Profile:
    """Minus twice the log likelihood along one parameter, the others re-fitted.

    Attributes
    ----------
    values : ndarray
        Values of the parameter [table units], increasing, the fit among them.
    rise : ndarray
        Above the lowest point. The parameter's own prior is left out, those of the others are in.
    """

    parameter: str
    values: Array
    rise: Array

    @property
    def verdict(self) -> str:
        """``identified``, ``one-sided: lower bound`` (or upper) or ``not identified``, by the rise at the ends."""
        below, above = self.rise[0] > THRESHOLD, self.rise[-1] > THRESHOLD
        if below and above:
            return "identified"
        return "one-sided: lower bound" if below else "one-sided: upper bound" if above else "not identified"


def profiles(objective: Objective, fit: Fit, rounds: int = 4, tick: Tick = unseen, limit: int = 4) -> list[Profile]:
    """Profile every parameter of a fit.

    All points of all profiles, the fitted value among them, are re-fitted side by side by Gauss-Newton steps whose
    Jacobian starts from that of the fit and is updated after each step (Broyden 1965,
    doi:10.1090/S0025-5718-1965-0198670-6). That need not converge, and a verdict hangs on two points: so an end above
    the threshold is then brought down by least squares, if it is not far above or still wants to move.

    Parameters
    ----------
    objective : Objective
    fit : Fit
    rounds : int
        Steps per point.
    tick : callable, optional
        Called after each round, and after the least squares.
    limit : int
        Largest number of points tried by each least squares.
    """
    size = len(fit.x)
    places = [(i, fit.x[i] + z * objective.sd[i]) for i in range(size) for z in PLACES]
    places = [(i, v) for i, v in places if objective.low[i] <= v <= objective.high[i]]
    own = len(fit.residuals) - size  # the priors come last
    x = np.tile(fit.x, (len(places), 1))
    jacobians, keeps = [], []
    for n, (i, value) in enumerate(places):
        keep = np.delete(np.arange(len(fit.residuals)), own + i)
        free = np.delete(np.arange(size), i)
        jacobian = fit.jacobian[np.ix_(keep, free)]
        # the others first move along the valley that the fit's own Jacobian predicts
        x[n, free] -= np.linalg.lstsq(jacobian, fit.jacobian[keep, i] * (value - fit.x[i]), rcond=None)[0]
        x[n, i] = value
        jacobians.append(jacobian)
        keeps.append((keep, free))
    x = np.clip(x, objective.low, objective.high)
    r = objective.residuals(x)
    best = np.array([float((r[n][keep] ** 2).sum()) for n, (keep, _) in enumerate(keeps)])
    for _ in range(rounds):
        trial = x.copy()
        for n, (keep, free) in enumerate(keeps):
            move = np.linalg.lstsq(jacobians[n], -r[n][keep], rcond=None)[0]
            trial[n, free] = np.clip(x[n, free] + np.clip(move, -0.5, 0.5), objective.low[free], objective.high[free])
        moved = objective.residuals(trial)
        for n, (keep, free) in enumerate(keeps):
            step = trial[n, free] - x[n, free]
            if step @ step > 0:
                miss = moved[n][keep] - r[n][keep] - jacobians[n] @ step
                jacobians[n] = jacobians[n] + np.outer(miss, step) / (step @ step)
            cost = float((moved[n][keep] ** 2).sum())
            if cost < best[n]:
                x[n], r[n], best[n] = trial[n], moved[n], cost
        tick(1)
    lines = []
    for i, name in enumerate(objective.names):
        points = sorted((v, n) for n, (j, v) in enumerate(places) if j == i)
        lowest = best[[n for _, n in points]].min()
        for n in (points[0][1], points[-1][1]):
            keep = keeps[n][0]
            move = np.linalg.lstsq(jacobians[n], -r[n][keep], rcond=None)[0]
            gain = best[n] - float(((r[n][keep] + jacobians[n] @ move) ** 2).sum())
            if best[n] - lowest > THRESHOLD and (gain > 0.1 or best[n] - lowest < 2 * THRESHOLD):
                best[n] = min(best[n], 2 * minimise(objective, x[n], limit, keep, i)[1])
        costs = best[[n for _, n in points]]
        lines.append(Profile(name, np.exp([v for v, _ in points]), costs - costs.min()))
    tick(1)
    return lines


@dataclass(frozen=True, eq=False)
class Sample:
    """Draws of the posterior.

    Attributes
    ----------
    draws : DataFrame
        One column per fitted parameter [table units].
    effective : float
        Effective sample size of the weights before resampling.
    proposals : int
        Candidates it was drawn from.
    pareto_k : float
        Tail index of the weights: below 0.7 the estimate can be trusted (Vehtari et al. 2024, JMLR 25:72).
    """

    draws: pd.DataFrame
    effective: float
    proposals: int
    pareto_k: float


def sample(
    objective: Objective,
    fit: Fit,
    count: int,
    proposals: int = 2000,
    seed: int = 1,
    tick: Tick = unseen,
    folder: Path | None = None,
) -> Sample:
    """Draw from the posterior by adaptive multiple importance sampling around the fit.

    Rounds of proposals move from the Laplace approximation towards the posterior; every draw of every round is
    weighted against the mixture of all proposals (Cornuet et al. 2012, doi:10.1111/j.1467-9469.2011.00756.x), and
    draws are resampled in proportion to their weights.

    Parameters
    ----------
    count : int
        Draws wanted.
    proposals : int
        Candidates over all rounds.
    folder : Path, optional
        Finished rounds are kept there, and not computed again.

    Raises
    ------
    SolverFailed
        If fewer than 10 proposals carry weight.
    """
    import pandas as pd
    from scipy.stats import multivariate_t

    rng = np.random.default_rng(seed)
    centre, covariance = fit.x, fit.covariance * INFLATION
    x, logs, weights = np.empty((0, len(centre))), np.empty(0), np.empty(0)
    used: list[Any] = []
    sizes = [len(part) for part in np.array_split(np.arange(proposals), ROUNDS)]
    request = [objective.request, centre.tolist(), covariance.tolist(), sizes, seed]
    parts = None if folder is None else Parts(folder, request)
    for number, size in enumerate(sizes):
        proposal = multivariate_t(centre, covariance * (FREEDOM - 2) / FREEDOM, df=FREEDOM, seed=rng)
        tried = np.atleast_2d(proposal.rvs(size))
        kept = parts.read(f"round_{number}") if parts else None
        if kept is None:
            kept = _log_posterior(objective, tried, tick).tolist()
            if parts:
                parts.write(f"round_{number}", kept)
        else:
            tick(size)
        x, logs = np.vstack([x, tried]), np.append(logs, kept)
        used.append(proposal)
        shares = np.log(np.array(sizes[: number + 1]) / len(x))
        mixture = np.logaddexp.reduce([share + past.logpdf(x) for share, past in zip(shares, used, strict=True)])
        weights = np.exp(logs - mixture - (logs - mixture).max())
        weights /= weights.sum()
        # as far as the weights carry, the next proposal takes the mean and the covariance of the draws
        trust = min(1.0, _effective(weights) / (4 * len(centre)))
        moved = weights @ x
        spread = ((x - moved).T * weights) @ (x - moved)
        centre = centre + trust * (moved - centre)
        covariance = (1 - trust) * covariance + trust * INFLATION * spread
    if _effective(weights) < 10:
        few = f"{_effective(weights):.1f} effective draws"
        raise SolverFailed(f"the posterior cannot be sampled around the fit: {few}.")
    # systematic resampling
    place = (rng.random() + np.arange(count)) / count
    chosen = np.searchsorted(np.cumsum(weights), place).clip(0, len(x) - 1)
    draws = pd.DataFrame(np.exp(x[rng.permutation(chosen)]), columns=list(objective.names))
    return Sample(draws, _effective(weights), len(x), pareto_k(weights))


def _log_posterior(objective: Objective, x: Array, tick: Tick) -> Array:
    """Log posterior density of candidates up to a constant; minus infinity outside the bounds."""
    logs = np.full(len(x), -np.inf)
    inside = ((x >= objective.low) & (x <= objective.high)).all(axis=1)
    for part in np.array_split(np.flatnonzero(inside), max(1, math.ceil(inside.sum() / 64))):
        logs[part] = -0.5 * (objective.residuals(x[part]) ** 2).sum(axis=1)
        tick(len(part))
    tick(int((~inside).sum()))
    return logs


def _effective(weights: Array) -> float:
    return float(1.0 / (weights**2).sum())


def pareto_k(weights: Array) -> float:
    """Tail index of importance weights: generalised Pareto fit to the largest ones (Vehtari et al. 2024)."""
    from scipy.stats import genpareto

    tail = min(len(weights) // 5, int(3 * math.sqrt(len(weights))))
    ordered = np.sort(weights)[-tail - 1 :]
    excess = ordered[1:] - ordered[0]
    if tail < 5 or not excess.any():
        return math.inf
    return float(genpareto.fit(excess / excess.mean(), floc=0.0)[0])


def profile(
    residuals: Callable[[Array], Array],
    best: Sequence[float],
    names: Sequence[str],
    parameter: str,
    *,
    low: Sequence[float],
    high: Sequence[float],
    points: int = 12,
) -> Profile:
    """Profile minus twice the log likelihood along one parameter of any problem, the others re-fitted.

    Parameters
    ----------
    residuals : callable
        Parameters (all above 0) to residuals in standard deviations.
    best : sequence of float
        The fit.
    low, high : sequence of float
        Bounds of all parameters.
    points : int
        Points on each side, evenly spaced on the log scale to the bound; each starts from its neighbour.

    Raises
    ------
    UnknownName, InvalidValue
    SolverFailed
        If the profile falls below the fit by more than 0.1: the fit was no minimum.
    """
    from scipy.optimize import least_squares

    if parameter not in names:
        raise UnknownName("parameter", parameter, names)
    x, a, b = (np.asarray(v, dtype=float) for v in (best, low, high))
    if not ((a > 0) & (a < b) & (a <= x) & (x <= b)).all():
        raise InvalidValue("bounds must be above 0, increasing, and hold the fit between them.")
    own = list(names).index(parameter)
    free = [i for i in range(len(x)) if i != own]
    base = float((residuals(x) ** 2).sum())
    course = [(x[own], base)]
    for bound in (a[own], b[own]):
        here = np.log(x)
        for value in np.linspace(np.log(x[own]), np.log(bound), points + 1)[1:]:
            here[own] = value
            if free:

                def others(z: Array, value: float = value) -> Array:
                    full = np.empty(len(x))
                    full[own], full[free] = value, z
                    return np.asarray(residuals(np.exp(full)))

                limits = (np.log(a[free]) - 1e-12, np.log(b[free]) + 1e-12)
                ends: Any = dict.fromkeys(("xtol", "ftol", "gtol"), 1e-12)
                solved = least_squares(others, np.clip(here[free], *limits), bounds=limits, **ends)
                here[free], cost = solved.x, 2 * float(solved.cost)
            else:
                cost = float((residuals(np.exp(here)) ** 2).sum())
            if cost < base - 0.1:
                raise SolverFailed(
                    f"the profile of '{parameter}' falls {base - cost:.2g} below the fit at {np.exp(value):.4g}: "
                    "the fit was no minimum; fit again from there."
                )
            course.append((float(np.exp(value)), cost))
            if cost > base + 3 * THRESHOLD:
                break
    values, costs = (np.array(column) for column in zip(*sorted(course), strict=True))
    return Profile(parameter, values, np.maximum(costs - costs.min(), 0.0))
