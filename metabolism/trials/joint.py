"""Joint models of decline and death: every patient has a rate, which the ratings and the hazard share.

Ratings fall along a straight line with a normal intercept and rate of each patient; given the rate, the hazard of death
or full ventilation is constant in pieces and log-linear in it. The ratings integrate out in closed form and leave the
rate normal, so the likelihood needs one quadrature over the rate only, whatever the number of visits (Wulfsohn and
Tsiatis 1997, doi:10.2307/2533118, for the model; de Gruttola and Tu 1994, doi:10.2307/2533439, for a shared rate).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from metabolism.errors import FitFailed, UnknownName
from metabolism.trials.disease import HOURS_PER_MONTH, HOURS_PER_WEEK
from metabolism.trials.limits import inside
from metabolism.trials.linear import contrasts, wald
from metabolism.trials.mmrm import Estimate
from metabolism.types import Array

if TYPE_CHECKING:
    from metabolism.trials.trial import Trial


#: Nodes of the quadrature over the rate; 9 and 60 differ by less than 1e-6 of a log-likelihood.
NODES = 9


#: With fewer deaths the likelihood analysis leaves them out: they cannot tell how the hazard hangs on the rate.
FEWEST = 5


#: Prior mean and SD of the Bayesian analysis: rating at entry [points], rate and its shift by a stratum [points/month],
#: log ratio of rates, logs of the SDs of intercept, rate and rating, arctanh of the correlation, log hazard ratio per
#: point/month, log hazard [1/month].
PRIOR = {
    "entry": (40.0, 10.0),
    "rate": (-1.0, 1.0),
    "stratum": (0.0, 0.5),
    "effect": (0.0, 1.0),
    "sd_entry": (1.2, 1.0),
    "sd_rate": (-0.5, 1.0),
    "correlation": (0.0, 1.0),
    "sd_rating": (0.6, 1.0),
    "link": (0.0, 1.0),
    "hazard": (-4.0, 2.0),
}

#: Of which the likelihood analysis keeps what holds the covariance off its boundary (Chung 2013,
#: doi:10.1007/s11336-013-9328-2); without, one JETALS in forty ends at a correlation of one.
WEAK = {n: p if n in ("sd_entry", "sd_rate", "correlation") else (0.0, np.inf) for n, p in PRIOR.items()}


def joint_rate(trial: Trial) -> dict[str, Estimate]:
    """Difference of the mean rates of decline, deaths informing the rates [points/month]; above 0 is a benefit.

    The arm and the strata act on the rate, and on the hazard through the rate alone, so that a patient who dies after
    two visits counts as the fast decliner that early death suggests. Maximum likelihood, penalised by `WEAK`, of each
    active arm with control; Student's interval on the patients less the coefficients of the rate.

    Raises
    ------
    FitFailed
        If the likelihood has no maximum inside, as without any difference between patients' rates.
    """
    estimates = {}
    for label, arm in contrasts(trial):
        model = Joint.of(trial, arm, ratio=False, prior=WEAK, fewest=FEWEST)
        best, curve = maximum(model)
        se = float(np.sqrt(np.linalg.inv(curve)[model.effect, model.effect]))
        estimates[label] = wald(float(best[model.effect]), se, len(model.arm) - model.rates.shape[1] - 1)
    return estimates


def bayes_rate(trial: Trial, prior: dict[str, tuple[float, float]] | None = None) -> dict[str, Estimate]:
    """Posterior of the common relative slowing of decline and of death [fraction]; above 0 is a benefit.

    One ratio multiplies the mean rate of decline and the hazard of the active arm, the idea of HEALEY's disease rate
    ratio (Quintana 2023, doi:10.1002/ana.26714; that model's own priors and covariates are others); the slowing is one
    less the ratio. Patients scatter about their arm's rate alike in both arms, so that a difference in scatter is not
    taken for an effect. Normal priors on the scales of `PRIOR`, which leave the ratio between 0.14 and 7.1 (95 %). The
    marginal posterior of the log ratio is Laplace's approximation over all other parameters at each of its values
    (Tierney and Kadane 1986, doi:10.1080/01621459.1986.10478240).

    Parameters
    ----------
    trial : Trial
    prior : dict, optional
        Entries that replace those of `PRIOR`.

    Returns
    -------
    dict of str to Estimate
        Posterior mean, SD and central 95 % interval; P is twice the smaller posterior probability of benefit and harm.
    """
    for name, (mean, sd) in (prior or {}).items():
        if name not in PRIOR:
            raise UnknownName("entry of the prior", name, PRIOR)
        inside(f"prior mean of {name}", mean, "[-1000, 1000]")
        inside(f"prior SD of {name}", sd, "(0, 1000]")
    estimates = {}
    for label, arm in contrasts(trial):
        model = Joint.of(trial, arm, ratio=True, prior=PRIOR | (prior or {}))
        values, weights = posterior(model)
        slowing, below = 1 - np.exp(values), np.cumsum(weights) - weights / 2
        mean = float(weights @ slowing)
        high, low = (1 - np.exp(np.interp([0.025, 0.975], below, values))).tolist()
        tail = float(np.interp(0.0, values, below))
        sd = float(np.sqrt(weights @ (slowing - mean) ** 2))
        estimates[label] = Estimate(mean, sd, np.inf, 2 * min(tail, 1 - tail), low, high)
    return estimates


@dataclass(frozen=True, eq=False)
class Joint:
    """Data and parameters of one arm with control.

    Parameters are, in order: mean rating at entry; coefficients of the rate; effect; logs of the SDs of intercept and
    rate; arctanh of their correlation; log SD of a rating; log hazard ratio per unit of rate; log hazard of each piece.

    Attributes
    ----------
    sums : ndarray, shape (6, patients)
        Over the ratings of a patient: number, sum of t, t^2, y, ty, y^2, with t in months.
    rates : ndarray, shape (patients, coefficients)
        Covariates of the rate: one, and the centred strata.
    arm : ndarray, shape (patients,)
        One in the active arm.
    event : ndarray, shape (patients,)
    exposure : ndarray, shape (patients, pieces)
        Months in each piece of the hazard; no piece where deaths are left out.
    died_in : ndarray of int, shape (patients,)
        Piece of death.
    ratio : bool
        Whether the effect is the log ratio of rates and hazards, or a difference of rates.
    prior : ndarray, shape (2, parameters), or None
        Means and SDs.
    """

    sums: Array
    rates: Array
    arm: Array
    event: Array
    exposure: Array
    died_in: NDArray[np.int64]
    ratio: bool
    prior: Array | None = None

    @classmethod
    def of(
        cls,
        trial: Trial,
        arm: int,
        ratio: bool,
        prior: dict[str, tuple[float, float]] | None = None,
        fewest: int = 0,
    ) -> Joint:
        """Collect one active arm with control; deaths are left out where there are fewer than `fewest`."""
        mine = trial.part((trial.arm == arm) | (trial.arm == trial.design.control))
        months = np.concatenate([[0.0], np.array(trial.design.visits) * HOURS_PER_WEEK / HOURS_PER_MONTH])
        y = np.column_stack([mine.people["baseline_rating"], mine.rated])
        seen = np.isfinite(y)
        y = np.where(seen, y, 0.0)
        sums = np.stack(
            [(seen * t) @ s for t, s in ((1, months**0), (1, months), (1, months**2))]
            + [v @ s for v, s in ((y, months**0), (y, months), (y**2, months**0))]
        )
        columns = [np.ones(len(y))]
        for name in trial.design.strata:
            for level in np.unique(mine.people[name])[1:]:
                flag = (mine.people[name] == level).astype(float)
                columns.append(flag - flag.mean())
        event, time = mine.event.astype(float), mine.event_months
        deaths = int(event.sum())
        pieces = 0 if deaths < fewest else int(np.clip(deaths // 15, 1, 4))
        cuts = np.quantile(time[mine.event], np.arange(1, pieces) / pieces) if pieces > 1 else np.zeros(0)
        edges = np.concatenate([[0.0], cuts, [np.inf]]) if pieces else np.zeros(1)
        exposure = np.clip(time[:, None], edges[:-1], edges[1:]) - edges[:-1]
        died_in = np.searchsorted(cuts, time, side="left")
        model = cls(sums, np.column_stack(columns), (mine.arm == arm).astype(float), event, exposure, died_in, ratio)
        if prior is None:
            return model
        names = ["entry", "rate", *["stratum"] * (len(columns) - 1), "effect", "sd_entry", "sd_rate", "correlation"]
        names += ["sd_rating", *(["link"] if pieces else []), *["hazard"] * pieces]
        return cls(**(vars(model) | {"prior": np.array([prior[n] for n in names]).T}))

    @property
    def effect(self) -> int:
        """Index of the effect among the parameters."""
        return int(1 + self.rates.shape[1])

    def start(self) -> Array:
        """Parameters from the moments of the patients' own least-squares lines."""
        n, t, tt, y, ty, yy = self.sums
        if (n > 2).sum() <= self.rates.shape[1] + 3:
            raise FitFailed("too few patients were rated three times for a rate of each.")
        own = n > 1
        spread = np.where(own, tt - t**2 / n, 1.0)
        slope = np.where(own, (ty - t * y / n) / spread, np.nan)
        rest = np.where(n > 2, yy - y**2 / n - slope**2 * spread, np.nan) / np.maximum(n - 2, 1)
        noise = float(np.nanmean(rest))
        ready = np.isfinite(slope)
        z = np.column_stack([self.rates, self.arm])[ready]
        beta = np.linalg.lstsq(z, slope[ready], rcond=None)[0]
        rate = max(np.var(slope[ready] - z @ beta) - noise * float(np.mean(1 / spread[ready])), 0.05)
        entry = max(np.var((y - slope * t)[ready] / n[ready]) - noise / 3, 0.5)
        change = np.log(max(1 + beta[-1] / beta[0], 0.2)) if self.ratio else beta[-1]
        sds = 0.5 * np.log([entry, rate, max(noise, 0.05)])
        head = [float(np.mean((y - slope * t)[ready] / n[ready])), *beta[:-1], change, sds[0], sds[1], 0.0, sds[2]]
        died = np.bincount(self.died_in[self.event == 1], minlength=self.exposure.shape[1])
        hazard = np.log((died[: self.exposure.shape[1]] + 0.5) / (self.exposure.sum(axis=0) + 1))
        return np.array([*head, *([0.0] if len(hazard) else []), *hazard])

    def loglik(self, parameters: Array, nodes: int = NODES) -> Array:
        """Log-likelihood of each patient, shape (sets, patients), for sets of parameters, shape (sets, parameters)."""
        e = self.effect
        entry, effect = parameters[:, [0]], parameters[:, [e]]
        sd0, sd1, sd = (np.exp(parameters[:, [e + i]]) for i in (1, 2, 4))
        correlation = np.tanh(parameters[:, [e + 3]])
        base = parameters[:, 1:e] @ self.rates.T
        gain = effect * self.arm
        mean = base * np.exp(gain) if self.ratio else base + gain
        n, t, tt, y, ty, yy = self.sums
        # residuals about the mean line, and the precision of (intercept, rate) given the ratings
        r = y - n * entry - mean * t
        tr = ty - entry * t - mean * tt
        rr = yy - 2 * entry * y - 2 * mean * ty + n * entry**2 + 2 * entry * mean * t + mean**2 * tt
        left = 1 - correlation**2
        p00 = 1 / (sd0**2 * left) + n / sd**2
        p11 = 1 / (sd1**2 * left) + tt / sd**2
        p01 = -correlation / (sd0 * sd1 * left) + t / sd**2
        determinant = p00 * p11 - p01**2
        u0, u1 = r / sd**2, tr / sd**2
        quadratic = rr / sd**2 - (p11 * u0**2 - 2 * p01 * u0 * u1 + p00 * u1**2) / determinant
        total = -0.5 * (n * np.log(2 * np.pi * sd**2) + np.log(sd0**2 * sd1**2 * left * determinant) + quadratic)
        if not self.exposure.shape[1]:
            return np.asarray(total)
        middle, width = (p00 * u1 - p01 * u0) / determinant, np.sqrt(p00 / determinant)
        link, hazard = parameters[:, [e + 5]], parameters[:, e + 6 :]
        # the hazard hangs on the rate as it is, or on the rate before the common ratio acts on both
        ground = link * ((base if self.ratio else mean) - parameters[:, [1]] + middle) + (gain if self.ratio else 0)
        cumulated = np.exp(hazard) @ self.exposure.T
        points, weights = _nodes(nodes)
        log_rate = ground[..., None] + (link * width)[..., None] * points
        inner = np.exp(np.minimum(log_rate, 50))
        inner *= -cumulated[..., None]
        inner += self.event[:, None] * log_rate
        seen = np.log(np.exp(inner, out=inner) @ weights)
        return np.asarray(total + seen + self.event * hazard[:, self.died_in])

    def value(self, parameters: Array) -> Array:
        """Minus the log-likelihood and the log prior of each set of parameters, shape (sets,)."""
        total = self.loglik(parameters).sum(axis=1)
        if self.prior is not None:
            total = total - 0.5 * (((parameters - self.prior[0]) / self.prior[1]) ** 2).sum(axis=1)
        return np.asarray(-total)


@cache
def _nodes(count: int) -> tuple[Array, Array]:
    """Points and weights of Gauss and Hermite for a standard normal variable."""
    from numpy.polynomial.hermite_e import hermegauss

    points, weights = hermegauss(count)
    return points, weights / weights.sum()


def slopes_of(model: Joint, points: Array, step: float = 1e-4) -> tuple[Array, Array]:
    """Value and gradient at some points, by central differences, shapes (points,) and (points, parameters)."""
    count, size = points.shape
    moves = step * np.concatenate([np.zeros((1, size)), np.eye(size), -np.eye(size)])
    heights = model.value((points[:, None] + moves).reshape(-1, size)).reshape(count, -1)
    return heights[:, 0], (heights[:, 1 : size + 1] - heights[:, size + 1 :]) / (2 * step)


def curvature(model: Joint, point: Array, step: float = 2e-3) -> Array:
    """Second derivatives of the value at a point, by central differences."""
    size = len(point)
    i, j = np.triu_indices(size, 1)
    unit = step * np.eye(size)
    moves = np.concatenate([np.zeros((1, size)), unit, -unit, unit[i] + unit[j], -unit[i] - unit[j]])
    heights = model.value(point + moves)
    alone = heights[1 : size + 1] + heights[size + 1 : 2 * size + 1] - 2 * heights[0]
    both = heights[2 * size + 1 :].reshape(2, -1).sum(axis=0) - 2 * heights[0]
    matrix = np.diag(alone)
    matrix[i, j] = matrix[j, i] = (both - alone[i] - alone[j]) / 2
    return np.asarray(matrix / step**2)


def maximum(model: Joint) -> tuple[Array, Array]:
    """Parameters at the maximum, and the curvature there.

    Raises
    ------
    FitFailed
        If no inner maximum is found.
    """
    from scipy.optimize import minimize

    point = model.start()
    size, step = len(point), 1e-4
    moves = step * np.concatenate([np.eye(size), -np.eye(size)])
    each = model.loglik(point + moves)
    scores = (each[:size] - each[size:]) / (2 * step)
    guess = scores @ scores.T + 1e-3 * np.eye(size)
    if model.prior is not None:
        guess += np.diag(1 / model.prior[1] ** 2)

    def objective(x: Array) -> tuple[float, Array]:
        value, gradient = slopes_of(model, x[None])
        return float(value[0]), gradient[0]

    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        inverse = np.linalg.inv(guess)
        options: Any = {"hess_inv0": (inverse + inverse.T) / 2, "gtol": 1e-3}
        point = minimize(objective, point, jac=True, method="BFGS", options=options).x
        for _ in range(6):
            curve = curvature(model, point)
            if not np.isfinite(curve).all() or np.linalg.eigvalsh(curve).min() <= 0:
                break
            gradient = slopes_of(model, point[None])[1][0]
            move = np.linalg.solve(curve, gradient)
            if gradient @ move < 1e-8:
                return point, curve
            point = point - move
    raise FitFailed("the joint model has no inner maximum; rates may not differ, or too few patients were seen.")


def posterior(model: Joint, reach: float = 4.0, steps: int = 4) -> tuple[Array, Array]:
    """Values of the effect and their posterior weights, which add to one.

    From the mode outward, each value of a coarse grid has the other parameters at their conditional mode; the log
    density there, less half the log determinant of their curvature, is joined by a spline.

    Raises
    ------
    FitFailed
        If a conditional mode within the grid is not found.
    """
    from scipy.interpolate import CubicSpline

    mode, curve = maximum(model)
    e, rest = model.effect, np.delete(np.arange(len(mode)), model.effect)
    gap = reach / steps * float(np.sqrt(np.linalg.inv(curve)[e, e]))

    def density(point: Array, bend: Array) -> float:
        sign, logdet = np.linalg.slogdet(bend[np.ix_(rest, rest)])
        return float(-model.value(point[None])[0] - 0.5 * logdet) if sign > 0 else float("nan")

    logs = {0.0: density(mode, curve)}
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        for direction in (-gap, gap):
            point, bend = mode, curve
            for k in range(1, steps + 1):
                inner = np.linalg.inv(bend[np.ix_(rest, rest)])
                point = point.copy()
                point[e] += direction
                point[rest] -= direction * inner @ bend[rest, e]
                for _ in range(4):
                    point[rest] -= inner @ slopes_of(model, point[None])[1][0, rest]
                bend = curvature(model, point)
                logs[k * direction] = density(point, bend)
    places = np.array(sorted(logs))
    height = np.array([logs[k] for k in places]) - logs[0.0]
    if not np.isfinite(height).all() or height.max() > 3:
        raise FitFailed("the posterior of the joint model could not be followed to its tails.")
    fine = np.linspace(places[0], places[-1], 801)
    weights = np.exp(CubicSpline(places, height)(fine))
    return mode[e] + fine, weights / weights.sum()
