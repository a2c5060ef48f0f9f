"""Mixed model for repeated measures: restricted maximum likelihood, unstructured covariance, small-sample tests.

No well-kept Python package fits this model (statsmodels' mixed models have no unstructured covariance), so it is
fitted here from the sums of products of each missingness pattern, so that the cost of a fit does not grow with the
number of patients. A covariance element enters at one or two places of the matrix only, which turns every trace of the
information matrix into products of single entries: ten visits cost a fifth of a second. Formulas: Kenward and Roger
1997 (doi:10.2307/2533558) with the covariance elements as parameters, so that its second derivatives vanish; the
covariance of those elements is the inverse of the observed information, as in SAS PROC MIXED and R ``mmrm``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike, NDArray

from metabolism.errors import FitFailed, InvalidValue
from metabolism.types import Array

Flags = NDArray[np.bool_]

#: Largest accepted Newton decrement: expected gain of log-likelihood of one further step.
TOLERANCE = 1e-14

METHODS = ("kenward-roger", "satterthwaite")


@dataclass(frozen=True, eq=False)
class Moments:
    """Sums of products of each missingness pattern: all that the likelihood needs.

    Attributes
    ----------
    observed : ndarray of bool, shape (patterns, visits)
    count : ndarray of numbers of patients, shape (patterns,)
    zz : ndarray, shape (patterns, covariates, covariates)
    zy : ndarray, shape (patterns, covariates, visits)
        Zero where a visit is missing.
    yy : ndarray, shape (patterns, visits, visits)
    """

    observed: Flags
    count: Array
    zz: Array
    zy: Array
    yy: Array

    @classmethod
    def of(cls, y: ArrayLike, covariates: ArrayLike) -> Moments:
        """Collect the sums from data.

        Parameters
        ----------
        y : array_like, shape (patients, visits)
            Response; NaN where a visit is missing. Patients without any visit do not count.
        covariates : array_like, shape (patients, covariates)
        """
        values, z = np.asarray(y, dtype=float), np.asarray(covariates, dtype=float)
        if values.ndim != 2 or z.ndim != 2 or len(values) != len(z):
            raise InvalidValue(f"response {values.shape} and covariates {z.shape} must have one row per patient.")
        if not np.isfinite(z).all():
            raise InvalidValue("a covariate is missing or not finite; leave such patients out.")
        if np.isinf(values).any():
            raise InvalidValue("a response is infinite; NaN stands for a missing visit.")
        seen = np.isfinite(values)
        keep = seen.any(axis=1)
        if not keep.any():
            raise FitFailed("no patient has a response; there is nothing to fit.")
        values, z, seen = values[keep], z[keep], seen[keep]
        patterns, label = np.unique(seen, axis=0, return_inverse=True)
        filled = np.where(seen, values, 0.0)
        groups = [np.flatnonzero(label.ravel() == i) for i in range(len(patterns))]
        zz, zy, yy = (np.array([a[g].T @ b[g] for g in groups]) for a, b in ((z, z), (z, filled), (filled, filled)))
        return cls(patterns, np.array([float(len(g)) for g in groups]), zz, zy, yy)


@dataclass(frozen=True)
class Estimate:
    """One contrast: value, standard error, degrees of freedom, two-sided P and 95 % interval."""

    value: float
    se: float
    df: float
    p: float
    low: float
    high: float


@dataclass(frozen=True, eq=False)
class Fit:
    """A fitted model.

    Attributes
    ----------
    beta : ndarray, shape (coefficients,)
        Coefficients; `place` says which belongs to which covariate and visit.
    place : ndarray of int, shape (visits, covariates)
    sigma : ndarray, shape (visits, visits)
        Covariance between visits.
    vcov : ndarray, shape (coefficients, coefficients)
        Model-based covariance of `beta`, before any small-sample correction.
    loglik : float
        Restricted log-likelihood.
    iterations : int
    """

    beta: Array
    place: NDArray[np.int64]
    sigma: Array
    vcov: Array
    loglik: float
    iterations: int
    parts: _Parts
    back: Array | None = None  # from the coefficients that `parts` speaks of to `beta`

    def vector(self, weights: dict[tuple[int, int], float]) -> Array:
        """Return a contrast from ``{(visit, covariate): weight}``."""
        contrast = np.zeros(len(self.beta))
        for (visit, covariate), weight in weights.items():
            contrast[self.place[visit, covariate]] += weight
        return contrast

    @cached_property
    def adjusted(self) -> Array:
        """Covariance of `beta` after Kenward and Roger's correction."""
        part, phi = self.parts, self.parts.phi
        w = np.linalg.inv(part.hessian)
        mixed = np.einsum("ij,jcd->icd", w, part.p)
        inner = part.second(np.asarray(w, dtype=float)) - (part.p @ phi @ mixed).sum(axis=0)
        whole = phi + 2 * phi @ inner @ phi
        return np.asarray(whole if self.back is None else self.back @ whole @ self.back.T)

    def contrast(self, vector: ArrayLike, method: str = "kenward-roger") -> Estimate:
        """Test one linear combination of the coefficients.

        Parameters
        ----------
        vector : array_like, shape (coefficients,)
        method : {"kenward-roger", "satterthwaite"}
        """
        from scipy.stats import t as student

        if method not in METHODS:
            raise InvalidValue(f"method '{method}' must be one of {', '.join(METHODS)}.")
        line = np.asarray(vector, dtype=float)
        own = line if self.back is None else self.back.T @ line
        spread = self.parts.phi @ own
        slope, model_variance = -(self.parts.p @ spread) @ spread, own @ spread
        # for one contrast Kenward and Roger's degrees of freedom equal Satterthwaite's
        df = float(2 * model_variance**2 / (slope @ np.linalg.solve(self.parts.hessian, slope)))
        variance = line @ self.adjusted @ line if method == "kenward-roger" else model_variance
        if not (variance > 0 and df > 0):
            raise FitFailed("the contrast has no positive variance; there are too few patients for this model.")
        value, se = float(line @ self.beta), float(np.sqrt(variance))
        half = float(student.ppf(0.975, df)) * se
        return Estimate(value, se, df, float(2 * student.sf(abs(value) / se, df)), value - half, value + half)


