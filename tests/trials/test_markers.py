"""Markers of a virtual trial: domains that add up, stages, vital capacity as in the engine, neurofilament."""

from __future__ import annotations

import numpy as np
import pytest

import metabolism as mb
from metabolism.errors import InvalidValue
from metabolism.trials.disease import HOURS_PER_MONTH, mortality, vital_capacity
from metabolism.trials.markers import DOMAINS, domain_scores, kings_stage, linear_score, tilts, trial_markers
from metabolism.trials.patients import Generator
from metabolism.trials.pool import bodies, make_pool
from metabolism.trials.reading import read_design
from metabolism.trials.trial import simulate_trial

OUTPUTS = ["motor_units", "vital_capacity", "mn_hazard", "alsfrs_r", "nfl", "alsfrs_linear"]
SPLIT = [f"alsfrs_{d}" for d in DOMAINS]


@pytest.fixture(scope="module")
def engine(patient):
    """An untreated and a treated person in the coupled model over a year."""
    ill = patient.with_values(MN_k=0.05 / HOURS_PER_MONTH, motor_units=0.5, vital_capacity=0.9, MN_Emax=0.5)
    times = np.linspace(0, 12 * HOURS_PER_MONTH, 25)
    return ill, {
        given: mb.simulate(ill, given, times[-1], outputs=OUTPUTS + SPLIT, times=times, rtol=1e-9)
        for given in (None, "50 mg im every 3.5 d x 104")
    }


def test_vital_capacity_and_hazard_of_the_trial_are_those_of_the_model(engine):
    ill, runs = engine
    v = ill.values
    for run in runs.values():
        units, hours = run["motor_units"].values, run.data["time"].values
        mine = vital_capacity(np.array(0.9), np.array(v["MN_vc_rate"]), np.array(0.5), units)
        np.testing.assert_allclose(mine, run["vital_capacity"].values, rtol=1e-5)
        people = {"motor_units": [0.5], "fvc": [90.0], "vc_rate": [v["MN_vc_rate"]]}
        steps = mortality(people, np.log(0.5 / units)[None], hours, v)[0]
        rate = run["mn_hazard"].values
        np.testing.assert_allclose(steps, (rate[1:] + rate[:-1]) / 2 * np.diff(hours), rtol=1e-4)
    assert runs[None]["vital_capacity"].values[-1] < 0.85


def test_domains_add_up_in_the_model_and_in_a_rating(engine):
    ill, runs = engine
    tilt = np.array([ill.values[f"MN_tilt_{d}"] for d in DOMAINS[:3]])
    for run in runs.values():
        score = run["alsfrs_r"].values
        mine = domain_scores(score, np.append(tilt, -tilt.sum()))
        for i, name in enumerate(SPLIT):
            np.testing.assert_allclose(mine[:, i], run[name].values, rtol=1e-9)
        np.testing.assert_allclose(sum(run[name].values for name in SPLIT), score, rtol=1e-12)
    grid = domain_scores(np.linspace(0, 48, 97), np.array([-1.0, 1.0, 0.5, -0.5]))
    assert grid.min() >= 0
    assert grid.max() <= 12
    np.testing.assert_allclose(grid.sum(axis=-1), np.linspace(0, 48, 97))


def test_neurofilament_follows_the_loss_rate_and_not_the_score(engine):
    ill, runs = engine
    untreated, treated = (run["nfl"].values for run in runs.values())
    # stable without treatment, lower with a slower loss; a gain of function alone would change the score and not this
    np.testing.assert_allclose(untreated, untreated[0], rtol=1e-6)
    assert untreated[0] == pytest.approx(1 + ill.values["MN_k"] / ill.values["MN_nfl_K"], rel=0.02)
    assert treated[-1] < 0.9 * untreated[-1]


