"""What else a trial measures: vital capacity, domain scores, King's stage, a linear score.

All follow from what a virtual trial already holds, by the rules of ``models/motor_neuron.ant``: motor units at each
visit from the true score, vital capacity from the motor units lost, domains from the total and the region of onset. So
they cost no run of the model, and a trial without them is the same trial.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from metabolism.trials.disease import motor_units, vital_capacity
from metabolism.types import Array

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from metabolism.trials.patients import Generator
    from metabolism.trials.trial import Trial


#: Domains of the ALSFRS-R, twelve points each.
DOMAINS = ("bulbar", "fine", "gross", "respiratory")


#: Rated points of a domain below which King's stage 4 is taken to be reached: gastrostomy, ventilation.
STAGE_FOUR = {"bulbar": 4.0, "respiratory": 8.0}


def domain_scores(score: Array, tilt: Array) -> Array:
    """Split ALSFRS-R into its domains, shape (..., 4) [points]; they add up to the score, and each lies in 0-12.

    With p the share of 48 points left, domain d has ``12 p (1 + tilt_d (1 - p))``: one with tilt -1 loses twice its
    share at first, one with tilt 1 begins last.

    Parameters
    ----------
    score : ndarray
        ALSFRS-R [points].
    tilt : ndarray, shape (..., 4)
        Between -1 and 1, with sum 0.

    Examples
    --------
    >>> domain_scores(np.array(36.0), np.array([-0.8, 0.2, 0.2, 0.4])).round(2).tolist()
    [7.2, 9.45, 9.45, 9.9]
    """
    share = np.asarray(score)[..., None] / 48
    return np.asarray(12 * share * (1 + tilt * (1 - share)))


def tilts(g: Generator, onset: NDArray[np.str_], rng: np.random.Generator) -> Array:
    """Draw the tilt of each domain of patients, shape (patients, 4): by region of onset, with a spread within it."""
    bulbar, upper = (onset == "bulbar")[:, None], (onset == "upper limb")[:, None]

    def mean(region: str) -> Array:
        return np.array([g[f"tilt_{region}_{d}"] for d in DOMAINS[:3]])

    three = np.where(bulbar, mean("bulbar"), np.where(upper, mean("upper"), mean("lower")))
    drawn = np.column_stack([three, -three.sum(axis=1)]) + g["tilt_sd"] * rng.standard_normal((len(onset), 4))
    drawn -= drawn.mean(axis=1, keepdims=True)
    # shrink towards no tilt, which keeps the sum, where a domain would leave its range
    return np.asarray(drawn / np.maximum(np.abs(drawn).max(axis=1, keepdims=True), 1.0))


def kings_stage(domains: Array) -> NDArray[np.int64]:
    """King's stage, 0 to 4, from rated domain scores, shape (..., 4).

    Stages 1 to 3 count the regions involved (bulbar, arm, leg); stage 4 is nutritional or respiratory failure. The rule
    is that of Balendra et al. 2014 for items, here for domains: `STAGE_FOUR` stands for the items.
    """
    involved = (domains[..., :3] < 12).sum(axis=-1)
    failure = (domains[..., 0] < STAGE_FOUR["bulbar"]) | (domains[..., 3] < STAGE_FOUR["respiratory"])
    return np.asarray(np.where(failure, 4, involved), dtype=np.int64)


def linear_score(score: Array) -> Array:
    """Rasch-type measure of ALSFRS-R, the logit of the share of 48 points with half a point to spare at each end.

    The total is sufficient for it where all items are equally hard; in the model it falls almost evenly in time at a
    constant loss rate, because the score is a logistic function of the logarithm of the motor units.

    Examples
    --------
    >>> linear_score(np.array([24.0])).tolist()
    [0.0]
    """
    return np.asarray(np.log((score + 0.5) / (48.5 - score)))


def trial_markers(trial: Trial, g: Generator, rng: np.random.Generator) -> dict[str, Array]:
    """Markers of every patient at every visit, NaN where the rating is missing, shape (patients, visits) each.

    Parameters
    ----------
    trial : Trial
    g : Generator
        The one of the trial's pool.
    rng : numpy Generator
        Errors of measurement, and tilts of the domains.

    Returns
    -------
    dict
        ``vital_capacity`` [% predicted], the `DOMAINS` [points, rated, with sum ``rated``], ``kings_stage``,
        ``linear_score``. Neurofilament is the business of a design's `metabolism.trials.Marker`.
    """
    people, seen = trial.people, np.isfinite(trial.rated)
    first = np.asarray(people["motor_units"])[:, None]
    units = motor_units(np.minimum(trial.true_score, 48 - 1e-9), *g.score_map)
    vital = vital_capacity(
        np.asarray(people["fvc"])[:, None], np.asarray(people["vc_rate"])[:, None], first, units
    ) + g["vc_noise_sd"] * rng.standard_normal(units.shape)
    parts = domain_scores(np.nan_to_num(trial.rated), tilts(g, np.asarray(people["onset"]), rng)[:, None, :])
    # whole points by largest remainder, so that the domains still add up to the rating
    whole = np.floor(parts)
    rest = np.nan_to_num(trial.rated) - whole.sum(axis=-1)
    order = np.argsort(np.argsort(whole - parts, axis=-1, kind="stable"), axis=-1, kind="stable")
    whole += order < rest[..., None]
    readings = {"vital_capacity": vital, **{d: whole[..., i] for i, d in enumerate(DOMAINS)}}
    readings |= {"kings_stage": kings_stage(whole).astype(float), "linear_score": linear_score(trial.rated)}
    return {name: np.where(seen, value, np.nan) for name, value in readings.items()}
