"""Comparisons of pairs of patients, death before function: joint ranking (CAFS), win ratio and net benefit."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from metabolism.errors import FitFailed
from metabolism.trials.linear import contrasts, linear, wald
from metabolism.trials.mmrm import Estimate
from metabolism.types import Array

if TYPE_CHECKING:
    from metabolism.trials.trial import Trial


def comparisons(trial: Trial) -> Array:
    """Compare all pairs: 1 where the patient of the row does better, -1 worse, 0 tied, shape (patients, patients).

    Of two patients the one who dies later does better; of two survivors the one who falls less at their last
    common visit (Berry 2013, doi:10.3109/21678421.2012.762930).
    """
    change, time, event = trial.change, trial.event_months, trial.event
    n = len(time)
    later = np.zeros((n, n))
    # a death counts against a patient who was still followed at that time
    known = event[:, None] & (time[None, :] > time[:, None])
    later -= known
    later += known.T
    function = np.zeros((n, n))
    for column in change.T:
        both = np.isfinite(column)[:, None] & np.isfinite(column)
        function = np.where(both, np.sign(column[:, None] - column), function)
    return np.asarray(np.where(known | known.T, later, function))


def combined_scores(trial: Trial) -> Array:
    """Combined assessment of function and survival: wins minus losses over all pairs, shape (patients,)."""
    return np.asarray(comparisons(trial).sum(axis=1))


def cafs(trial: Trial) -> dict[str, Estimate]:
    """Combined assessment of function and survival, as mean ranks compared by a linear model."""
    from scipy.stats import rankdata

    return linear(trial, rankdata(combined_scores(trial)))


def _wins(trial: Trial, arm: int, stratified: bool, compared: Array) -> tuple[float, float, float, Array, Array]:
    """Weighted pairs, wins and losses of an arm against control, and each patient's influence on the latter two.

    A patient's influence is the sum of their comparisons less its mean, the Hájek projection of the U-statistic
    (Bebu and Lachin 2016, doi:10.1093/biostatistics/kxv032), scaled so that its squares add to the variance.
    """
    control = trial.design.control
    stratum = np.zeros(len(trial.arm), dtype=np.int64)
    if stratified:
        for name in trial.design.strata:
            levels, label = np.unique(trial.people[name], return_inverse=True)
            stratum = stratum * len(levels) + label
    pairs, totals, influence = 0.0, np.zeros(2), []
    for level in np.unique(stratum):
        mine, other = ((stratum == level) & (trial.arm == a) for a in (arm, control))
        n, m = int(mine.sum()), int(other.sum())
        # a stratum of one arm alone compares nobody; one patient has no spread to estimate
        if n < 2 or m < 2:
            continue
        weight = 1 / (n + m) if stratified else 1.0
        block = compared[np.ix_(mine, other)]
        kinds = np.stack([block > 0, block < 0]).astype(float) * weight
        pairs += n * m * weight
        totals += kinds.sum(axis=(1, 2))
        for axis, size in ((2, n), (1, m)):
            sums = kinds.sum(axis=axis)
            influence.append((sums - sums.mean(axis=1, keepdims=True)) * np.sqrt(size / (size - 1)))
    wins, losses = totals
    if not (wins > 0 and losses > 0):
        raise FitFailed("one arm wins every comparison, or none can be made; wins cannot be set against losses.")
    spread = np.concatenate(influence, axis=1)
    return pairs, float(wins), float(losses), spread[0], spread[1]


def win_ratio(trial: Trial, stratified: bool = False) -> dict[str, Estimate]:
    """Logarithm of the win ratio: wins over losses of the active patients among all pairs with controls.

    The ratio is that of Pocock 2012 (doi:10.1093/eurheartj/ehr352) over unmatched pairs, compared as in `comparisons`;
    ties count on neither side. Its exponential, and those of its limits, are the figures that trials print.

    Parameters
    ----------
    trial : Trial
    stratified : bool
        Compare within strata only and weight each by the inverse of its size (Dong 2018,
        doi:10.1080/10543406.2017.1397007); strata with fewer than two patients in an arm do not count.

    Raises
    ------
    FitFailed
        If there is no win or no loss.
    """
    compared, estimates = comparisons(trial), {}
    for label, arm in contrasts(trial):
        _, wins, losses, of_wins, of_losses = _wins(trial, arm, stratified, compared)
        se = float(np.linalg.norm(of_wins / wins - of_losses / losses))
        estimates[label] = wald(float(np.log(wins / losses)), se)
    return estimates


def win_ratio_stratified(trial: Trial) -> dict[str, Estimate]:
    """Logarithm of the win ratio within the strata of randomisation; see `win_ratio`."""
    return win_ratio(trial, stratified=True)


def net_benefit(trial: Trial) -> dict[str, Estimate]:
    """Net benefit: chance that an active patient does better than a control, less the chance of the reverse.

    The mean difference of joint ranks on a scale that does not depend on the size of the trial (Buyse 2010,
    doi:10.1002/sim.3923). The interval and P are those of its hyperbolic arctangent, which keeps the
    interval within -1 to 1.
    """
    compared, estimates = comparisons(trial), {}
    for label, arm in contrasts(trial):
        pairs, wins, losses, of_wins, of_losses = _wins(trial, arm, False, compared)
        value, se = (wins - losses) / pairs, float(np.linalg.norm(of_wins - of_losses)) / pairs
        bent = wald(float(np.arctanh(value)), se / (1 - value**2))
        low, high = np.tanh([bent.low, bent.high])
        estimates[label] = Estimate(value, se, np.inf, bent.p, float(low), float(high))
    return estimates
