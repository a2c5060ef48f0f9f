"""Stopping boundaries of group-sequential trials, by numerical integration of the score process.

Between looks the score statistic ``S(t) = Z sqrt(t)`` is a Brownian motion with drift, at information fraction t
(Jennison and Turnbull 2000, chapter 19): the density of trials that have not stopped is carried from look to look on a
Gauss-Legendre grid. Tests hold all boundaries against R ``rpact`` and against a multivariate normal.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache

import numpy as np

from metabolism.errors import InvalidValue, UnknownName
from metabolism.trials.limits import inside
from metabolism.types import Array

#: Points of the grid, and its reach in standard deviations.
POINTS, REACH = 160, 9.0


#: Cumulative error spent at an information fraction t in (0, 1] (Lan and DeMets 1983), from the total a.
SPENDING: dict[str, Callable[[float, float], float]] = {
    "lan-demets-obrien-fleming": lambda a, t: float(2 * _sf(_isf(a / 2) / np.sqrt(t))),
    "lan-demets-pocock": lambda a, t: float(a * np.log1p(np.expm1(1) * t)),
}


#: Boundaries of one constant c: the z at look k as a multiple of c, from its fraction t; and Haybittle-Peto's z of 3.
_SHAPES = {"obrien-fleming": -0.5, "pocock": 0.0}


EFFICACY = (*_SHAPES, *SPENDING, "haybittle-peto", "none")


def _sf(z: float | Array) -> Array:
    from scipy.special import ndtr

    return np.asarray(ndtr(-np.asarray(z)))


def _isf(p: float) -> float:
    from scipy.special import ndtri

    return -float(ndtri(p))


@lru_cache(maxsize=1)
def _nodes() -> tuple[Array, Array]:
    return np.polynomial.legendre.leggauss(POINTS)


class _Walk:
    """Trials that go on: points of the score and the mass at them, at information fraction `t`."""

    def __init__(self, drift: float) -> None:
        self.drift, self.t = drift, 0.0
        self.points, self.mass = np.zeros(1), np.ones(1)

    def beyond(self, z: float, t: float) -> float:
        """Probability to go on until `t` and to be above `z` there."""
        if not np.isfinite(z):
            return 0.0 if z > 0 else float(self.mass.sum())
        span = t - self.t
        return float(self.mass @ _sf((z * np.sqrt(t) - self.points - self.drift * span) / np.sqrt(span)))

    def advance(self, low: float, high: float, t: float) -> None:
        """Go on to `t`, unless it is the end, where z lies between `low` and `high`."""
        if t >= 1:
            return
        span, root = t - self.t, np.sqrt(t)
        left, right = (
            float(np.clip(z * root, self.drift * t - REACH * root, self.drift * t + REACH * root)) for z in (low, high)
        )
        x, weight = _nodes()
        points = left + (right - left) * (x + 1) / 2
        step = (points[:, None] - self.points - self.drift * span) / np.sqrt(span)
        density = np.exp(-(step**2) / 2) / np.sqrt(2 * np.pi * span)
        self.mass = (density @ self.mass) * weight * (right - left) / 2
        self.points, self.t = points, t


def crossing(
    fractions: Iterable[float], upper: Iterable[float], lower: Iterable[float], drift: float = 0.0
) -> tuple[Array, Array]:
    """Probabilities to stop at each look, above for efficacy and below for futility.

    Parameters
    ----------
    fractions : iterable of float, shape (looks,)
        Rising information fractions; the last is 1.
    upper, lower : iterable of float, shape (looks,)
        Boundaries [z]; infinite where there is none.
    drift : float
        Expected z at the end, of a trial without looks.

    Returns
    -------
    above, below : ndarray, shape (looks,)

    Examples
    --------
    One look in the middle at 5 % spends more than 5 %:

    >>> above, below = crossing([0.5, 1.0], [1.96, 1.96], [-np.inf, -np.inf])
    >>> round(float(above.sum()), 4)
    0.0416
    """
    walk, above, below = _Walk(drift), [], []
    for t, high, low in zip(fractions, upper, lower, strict=True):
        above.append(walk.beyond(high, t))
        below.append(float(walk.mass.sum()) - walk.beyond(low, t))
        walk.advance(low, high, t)
    return np.array(above), np.array(below)


@lru_cache(maxsize=64)
def efficacy_bounds(fractions: tuple[float, ...], kind: str, alpha: float = 0.025) -> tuple[float, ...]:
    """Boundaries at which a trial stops with benefit shown, one-sided [z].

    Parameters
    ----------
    fractions : tuple of float, shape (looks,)
        Rising information fractions; the last is 1.
    kind : str
        ``obrien-fleming`` and ``pocock`` (boundaries of one constant, O'Brien and Fleming 1979, Pocock 1977); the
        spending functions of `SPENDING`; ``haybittle-peto``, z = 3 before the end; ``none``, no stop before the end.
    alpha : float
        One-sided level of the whole trial.

    Raises
    ------
    UnknownName
        For another kind.
    InvalidValue
        If the fractions do not rise to 1, or the level is used up before the end.

    Examples
    --------
    >>> [round(z, 3) for z in efficacy_bounds((0.5, 1.0), "obrien-fleming")]
    [2.797, 1.977]
    >>> [round(z, 3) for z in efficacy_bounds((0.5, 1.0), "pocock")]
    [2.178, 2.178]
    """
    from scipy.optimize import brentq

    if kind not in EFFICACY:
        raise UnknownName("efficacy boundary", kind, EFFICACY)
    inside("alpha", alpha, "(0, 0.5), one-sided")
    t = np.array(fractions)
    if not (len(t) and t[0] > 0 and (np.diff(t) > 0).all() and t[-1] == 1):
        raise InvalidValue(f"looks at {list(fractions)} must rise from above 0 to 1, the end of the trial.")
    open_end = [-np.inf] * len(t)
    if kind in _SHAPES:
        shape = t ** _SHAPES[kind]
        c = brentq(lambda c: crossing(t, c * shape, open_end)[0].sum() - alpha, 0.5, 12, xtol=1e-12)
        return tuple(float(z) for z in c * shape)
    if kind in SPENDING:
        return _spent(t, [SPENDING[kind](alpha, f) for f in t], 0.0, None)
    early = [3.0 if kind == "haybittle-peto" else np.inf] * (len(t) - 1)
    if crossing(t, [*early, np.inf], open_end)[0].sum() >= alpha:
        raise InvalidValue(f"{len(early)} interim looks at z = 3 use up the level of {alpha:g}; take fewer.")
    last = brentq(lambda z: crossing(t, [*early, z], open_end)[0].sum() - alpha, 0, 12, xtol=1e-12)
    return (*early, float(last))


def _spent(t: Array, total: Sequence[float], drift: float, upper: Sequence[float] | None) -> tuple[float, ...]:
    """Boundaries that spend a cumulative error: above without `upper`, below with it."""
    from scipy.optimize import brentq

    walk, found, before = _Walk(drift), [], 0.0
    for k, (f, now) in enumerate(zip(t, total, strict=True)):
        spend, mean, alive = now - before, drift * np.sqrt(f), float(walk.mass.sum())

        def excess(z: float, f: float = f, spend: float = spend, alive: float = alive) -> float:
            above = walk.beyond(z, f)
            return (spend - above) if upper is None else alive - above - spend

        # an error too small to spend early leaves no boundary there; more than is left, nothing above it
        low, high = mean - REACH, mean + REACH
        z = -np.inf if excess(low) >= 0 else np.inf if excess(high) <= 0 else brentq(excess, low, high, xtol=1e-12)
        found.append(float(z))
        walk.advance(*((-np.inf, z) if upper is None else (z, max(upper[k], z))), f)
        before = now
    return tuple(found)


@lru_cache(maxsize=64)
def futility_bounds(
    fractions: tuple[float, ...], upper: tuple[float, ...], kind: str, beta: float = 0.2
) -> tuple[float, ...]:
    """Non-binding boundaries below which a trial stops for futility, by spending the error of the second kind [z].

    The drift is the one at which, with both boundaries, the last of both meet and the power is 1 - beta (Pampallona,
    Tsiatis and Kim 2001, doi:10.1177/009286150103500408). Efficacy boundaries stay valid if futility is ignored.

    Parameters
    ----------
    fractions, upper : tuple of float, shape (looks,)
        Of `efficacy_bounds`.
    kind : str
        One of `SPENDING`.
    beta : float
        1 - power.

    Raises
    ------
    UnknownName
        For another kind.

    Examples
    --------
    >>> upper = efficacy_bounds((0.5, 1.0), "lan-demets-obrien-fleming")
    >>> [round(z, 3) for z in futility_bounds((0.5, 1.0), upper, "lan-demets-obrien-fleming")]
    [0.559, 1.969]
    """
    from scipy.optimize import brentq

    if kind not in SPENDING:
        raise UnknownName("futility boundary", kind, SPENDING, "Or give one z for each look before the end.")
    inside("beta", beta, "(0, 1)")
    t = np.array(fractions)
    total = [SPENDING[kind](beta, f) for f in t]

    drift = brentq(lambda d: np.clip(_spent(t, total, d, upper)[-1] - upper[-1], -9, 9), 0.1, 12, xtol=1e-12)
    return (*_spent(t, total, float(drift), upper)[:-1], upper[-1])


def simes(first: Array, second: Array) -> Array:
    """One-sided z of the intersection of two hypotheses, from the z of each."""
    from scipy.special import ndtri

    low, high = np.minimum(first, second), np.maximum(first, second)
    return np.asarray(np.maximum(low, -ndtri(np.minimum(2 * _sf(high), 1 - 1e-12))))


def closed_test(first: Array, second: Array, share: float, narrowed: Array) -> Array:
    """Test everybody and a part of them after a look chose whom to recruit: the level holds whatever it chose.

    Each hypothesis, and their intersection (Simes 1986, doi:10.1093/biomet/73.3.751), has to be rejected by the inverse
    normal combination of two stages: patients randomised before and after the look, each followed to the end. Their
    planned weights keep the second stage independent of the choice (Jenkins, Stone and Jennison 2011,
    doi:10.1002/pst.472).

    Parameters
    ----------
    first, second : ndarray, shape (2, ...)
        z of everybody and of the part among patients of the first and of the second stage. Where the trial narrowed,
        the second of everybody is not used.
    share : float
        Planned weight of the first stage.
    narrowed : ndarray of bool, shape (...)

    Returns
    -------
    ndarray, shape (2, ...)
        Combined z of everybody and of the part, no larger than that of their intersection. Compare with the one-sided
        quantile of the level: 1.96 for 0.025.

    Examples
    --------
    >>> one = np.array([2.0, 2.0])
    >>> closed_test(one, one, 0.5, np.array(False)).round(3).tolist()
    [2.828, 2.828]
    >>> closed_test(one, one, 0.5, np.array(True)).round(3).tolist()
    [-inf, 2.828]
    """

    def combined(a: Array, b: Array) -> Array:
        return np.asarray(np.sqrt(share) * a + np.sqrt(1 - share) * b)

    both = combined(simes(*first), np.where(narrowed, second[1], simes(*second)))
    everybody = np.where(narrowed, -np.inf, combined(first[0], second[0]))
    return np.asarray(np.minimum(np.stack([everybody, combined(first[1], second[1])]), both))
