"""Trial engine and analyses: what a design says happens, controls show nothing, and nothing is lost."""

from __future__ import annotations

import dataclasses
import re
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from metabolism.errors import FitFailed, InvalidValue, UnknownName, UsageError
from metabolism.trials.analysis import (
    analyse,
    ancova,
    cox,
    log_rank,
    mixed_model,
    responders,
    slopes,
    survival,
)
from metabolism.trials.disease import motor_units, points_gained, rate_score
from metabolism.trials.effects import scenario_maximum, scenarios
from metabolism.trials.linear import last_observed
from metabolism.trials.pairs import combined_scores
from metabolism.trials.pool import STEP, make_pool, untreated
from metabolism.trials.reading import design_names, parse_design, read_design
from metabolism.trials.replicates import Replicates, _row_in_time, replicate
from metabolism.trials.screening import Cohort, randomise, screen
from metabolism.trials.sections import Arm
from metabolism.trials.trial import _at, _first_reach, simulate_trial

CONTRAST = "methylcobalamin_50mg - placebo"


@pytest.fixture(scope="module")
def design():
    return read_design("jetals")


@pytest.fixture(scope="module")
def pool(patient, design):
    return make_pool(patient, design, beta_hcy=0.2, size=48, seed=1)


@pytest.fixture(scope="module")
def face_value(patient):
    return scenario_maximum(patient, scenarios()["face_value"])


@pytest.fixture(scope="module")
def large(pool, design, face_value):
    """One trial large enough for its moments to be read off."""
    big = design.changed(patients=4000, trial_effect=False)
    return simulate_trial(pool, big, face_value, np.random.default_rng(1))


def pool_of(pool, design):
    """The same bodies over another length of treatment, nobody treated."""
    return dataclasses.replace(
        pool, slowings=tuple(untreated(len(pool.bodies.people), design.hours) for _ in design.arms)
    )


# designs


def test_every_shipped_design_can_be_read():
    assert {"jetals", "e0761", "mci186_16", "mci186_19", "example"} <= set(design_names())
    for name in design_names():
        assert read_design(name).id == name


def _content(**changes):
    base = {
        "patients": 20,
        "observation": {"weeks": 12, "onset_limit": 12, "drop": [1, 2], "floor": 36},
        "visits": {"weeks": [4, 8]},
        "arm": [{"name": "a"}, {"name": "b", "regimen": "50 mg im weekly x 8"}],
    }
    return base | changes


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"visit": {}}, UnknownName, "no entry of design 'x' 'visit'. Did you mean 'visits'"),
        ({"conduct": {"dropout": 0.1}}, UnknownName, "Did you mean 'drop_out'"),
        ({"arm": [{"name": "a", "regime": "x"}]}, UnknownName, "Did you mean 'regimen'"),
        ({"analysis": {"primary": "mmrn"}}, UnknownName, "Did you mean 'mmrm'"),
        ({"eligibility": {"hcy": [1, 2]}}, UnknownName, "no eligibility column|no entry in"),
        ({"randomisation": {"strata": ["weight"]}}, UnknownName, "no stratum"),
        ({"visits": {"weeks": [4, 4]}}, InvalidValue, "must rise"),
        ({"visits": {"weeks": [4, 8], "window_days": 15}}, InvalidValue, "does not fit visits 4 weeks apart"),
        ({"patients": 3}, InvalidValue, "fewer than 2"),
        ({"patients": 3.5}, InvalidValue, "whole number"),
        ({"arm": []}, InvalidValue, "there is no arm"),
        ({"arm": [{"name": "a"}, {"name": "b", "ratio": 0}]}, InvalidValue, "ratio = 0 must be a whole number in"),
        ({"arm": [{"name": "a"}, {"name": "a"}]}, InvalidValue, "share a name"),
        (
            {"observation": {"weeks": 12, "onset_limit": 12, "drop": [3, 1], "floor": 36}},
            InvalidValue,
            "window 3 to 1 points is empty",
        ),
        (
            {"observation": {"weeks": 0, "onset_limit": 12, "drop": [1, 2], "floor": 36}},
            InvalidValue,
            "needs an observation period",
        ),
        ({"observation": {"weeks": 12, "drop": [1, 2], "floor": 36}}, InvalidValue, "lacks the entry 'onset_limit'"),
        ({"eligibility": {"hcy_plasma": [20, 10]}}, InvalidValue, "contradicts itself"),
        ({"eligibility": {"hcy_plasma": [200, 300]}}, InvalidValue, "outside the plausible"),
        ({"eligibility": {"onset_months": [14, 20]}}, InvalidValue, "contradicts the onset limit"),
        ({"conduct": {"missing_visits": 1.2}}, InvalidValue, r"missing_visits = 1.2 must lie in \[0, 1\)"),
        ({"conduct": {"drop_out": -1}}, InvalidValue, r"drop_out = -1 must lie in \[0, 1\) per month"),
        ({"conduct": {"drop_out_slope": 1}}, InvalidValue, "lets nobody leave"),
        ({"analysis": {"early_share": 1.2}}, InvalidValue, "early_share = 1.2 must lie"),
        ({"analysis": {"primary": "cafs", "estimand": "hypothetical"}}, InvalidValue, "is 'composite', not"),
    ],
)
def test_a_design_that_cannot_be_carried_out_is_refused_with_the_reason(changes, error, message):
    with pytest.raises(error, match=message):
        parse_design("x", _content(**changes))


