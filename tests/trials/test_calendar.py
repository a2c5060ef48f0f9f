"""Trials in calendar time: arrivals, shared controls, looks, delayed starts, withdrawal, risk score and marker."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from metabolism.cli import main
from metabolism.errors import InvalidValue, UnknownName
from metabolism.trials.calendar import assign, conduct, cut
from metabolism.trials.disease import motor_units
from metabolism.trials.pool import bodies, make_pool
from metabolism.trials.prognosis import Marker, Risk, risk_profile
from metabolism.trials.reading import design_names, designs_dir, parse_design, read_design
from metabolism.trials.replicates import replicate
from metabolism.trials.sections import Arm, Looks
from metabolism.trials.trial import enrol, simulate_trial

SHIPPED = (
    "adaptive_enrichment",
    "healey",
    "mnd_smart",
    "magnet",
    "experts_als",
    "delayed_start",
    "withdrawal",
    "nfl_gate",
)


def _content(**changes):
    base = {
        "patients": 160,
        "observation": {"weeks": 0, "onset_limit": 36, "drop": [-48, 48], "floor": 24},
        "visits": {"weeks": [8, 16, 24]},
        "accrual": {"per_month": 10},
        "analysis": {"primary": "slope"},
        "arm": [{"name": "placebo"}, {"name": "active", "loss_reduction": 0.3}],
    }
    return {k: v for k, v in (base | changes).items() if v is not None}


def _two_arms(**changes):
    return parse_design("x", _content(**changes)).changed(trial_effect=False)


@pytest.fixture(scope="module")
def crowd(patient):
    return bodies(patient, 64, 1)


@pytest.fixture(scope="module")
def pool_for(patient, crowd):
    return lambda design: make_pool(patient, design, 0.0, drawn=crowd)


def _platform(**changes):
    arms = [{"name": "placebo"}] + [
        {"name": n, "loss_reduction": 0.3, "ratio": 3, "patients": 60, "enters": e} for n, e in (("A", 0), ("B", 4))
    ]
    return _two_arms(patients=None, arm=arms, randomisation={"control": "per arm"}, **changes)


# reading


@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_designs_have_at_most_fifteen_lines(name):
    assert name in design_names()
    assert len((designs_dir() / f"{name}.toml").read_text(encoding="utf-8").splitlines()) <= 15
    assert read_design(name).accrual is not None


_WATCH = {"weeks": 12, "onset_limit": 36, "drop": [0, 2], "floor": 24}
_NARROW = {"column": "pre_slope", "part": [0.6, 48.0], "week": 8}
_A, _B = {"name": "p"}, {"name": "a", "loss_reduction": 0.3}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        # looks
        ({"looks": {"at": [0.5, 1]}}, "looks that can stop nothing"),
        ({"looks": {"at": [0.5, 0.4, 1], "efficacy": "pocock"}}, "must rise from above 0 to 1"),
        ({"looks": {"at": [0.5, 0.9], "efficacy": "pocock"}}, "must rise from above 0 to 1"),
        ({"looks": {"at": [0.5, 1], "futility": [0, 1]}}, "2 looks need 1 futility"),
        ({"looks": {"at": [1], "futility": [0]}}, "2 looks need|needs a look before the end"),
        ({"looks": {"at": [0.5, 1], "futility": [3.1], "efficacy": "obrien-fleming"}}, "stop below z = 3.10 .* always"),
        ({"looks": {"at": [0.5, 1], "futility": [0], "alpha": 0.7}}, r"alpha = 0.7 must lie in \(0, 0.5\), one-sided"),
        ({"looks": {"at": [0.5, 1], "futility": "lan-demets-pocock", "power": 1.2}}, r"power = 1.2 must lie"),
        ({"looks": {"at": [0.5, 1], "futility": [0], "events": 50}}, "events = 50, which 'slope' has not"),
        ({"looks": {"at": [0.5, 1], "futility": [0], "week": 12}}, "after week 12, which is no visit"),
        ({"looks": {"at": [0.5, 1], "futility": [0]}, "accrual": None}, "give accrual"),
        (
            {"looks": {"at": [0.5, 1], "futility": [0]}, "analysis": {"primary": "survival"}},
            "come at shares of its events; give events",
        ),
        (
            {"looks": {"at": [0.5, 1], "futility": [0], "events": 200}, "analysis": {"primary": "survival"}},
            "200 events cannot happen to 160 patients",
        ),
        (
            {
                "looks": {"at": [0.5, 1], "futility": [0], "events": 50, "week": 16},
                "analysis": {"primary": "survival"},
            },
            "not after a week",
        ),
        # estimands
        (
            {"looks": {"at": [0.5, 1], "efficacy": "pocock", "decide": "nfl"}, "marker": {}},
            "decide by 'nfl' cannot show efficacy of 'slope'",
        ),
        ({"looks": {"at": [1], "decide": "nfl"}, "marker": {}}, "decide needs a look before the end"),
        ({"looks": {"at": [0.5, 1], "futility": [0], "decide": "nfl"}}, "give marker = {}"),
        ({"analysis": {"primary": "nfl"}}, "give marker = {}"),
        ({"analysis": {"primary": "survival", "estimand": "hypothetical"}}, "is 'treatment policy', not"),
        # allocations
        ({"arm": [_A | {"patients": 20}, _B | {"patients": 60}]}, "the control 'p' is shared"),
        ({"arm": [_A | {"enters": 2}, _B]}, "opens first and closes last"),
        ({"arm": [_A, _B | {"patients": 60}, _B | {"name": "b"}]}, "1 of 2 active arms state their patients"),
        ({"arm": [_A, _B, _B | {"name": "b", "enters": 6}]}, "'b' enters later and needs patients of its own"),
        ({"arm": [_A, _B | {"enters": 6, "patients": 80}]}, "no active arm is open at the start"),
        ({"patients": 500, "arm": [_A, _B | {"patients": 60}]}, "patients = 500 contradicts the arms, .* 120 to 120"),
        ({"arm": [_A, _B | {"patients": 1}]}, "patients = 1 must be a whole number in"),
        ({"arm": [_A, _B | {"enters": -1}]}, "enters = -1 must lie"),
        ({"patients": None}, "has no 'patients', of its own or of each active arm"),
        (
            {"arm": [_A, _B, _B | {"name": "b"}], "randomisation": {"control": "per arm"}},
            "for arms with patients of their own",
        ),
        ({"randomisation": {"block": 200}}, "a block of 400 is longer than the trial of 160"),
        ({"randomisation": {"strata": ["centre"]}}, "needs accrual.centres"),
        ({"accrual": {"per_month": 0}}, "per_month = 0 must lie"),
        ({"accrual": {"per_month": 5, "ramp_months": -1}}, "ramp_months = -1"),
        ({"accrual": {"per_month": 5, "centres": 0}}, "centres = 0"),
        ({"accrual": {"per_month": 5, "centre_sd": 0.2}}, "centre_sd needs a number of centres"),
        # treatment in time
        ({"arm": [_A, _B | {"from_week": 30}]}, "changes treatment at or after the last visit, week 24"),
        ({"arm": [_A, _B | {"from_week": 12, "until_week": 8}]}, "from week 12 until week 8: never"),
        ({"arm": [_A, {"name": "a", "regimen": "50 mg im weekly", "from_week": 8}]}, "a regimen says it itself"),
        ({"withdrawal": {"week": 12}, "arm": [_B, _B | {"name": "b"}]}, "week 12 is no visit before the last"),
        ({"withdrawal": {"week": 24}, "arm": [_B, _B | {"name": "b"}]}, "week 24 is no visit before the last"),
        ({"withdrawal": {"week": 16}}, "'placebo' has no treatment that it could go on with"),
        ({"withdrawal": {"week": 16}, "arm": [_B, _B | {"name": "b"}]}, "no arm stops at the withdrawal"),
        (
            {"withdrawal": {"week": 16}, "arm": [_B | {"until_week": 16}, _B | {"name": "b", "until_week": 16}]},
            "every arm stops at the withdrawal",
        ),
        (
            {"withdrawal": {"week": 16}, "arm": [_B | {"until_week": 8}, _B | {"name": "b"}]},
            "'a' ends in week 8, before the withdrawal in 16",
        ),
        ({"withdrawal": {"week": 16, "drop": [5, 1]}, "arm": [_B, _B | {"name": "b"}]}, "window 5 to 1 is empty"),
        (
            {
                "withdrawal": {"week": 16},
                "arm": [_B | {"until_week": 16}, _B | {"name": "b"}],
                "looks": {"at": [0.5, 1], "futility": [0]},
            },
            "has no looks before the end",
        ),
        # enrichment
        ({"enrichment": {"column": "nfl", "part": [80, 900]}}, "looks at week 12, which is no visit"),
        ({"enrichment": _NARROW | {"part": [90, 80]}}, "is no range"),
        ({"enrichment": _NARROW | {"at": 40}}, "at = 40 must lie .* for 40 % write 0.4"),
        ({"enrichment": _NARROW, "accrual": None}, "hangs on how fast patients arrive"),
        ({"enrichment": _NARROW, "accrual": {"per_month": 60}}, "100 % of the patients are in"),
        ({"enrichment": _NARROW, "looks": {"at": [0.5, 1], "futility": [0]}}, "decides itself"),
        ({"enrichment": _NARROW | {"column": "nfl"}}, "give marker = {}"),
        # limits of entry
        ({"eligibility": {"baseline_rating": [10, 20]}}, "baseline_rating from 10 to 20 contradicts .* 24 to 48"),
        ({"eligibility": {"drop": [3, 5]}, "observation": _WATCH}, "drop from 3 to 5 contradicts .* leaves 0 to 2"),
        ({"eligibility": {"entry_rating": [20, 23]}, "observation": _WATCH}, "entry_rating from 20 to 23 contradicts"),
        ({"eligibility": {"risk_profile": [-2, -6]}}, "from -2 to -6 contradicts itself"),
        ({"risk": {}}, "risk is of no use without a risk_profile"),
        ({"eligibility": {"risk_profile": [-6, -2]}, "risk": {"diagnosed": 0}}, r"diagnosed = 0 must lie in \(0, 1\]"),
        ({"eligibility": {"nfl": [50, 100]}}, "give marker = {}"),
        ({"eligibility": {"nfl": [50, 100]}, "marker": {"correlation": 1}}, "correlation = 1 must lie"),
        ({"eligibility": {"nfl": [50, 100]}, "marker": {"lag_weeks": 0}}, "lag_weeks = 0 must lie"),
    ],
)
def test_a_design_that_contradicts_itself_is_refused_with_the_reason(changes, message):
    with pytest.raises(InvalidValue, match=f"design 'x'.*(?:{message})"):
        parse_design("x", _content(**changes))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"visits": {"weeks": ["4", "1_6"]}}, "visits: weeks = '4' is text; write the number without"),
        ({"visits": {"weeks": ["1_6"]}}, "visits: weeks = '1_6' cannot be read as one number"),
        ({"conduct": {"drop_out": "0,8"}}, "conduct: drop_out = '0,8' .* for a decimal comma write '0.8'"),
        ({"arm": [_A, _B | {"enters": "1.5.2"}]}, "arm: enters = '1.5.2' .* two decimal points"),
    ],
)
def test_a_number_between_quotation_marks_is_refused(changes, message):
    with pytest.raises(InvalidValue, match=f"design 'x': {message}"):
        parse_design("x", _content(**changes))


@pytest.mark.parametrize(
    ("written", "message"),
    [("0,8", "drop_out = '0,8' .* for a decimal comma write '0.8'"), ("1.5.2", "drop_out = '1.5.2' .* two decimal")],
)
def test_a_number_that_a_design_file_cannot_hold_is_named_with_its_reading(tmp_path, written, message):
    text = (designs_dir() / "clinic.toml").read_text(encoding="utf-8")
    (tmp_path / "mine.toml").write_text(f"{text}\n[x]\ndrop_out = {written}  # a month\n", encoding="utf-8")
    with pytest.raises(InvalidValue, match=message):
        read_design(tmp_path / "mine.toml")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"looks": {"at": [0.5, 1], "efficacy": "obrien"}}, "Did you mean 'obrien-fleming'"),
        ({"looks": {"at": [0.5, 1], "futility": "pocock"}}, "no futility boundary .* Or give one z"),
        ({"looks": {"at": [0.5, 1], "futility": [0], "multiplicity": "holm"}}, "no multiplicity 'holm'"),
        ({"looks": {"at": [0.5, 1], "futility": [0], "decide": "nlf"}}, "no analysis 'nlf'"),
        ({"look": {}}, "Did you mean 'looks'"),
        ({"looks": {"time": 3}}, r"no entry in \[looks\] of design 'x' 'time'"),
        ({"accrual": {"monthly": 3}}, r"no entry in \[accrual\]"),
        ({"randomisation": {"control": "each"}}, "no control share"),
        ({"arm": [_A, _B | {"enter": 3}]}, "Did you mean 'enters'"),
    ],
)
def test_names_that_a_design_does_not_know_are_named(changes, message):
    with pytest.raises(UnknownName, match=message):
        parse_design("x", _content(**changes))


# arrival and assignment


def test_patients_arrive_as_the_accrual_says(pool_for):
    design = _two_arms(patients=1500, accrual={"per_month": 20, "ramp_months": 10, "centres": 12, "centre_sd": 0.3})
    people, _, entry = enrol(pool_for(design), design, np.random.default_rng(1))
    assert (np.diff(entry) >= 0).all()
    # the ramp enrols half of what full speed would
    assert (entry <= 10).sum() == pytest.approx(100, abs=4 * 10)
    assert ((entry > 20) & (entry <= 60)).sum() == pytest.approx(800, abs=4 * 800**0.5)
    assert set(np.unique(people["centre"])) <= set(range(12))
    log_k = np.log(people["MN_k"])
    means = [log_k[people["centre"] == c].mean() for c in range(12) if (people["centre"] == c).sum() > 50]
    assert 0.12 < np.std(means) < 0.55


def test_a_shared_control_grows_with_the_arms_that_are_open(pool_for):
    design = _platform()
    people, _, entry = enrol(pool_for(design), design, np.random.default_rng(1))
    arm, times = assign(people, design, entry, {1: np.inf, 2: np.inf}, np.random.default_rng(2))
    assert design.patients == 160
    assert np.bincount(arm[arm >= 0]).tolist()[1:] == [60, 60]
    assert times[arm == 2].min() >= 4
    both = (times >= 4) & (times <= times[arm == 1].max())
    # 3 : 3 : 2 while both are open, 3 : 1 before
    assert (arm[both] == 0).mean() == pytest.approx(0.25, abs=0.07)
    assert (arm[times < 4] == 0).mean() == pytest.approx(0.25, abs=0.07)


def test_closing_an_arm_changes_nothing_before(pool_for):
    design = _platform()
    people, _, entry = enrol(pool_for(design), design, np.random.default_rng(1))
    free, _ = assign(people, design, entry, {1: np.inf, 2: np.inf}, np.random.default_rng(2))
    stop, times = assign(people, design, entry, {1: 3.0, 2: np.inf}, np.random.default_rng(2))
    np.testing.assert_array_equal(free[entry < 3], stop[entry < 3])
    assert not (stop[times >= 3] == 1).any()
    # with nothing open, recruitment rests until B opens at 4 months
    assert not ((times > 3) & (times < 4)).any()
    assert (stop == 2).sum() == 60


def test_controls_are_concurrent(pool_for, monkeypatch):
    """Arm B, open from month 4, is compared with controls of its own time."""
    import metabolism.trials.calendar as module

    seen = {}
    original = module._pair

    def spy(trial, design, arm, stop, two):
        seen[arm] = original(trial, design, arm, stop, two)
        return seen[arm]

    monkeypatch.setattr(module, "_pair", spy)
    design = _platform()
    conduct(pool_for(design), design, 0.0, np.random.default_rng(3))
    assert seen[2].entry_months.min() >= 4
    assert seen[1].entry_months.max() <= seen[1].entry_months[seen[1].arm == 1].max()
    assert set(np.unique(seen[2].arm)) == {0, 1}


# looks


def test_without_looks_the_verdict_is_the_usual_test(pool_for):
    """One look at the end, one-sided 2.5 %: significant benefit at two-sided 5 %, everybody followed."""
    design = _two_arms(looks={"at": [1]})
    table = replicate(pool_for(design), design, 0.0, 60, reduction=0.2).table
    column = "slope:active - placebo"
    expected = (table[f"{column}:p"] < 0.05) & (table[f"{column}:value"] > 0)
    assert (table["active:shown"] == expected).all()
    assert 5 < expected.sum() < 55
    assert (table["randomised"] == 160).all()
    assert (table["active:reason"] == "end").all()


def test_looks_keep_the_level(pool_for):
    """Type-I error of four looks at 10 %, one-sided; at 10 % each time it would be 22 %."""
    looks = {"at": [0.25, 0.5, 0.75, 1], "efficacy": "pocock", "alpha": 0.1, "events": 60}
    visits = {"weeks": [26, 52, 78, 104]}
    design = _two_arms(patients=120, visits=visits, looks=looks, analysis={"primary": "survival"})
    table = replicate(pool_for(design), design, 0.0, 300, reduction=0.0, seed=3).table
    assert table["active:shown"].mean() == pytest.approx(0.1, abs=3.5 * np.sqrt(0.1 * 0.9 / 300))
    assert (table["active:look"] < 4).mean() > 0.01


def test_futility_saves_patients_and_months_and_costs_little_power(pool_for):
    free = _two_arms(looks={"at": [1]})
    looks = {"at": [0.4, 1], "futility": "lan-demets-pocock"}
    rule = _two_arms(looks=looks)
    pool = pool_for(free)
    null = [replicate(pool, d, 0.0, 60, reduction=0.0).table for d in (free, rule)]
    good = [replicate(pool, d, 0.0, 60, reduction=0.35).table for d in (free, rule)]
    assert null[1]["months"].mean() < null[0]["months"].mean() - 3
    assert null[1]["randomised"].mean() < 150
    assert (null[1]["active:reason"] == "futility").mean() > 0.4
    assert good[1]["active:shown"].mean() > good[0]["active:shown"].mean() - 0.08
    # a futility rule never shows what the design without it does not
    assert not (good[1]["active:shown"] & ~good[0]["active:shown"]).any()


def test_a_survival_look_comes_with_its_event(pool_for):
    looks = {"at": [0.5, 1], "events": 40, "futility": [1.9], "alpha": 0.02}
    design = _two_arms(patients=120, visits={"weeks": [26, 52, 78, 104]}, analysis={"primary": "survival"}, looks=looks)
    done = conduct(pool_for(design), design, 0.0, np.random.default_rng(5), reduction=0.0)
    verdict = done.verdicts["active"]
    assert (verdict.look, verdict.reason, verdict.shown) == (1, "futility", False)
    known = cut(done.trial, verdict.months, "survival")
    assert known.event.sum() == 20
    # enrolment stopped then
    assert done.trial.entry_months.max() < verdict.months == done.months


def test_what_lies_after_a_look_is_not_known(pool_for):
    design = _two_arms()
    trial = conduct(pool_for(design), design, 0.0, np.random.default_rng(5)).trial
    known = cut(trial, 9.0, "slope")
    assert known.entry_months.max() <= 9
    weeks = np.array(design.visits)
    assert not np.isfinite(known.rated[(known.entry_months[:, None] + weeks * 168 / 730.5) > 9.01]).any()
    assert (known.entry_months + known.event_months <= 9.001).all()
    due = cut(trial, 9.0, "ancova", Looks(), last=False)
    assert due.entry_months.max() <= 9 - 24 * 168 / 730.5 + 1e-6
    everything = cut(trial, 1e6, "ancova")
    np.testing.assert_array_equal(everything.rated, trial.rated)


def test_a_marker_may_stop_but_not_show(pool_for):
    looks = {"at": [0.3, 1], "decide": "nfl", "week": 16, "futility": [1.0]}
    design = _two_arms(looks=looks, marker={})
    pool = pool_for(design)
    null = replicate(pool, design, 0.0, 60, reduction=0.0).table
    good = replicate(pool, design, 0.0, 60, reduction=0.45).table
    stopped = null["active:reason"] == "futility"
    assert stopped.mean() > 0.6
    assert null.loc[stopped, "slope:active - placebo:value"].isna().all()
    assert not null.loc[stopped, "active:shown"].any()
    assert (good["active:reason"] == "futility").mean() < 0.15


def test_replicates_in_time_depend_on_seed_and_number_alone(pool_for, tmp_path):
    design = _platform(looks={"at": [0.5, 1], "futility": [0.0]})
    pool = pool_for(design)
    first = replicate(pool, design, 0.0, 30, folder=tmp_path).table
    again = replicate(pool, design, 0.0, 30, folder=tmp_path)
    assert again.resumed == 30
    assert first.equals(again.table)
    assert first.iloc[:5].equals(replicate(pool, design, 0.0, 5).table)


# treatment in time


def _relative_loss(trial, design):
    g = trial_map(design)
    units = motor_units(trial.true_score, *g)
    return np.log(trial.people["motor_units"][:, None] / units) / trial.people["MN_k"][:, None] / 168


def trial_map(patient):
    return patient.values["MN_gamma"], patient.values["MN_n50"]


def test_a_comparator_acts_in_its_weeks_only(patient, pool_for):
    """Loss in equivalent weeks: 24 without, and 40 % less during treatment."""
    arms = [
        {"name": "none"},
        {"name": "all", "loss_reduction": 0.4},
        {"name": "late", "loss_reduction": 0.4, "from_week": 8},
        {"name": "early", "loss_reduction": 0.4, "until_week": 8},
    ]
    design = _two_arms(arm=arms, accrual=None)
    trial = simulate_trial(pool_for(design), design, 0.0, np.random.default_rng(1))
    loss = _relative_loss(trial, patient)
    for arm, expected in enumerate(([8, 16, 24], [4.8, 9.6, 14.4], [8, 12.8, 17.6], [4.8, 12.8, 20.8])):
        np.testing.assert_allclose(loss[trial.arm == arm], [expected] * (trial.arm == arm).sum(), rtol=1e-6)


def test_a_delayed_regimen_is_no_treatment_until_it_starts(patient, crowd):
    design = parse_design(
        "x",
        _content(
            accrual=None,
            arm=[
                {"name": "delayed", "regimen": "50 mg im every 3.5 d from 16 weeks"},
                {"name": "early", "regimen": "50 mg im every 3.5 d"},
            ],
        ),
    ).changed(trial_effect=False)
    few = dataclasses.replace(crowd, people=crowd.people.iloc[:8].reset_index(drop=True))
    trial = simulate_trial(make_pool(patient, design, 0.0, drawn=few), design, 0.4, np.random.default_rng(1))
    loss = _relative_loss(trial, patient)
    np.testing.assert_allclose(loss[trial.arm == 0][:, :2], [[8, 16]] * (trial.arm == 0).sum(), rtol=1e-4)
    late, early = loss[trial.arm == 0], loss[trial.arm == 1]
    assert early[:, 1].mean() < 15
    # the third 8 weeks of the delayed arm are like the first 8 of the other
    assert (late[:, 2] - late[:, 1]).mean() == pytest.approx(early[:, 0].mean(), rel=0.03)


def test_withdrawal_begins_where_its_visit_says(pool_for):
    arms = [
        {"name": "stops", "loss_reduction": 0.5, "until_week": 16},
        {"name": "goes_on", "loss_reduction": 0.5},
    ]
    part = {"week": 16, "drop": [-48, 2]}
    design = _two_arms(patients=600, accrual=None, arm=arms, withdrawal=part)
    whole = simulate_trial(pool_for(design), design.changed(withdrawal=None), 0.0, np.random.default_rng(1))
    trial = simulate_trial(pool_for(design), design, 0.0, np.random.default_rng(1))
    assert trial.design.visits == (8.0,)
    assert trial.rated.shape[1] == 1
    stayed = whole.change[:, 1] >= -2
    np.testing.assert_array_equal(trial.people["baseline_rating"], whole.rated[stayed, 1])
    np.testing.assert_array_equal(trial.rated[:, 0], whole.rated[stayed, 2])
    falls = [np.nanmean(trial.change[trial.arm == i]) for i in (0, 1)]
    assert falls[1] > falls[0] + 0.3
    assert trial.event_months.max() <= 8 * 168 / 730.5 + 1e-9


# what a screening visit says


def test_the_risk_profile_is_that_of_its_authors_code():
    """By hand: 61 years old, 12 months from onset, 42 points, FVC 90 %, diagnosis at 7.2 months."""
    one = {"entry_rating": 42.0, "onset_months": 12.0, "age": 61.0, "fvc": 90.0, "onset": "bulbar"}
    people = {k: np.array([v]) for k, v in one.items()}
    expected = (
        -1.839 * (0.5 + 0.1) ** -0.5
        - 2.376 * (0.72**-0.5 + np.log(0.72))
        - 0.264 * 0.60**-2
        + 0.474 * (1 / 0.9 + 0.9**-0.5)
        + 0.271
    )
    assert risk_profile(Risk(), people)[0] == pytest.approx(expected)
    limb = people | {"onset": np.array(["lower limb"])}
    assert risk_profile(Risk(), limb)[0] == pytest.approx(expected - 0.271)
    assert risk_profile(Risk(bulbar=1.0), people)[0] == pytest.approx(expected + 0.729)
    # worse: faster, older, weaker breath
    for worse in ({"entry_rating": 36.0}, {"age": 75.0}, {"fvc": 60.0}):
        assert risk_profile(Risk(), people | {k: np.array([v]) for k, v in worse.items()})[0] > expected


def test_limits_of_score_slope_and_marker_hold(pool_for):
    limits = {"risk_profile": [-5, -3], "pre_slope": [0.3, 1.5], "nfl": [60, 200]}
    design = _two_arms(eligibility=limits, marker={}, accrual=None)
    trial = simulate_trial(pool_for(design), design, 0.0, np.random.default_rng(1))
    for column, (low, high) in limits.items():
        assert low <= trial.people[column].min() < trial.people[column].max() <= high
    assert trial.counts["risk_profile"] > trial.counts["pre_slope"] > trial.counts["nfl"] >= 160


def test_the_marker_observes_the_rate_and_what_treatment_does_to_it(pool_for):
    arms = [{"name": "placebo"}, {"name": "active", "loss_reduction": 0.4}]
    design = _two_arms(
        patients=3000,
        arm=arms,
        accrual=None,
        marker={"lag_weeks": 8},
        analysis={"primary": "nfl"},
        eligibility={"nfl": [0.1, 1e6]},
        observation={"weeks": 0, "onset_limit": 400, "drop": [-48, 48], "floor": 0},
    )
    trial = simulate_trial(pool_for(design), design, 0.0, np.random.default_rng(1))
    correlation = np.corrcoef(trial.people["ln_nfl"], np.log(trial.people["MN_k"]))[0, 1]
    assert correlation == pytest.approx(0.67, abs=0.05)
    fall = trial.people["ln_nfl"][:, None] - trial.ln_nfl
    np.testing.assert_allclose(np.nanmean(fall[trial.arm == 0], axis=0), 0, atol=0.02)
    # 8 weeks after the start the window is all treatment
    np.testing.assert_allclose(np.nanmean(fall[trial.arm == 1], axis=0), -0.67 * np.log(0.6), atol=0.02)
    assert np.isnan(trial.ln_nfl).sum() == np.isnan(trial.rated).sum()


def test_a_marker_that_cannot_be_is_refused():
    with pytest.raises(InvalidValue, match=r"within_sd 0.9 cannot correlate 0.67"):
        Marker(within_sd=0.9).baseline(np.ones(3), 1.0, 0.7, np.random.default_rng(1))


def test_an_arm_says_what_it_cannot_be():
    with pytest.raises(InvalidValue, match="ratio = 0 must be a whole number"):
        Arm("a", ratio=0)


# the command


def test_the_command_shows_level_stops_size_and_length(tmp_path, capsys):
    design = tmp_path / "mine.toml"
    design.write_text(
        """title = "two looks"