@dataclass(frozen=True, eq=False)
class _Parts:
    """Likelihood and its derivatives at one covariance."""

    loglik: float
    beta: Array
    phi: Array
    gradient: Array
    hessian: Array  # observed information, minus the second derivative
    expected: Array  # expected information
    p: Array
    second: Callable[[Array], Array]  # sum over k, l of weight_kl X'W E_k W E_l W X


def fit(y: ArrayLike, covariates: ArrayLike, by_visit: ArrayLike) -> Fit:
    """Fit the mixed model for repeated measures by restricted maximum likelihood.

    Parameters
    ----------
    y : array_like, shape (patients, visits)
        Response; NaN where a visit is missing (at random).
    covariates : array_like, shape (patients, covariates)
        Values that do not change between visits; include a column of ones.
    by_visit : array_like of bool, shape (covariates,)
        Whether a covariate has one coefficient for each visit or one for all.

    Returns
    -------
    Fit

    Raises
    ------
    FitFailed
        If covariates are collinear, a pair of visits is never seen together, the response does not vary beyond what
        they explain or two visits repeat each other, or the search does not converge.
    """
    moments, flags, z = Moments.of(y, covariates), np.asarray(by_visit, dtype=bool), np.asarray(covariates, dtype=float)
    varies = np.ptp(z, axis=0) > 0
    constant = np.flatnonzero(~varies & (z[0] != 0))
    if not len(constant) or len(flags) != z.shape[1]:
        return fit_moments(moments, flags)
    # sums of squares far from 0 would drown the residuals: the intercept takes the means, and gives them back
    one, values = int(constant[0]), np.asarray(y, dtype=float)
    middle = np.where(varies & (flags[one] | ~flags), z.mean(axis=0), 0.0)
    scale = np.where(varies, z.std(axis=0) + ~varies, 1.0)
    shift = float(np.mean(values[np.isfinite(values)]))
    found = fit_moments(Moments.of(values - shift, (z - middle) / scale), flags)
    back = np.eye(len(found.beta))
    for j in np.flatnonzero(varies):
        back[found.place[:, j], found.place[:, j]] = 1 / scale[j]
        back[found.place[:, one], found.place[:, j]] = -middle[j] / scale[j] / z[0, one]
    beta, loglik = back @ found.beta, found.loglik + float(np.linalg.slogdet(back)[1])
    beta[np.unique(found.place[:, one])] += shift / z[0, one]
    return replace(found, beta=beta, vcov=back @ found.vcov @ back.T, loglik=loglik, back=back)


def fit_moments(moments: Moments, by_visit: ArrayLike, limit: int = 60) -> Fit:
    """Fit from sums of products; see `fit`."""
    flags = np.asarray(by_visit, dtype=bool)
    visits, covariates = moments.observed.shape[1], moments.zz.shape[1]
    if flags.shape != (covariates,):
        raise InvalidValue(f"by_visit has {flags.size} entries for {covariates} covariates.")
    place = np.empty((visits, covariates), dtype=np.int64)
    size = 0
    for j, each in enumerate(flags.tolist()):
        place[:, j] = size + np.arange(visits) if each else size
        size += visits if each else 1
    select = np.zeros((visits * covariates, size))
    select[np.arange(visits * covariates), place.ravel()] = 1.0
    return maximise(moments, select, place, limit=limit)


