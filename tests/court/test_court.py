"""The mechanism court: closed forms of its score and of expected information, and what its mechanisms predict."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.stats import multivariate_normal, norm

import metabolism as mb
from metabolism.court.facts import Facts, information, posterior, resample, score
from metabolism.court.judgement import Hearing, calibration, doubts, elasticity_needed
from metabolism.court.mechanisms import MECHANISMS, Priors, draw, exposures, predictions
from metabolism.court.response import Response
from metabolism.data import read_data
from metabolism.errors import InvalidValue, UnknownName
from metabolism.trials import JETALS_RUN_IN, large_sample_log_hr, read_design, select


def facts(**columns):
    """A table of facts from lists."""
    size = len(next(iter(columns.values())))
    full = {
        "id": [f"f{i}" for i in range(size)],
        "kind": "gaussian",
        "value": 0.0,
        "se": 1.0,
        "silent_density": np.nan,
        "comparisons": 1,
        "scored": "yes",
    } | columns
    return pd.DataFrame(full)


@pytest.fixture(scope="module")
def court():
    return Facts.of(*(read_data(n) for n in ("court/facts", "court/correlations", "published/numbers")))


@pytest.fixture(scope="module")
def scene(model):
    """Exposures and response of a small cohort."""
    patient = model.with_set("als_patient")
    jetals = select(patient, 150, JETALS_RUN_IN, 1).people
    e0761 = select(patient, 150, read_design("e0761").observation, 1).people
    return exposures(patient), Response(patient, jetals, e0761)


def test_one_gaussian_fact_under_a_gaussian_prior_has_its_closed_form():
    prior_sd, se, value = 0.7, 0.5, 1.1
    draws = norm.ppf((np.arange(20_000) + 0.5) / 20_000) * prior_sd
    found = score(Facts.of(facts(value=[value], se=[se])), {"f0": draws})
    assert found.log_marginal == pytest.approx(norm.logpdf(value, 0, np.hypot(prior_sd, se)), abs=1e-4)
    mean = (found.weights * draws).sum()
    assert mean == pytest.approx(value * prior_sd**2 / (prior_sd**2 + se**2), abs=1e-4)
    assert found.error < 0.02
    assert 0 < found.effective < 20_000


def test_correlated_facts_have_the_multivariate_density():
    table = facts(value=[0.3, -0.4], se=[0.5, 0.2])
    pair = pd.DataFrame({"a": ["f0"], "b": ["f1"], "correlation": [0.6]})
    expected = multivariate_normal([0.1, 0.2], [[0.25, 0.06], [0.06, 0.04]]).logpdf([0.3, -0.4])
    found = Facts.of(table, pair).log_likelihood({"f0": np.array([0.1]), "f1": np.array([0.2])})
    assert found[0] == pytest.approx(expected)


def test_every_kind_of_fact_has_its_density():
    table = facts(kind=["probability", "bound", "gaussian"], value=[1, -0.2, 0.0], silent_density=[np.nan, np.nan, 0.1])
    predicted = {"f0": np.array([0.3]), "f1": np.array([0.5]), "f2": np.array([np.nan])}
    expected = np.log(0.3) + norm.logcdf(0.7) + np.log(0.1)
    assert Facts.of(table).log_likelihood(predicted)[0] == pytest.approx(expected)


def test_the_smallest_of_several_comparisons_has_a_density_that_integrates_to_one():
    grid = np.linspace(-9, 9, 3001)
    density = [
        np.exp(Facts.of(facts(value=[v], comparisons=[4])).log_likelihood({"f0": np.zeros(1)})[0]) for v in grid[::10]
    ]
    assert np.trapezoid(density, grid[::10]) == pytest.approx(1, abs=1e-6)


def test_no_effect_is_scored_exactly(court):
    """Its predictions have no spread, so its score has no error and is a product of plain densities."""
    names = ("jetals", "e0761_linear", "e0761_saturating", "e0761_early_50")
    none = {n: np.zeros(5) for n in names}
    assert score(court.only("jetals"), none).log_marginal == pytest.approx(norm.logpdf(1.97, 0, 3.06 / 3.92))
    assert score(court.only("jetals"), none).error == 0
    # a P above .087 in the direction of benefit: 1 - .087 / 2
    for name in names[1:3]:
        assert score(court.only(name), none).log_marginal == pytest.approx(np.log(1 - 0.087 / 2), abs=2e-3)
    early = norm.logpdf(np.log(0.498), 0, 1.5 * np.log(0.929 / 0.267) / 3.92)
    assert score(court.only("e0761_early_50"), none).log_marginal == pytest.approx(early)


def test_two_correlated_bounds_have_the_bivariate_normal_probability():
    table = facts(kind=["bound", "bound"], value=[-0.265, -0.23], se=[0.155, 0.134])
    pair = pd.DataFrame({"a": ["f0"], "b": ["f1"], "correlation": [0.866]})
    means = np.array([[0.0, 0.0], [-0.5, -0.4], [0.3, -0.6]])
    computed = Facts.of(table, pair).log_likelihood({"f0": means[:, 0], "f1": means[:, 1]})
    for mean, value in zip(means, computed, strict=True):
        reach = (mean - [-0.265, -0.23]) / [0.155, 0.134]
        expected = multivariate_normal([0, 0], [[1, 0.866], [0.866, 1]]).cdf(reach)
        assert np.exp(value) == pytest.approx(expected, rel=2e-4)


def test_simulated_facts_have_the_errors_of_the_published_ones(court):
    rng = np.random.default_rng(2)
    truth = {n: np.zeros(1) for n in court.table.index} | {"kaji_cmap": np.array([0.25]), "potency": np.array([np.nan])}
    tables = [court.simulated(truth, 0, rng).table for _ in range(600)]
    values = np.array([[t.loc[n, "value"] for n in ("e0761_early_50", "e0761_early_25", "kaji_cmap")] for t in tables])
    assert values[:, 0].std() == pytest.approx(court.table.loc["e0761_early_50", "se"], rel=0.1)
    assert np.corrcoef(values[:, :2].T)[0, 1] == pytest.approx(0.5, abs=0.1)
    assert values[:, 2].mean() == pytest.approx(0.25, abs=0.06)
    passed = np.mean([t.loc["e0761_linear", "kind"] == "bound" for t in tables])
    assert passed == pytest.approx(1 - 0.087 / 2, abs=0.03)
    silent = [t.loc["potency", "value"] for t in tables]
    assert np.log(1e-3) < min(silent) < 0 < max(silent) < np.log(100)


def test_doubts_together_reach_further_than_any_alone(court, scene):
    hearing = Hearing.of(court, *scene, 400, 1)
    table = doubts(hearing, {}, court).pivot(index="variant", columns="family", values="posterior weight")
    assert np.allclose(table.sum(axis=1), 1)
    none = table["no effect"]
    together = none["together: sceptical, no CMAP, early of six, JETALS SE times 1.5"]
    assert together == none.max()
    assert none["without kaji_cmap"] > none["prior weights: base"]
    assert none["CMAP by chance 0"] < none["CMAP by chance 0.5"]


def test_the_court_is_calibrated_on_truths_that_it_draws_itself(court, scene):
    """Where it claims a family with large weight it is right more often than where it claims little."""
    named, reliability = calibration(Hearing.of(court, *scene, 500, 1), 120, 250, 1)
    assert named["truths"].sum() == 120
    order = reliability.sort_values("mean weight")
    assert order["share true"].iloc[-1] > 0.5 > order["share true"].iloc[0]
    assert (order["mean weight"] - order["share true"]).abs().max() < 0.35


def test_the_elasticity_needed_falls_with_the_fall_and_gives_the_difference(scene):
    response = scene[1]
    falls = np.array([0.034, 0.2, 0.4])
    needed = elasticity_needed(response, 1.0, falls)
    assert (np.diff(needed) < 0).all()
    effect, none = 1 - (1 - falls) ** needed, np.zeros(3)
    assert response.points("16", effect, none, "early", 12 + none) == pytest.approx(np.ones(3), abs=0.01)


def test_without_any_fact_posterior_weights_are_prior_weights():
    empty = Facts.of(facts(value=[1.0])).without("f0")
    scores = {m: score(empty, {"f0": np.array([v, v + 1])}) for m, v in (("a", 0.0), ("b", 9.0), ("c", -9.0))}
    prior = {"a": 0.2, "b": 0.5, "c": 0.3}
    assert posterior(scores, prior) == pytest.approx(prior)


def test_posterior_weights_follow_bayes_and_sum_to_one():
    one = Facts.of(facts(value=[1.0]))
    scores = {m: score(one, {"f0": np.array([v])}) for m, v in (("a", 0.0), ("b", 1.0))}
    weights = posterior(scores, {"a": 0.75, "b": 0.25})
    assert sum(weights.values()) == pytest.approx(1)
    assert weights["b"] / weights["a"] == pytest.approx(np.exp(0.5) / 3)
    with pytest.raises(InvalidValue, match="not all 0"):
        posterior(scores, {"a": 0.0, "b": 0.0})


def test_bad_facts_are_refused():
    with pytest.raises(UnknownName, match="no kind of fact 'gausian'"):
        Facts.of(facts(kind=["gausian"]))
    with pytest.raises(InvalidValue, match="SE above 0"):
        Facts.of(facts(se=[0.0]))
    pair = pd.DataFrame({"a": ["f0"], "b": ["f7"], "correlation": [0.6]})
    with pytest.raises(UnknownName, match="no fact 'f7'"):
        Facts.of(facts(se=[1.0]), pair)
    pair = pd.DataFrame({"a": ["f0"], "b": ["f1"], "correlation": [1.2]})
    with pytest.raises(InvalidValue, match="contradict"):
        Facts.of(facts(se=[1.0, 1.0]), pair)
    with pytest.raises(InvalidValue, match="silent on 'f0'"):
        Facts.of(facts(se=[1.0])).log_likelihood({"f0": np.array([np.nan])})
    with pytest.raises(UnknownName, match="no mechanism 'hope'"):
        draw("hope", 3, np.random.default_rng(1))


def test_information_is_analytic_in_the_gaussian_case():
    """Mechanisms that are the values of a Gaussian parameter: I = ln(1 + spread^2 / noise^2) / 2."""
    count, spread, noise = 400, 1.5, 0.6
    values = norm.ppf((np.arange(count) + 0.5) / count) * spread
    means = {str(i): np.array([[v]]) for i, v in enumerate(values)}
    found = information(means, dict.fromkeys(means, 1 / count), np.array([[noise**2]]))
    assert found == pytest.approx(0.5 * np.log(1 + spread**2 / noise**2), rel=5e-3)


def test_information_of_two_outcomes_adds_up_and_has_its_limits():
    apart = {"a": np.array([[0.0, 0.0]]), "b": np.array([[40.0, 0.0]])}
    half = {"a": 0.5, "b": 0.5}
    assert information(apart, half, np.eye(2)) == pytest.approx(np.log(2), abs=1e-9)
    same = {"a": np.array([[1.0]]), "b": np.array([[1.0]])}
    assert information(same, half, np.eye(1)) == pytest.approx(0, abs=1e-12)
    near = {"a": np.array([[0.0]]), "b": np.array([[1.0]])}
    useless = {m: np.column_stack([v, np.ones(1)]) for m, v in near.items()}
    assert information(useless, half, np.eye(2)) == pytest.approx(information(near, half, np.eye(1)), rel=1e-6)
    rng = np.random.default_rng(3)
    for _ in range(20):
        means = {m: rng.normal(size=(5, 2)) for m in "abc"}
        assert information(means, {"a": 0.2, "b": 0.3, "c": 0.5}, np.array([[1.0, 0.4], [0.4, 2.0]])) >= 0


def test_the_cox_limit_is_the_hazard_ratio_when_hazards_are_proportional():
    rate = np.full((1, 80), 0.03)
    assert large_sample_log_hr(rate, rate) == pytest.approx(0, abs=1e-12)
    # short intervals: events over the interval follow the hazard
    assert large_sample_log_hr(rate / 100, 0.6 * rate / 100) == pytest.approx(np.log(0.6), abs=2e-3)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_the_cox_limit_agrees_with_cox_regression_on_a_large_trial():
    from lifelines import CoxPHFitter

    rng = np.random.default_rng(4)
    frailty = np.exp(0.8 * rng.standard_normal(4000))
    rates = frailty[:, None] * np.full((1, 60), 0.03)
    end = []
    for factor in (1.0, 0.6):
        end.append(np.minimum(rng.standard_exponential((5, 4000)) / (frailty * 0.03 * factor), 60).ravel())
    table = pd.DataFrame(
        {"t": np.concatenate(end), "event": np.concatenate(end) < 60, "arm": np.repeat([0, 1], 20_000)}
    )
    fitted = CoxPHFitter().fit(table, "t", "event").params_["arm"]
    assert large_sample_log_hr(rates, 0.6 * rates) == pytest.approx(fitted, abs=0.04)
    assert fitted > np.log(0.6)  # diluted by frailty


def test_mechanisms_without_effect_predict_none_and_those_with_one_predict_benefit(scene):
    x, response = scene
    for name in MECHANISMS:
        p = draw(name, 50, np.random.default_rng(1))
        found = predictions(name, p, x, response)
        if name == "no effect":
            assert np.abs(found["d50_16"]).max() < 1e-9
            assert np.abs(found["e0761_itt"]).max() < 1e-9
            assert found["kaji_cmap"] == pytest.approx(found["kaji_cmap"][0])
        elif set(MECHANISMS[name]) & {"plasma", "csf", "symptomatic"}:
            assert (found["d50_16"] > found["d25_16"] - 1e-9).mean() > 0.5
            assert np.median(found["d50_16"]) > 5 * abs(np.median(found["d0.5_16"])) or "homocysteine" in name


def test_only_a_gain_of_function_raises_cmap_and_is_lost_in_the_wash_out(scene):
    x, response = scene
    got = {m: predictions(m, draw(m, 2000, np.random.default_rng(2)), x, response) for m in ("symptomatic", "plasma")}
    assert got["plasma"]["cmap_25"].max() == 0
    assert got["symptomatic"]["cmap_25"].mean() > 10 * got["symptomatic"]["cmap_0.5"].mean() > 0
    assert got["symptomatic"]["d50_24"].mean() < 0.5 * got["symptomatic"]["d50_16"].mean()
    assert got["plasma"]["d50_24"].mean() > got["plasma"]["d50_16"].mean()


def test_an_early_only_effect_spares_the_late_and_a_waning_one_fades(scene):
    _, response = scene
    none, effect = np.zeros(1), np.array([0.4])
    constant = response.log_hr(effect, none, "early", np.array([12.0]))
    early = response.log_hr(none, effect, "early", np.array([16.0]))
    waning = response.log_hr(none, effect, "waning", np.array([4.0]))
    assert constant[0] < early[0] < 0
    assert early[1] < early[0]
    assert constant[0] < waning[0] < 0
    points = [response.points("16", none, effect, "early", np.array([m]))[0] for m in (4.0, 12.0, 36.0)]
    assert (
        points[0]
        < points[1]
        < points[2]
        == pytest.approx(response.points("16", effect, none, "early", np.array([4.0]))[0])
    )


def test_the_closed_form_of_points_is_that_of_the_trial_engine(model):
    """A mean reduction E over 16 weeks, against motor units integrated by the coupled model."""
    patient = model.with_set("als_patient")
    people = select(patient, 3, JETALS_RUN_IN, 5).people
    effect = 0.4
    response = Response(patient, people, people)
    scores = []
    for factor in (1.0, 1 - effect):
        columns = {"MN_k": people["MN_k"] * factor, "motor_units": people["motor_units"]}
        run = mb.simulate(
            patient, None, "16 weeks", patients=columns, outputs=["alsfrs_r"], own_baseline={"MN_hcy_ref": "hcy_plasma"}
        )
        scores.append(run["alsfrs_r"].values[:, -1].mean())
    found = response.points("16", np.array([effect]), np.zeros(1), "early", np.array([12.0]))
    assert found[0] == pytest.approx(scores[1] - scores[0], rel=1e-4)


def test_the_same_seed_gives_the_same_score_and_wider_priors_another(court, scene):
    x, response = scene

    def heard(seed, priors=None):
        p = draw("symptomatic + plasma", 300, np.random.default_rng(seed), priors)
        return score(court, predictions("symptomatic + plasma", p, x, response)).log_marginal

    assert heard(1) == heard(1)
    assert heard(1) != heard(2)
    assert heard(1) != heard(1, Priors(maximum=(2.0, 8.0)))


def test_systematic_resampling_follows_the_weights():
    drawn = resample(np.array([0.5, 0.0, 0.3, 0.2]), 1000, np.random.default_rng(1))
    assert np.bincount(drawn, minlength=4) == pytest.approx([500, 0, 300, 200], abs=1)