def test_onset_sets_the_order_and_the_tilts_keep_their_range(patient):
    g = Generator.of(patient)
    rng = np.random.default_rng(1)
    for region, first in (("bulbar", "bulbar"), ("upper limb", "fine"), ("lower limb", "gross")):
        drawn = tilts(g, np.full(4000, region), rng)
        assert np.abs(drawn).max() <= 1
        np.testing.assert_allclose(drawn.sum(axis=1), 0, atol=1e-12)
        assert DOMAINS[int(drawn.mean(axis=0).argmin())] == first
        assert drawn.mean(axis=0)[3] > 0.2
        # what one domain loses more, the others lose less: correlated states
        assert np.corrcoef(drawn.T)[0, 3] < 0


def test_stages_and_the_linear_score():
    rated = np.array(
        [[12, 12, 12, 12], [12, 11, 12, 12], [11, 11, 12, 12], [10, 8, 8, 12], [3, 9, 9, 12], [12, 6, 6, 7]]
    )
    assert kings_stage(rated).tolist() == [0, 1, 2, 3, 4, 4]
    assert (np.diff(linear_score(np.arange(49.0))) > 0).all()


def test_markers_of_a_trial(patient):
    design = read_design("centaur").changed(patients=300)
    pool = make_pool(patient, design, 0.0, drawn=bodies(patient, 16, 1))
    trial = simulate_trial(pool, design, 0.0, np.random.default_rng(1))
    found = trial_markers(trial, pool.generator, np.random.default_rng(2))
    seen = np.isfinite(trial.rated)
    np.testing.assert_array_equal(sum(found[d] for d in DOMAINS)[seen], trial.rated[seen])
    assert all(np.isnan(v[~seen]).all() and v.shape == trial.rated.shape for v in found.values())
    bulbar = trial.people["onset"] == "bulbar"
    assert np.nanmean(found["bulbar"][bulbar]) < np.nanmean(found["bulbar"][~bulbar]) - 2
    assert set(np.unique(found["kings_stage"][seen])) <= {0.0, 1.0, 2.0, 3.0, 4.0}
    assert np.nanmean(found["vital_capacity"][:, -1]) < np.nanmean(found["vital_capacity"][:, 0]) - 5


def test_a_design_sets_the_scores_at_entry(patient):
    g = Generator.of(patient)
    assert g.entering({}) is g
    pool = make_pool(patient, read_design("centaur"), 0.0, drawn=bodies(patient, 16, 1))
    design = read_design("centaur").changed(patients=1500)
    entry = simulate_trial(pool, design, 0.0, np.random.default_rng(1)).people["entry_score"]
    # the design's mean is 29; a limit of 18 months since onset keeps those who have lost less; the cohort begins at 34
    assert 31 < entry.mean() < 37
    assert entry.min() < 25
    for wrong, words in (
        ({"low": 40.0, "high": 30.0}, "must rise"),
        ({"mean": 45.0, "low": 20.0, "high": 40.0}, "outside its limits"),
        ({"mean": 40.0, "sd": 0.0}, r"entry sd = 0 must lie in \(0, 48\]"),
        ({"high": 12.0}, "excludes everybody"),
    ):
        with pytest.raises(InvalidValue, match=words):
            design.changed(entry=wrong)


def test_what_recurs_in_a_rating_does_not_show_in_a_change(patient):
    design = read_design("natural_history").changed(patients=4000, trial_effect=False)
    pool = make_pool(patient, design, 0.0, drawn=bodies(patient, 16, 1))
    trial = simulate_trial(pool, design, 0.0, np.random.default_rng(1))
    error = trial.rated - trial.true_score
    pairs = error[np.isfinite(error[:, :2]).all(axis=1)][:, :2]
    g = Generator.of(patient)
    share = g["rater_habit_sd"] ** 2 / (g["rater_habit_sd"] ** 2 + g["rater_sd"] ** 2 + 1 / 12)
    assert np.corrcoef(pairs.T)[0, 1] == pytest.approx(share, abs=0.05)