patients = 80
observation = { weeks = 0, onset_limit = 36, drop = [-48, 48], floor = 24 }
visits = { weeks = [8, 16, 24] }
accrual = { per_month = 8 }
looks = { at = [0.5, 1], efficacy = "obrien-fleming", futility = [0] }
analysis = { primary = "slope" }
arm = [{ name = "placebo" }, { name = "active", loss_reduction = 0.3 }]
""",
        encoding="utf-8",
    )
    options = ["--effect", "0.4", "--prior", "none", "--replicates", "20", "--bodies", "16", "--workers", "1"]
    assert main(["design", str(design), *options, "--out", str(tmp_path)]) == 0
    import pandas as pd

    table = pd.read_csv(tmp_path / "design_mine" / "power.csv")
    # a design with looks shows its level unasked
    assert table["effect"].tolist() == [0.0, 0.4]
    assert table["power"][0] < 0.2 < table["power"][1]
    assert table["stopped early for futility"][0] > table["stopped early for futility"][1]
    assert (table["trial months 95 % low"] <= table["trial months"]).all()
    assert (tmp_path / "design_mine" / "stops.png").is_file()
    assert "trial patients" in capsys.readouterr().out


def _fast(**rule):
    return _two_arms(enrichment=_NARROW | rule)


def test_a_look_may_narrow_whom_the_trial_recruits(pool_for):
    """Never, always, and not at all: the patients of both stages, their arms, the calendar and the verdict."""
    always = {"everybody": 9.0, "narrow": -9.0}
    plain, part, stop = (_fast(**r) for r in ({"everybody": -9.0}, always, {"everybody": 9.0, "narrow": 9.0}))
    pool, rng = pool_for(plain), np.random.default_rng
    done = {name: conduct(pool, d, 0.0, rng(4), 0.3) for name, d in (("all", plain), ("part", part), ("stop", stop))}
    early = len(done["stop"].trial.arm)
    rates = {n: d.trial.people["pre_slope"] for n, d in done.items()}
    for name in ("all", "part"):
        assert len(rates[name]) == 160
        np.testing.assert_array_equal(rates[name][:early], rates["stop"])
        assert done[name].verdicts["active"].population == name
        assert abs(done[name].trial.arm.mean() - 0.5) < 0.03
    assert (rates["part"][early:] >= 0.6).all()
    assert (rates["all"][early:] < 0.6).any()
    # who is passed over costs time
    assert done["stop"].months < done["all"].months < done["part"].months
    assert done["stop"].verdicts["active"].reason == "futility"
    # a share of 0.5 of 160 patients, and those who come within the eight weeks of its last visit
    assert early / 160 == pytest.approx(part.enrichment.first(160, 10), abs=0.08)
    # without the look it is an ordinary trial of the planned size
    assert len(simulate_trial(pool, plain, 0.0, rng(4)).arm) == 160


def test_enrichment_shows_what_is_there_and_little_else(pool_for):
    """A thousand trials without an effect are in benchmarks/analyses.csv; here a few of each kind."""
    design = _fast(everybody=0.7)
    table = {r: replicate(pool_for(design), design, 0.0, 25, reduction=r).table for r in (0.0, 0.5)}
    shown = {r: t["active:shown"].mean() for r, t in table.items()}
    assert shown[0.0] < 0.2
    assert shown[0.5] > 0.6
    assert set(table[0.0]["active:population"]) == {"all", "part"}