def test_design_files_that_cannot_be_read(tmp_path):
    with pytest.raises(UnknownName, match="Did you mean 'jetals'"):
        read_design("jetal")
    broken = tmp_path / "mine.toml"
    broken.write_text("patients = [", encoding="utf-8")
    with pytest.raises(InvalidValue, match="cannot be read"):
        read_design(broken)


def test_a_design_nobody_is_eligible_for_tells_how_many_stood_at_each_filter(pool, design):
    empty = design.changed(eligibility={"hcy_plasma": (60.0, 90.0), "age": (20.0, 22.0)})
    with pytest.raises(InvalidValue, match=r"candidates \d+.*in run-in window \d+.*hcy_plasma \d+.*age 0"):
        simulate_trial(pool, empty, 0.0, np.random.default_rng(1))


# conduct


def test_randomised_patients_meet_every_criterion_and_are_counted(pool, design):
    people, counts = screen(pool, design, 300, np.random.default_rng(2))
    assert len(people["MN_k"]) == 300
    assert set(np.unique(people["drop"])) == {1, 2}
    assert people["baseline_rating"].min() >= 36
    assert people["onset_months"].max() <= 12
    assert people["fvc"].min() >= 60
    left = list(counts.values())
    assert left == sorted(left, reverse=True)
    assert left[-1] >= 300


def test_arms_are_balanced_within_strata(pool, design):
    people, _ = screen(pool, design, 400, np.random.default_rng(2))
    arm = randomise(people, design, np.random.default_rng(3))
    for drop in (1, 2):
        for onset in ("bulbar", "upper limb", "lower limb"):
            mine = arm[(people["drop"] == drop) & (people["onset"] == onset)]
            assert abs((mine == 0).sum() - (mine == 1).sum()) <= 2
    uneven = design.changed(arms=(Arm("p"), Arm("a", "50 mg im weekly x 8", ratio=2)), strata=())
    arm = randomise(people, uneven, np.random.default_rng(3))
    assert 130 <= (arm == 0).sum() <= 136


def test_ratings_visits_and_losses_follow_the_design(large, design):
    rated = large.rated[np.isfinite(large.rated)]
    assert (rated == np.round(rated)).all()
    assert rated.min() >= 0
    assert rated.max() <= 48
    share = np.isfinite(large.rated).mean(axis=0)
    assert (np.diff(share) < 0.005).all()
    assert 0.92 < share[-1] < 0.99
    # leavers: rate 0.006 per month over 3.8 months, and deaths
    gone = (large.event_months < design.hours / 730.5 - 1e-9) & ~large.event
    assert gone.mean() == pytest.approx(1 - np.exp(-0.006 * design.hours / 730.5), abs=0.006)
    # after an event or a withdrawal nothing is rated
    late = large.event_months < 3
    assert not np.isfinite(large.rated[late][:, -1]).any()