def maximise(
    moments: Moments, select: Array, place: NDArray[np.int64], sigma: Array | None = None, limit: int = 60
) -> Fit:
    """Fit with any linear map from coefficients to the effects of covariates at visits.

    Parameters
    ----------
    moments : Moments
    select : ndarray, shape (visits * covariates, coefficients)
        Its product with the coefficients is the effect of each covariate at each visit, visit by visit.
    place : ndarray of int, shape (visits, covariates)
        Kept in the `Fit`.
    sigma : ndarray, shape (visits, visits), optional
        Where the search for the covariance begins.
    """
    visits = moments.observed.shape[1]
    together = moments.observed.astype(float).T @ (moments.count[:, None] * moments.observed)
    if (together < 2).any():
        raise FitFailed("some pair of visits was seen together in fewer than two patients.")
    rows, columns = np.triu_indices(visits)

    def matrix(elements: Array) -> Array:
        full = np.zeros((visits, visits))
        full[rows, columns] = full[columns, rows] = elements
        return full

    sigma = _start(moments, together) if sigma is None else sigma
    part = _evaluate(moments, sigma, select)
    for iteration in range(1, limit + 1):
        steps = [h for h in (part.hessian, part.expected) if _positive(h)]
        if not steps:
            raise FitFailed("the information matrix is not positive; there are too few patients for this model.")
        move = np.linalg.solve(steps[0], part.gradient)
        if part.gradient @ move < TOLERANCE and steps[0] is part.hessian:
            return Fit(part.beta, place, sigma, part.phi, part.loglik, iteration, part)
        for halving in range(30):
            trial = sigma + matrix(np.asarray(move, dtype=float)) / 2**halving
            if _positive(trial):
                new = _evaluate(moments, trial, select)
                if new.loglik >= part.loglik - 1e-12 * abs(part.loglik):
                    break
        else:
            raise FitFailed("the likelihood could not be raised further; the covariance is near a boundary.")
        sigma, part = trial, new
    raise FitFailed(f"no convergence within {limit} iterations.")


def _positive(matrix: Array) -> bool:
    try:
        np.linalg.cholesky(matrix)
    except np.linalg.LinAlgError:
        return False
    return True


def _start(moments: Moments, together: Array) -> Array:
    """Start from residuals about ordinary least squares per visit, correlations drawn in a little."""
    zz = np.einsum("pt,pab->tab", moments.observed, moments.zz)
    zy = moments.zy.sum(axis=0).T
    if any(np.linalg.matrix_rank(m) < len(m) for m in zz):
        raise FitFailed("the covariates are collinear at some visit; an arm or a stratum may be empty.")
    b = np.linalg.solve(zz, zy[:, :, None])[:, :, 0]
    left = residuals(moments, b)
    sums = left.sum(axis=0)
    raw = sums / together
    total = np.diagonal(moments.yy.sum(axis=0) / together)
    if (np.diag(raw) <= 1e-14 * total).any():
        raise FitFailed("the response of some visit does not vary beyond what the covariates explain: it has no error.")
    scale = np.sqrt(np.diag(raw))
    # over the patients seen at both: the ratio to all squares of a visit may pass one without the two being alike
    shared = np.einsum("pt,pss->st", moments.observed, left)
    if (np.abs(sums) * ~np.eye(len(sums), dtype=bool) > (1 - 1e-12) * np.sqrt(shared * shared.T)).any():
        raise FitFailed("two visits hold the same responses, or multiples; leave one of them out.")
    correlation = np.clip(raw / np.outer(scale, scale), -1, 1) * 0.95
    np.fill_diagonal(correlation, 1.0)
    start = correlation * np.outer(scale, scale)
    return np.asarray(start if _positive(start) else np.diag(scale**2))


def residuals(moments: Moments, b: Array) -> Array:
    """Sums of products of residuals of each pattern, shape (patterns, visits, visits).

    Parameters
    ----------
    moments : Moments
    b : ndarray, shape (visits, covariates)
        Effect of each covariate at each visit.
    """
    cross = np.einsum("ta,pas->pts", b, moments.zy)
    seen = moments.observed[:, :, None] & moments.observed[:, None, :]
    full = moments.yy - cross - cross.transpose(0, 2, 1) + np.einsum("ta,pab,sb->pts", b, moments.zz, b)
    return np.where(seen, full, 0.0)


