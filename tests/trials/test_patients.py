"""Virtual patients: declared moments, correlations, plausibility, a second method, and users' tables."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import metabolism as mb
from metabolism.errors import InvalidValue, UnknownName
from metabolism.trials.disease import HOURS_PER_MONTH
from metabolism.trials.effects import direct_maximum
from metabolism.trials.patients import (
    BODY,
    BODY_PARAMETERS,
    DISEASE,
    Generator,
    body_latents,
    candidates,
    normals,
    plausibility,
)
from metabolism.trials.pool import STEP, bodies, slowing, untreated
from metabolism.trials.screening import observe, observed_columns
from metabolism.trials.sections import JETALS_RUN_IN, RunIn
from metabolism.trials.tables import balance, effective_size


@pytest.fixture(scope="module")
def crowd(patient):
    return candidates(patient, 4096, seed=1)


def test_the_sample_has_the_declared_moments(patient, crowd):
    g = Generator.of(patient)
    for column, mean, sd in (
        ("age", "age_mean", "age_sd"),
        ("bmi", "bmi_mean", "bmi_sd"),
        ("fvc", "fvc_mean", "fvc_sd"),
    ):
        assert crowd[column].mean() == pytest.approx(g[mean], rel=2e-3)
        assert crowd[column].std() == pytest.approx(g[sd], rel=2e-2)
    for share, name in (
        (crowd["male"], "male"),
        (crowd["riluzole"], "riluzole"),
        (crowd["onset"] == "bulbar", "bulbar"),
        (crowd["genotype"] == "TT", "tt_frequency"),
        (crowd["genotype"] == "CT", "ct_frequency"),
    ):
        assert share.mean() == pytest.approx(g[name], abs=2e-3)
    assert crowd["entry_score"].between(g["entry_low"], g["entry_high"]).all()
    # the median loss rate is the published one whatever the correlations
    assert np.median(crowd["MN_k"] * np.exp(g["k_tau"] ** 2 / 2)) == pytest.approx(
        g["k_median"] * g["k_after"], rel=0.02
    )


def test_the_drift_between_periods_has_the_declared_spread_and_a_mean_of_one(patient, crowd):
    g = Generator.of(patient)
    k = -np.log(crowd["entry_units"]) / crowd["onset_months"] / HOURS_PER_MONTH
    for column, after in (("k_run_in", 1.0), ("MN_k", g["k_after"])):
        drift = crowd[column] / k / after
        assert np.log(drift).std() == pytest.approx(g["k_tau"], rel=0.02)
        assert drift.mean() == pytest.approx(1, rel=0.01)


def test_riluzole_slows_by_its_effect_and_leaves_the_mean_of_all_as_it_is(patient):
    g = Generator.of(patient)
    body, latent = (np.zeros((1, len(kind))) for kind in (BODY, DISEASE))
    without, with_it = (g.disease_columns(body, np.array([taken]), latent)["MN_k"][0] for taken in (False, True))
    assert with_it / without == pytest.approx(1 - g["riluzole_effect"], rel=1e-12)
    typical = g["k_median"] * g["k_after"] * np.exp(-(g["k_tau"] ** 2) / 2)
    assert g["riluzole"] * with_it + (1 - g["riluzole"]) * without == pytest.approx(typical, rel=1e-12)


def test_a_limit_of_the_run_in_is_still_within_it():
    """Onset, floor and both ends of the drop: who stands exactly there is eligible, a point further is not."""
    limits = RunIn(weeks=0, onset_limit=12, drop=(0, 0), floor=36)
    people = {
        "entry_units": np.full(3, 0.9),
        "k_run_in": np.full(3, 1e-5),
        "baseline_noise": np.zeros(3),
        "onset_months": np.array([12, 12, 12.01]),
        "entry_rating": np.array([36, 35, 36]),
    }
    assert observed_columns((2.0, 0.4), people, limits)["eligible"].tolist() == [True, False, False]


def test_the_central_volume_goes_with_the_weight(patient, crowd):
    share = crowd["central"] / crowd["weight"]
    assert share.std() < 1e-12 * share.mean()
    assert np.median(crowd["central"]) == pytest.approx(patient.values["central"], rel=0.05)


def test_the_sample_has_the_declared_correlations(patient, crowd):
    g = Generator.of(patient)
    assert np.corrcoef(crowd["age"], np.log(crowd["GFR_rel"]))[0, 1] == pytest.approx(g["r_age_gfr"], abs=0.01)
    diet = np.corrcoef(np.log(crowd["FOLATE_DIET_rate"]), np.log(crowd["CBL_DIET_rate"]))[0, 1]
    assert diet == pytest.approx(g["r_folate_cobalamin"], abs=0.01)
    # without drift and riluzole the loss rate carries the declared correlation with age
    assert np.corrcoef(crowd["age"], -np.log(crowd["onset_months"] / -np.log(crowd["entry_units"])))[
        0, 1
    ] == pytest.approx(g["r_age_k"], abs=0.02)
    # bulbar patients are older and faster, as published
    bulbar = crowd["onset"] == "bulbar"
    assert crowd.loc[bulbar, "age"].mean() > crowd.loc[~bulbar, "age"].mean() + 2
    assert crowd.loc[bulbar, "MN_k"].median() > crowd.loc[~bulbar, "MN_k"].median()


def test_a_fresh_disease_has_the_same_joint_distribution(patient):
    """Drawing diseases later, for given bodies, is the same as drawing both at once."""
    g = Generator.of(patient)
    joint = candidates(patient, 2**13, seed=2)
    later = g.diseases(joint, np.random.default_rng(3).standard_normal((len(joint), len(DISEASE))))
    for column in ("MN_k", "entry_score", "onset_months"):
        assert np.log(later[column]).mean() == pytest.approx(np.log(joint[column]).mean(), abs=0.03)
        assert np.log(later[column]).std() == pytest.approx(np.log(joint[column]).std(), rel=0.04)
        assert np.corrcoef(later["age"], later[column])[0, 1] == pytest.approx(
            np.corrcoef(joint["age"], joint[column])[0, 1], abs=0.04
        )
    assert body_latents(joint).shape == (len(joint), len(BODY))


def test_a_seed_fixes_the_cohort_and_sobol_beats_random(patient, crowd):
    pd.testing.assert_frame_equal(crowd, candidates(patient, 4096, seed=1), check_exact=True)
    assert not crowd.equals(candidates(patient, 4096, seed=2))
    z = normals(1024, 3, seed=5)
    assert np.abs(z.mean(axis=0)).max() < 0.25 / np.sqrt(1024)
    with pytest.raises(InvalidValue, match="patients of a cohort = 0 must be a whole number"):
        normals(0, 3, seed=1)


def test_implausible_candidates_are_refused_and_counted(crowd):
    rules = plausibility(crowd)
    assert 0.95 < rules.acceptance < 1
    assert sum(rules.refused.values()) >= (~rules.keep).sum() > 0
    kept = crowd[rules.keep]
    assert kept["age"].between(18, 90).all()
    assert plausibility(kept).acceptance == 1


def test_weights_reach_the_published_moments_and_tell_the_effective_size(patient, crowd):
    """The second way to make a cohort agrees with the first on what it was not told."""
    seen = observe(patient, crowd, JETALS_RUN_IN)
    seen = seen[seen["eligible"]]
    age, rating = seen["age"].to_numpy(), seen["baseline_rating"].to_numpy()
    features = np.column_stack(
        [age, age**2, seen["male"], seen["onset"] == "bulbar", rating, rating**2, seen["drop"] == 1]
    )
    targets = np.array([61, 61**2 + 11.7**2, 0.569, 0.295, 42.35, 42.35**2 + 2.65**2, 0.543])
    weights = balance(features.astype(float), targets)
    assert weights.sum() == pytest.approx(1)
    np.testing.assert_allclose(weights @ features, targets, rtol=1e-4)
    assert 0.3 * len(seen) < effective_size(weights) < len(seen)
    assert effective_size(np.ones(7)) == pytest.approx(7)
    with pytest.raises(InvalidValue, match="no weights reach"):
        balance(features.astype(float), np.where(np.arange(7) == 0, 200.0, targets))


def test_a_users_table_replaces_means_and_spreads(patient, tmp_path):
    table = tmp_path / "mine.csv"
    table.write_text("variable,mean,sd\nage,50,5\nentry,44,1.5\nbulbar,0.5,\n", encoding="utf-8")
    people = candidates(patient, 2048, seed=1, table=table)
    assert (people["age"].mean(), people["age"].std()) == pytest.approx((50, 5), rel=0.02)
    assert (people["onset"] == "bulbar").mean() == pytest.approx(0.5, abs=0.01)
    assert people["entry_score"].mean() == pytest.approx(44, abs=0.2)


@pytest.mark.parametrize(
    ("text", "error", "message"),
    [
        ("variable,mean,sd\nagee,50,5\n", UnknownName, "Did you mean 'age'"),
        ("variable,mean,sd\nage,50,\n", InvalidValue, r"sd of .age. = None must lie in \(0, 50\]"),
        ("variable,mean,sd\nmale,60,\n", InvalidValue, r"mean of .male. = 60 must lie in \[0, 1\]; for 60 % write 0.6"),
        ("variable,mean,sd\nage,610,5\n", InvalidValue, r"mean of 'age' = 610 must lie in \[18"),
        ("variable,mean,sd\nfvc,0.9,0.1\n", InvalidValue, r"mean of 'fvc' = 0.9 must lie in \[30"),
        ("variable,mean,sd\nage,inf,5\n", InvalidValue, "inf"),
        ("variable,mean,sd\nage,50,-5\n", InvalidValue, r"sd of 'age' = -5 must lie in \(0, 50\]"),
        ("variable,mean,sd\nmale,0.6,0.1\n", InvalidValue, "'male' is a share, which has no sd"),
        ("variable,mean,sd\nage,50,5\nage,60,5\n", InvalidValue, "'age' stands there twice"),
        (
            "variable,mean,sd\ntt,0.6,\nct,0.7,\n",
            InvalidValue,
            "tt_frequency and ct_frequency .* add up to 1.3",
        ),
        ("name,value\nage,50\n", InvalidValue, "no column variable"),
    ],
)
def test_a_wrong_table_is_refused_with_the_reason(patient, tmp_path, text, error, message):
    table = tmp_path / "mine.csv"
    table.write_text(text, encoding="utf-8")
    with pytest.raises(error, match=message):
        Generator.of(patient, table)
    with pytest.raises(InvalidValue, match="cannot be read"):
        Generator.of(patient, tmp_path / "none.csv")


@pytest.fixture(scope="module")
def pool(patient):
    return bodies(patient, 16, seed=1)


def test_bodies_are_at_rest_and_homocysteine_follows_status_and_genotype(patient):
    found = bodies(patient, 64, seed=1)
    assert found.acceptance > 0.9
    assert found.refused["no resting state"] == 0
    people = found.people
    assert 8 < people["hcy_plasma"].median() < 20
    assert np.corrcoef(np.log(people["FOLATE_DIET_rate"]), np.log(people["hcy_plasma"]))[0, 1] < -0.4


def test_the_relative_loss_gives_the_engines_motor_units_for_any_rate_and_effect(patient, pool):
    """One pair of coupled runs serves every disease and effect size: the exact relation that trials use."""
    regimen, people = "50 mg im every 3.5 d x 8", pool.people.iloc[:3]
    found = slowing(patient, regimen, 0.4, people, 28 * 24)
    for rate, maximum in ((4e-5, 0.3), (1.2e-4, 0.9)):
        run = mb.simulate(
            patient.with_values(MN_beta_hcy=0.4, MN_Emax=maximum),
            regimen,
            28 * 24,
            outputs=["motor_units"],
            times=np.arange(0, 28 * 24 + 1, STEP),
            own_baseline={"MN_hcy_ref": "hcy_plasma"},
            engine="fast",
            patients=people[list(BODY_PARAMETERS)].assign(MN_k=rate, motor_units=0.6),
        )["motor_units"].values
        np.testing.assert_allclose(0.6 * np.exp(-rate * found.loss(maximum)), run, rtol=1e-6)


def test_untreated_bodies_lose_at_their_own_rate_in_the_engine_too(patient, pool):
    run = mb.simulate(
        patient.with_values(MN_beta_hcy=0.67),
        None,
        "4 weeks",
        outputs=["motor_units"],
        times=[0, 672],
        engine="fast",
        own_baseline={"MN_hcy_ref": "hcy_plasma"},
        patients=pool.people[list(BODY_PARAMETERS)].iloc[:3],
    )["motor_units"].values
    loss = np.log(run[:, 0] / run[:, 1]) / patient.values["MN_k"]
    np.testing.assert_allclose(loss, untreated(3, 672).homocysteine[:, -1], rtol=1e-6)


def test_missed_doses_weaken_the_effect(patient, pool):
    regimen, hours = "50 mg im every 3.5 d x 16", 8 * 168
    full, thin = (slowing(patient, regimen, 0.2, pool.people, hours, missed=m) for m in (0.0, 0.5))
    assert thin.direct[:, -1].mean() < 0.9 * full.direct[:, -1].mean()


def test_the_direct_maximum_inverts_the_total_effect(patient, pool):
    found = slowing(patient, "50 mg im every 3.5 d x 32", 0.2, pool.people, 2688)
    for effect in (0.0, 0.25, 0.42):
        reached = 1 - found.loss(direct_maximum(patient, effect, 0.2))[:, -1] / 2688
        assert reached.mean() == pytest.approx(effect, abs=0.02)
