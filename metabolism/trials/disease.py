"""The disease in closed form: motor units, score, rating, hazard, and what a slower loss of motor units gives.

Without treatment, or with a constant reduction of the loss rate, motor units fall exponentially; everything a trial
observes follows from them by the functions of this file, which are those of ``models/motor_neuron.ant``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from metabolism.trials.limits import inside
from metabolism.types import Array

#: Hours of a week.
HOURS_PER_WEEK = 168.0


#: Hours of a month: a twelfth of 365.25 days.
HOURS_PER_MONTH = 730.5


def alsfrs_r(motor_units: Array, gamma: float, n50: float) -> Array:
    """ALSFRS-R from motor-unit fraction, as in ``models/motor_neuron.ant`` [points].

    Parameters
    ----------
    motor_units : ndarray
        Fraction of the motor units of health.
    gamma, n50 : float
        Exponent and half-score fraction.

    Examples
    --------
    >>> import numpy as np
    >>> float(alsfrs_r(np.array(1.0), 2.3, 0.25))
    48.0
    """
    return np.asarray(48 * (1 + n50**gamma) / (1 + (n50 / motor_units) ** gamma))


def motor_units(score: Array, gamma: float, n50: float) -> Array:
    """Motor-unit fraction at an ALSFRS-R score: the inverse of `alsfrs_r` [fraction].

    Parameters
    ----------
    score : ndarray
        ALSFRS-R [points].
    gamma, n50 : float
        Exponent and half-score fraction.

    Examples
    --------
    >>> import numpy as np
    >>> round(float(motor_units(alsfrs_r(np.array(0.4), 2.3, 0.25), 2.3, 0.25)), 12)
    0.4
    """
    return np.asarray(n50 / (48 * (1 + n50**gamma) / score - 1) ** (1 / gamma))


def rate_score(score: Array, noise: Array) -> Array:
    """What a rater writes down: the score with noise [points], rounded and kept in 0-48.

    Examples
    --------
    >>> import numpy as np
    >>> rate_score(np.array([41.2, 47.9]), np.array([-0.9, 3.0])).tolist()
    [40.0, 48.0]
    """
    return np.clip(np.round(score + noise), 0, 48)


def vital_capacity(start: Array, rate: Array, before: Array, units: Array) -> Array:
    """Vital capacity after a loss of motor units: the closed form of ``models/motor_neuron.ant`` [as `start`].

    With ``V' = -rate k (1 - N) V`` and ``N' = -k N``, whatever k does in time,
    ``V = V(0) exp(-rate (ln(N(0)/N) - N(0) + N))``.

    Parameters
    ----------
    start : ndarray
        Vital capacity at first.
    rate : ndarray
        ``MN_vc_rate`` of each patient.
    before, units : ndarray
        Motor-unit fractions at first and later.

    Examples
    --------
    >>> import numpy as np
    >>> float(vital_capacity(np.array(92.0), np.array(0.9), np.array(0.5), np.array(0.5)))
    92.0
    """
    return np.asarray(start * np.exp(-rate * (np.log(before / units) - before + units)))


def hazards(
    score: Array, hours: ArrayLike, h0: float, slope: float, vital: Array | float = 1.0, vital_slope: float = 0.0
) -> Array:
    """Hazard of death or full ventilation accumulated in each interval of a time grid, shape (patients, times - 1).

    Parameters
    ----------
    score : ndarray, shape (patients, times)
        ALSFRS-R without rating noise [points].
    hours : array_like, shape (times,)
        Rising times [h].
    h0 : float
        Hazard at a full score and the predicted vital capacity [1/h].
    slope : float
        Rise of the log hazard per lost 48 points.
    vital : ndarray, shape (patients, times)
        Vital capacity [fraction of predicted].
    vital_slope : float
        Rise of the log hazard per lost vital capacity.
    """
    rate = h0 * np.exp(slope * (48 - score) / 48 + vital_slope * (1 - vital))
    return np.asarray((rate[:, 1:] + rate[:, :-1]) / 2 * np.diff(np.asarray(hours, dtype=float)))


def mortality(people: Mapping[str, Any], loss: Array, hours: ArrayLike, values: Mapping[str, float]) -> Array:
    """Hazard of patients accumulated in each interval of a time grid; see `hazards`.

    Parameters
    ----------
    people : mapping or DataFrame
        Columns ``motor_units``, ``fvc`` [% predicted] and ``vc_rate`` at time 0.
    loss : ndarray, shape (patients, times)
        Loss rate integrated from time 0: motor units are those at first times ``exp(-loss)``.
    hours : array_like, shape (times,)
        Rising times [h].
    values : mapping
        Of the model: ``MN_gamma``, ``MN_n50``, ``MN_h0``, ``MN_h_slope``, ``MN_h_vc``.
    """
    first, fvc, rate = (np.asarray(people[c])[:, None] for c in ("motor_units", "fvc", "vc_rate"))
    left = first * np.exp(-loss)
    score = alsfrs_r(left, values["MN_gamma"], values["MN_n50"])
    vital = vital_capacity(fvc / 100, rate, first, left)
    return hazards(score, hours, values["MN_h0"], values["MN_h_slope"], vital, values["MN_h_vc"])


def points_gained(people: Mapping[str, Array], reduction: float, weeks: float, score_map: tuple[float, float]) -> float:
    """Mean difference of the ALSFRS-R change between a constant reduction of the loss rate and none [points].

    Parameters
    ----------
    people : mapping or DataFrame
        Columns ``MN_k`` [1/h] and ``motor_units`` [fraction], e.g. of a cohort.
    reduction : float
        Reduction of the loss rate [fraction].
    weeks : float
        Length of treatment.
    score_map : (float, float)
        Exponent and half-score fraction of `alsfrs_r`.
    """
    inside("reduction", reduction, "[-10, 1]")
    inside("weeks", weeks, "[0, 1040] weeks")
    start, loss = np.asarray(people["motor_units"]), np.asarray(people["MN_k"]) * weeks * HOURS_PER_WEEK
    treated, control = (alsfrs_r(start * np.exp(-kept * loss), *score_map) for kept in (1 - reduction, 1.0))
    return float((treated - control).mean())


def large_sample_log_hr(control: Array, active: Array, members: NDArray[np.bool_] | None = None) -> float:
    """Log hazard ratio to which Cox regression tends as a trial grows, from the patients' hazards.

    With S the surviving share and f the rate of events of each arm, it solves
    ``sum(f_1 - w (f_0 + f_1)) = 0`` with ``w = S_1 e^b / (S_0 + S_1 e^b)`` (Struthers and Kalbfleisch 1986,
    doi:10.1093/biomet/73.2.363).

    Parameters
    ----------
    control, active : ndarray, shape (patients, intervals)
        Hazard accumulated in each interval; see `hazards`.
    members : ndarray of bool, optional
        Patients to use.
    """
    who = slice(None) if members is None else members
    arms = []
    for hazard in (control[who], active[who]):
        alive = np.exp(-np.concatenate([np.zeros((len(hazard), 1)), np.cumsum(hazard, axis=1)], axis=1)).mean(axis=0)
        arms.append((alive[:-1], -np.diff(alive)))
    (s0, f0), (s1, f1) = arms
    b = 0.0
    for _ in range(30):
        w = s1 * np.exp(b) / (s0 + s1 * np.exp(b))
        gap = (f1 - w * (f0 + f1)).sum()
        b += gap / (w * (1 - w) * (f0 + f1)).sum()
        if abs(gap) < 1e-10:
            break
    return float(b)