def test_window_noise_and_drift_do_not_bias_the_mean(large, design):
    """The mean rating is the mean true score, to rounding, wherever it was observed."""
    seen = np.isfinite(large.rated)
    # what recurs in a patient's ratings was there when the run-in selected; what is new has no mean
    fresh = large.rated - large.people["rater_habit"][:, None]
    assert np.nanmean(fresh) == pytest.approx(large.true_score[seen].mean(), abs=0.05)


def test_the_effect_has_the_size_of_the_scenario(large, pool, design):
    """True motor-unit loss in the active arm is 41 % less, whatever the ratings say."""
    score = large.true_score[:, -1]
    g = pool.generator
    n50, gamma = g.model.values["MN_n50"], g.model.values["MN_gamma"]
    units = n50 / (48 * (1 + n50**gamma) / score - 1) ** (1 / gamma)
    loss = np.log(large.people["motor_units"] / units) / large.people["MN_k"] / (16 * 168)
    assert loss[large.arm == 0].mean() == pytest.approx(1.0, abs=0.01)
    assert loss[large.arm == 1].mean() == pytest.approx(1 - 0.41, abs=0.03)


def test_a_comparator_arm_slows_by_what_its_design_says(pool):
    design = read_design("mci186_19").changed(patients=3000, trial_effect=False)
    two = make_pool(pool.generator.model, design, 0.0, drawn=pool.bodies)
    trial = simulate_trial(two, design, 0.0, np.random.default_rng(5))
    change = trial.true_score[:, -1] - trial.people["baseline_rating"]
    ratio = change[trial.arm == 1].mean() / change[trial.arm == 0].mean()
    assert 0.6 < ratio < 0.72


def test_background_edaravone_slows_every_arm(pool, design):
    def fall(share):
        d = design.changed(edaravone=share, patients=3000, trial_effect=False)
        trial = simulate_trial(pool, d, 0.0, np.random.default_rng(6))
        return np.nanmean(trial.change[:, -1])

    assert fall(0.9) > 0.8 * fall(0.0) > fall(0.0)


# analyses


def test_all_analyses_agree_in_direction_with_a_real_effect(large, pool):
    control = {k: v[large.arm == 0] for k, v in large.people.items()}
    true = points_gained(control, 0.41, 16, pool.generator.score_map)
    assert 1.2 < true < 2
    assert mixed_model(large)[CONTRAST].value == pytest.approx(true, abs=0.3)
    assert ancova(large)[CONTRAST].value > 0.7 * true
    assert slopes(large)[CONTRAST].value == pytest.approx(
        mixed_model(large)[CONTRAST].value / (16 * 168 / 730.5), rel=0.2
    )
    assert responders(large)[CONTRAST].value > 0.1
    row = analyse(large, ("cafs",))
    assert row[f"cafs:{CONTRAST}:value"] > 0
    assert row[f"cafs:{CONTRAST}:p"] < 1e-6


def test_arm_means_differ_by_the_difference(large):
    found = mixed_model(large)
    gap = found["methylcobalamin_50mg"].value - found["placebo"].value
    assert gap == pytest.approx(found[CONTRAST].value)


@pytest.mark.filterwarnings("ignore:.*keyword-only.*")
def test_survival_equals_lifelines():
    import lifelines
    from lifelines.statistics import logrank_test

    rng = np.random.default_rng(7)
    group = rng.integers(0, 2, 150).astype(float)
    # whole months make ties
    time = np.ceil(rng.exponential(np.where(group == 1, 20, 12)))
    event = rng.random(150) < 0.7
    frame = pd.DataFrame({"t": time, "e": event, "g": group})
    fitted = lifelines.CoxPHFitter().fit(frame, "t", "e")
    beta, se = cox(time, event, group)
    assert beta == pytest.approx(fitted.params_["g"], rel=1e-4)
    assert se == pytest.approx(fitted.standard_errors_["g"], rel=1e-4)
    z, p = log_rank(time, event, group)
    expected = logrank_test(time[group == 1], time[group == 0], event[group == 1], event[group == 0])
    assert z**2 == pytest.approx(expected.test_statistic, rel=1e-9)
    assert p == pytest.approx(expected.p_value, rel=1e-9)


