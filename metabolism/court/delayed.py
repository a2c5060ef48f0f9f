"""What the extension of JETALS should show: 50 mg from the start against 50 mg after a delay, under each mechanism.

Motor units that were lost in the delay stay lost, so a slower loss leaves a lasting difference; a gain of function is
made up by those who start late; an effect that wanes or needs an early start leaves something between.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from metabolism.court.facts import resample
from metabolism.court.judgement import FAMILIES, Hearing, family
from metabolism.court.mechanisms import MECHANISMS
from metabolism.errors import InvalidValue
from metabolism.model import Model
from metabolism.trials import HOURS_PER_MONTH, HOURS_PER_WEEK, alsfrs_r
from metabolism.types import Array

if TYPE_CHECKING:
    import pandas as pd


def delayed_start(
    hearing: Hearing,
    model: Model,
    people: pd.DataFrame,
    weeks: Sequence[float],
    *,
    delay: float = 16.0,
    count: int = 1000,
    seed: int = 1,
) -> dict[str, Array]:
    """Return draws of the expected difference, early minus delayed start, under each mechanism.

    Parameters
    ----------
    hearing : Hearing
        Its posterior draws are used, so what JETALS has shown is known.
    model : Model
        Supplies the curve from motor units to points.
    people : DataFrame
        Patients at the start of the observation before randomisation: ``motor_units``, ``MN_k`` [1/h],
        ``onset_months``.
    weeks : sequence of float
        Visits, counted from randomisation [weeks]; at least twice the delay, so that both arms are past the build-up of
        the effect.
    delay : float
        Weeks on placebo of those who start late.
    count, seed : int
        Draws of each mechanism, and of what seed.

    Returns
    -------
    dict of mechanism to ndarray, shape (count, visits)
        Mean over patients [points]; above 0 favours the early start. Deaths are not taken out.

    Raises
    ------
    InvalidValue
        For a visit earlier than twice the delay.
    """
    times = np.asarray(weeks, dtype=float)
    if times.min() < 2 * delay:
        raise InvalidValue(f"visits must not be earlier than {2 * delay:g} weeks, twice the delay of {delay:g}.")
    curve = model.values["MN_gamma"], model.values["MN_n50"]
    start, rate, onset = (people[c].to_numpy()[:, None] for c in ("motor_units", "MN_k", "onset_months"))
    month = HOURS_PER_MONTH / HOURS_PER_WEEK
    onset = onset + 12 / month
    rng, drawn = np.random.default_rng(seed), {}
    for name, parts in MECHANISMS.items():
        chosen = resample(hearing.scores[name].weights, count, rng)
        p = {key: hearing.predicted[name][key][chosen] for key in _NEEDED}
        drawn[name] = np.empty((count, len(times)))
        for i in range(count):
            one = {key: float(values[i]) for key, values in p.items()}
            kinds = parts if {"early", "waning"} & set(parts) else ()
            arms = [_lost(one, kinds, times, wait, onset, month) for wait in (0.0, delay)]
            early, late = (alsfrs_r(start * np.exp(-rate * HOURS_PER_WEEK * weeks), *curve) for weeks in arms)
            drawn[name][i] = (early - late).mean(axis=0)
    return drawn


def expected_and_observed(
    draws: Mapping[str, Array], weights: Mapping[str, float], visits: Mapping[float, float], seed: int = 1
) -> pd.DataFrame:
    """Return what is expected and what would be published: of all mechanisms by weight, by family, and of each alone.

    Parameters
    ----------
    draws : mapping of mechanism to ndarray, shape (count, visits)
        Expected differences [points], as `delayed_start` returns them.
    weights : mapping of mechanism to float
        Posterior weights, sum 1.
    visits : mapping of float to float
        Standard error of the published difference [points] by visit [weeks].
    seed : int
        Of the errors drawn.

    Returns
    -------
    DataFrame
        A row per mechanism and visit: weight, week, mean, 95 % interval of the expectation and of a published
        difference [points].
    """
    import pandas as pd

    families = {f: {n: w for n, w in weights.items() if family(n) == f} for f in FAMILIES}
    # as many draws of each as its weight asks for; of one above a fifth there are no more than all
    most = min(5.0, 1 / max(weights.values()))
    everyone = [values[: round(len(values) * weights[name] * most)] for name, values in draws.items()]
    groups = [("all mechanisms, by weight", 1.0, np.concatenate(everyone))]
    for name, kin in families.items():
        total = sum(kin.values())
        share = [draws[n][: max(1, round(len(draws[n]) * w / total))] for n, w in kin.items()]
        groups.append((name, total, np.concatenate(share)))
    alone = sorted(set(weights) - set(families), key=weights.__getitem__, reverse=True)
    groups += [(name, weights[name], draws[name]) for name in alone]
    rng, rows = np.random.default_rng([seed, 7]), []
    for name, weight, differences in groups:
        for (week, error), expected in zip(visits.items(), differences.T, strict=True):
            seen = expected + error * rng.standard_normal(len(expected))
            spans = (np.quantile(v, [0.025, 0.975]) for v in (expected, seen))
            rows.append((name, weight, week, expected.mean(), *np.concatenate([*spans])))
    columns = ["mechanism", "weight", "week", "expected [points]", "2.5 %", "97.5 %"]
    return pd.DataFrame(rows, columns=[*columns, "observed 2.5 %", "observed 97.5 %"])


_NEEDED = ("constant_16", "limited_16", "constant_steady", "limited_steady", "limit")


def _lost(p: dict[str, float], kinds: Sequence[str], times: Array, wait: float, onset: Array, month: float) -> Array:
    """Weeks of untreated loss that a patient goes through up to each visit, shape (patients or 1, visits)."""
    treated = times - wait
    constant = p["constant_16"] * 16 + p["constant_steady"] * (treated - 16)
    if "waning" in kinds:
        # of an effect with half-life h, the integral over the treated weeks
        h = p["limit"] * month / np.log(2)
        limited = p["limited_steady"] * h * (1 - np.exp(-treated / h)) * np.ones_like(onset[:1])
    elif "early" in kinds:
        whole = p["limited_16"] * 16 + p["limited_steady"] * (treated - 16)
        limited = np.where(onset + wait / month <= p["limit"], whole, 0.0)
    else:
        limited = np.zeros((1, len(times)))
    kept = (1 - constant / treated) * (1 - limited / treated)
    return np.asarray(wait + treated * kept)