@np.errstate(over="ignore", invalid="ignore")  # a covariance all but singular overflows, and is refused
def _evaluate(moments: Moments, sigma: Array, select: Array) -> _Parts:
    """Likelihood and derivatives by the elements of the upper triangle of sigma, row by row.

    With E_k the 0-1 matrix of element k and ordered index pairs (r, c) of its entries, ``tr(E_k W E_l H)`` is a sum of
    ``W[c, x] H[y, r]`` over the pairs of both: one product of the flattened W and H, then sums of at most four entries.
    """
    visits = len(sigma)
    rows, columns = np.triu_indices(visits)
    double = np.where(rows == columns, 1.0, 2.0)
    seen = moments.observed[:, :, None] & moments.observed[:, None, :]
    padded = np.where(seen, sigma, 0.0) + np.einsum("pt,ts->pts", ~moments.observed, np.eye(visits))
    w = np.where(seen, np.linalg.inv(padded), 0.0)
    logdet = float(moments.count @ np.linalg.slogdet(padded)[1])
    flat_zz = moments.zz.reshape(len(w), -1)

    def project(weights: Array) -> Array:
        """X' (weights) X for weights of shape (..., patterns, visits, visits)."""
        shape = weights.shape[:-3]
        full = np.moveaxis(weights, -3, -1) @ flat_zz
        full = full.reshape(*shape, visits, visits, *moments.zz.shape[1:]).swapaxes(-3, -2)
        return np.asarray(select.T @ full.reshape(*shape, len(select), len(select)) @ select)

    def traces(middle: Array) -> Array:
        """Sum over patterns of tr(E_k W E_l H), shape (elements, elements)."""
        pairs = w.reshape(len(w), -1).T @ middle.reshape(len(w), -1)
        pairs = pairs.reshape(visits, visits, visits, visits)  # W's c, x and H's y, r
        total = np.zeros((len(rows), len(rows)))
        for r, c in ((rows, columns), (columns, rows)):
            for x, y in ((rows, columns), (columns, rows)):
                total += pairs[c[:, None], x, y, r[:, None]]
        # a diagonal element has one entry, which the loop met twice
        return np.asarray(total * np.outer(double, double) / 4)

    information = project(w)
    if not _positive(information):
        raise FitFailed("the coefficients cannot all be estimated; the covariates are collinear.")
    phi = np.asarray(np.linalg.inv(information), dtype=float)
    beta = np.asarray(phi @ (select.T @ np.einsum("pts,pas->ta", w, moments.zy).ravel()), dtype=float)
    shape = (visits, moments.zz.shape[1])
    b = (select @ beta).reshape(shape)
    residual = residuals(moments, b)
    zr = moments.zy - np.einsum("pab,tb->pat", moments.zz, b)
    # W E_k W, shape (elements, patterns, visits, visits)
    left, right = (np.moveaxis(w[:, :, i], 2, 0) for i in (rows, columns))
    outer = left[..., :, None] * right[..., None, :]
    wew = (outer + outer.swapaxes(-1, -2)) * (double / 2)[:, None, None, None]
    p = -project(wew)

    by_place = (select @ phi @ select.T).reshape(*shape, *shape)  # between effects of two visits and covariates
    leverage = w @ np.einsum("pab,tasb->pts", moments.zz, by_place) @ w
    wrw = w @ residual @ w
    quadratic = float(np.einsum("pts,pts->", w, residual))
    total = float(moments.count @ moments.observed.sum(axis=1))
    loglik = -0.5 * (
        logdet + float(np.linalg.slogdet(information)[1]) + quadratic + (total - len(beta)) * np.log(2 * np.pi)
    )
    counted = moments.count[:, None, None] * w
    gradient = -0.5 * double * (counted - leverage - wrw).sum(axis=0)[rows, columns]
    g = np.einsum("kpts,pas->kta", wew, zr, optimize=True).reshape(len(rows), -1) @ select
    phi_p = phi @ p
    phi_pp = phi_p.reshape(len(rows), -1) @ phi_p.swapaxes(1, 2).reshape(len(rows), -1).T
    curve, expected = traces(-counted + 2 * leverage + 2 * wrw), traces(counted - 2 * leverage)
    hessian = 0.5 * ((curve + curve.T) / 2 - phi_pp - 2 * g @ phi @ g.T)

    def second(weights: Array) -> Array:
        full = np.zeros((visits,) * 4)
        for r, c in ((rows, columns), (columns, rows)):
            for x, y in ((rows, columns), (columns, rows)):
                full[r[:, None], c[:, None], x, y] = weights
        return project(w @ np.einsum("rcxy,pcx->pry", full, w, optimize=True) @ w)

    return _Parts(loglik, beta, phi, gradient, hessian, 0.5 * ((expected + expected.T) / 2 + phi_pp), p, second)