def test_a_group_without_events_fails_and_says_so(large):
    with pytest.raises(FitFailed, match="no event"):
        cox(np.arange(1.0, 9), np.zeros(8, dtype=bool), np.tile([0.0, 1.0], 4))
    quiet = large.part(~large.event)
    row = analyse(quiet, ("survival",))
    assert "no event" in row["survival:failed"]
    with pytest.raises(FitFailed):
        survival(quiet)


def test_combined_scores_rank_death_below_decline(large):
    """Three patients by hand: one dies early, one falls much, one falls little."""
    small = large.part(np.arange(len(large.arm)) < 3)
    rated = np.array([[40.0, np.nan, np.nan, np.nan], [39, 36, 33, 30], [40, 40, 39, 39]])
    trial = type(small)(
        small.design,
        small.people | {"baseline_rating": np.full(3, 40.0)},
        small.arm,
        rated,
        np.array([1.5, 3.7, 3.7]),
        np.array([True, False, False]),
        {},
        rated,
    )
    np.testing.assert_array_equal(combined_scores(trial), [-2, 0, 2])
    np.testing.assert_array_equal(last_observed(trial.change), [0, -10, -1])


def test_a_mixed_model_where_many_die_is_refused_unless_its_estimand_is_stated(pool, design):
    long = design.changed(visits=(26.0, 52.0), patients=400)
    trial = simulate_trial(pool_of(pool, long), long, 0.0, np.random.default_rng(2))
    deadly = dataclasses.replace(trial, event=np.arange(400) < 60)
    with pytest.raises(InvalidValue, match="15 % died: a mixed model takes the dead as missing at random"):
        mixed_model(deadly)
    stated = dataclasses.replace(deadly, design=long.changed(estimand="hypothetical"))
    assert np.isfinite(mixed_model(stated)[CONTRAST].value)


def test_leaving_may_depend_on_the_score(pool, design):
    """With a slope, those who leave are those who decline fast; at slope 0 they are anybody."""
    gaps = {}
    for slope in (0.0, 5.0):
        big = design.changed(patients=3000, drop_out=0.03, drop_out_slope=slope, missing_visits=0.0)
        trial = simulate_trial(pool, big, 0.0, np.random.default_rng(4))
        left = np.isnan(trial.rated[:, -1]) & ~trial.event
        fall = trial.true_score[:, -1] - trial.people["baseline_rating"]
        gaps[slope] = fall[left].mean() - fall[~left].mean()
    assert abs(gaps[0.0]) < 1
    assert gaps[5.0] < -2


def test_a_rating_is_a_whole_number_from_0_to_48():
    rated = rate_score(np.array([47.9, 47.9, 41.2, 0.3]), np.array([3.0, -0.2, -0.9, -2.0]))
    assert rated.tolist() == [48, 48, 40, 0]


def test_leaving_begins_at_the_rate_that_is_stated(pool, design):
    """Whatever the slope: it counts from the score at randomisation."""
    big = design.changed(patients=4000, drop_out=0.05, drop_out_slope=1.0)
    trial = simulate_trial(pool, big, 0.0, np.random.default_rng(3))
    early = ((trial.event_months < 1) & ~trial.event).mean()
    assert early == pytest.approx(0.05, abs=4 * np.sqrt(0.05 / 4000) + 0.005)


def test_who_has_left_dies_unseen(pool, design):
    kept, left = (
        simulate_trial(pool, design.changed(patients=4000, drop_out=rate), 0.0, np.random.default_rng(3))
        for rate in (0.0, 0.3)
    )
    assert not (left.event & ~kept.event).any()
    assert left.event.sum() < 0.8 * kept.event.sum()
    assert (left.event_months[left.event] == kept.event_months[left.event]).all()


