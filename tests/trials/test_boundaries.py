"""Boundaries of group-sequential trials against R rpact, published tables and a multivariate normal."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from scipy.stats import multivariate_normal

from metabolism.errors import InvalidValue, UnknownName
from metabolism.trials.boundaries import EFFICACY, closed_test, crossing, efficacy_bounds, futility_bounds, simes

TABLE = pd.read_csv(Path(__file__).parent / "data" / "rpact_boundaries.csv")


def _runs(futility: bool):
    chosen = TABLE[(TABLE["futility"] != "none") == futility]
    return [pytest.param(rows, id=f"{rows['efficacy'].iloc[0]}-{run}") for run, rows in chosen.groupby("run")]


def _fractions(rows):
    # thirds were rounded in the file
    return tuple(float(np.round(f * 60) / 60) for f in rows["fraction"])


@pytest.mark.parametrize("rows", _runs(False))
def test_efficacy_boundaries_equal_rpact(rows):
    """rpact 3.3.4, tolerance 1e-10; beyond z = 8 it prints no boundary."""
    found = np.array(efficacy_bounds(_fractions(rows), rows["efficacy"].iloc[0], rows["alpha"].iloc[0]))
    expected = rows["upper"].to_numpy()
    printed = np.isfinite(expected)
    np.testing.assert_allclose(found[printed], expected[printed], atol=2e-6)
    assert (found[~printed] > 8).all()


@pytest.mark.parametrize("rows", _runs(True))
def test_futility_boundaries_equal_rpact(rows):
    """Spending of the error of the second kind, non-binding, power 80 %."""
    fractions, alpha = _fractions(rows), rows["alpha"].iloc[0]
    upper = efficacy_bounds(fractions, rows["efficacy"].iloc[0], alpha)
    found = np.array(futility_bounds(fractions, upper, rows["futility"].iloc[0]))
    expected = rows["lower"].to_numpy()[:-1]
    printed = np.isfinite(expected)
    np.testing.assert_allclose(found[:-1][printed], expected[printed], atol=2e-6)
    # rpact prints no futility boundary below z = -5
    assert (found[:-1][~printed] < -5).all()
    assert found[-1] == upper[-1]


@pytest.mark.parametrize(
    ("kind", "looks", "constant"),
    [
        ("pocock", 2, 2.178),
        ("pocock", 3, 2.289),
        ("pocock", 5, 2.413),
        ("obrien-fleming", 2, 1.977),
        ("obrien-fleming", 3, 2.004),
        ("obrien-fleming", 5, 2.040),
    ],
)
def test_boundaries_equal_the_published_tables(kind, looks, constant):
    """Constants of Jennison and Turnbull 2000, tables 2.1 and 2.3, two-sided 5 %."""
    fractions = tuple((np.arange(looks) + 1) / looks)
    bounds = efficacy_bounds(fractions, kind)
    shape = np.ones(looks) if kind == "pocock" else np.array(fractions) ** -0.5
    np.testing.assert_allclose(bounds, constant * shape, atol=6e-4 * shape.max())


@pytest.mark.parametrize("kind", [k for k in EFFICACY if k != "none"])
def test_a_multivariate_normal_finds_the_same_level(kind):
    """1 - P(no crossing), by independent integration, is the level; so is the sum of `crossing`."""
    fractions = np.array([0.3, 0.55, 0.8, 1.0])
    upper = np.array(efficacy_bounds(tuple(fractions), kind))
    root = np.sqrt(fractions)
    correlation = np.minimum.outer(root, root) / np.maximum.outer(root, root)
    together = multivariate_normal(cov=correlation, seed=1)
    together.abseps, together.releps, together.maxpts = 1e-7, 1e-7, 4_000_000
    inside = together.cdf(upper)
    assert 1 - inside == pytest.approx(0.025, abs=2e-6)
    assert crossing(fractions, upper, [-np.inf] * 4)[0].sum() == pytest.approx(0.025, abs=1e-9)


def test_power_and_stopping_equal_rpact():
    """getPowerAndAverageSampleNumber, asOF, thirds, futility at 0 and 0.5, drifts 0, 1.5 and 3."""
    thirds = (1 / 3, 2 / 3, 1.0)
    upper = efficacy_bounds(thirds, "lan-demets-obrien-fleming")
    np.testing.assert_allclose(upper, [3.710302873, 2.511427484, 1.993047483], atol=2e-6)
    expected = {
        0.0: ([0.0001035057, 0.0059268101, 0.0176293302], [0.5, 0.2390600924]),
        1.5: ([0.0022256133, 0.0968694034, 0.2059391528], [0.1932381154, 0.1115504588]),
        3.0: ([0.0239501389, 0.4510084505, 0.3538756771], [0.0416322583, 0.0140626285]),
    }
    for drift, (reject, futile) in expected.items():
        above, below = crossing(thirds, upper, [0.0, 0.5, -np.inf], drift)
        np.testing.assert_allclose(above, reject, atol=1e-6)
        np.testing.assert_allclose(below[:2], futile, atol=1e-6)


def test_random_walks_cross_as_often():
    rng = np.random.default_rng(1)
    fractions = np.array([0.25, 0.6, 1.0])
    score = np.cumsum(rng.standard_normal((400_000, 3)) * np.sqrt(np.diff(fractions, prepend=0)), axis=1)
    z = score / np.sqrt(fractions) + 2.0 * np.sqrt(fractions)
    upper, lower = np.array([2.8, 2.4, 2.0]), np.array([-0.3, 0.8, 2.0])
    going, above, below = np.ones(len(z), dtype=bool), [], []
    for k in range(3):
        above.append((going & (z[:, k] >= upper[k])).mean())
        below.append((going & (z[:, k] <= lower[k])).mean())
        going &= (z[:, k] < upper[k]) & (z[:, k] > lower[k])
    found = crossing(fractions, upper, lower, 2.0)
    np.testing.assert_allclose(found[0], above, atol=0.003)
    np.testing.assert_allclose(found[1], below, atol=0.003)
    assert found[0].sum() + found[1].sum() == pytest.approx(1, abs=1e-9)


def test_no_interim_boundary_leaves_the_level_to_the_end():
    assert efficacy_bounds((0.5, 1.0), "none") == (np.inf, pytest.approx(1.959963985))
    assert efficacy_bounds((1.0,), "obrien-fleming") == (pytest.approx(1.959963985),)


@pytest.mark.parametrize("fractions", [(), (0.5,), (0.0, 1.0), (0.6, 0.5, 1.0), (0.5, 1.2)])
def test_fractions_that_do_not_rise_to_the_end_are_refused(fractions):
    with pytest.raises(InvalidValue, match="must rise from above 0 to 1"):
        efficacy_bounds(fractions, "pocock")


def test_unknown_boundaries_are_named_and_an_impossible_level_is_refused():
    with pytest.raises(UnknownName, match="Did you mean 'pocock'"):
        efficacy_bounds((0.5, 1.0), "pocok")
    with pytest.raises(UnknownName, match="no futility boundary"):
        futility_bounds((0.5, 1.0), (2.8, 1.98), "pocock")
    with pytest.raises(InvalidValue, match=r"use up the level of 0\.001"):
        efficacy_bounds((0.5, 1.0), "haybittle-peto", 0.001)


# a look that narrows whom the trial recruits


@pytest.mark.parametrize("prevalence", [0.2, 0.5, 0.9])
@pytest.mark.parametrize("rule", ["always all", "always part", "the better one", "the worse one"])
def test_a_closed_test_keeps_its_level_whatever_the_look_chose(prevalence, rule):
    """Without an effect anywhere, 400,000 trials of normal estimates: at most 2.5 % show one, and not far below."""
    rng = np.random.default_rng(3)

    def stage():
        everybody, part = rng.standard_normal((2, 400_000))
        return np.stack([np.sqrt(prevalence) * part + np.sqrt(1 - prevalence) * everybody, part])

    first, second = stage(), stage()
    better = first[1] > first[0]
    narrowed = {
        "always all": np.zeros_like(better),
        "always part": np.ones_like(better),
        "the better one": better,
        "the worse one": ~better,
    }[rule]
    # after a narrowing the second stage has new patients of the part alone
    second[1] = np.where(narrowed, rng.standard_normal(second[1].shape), second[1])
    shown = (closed_test(first, second, 0.4, narrowed) >= stats.norm.isf(0.025)).any(axis=0)
    assert 0.012 < shown.mean() < 0.0257
    # the part alone, when there is an effect outside it only: still the level
    first[0] += 3 * np.sqrt(1 - prevalence)
    second[0] += 3 * np.sqrt(1 - prevalence)
    assert (closed_test(first, second, 0.4, narrowed)[1] >= stats.norm.isf(0.025)).mean() < 0.0257


def test_a_part_that_is_everybody_gives_the_usual_test():
    """Both z equal: power is that of one test, in closed form and exactly."""
    rng = np.random.default_rng(4)
    z = rng.standard_normal((2, 200_000)) + np.array([[0.6**0.5], [0.4**0.5]]) * 2.5
    first, second = (np.stack([v, v]) for v in z)
    for narrowed in (True, False):
        found = closed_test(first, second, 0.6, np.full(200_000, narrowed))[1]
        np.testing.assert_allclose(found, np.sqrt(0.6) * z[0] + np.sqrt(0.4) * z[1], rtol=1e-9)
    assert (found > stats.norm.isf(0.025)).mean() == pytest.approx(
        stats.norm.sf(stats.norm.isf(0.025) - 2.5), abs=0.004
    )


def test_the_intersection_is_simes():
    """P = 0.01 and 0.04 give min(2 x 0.01, 0.04); 0.03 and 0.04 give 0.04."""
    for a, b, p in ((0.01, 0.04, 0.02), (0.03, 0.04, 0.04), (0.9, 0.95, 0.95)):
        z = simes(stats.norm.isf(a), stats.norm.isf(b))
        assert stats.norm.sf(z) == pytest.approx(p)
