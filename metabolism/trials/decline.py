"""Proportional model for repeated measures: one relative reduction of the decline, the same at every visit."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from metabolism.errors import FitFailed
from metabolism.trials.linear import accept_dead, contrasts, covariates
from metabolism.trials.mmrm import Estimate, Fit, Moments, fit_moments, maximise, residuals
from metabolism.types import Array

if TYPE_CHECKING:
    from metabolism.trials.trial import Trial


def proportional(trial: Trial) -> dict[str, Estimate]:
    """Relative reduction of the decline in each active arm [fraction]; above 0 is a benefit.

    The mean change of an active arm is that of control times one less the reduction, at every visit; baseline (by
    visit) and strata add to it and the covariance is unstructured, as in `mixed_model`. This is the proportional
    decline model of Raket 2022 (doi:10.1002/sim.9581) and, with categorical time, of Wang 2018
    (doi:10.1002/sim.7812). Data count as missing at random: the estimand is hypothetical.

    Raises
    ------
    InvalidValue
        If many died and the design does not state the hypothetical estimand; see `accept_dead`.
    """
    accept_dead(trial, "hypothetical")
    change = trial.change
    members = np.asarray(np.isfinite(change).any(axis=1))
    z, by_visit, place = covariates(trial, members)
    model, first = fit_proportional(Moments.of(change[members], z), by_visit, list(place.values()))
    line = np.eye(len(model.beta))
    return {label: model.contrast(line[first + i]) for i, (label, _) in enumerate(contrasts(trial))}


def fit_proportional(moments: Moments, by_visit: list[bool], arms: list[int]) -> tuple[Fit, int]:
    """Fit by restricted maximum likelihood of the linearised model, iterated to its fixed point.

    At a reduction r and control changes a, the effect of an arm at visit j is ``-r a_j``; its linear expansion in (a,
    r) is fitted to the response less ``r a_j``, and so on until nothing moves (Lindstrom and Bates 1990,
    doi:10.2307/2532087).

    Parameters
    ----------
    moments : Moments
    by_visit : list of bool
        As in `fit`; covariate 0 is the intercept, the change of control.
    arms : list of int
        Covariates that flag active arms.

    Returns
    -------
    model : Fit
        Of the linearised model at the fixed point; `place` of an arm is its reduction.
    first : int
        Index of the first arm's reduction among the coefficients.

    Raises
    ------
    FitFailed
        If no fixed point is found, as where control hardly changes.
    """
    visits, size = moments.observed.shape[1], moments.zz.shape[1]
    others = [j for j in range(size) if j not in arms]
    place = np.empty((visits, size), dtype=np.int64)
    count = 0
    for j in others:
        place[:, j] = count + np.arange(visits) if by_visit[j] else count
        count += visits if by_visit[j] else 1
    place[:, arms] = count + np.arange(len(arms))
    plain = fit_moments(moments, by_visit)
    control, effects = plain.beta[plain.place[:, 0]], plain.beta[plain.place[:, arms]]
    reduction, sigma = -(control @ effects) / (control @ control), plain.sigma
    for _ in range(100):
        model = maximise(*_linearised(moments, place, arms, control, reduction), place, sigma)
        moved = np.abs(model.beta[count:] - reduction).max() + np.abs(model.beta[:visits] / control - 1).max()
        control, reduction, sigma = model.beta[:visits], model.beta[count:], model.sigma
        if moved < 1e-9:
            return model, count
    raise FitFailed("the proportional model did not converge; control may change too little to be reduced.")


def _linearised(
    moments: Moments, place: NDArray[np.int64], arms: list[int], control: Array, reduction: Array
) -> tuple[Moments, Array]:
    """Moments of the response less the constant of the expansion, and the map from coefficients to effects."""
    visits, size = place.shape
    select = np.zeros((visits, size, place.max() + 1))
    every = np.arange(visits)
    for j in range(size):
        select[every, j, place[:, j]] = 1.0 if j not in arms else -control
    select[every[:, None], arms, every[:, None]] = -reduction
    offset = np.zeros((visits, size))
    offset[:, arms] = control[:, None] * reduction
    seen = moments.observed[:, None, :]
    moved = np.where(seen, moments.zy - np.einsum("pab,tb->pat", moments.zz, offset), 0.0)
    shifted = Moments(moments.observed, moments.count, moments.zz, moved, residuals(moments, offset))
    return shifted, select.reshape(visits * size, -1)