def test_visits_fall_anywhere_within_their_window(pool, design):
    """Untreated, the loss of motor units tells the time of the visit."""
    big = design.changed(patients=2000, window_days=7.0, edaravone=0.0)
    trial = simulate_trial(pool_of(pool, big), big, 0.0, np.random.default_rng(3))
    left = motor_units(trial.true_score, *pool.generator.score_map)
    days = np.log(trial.people["motor_units"][:, None] / left) / trial.people["MN_k"][:, None] / 24
    away = days - 7 * np.array(big.visits)
    assert np.abs(away).max() == pytest.approx(7, rel=0.02)
    assert away.std() == pytest.approx(7 / np.sqrt(3), rel=0.03)


def test_the_time_of_an_event_lies_within_its_step():
    steps = np.array([[1.0, 1.0, 1.0], [0.2, 0.2, 0.2], [2.0, 0.0, 0.0]])
    assert _first_reach(steps, np.array([1.5, 1.0, 0.5])).tolist() == [1.5 * STEP, np.inf, 0.25 * STEP]


def test_a_curve_is_straight_between_its_points_and_ends_with_its_last():
    rows = np.array([[0.0, 2, 3], [5.0, 5, 4]])
    when = STEP * np.array([[0, 0.5, 1.5, 2, 9], [-1, 0, 1, 2, 2.5]])
    assert _at(rows, when).tolist() == [[0, 1, 2.5, 3, 3], [5, 5, 5, 4, 4]]


def test_an_estimate_of_nothing_is_no_benefit_however_sure():
    table = pd.DataFrame({"cafs:a - b:value": [0.0, 1, 1, -1], "cafs:a - b:p": [0.01, 0.01, 0.2, 0.01]})
    assert Replicates(table, 0, 0).power("cafs", "a - b") == 0.25


def test_a_trial_that_stops_enrolling_saw_its_share_of_the_candidates(design):
    counts = {"candidates": 120, "above the score floor": 80, "in run-in window": 60}
    small = design.changed(patients=60)
    seen, half = np.zeros((60, 2)), np.arange(60) < 30
    trial = SimpleNamespace(
        design=small, counts=counts, arm=np.zeros(30, dtype=int), rated=seen, event=half, change=seen[:30]
    )
    row = _row_in_time(1, SimpleNamespace(trial=trial, months=3.0, verdicts={}, drawn=60))
    assert (row["candidates"], row["randomised"], row["months"]) == (60, 30, 3.0)


def test_a_patient_who_died_is_no_responder_and_one_who_fell_a_point_is(large):
    fallen = large.rated.copy()
    fallen[:, -1] = large.people["baseline_rating"] - np.where(np.arange(len(fallen)) % 2, 1.0, 1.5)
    died = np.arange(len(fallen)) % 4 == 1
    found = responders(dataclasses.replace(large, rated=fallen, event=died))
    mine = large.arm == large.design.control
    odd = np.arange(len(fallen)) % 4 == 3
    assert found[large.design.arms[large.design.control].name].value == pytest.approx(odd[mine].mean())


def test_a_hazard_ratio_has_a_95_percent_interval(large):
    found = next(iter(survival(large).values()))
    assert np.log([found.low, found.high]) == pytest.approx(
        np.log(found.value) + stats.norm.ppf([0.025, 0.975]) * found.se
    )


def test_an_unknown_analysis_is_named(large):
    with pytest.raises(UnknownName, match="Did you mean 'mmrm'"):
        analyse(large, ("mmmr",))


# negative controls


def _rejections(table):
    return float((table[f"mmrm:{CONTRAST}:p"] < 0.05).mean())


def test_type_one_error_is_nominal_without_any_effect(pool, design):
    """Zero effect: 5 % of 400 trials, within four Monte-Carlo standard errors; nothing fails."""
    zero = make_pool(pool.generator.model, design, 0.0, drawn=pool.bodies)
    found = replicate(zero, design, 0.0, 400, seed=11)
    assert abs(_rejections(found.table) - 0.05) < 4 * np.sqrt(0.05 * 0.95 / 400)
    assert found.failures("mmrm") == 0
    assert abs(found.table[f"mmrm:{CONTRAST}:value"].mean()) < 0.12


def test_shuffled_arms_show_no_effect(pool, design, face_value):
    found = replicate(pool, design, face_value, 200, seed=12, shuffle=True)
    assert abs(_rejections(found.table) - 0.05) < 4 * np.sqrt(0.05 * 0.95 / 200)
    assert replicate(pool, design, face_value, 100, seed=12).power("mmrm", CONTRAST) > 0.6


def test_the_links_carry_what_they_should(pool, patient, design, face_value):
    """Homocysteine link cut: the direct path stays. Direct path off: 0.5 mg and 50 mg both do almost nothing."""
    people = pool.bodies
    cut = make_pool(patient, design, 0.0, drawn=people)
    assert (cut.slowings[1].loss(0.0)[:, -1] / cut.slowings[0].loss(0.0)[:, -1]).mean() == pytest.approx(1, abs=1e-6)
    low = design.changed(arms=(Arm("placebo"), Arm("methylcobalamin_50mg", "0.5 mg im every 3.5 d x 32")))
    small = make_pool(patient, low, 0.2, drawn=people)
    by_hcy = 1 - small.slowings[1].loss(0.0)[:, -1].mean() / small.slowings[0].loss(0.0)[:, -1].mean()
    assert 0 < by_hcy < 0.06
    found = replicate(small, low, 0.0, 150, seed=13)
    assert found.table[f"mmrm:{CONTRAST}:value"].mean() < 0.35
    assert _rejections(found.table) < 0.12


# replicates


def test_an_interrupted_run_resumes_to_the_same_bits(pool, design, face_value, tmp_path):
    whole = replicate(pool, design, face_value, 60, seed=3, folder=tmp_path / "a", analyses=("mmrm", "survival"))
    again = replicate(pool, design, face_value, 60, seed=3, analyses=("mmrm", "survival"))
    pd.testing.assert_frame_equal(whole.table, again.table, check_exact=True)

    stopped = tmp_path / "b"
    calls = []

    def stop_after_two_chunks(done):
        calls.append(done)
        if len(calls) == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        replicate(
            pool,
            design,
            face_value,
            60,
            seed=3,
            folder=stopped,
            analyses=("mmrm", "survival"),
            tick=stop_after_two_chunks,
        )
    assert len(list(stopped.glob("*.json"))) == 2
    resumed = replicate(pool, design, face_value, 60, seed=3, folder=stopped, analyses=("mmrm", "survival"))
    assert resumed.resumed == 50
    pd.testing.assert_frame_equal(whole.table, resumed.table, check_exact=True)
    assert len(resumed.table) == 60

    with pytest.raises(UsageError, match="another request"):
        replicate(pool, design, face_value, 60, seed=4, folder=stopped)


def test_failed_bodies_take_no_part_and_are_counted(pool, design):
    broken = dataclasses.replace(pool, usable=pool.usable[3:])
    assert broken.failed == pool.failed + 3
    people, _ = screen(broken, design, 200, np.random.default_rng(1))
    assert not set(people["body"]) & set(pool.usable[:3])


def test_failed_fits_are_counted_and_never_significant(pool, design):
    tiny = design.changed(patients=4, strata=())
    found = replicate(pool, tiny, 0.0, 20, seed=1)
    assert found.failures("mmrm") > 0
    failed = found.table["mmrm:failed"] != ""
    assert found.table.loc[failed, "mmrm:failed"].str.len().min() > 10
    with pytest.raises(InvalidValue, match="replicates = 0 must be a whole number in"):
        replicate(pool, tiny, 0.0, 0)


def test_a_notebook_shows_trials_and_tables_of_them_in_a_line(large):
    assert re.match(
        r"<Trial: 4000 patients in 2 arms, \d visits; [\d.]+ % of ratings missing; \d+ events>", repr(large)
    )
    frame = pd.DataFrame({"age": range(100)})
    assert repr(Replicates(frame, 2, 0)) == "<Replicates: 100 replicates, 1 columns in .table; 2 bodies failed>"
    assert repr(Cohort(frame, {"candidates": 300})) == "<Cohort: 100 patients in .people; candidates 300>"
