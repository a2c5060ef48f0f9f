"""Design mode: closed forms, variation of designs, resumability, and the command line."""

from __future__ import annotations

import copy

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from metabolism.cli import main
from metabolism.errors import InvalidRegimen, InvalidValue, UnknownName
from metabolism.trials.boundaries import efficacy_bounds
from metabolism.trials.disease import points_gained
from metabolism.trials.effects import direct_maximum
from metabolism.trials.plots import kaplan_meier
from metabolism.trials.pool import make_pool
from metabolism.trials.power import _in_time, closed_form, figures, power_table, summary, varied, wilson
from metabolism.trials.reading import parse_design, read_design
from metabolism.trials.sections import Arm
from metabolism.trials.tables import interval
from metabolism.trials.trial import simulate_trial


@pytest.fixture(scope="module")
def design():
    return read_design("jetals")


@pytest.mark.parametrize(
    ("slowing", "power", "overstatement"),
    [(0.15, 0.14, 2.75), (0.25, 0.32, 1.75), (0.35, 0.55, 1.34), (0.425, 0.72, 1.18)],
)
def test_closed_form_power_of_jetals_at_its_published_error(slowing, power, overstatement):
    """Reference calculation: a fall of 4.63 points, a standard error of 0.77."""
    found = closed_form(slowing * 4.63, 0.77)
    assert found[0] == pytest.approx(power, abs=0.01)
    assert found[1] == pytest.approx(overstatement, rel=0.03)


def test_closed_form_is_what_simulation_gives():
    draws = np.random.default_rng(1).normal(1.2, 0.77, 400_000)
    significant = np.abs(draws) > 1.959964 * 0.77
    power, overstatement = closed_form(1.2, 0.77)
    assert significant.mean() == pytest.approx(power, abs=0.003)
    assert np.abs(draws[significant]).mean() / 1.2 == pytest.approx(overstatement, rel=0.005)
    assert closed_form(0, 0.77)[0] == pytest.approx(0.05)
    assert closed_form(0, 0.77)[1] == np.inf


def test_every_choice_changes_what_it_says(design):
    assert varied(design, patients=300).patients == 300
    longer = varied(design, weeks=24)
    assert longer.visits == (4, 8, 12, 16, 20, 24)
    assert longer.arms[1].regimen == "50 mg im every 3.5 d x 48"
    assert varied(design, weeks=52).visits == (13, 26, 39, 52)
    assert varied(design, run_in=(1, 4)).observation.drop == (1, 4)
    assert varied(design, run_in="none").observation.drop == (-48, 48)
    assert varied(design, onset_limit=24).observation.onset_limit == 24
    assert varied(design, hcy_min=15).eligibility == {"fvc": (60, 200), "hcy_plasma": (15, 100)}
    assert varied(design, dose="25 mg", interval="7 d").arms[1].regimen == "25 mg im every 7 d x 16"
    assert varied(design, patients=None) == design


@pytest.mark.parametrize(
    ("choices", "error", "message"),
    [
        ({"size": 3}, UnknownName, "no design choice 'size'"),
        ({"patients": 2}, InvalidValue, "fewer than 2"),
        ({"run_in": (3, 1)}, InvalidValue, "is empty"),
        ({"weeks": -1}, InvalidValue, r"weeks = -1 must lie in \(0, 1040\]"),
        ({"hcy_min": 200.0}, InvalidValue, "contradicts itself|outside the plausible"),
        ({"dose": "much"}, InvalidRegimen, "cannot read"),
    ],
)
def test_a_choice_that_cannot_be_made_is_refused(design, choices, error, message):
    with pytest.raises(error, match=message):
        varied(design, **choices)


def test_a_trial_too_short_for_its_delayed_start_is_refused():
    late = read_design("delayed_start")
    assert varied(late, weeks=39).arms[0].regimen == "50 mg im every 3.5 d x 46 from 16 weeks"
    with pytest.raises(InvalidValue, match=r"12 weeks ends before '.* from 16 weeks' begins"):
        varied(late, weeks=12)


@pytest.fixture(scope="module")
def table(patient, design, tmp_path_factory):
    folder = tmp_path_factory.mktemp("study")
    choices = {"patients": [60, 240]}
    first = power_table(patient, design, [0.0, 0.4], choices=choices, replicates=40, size=16, folder=folder)
    return first, folder, choices


def test_power_grows_with_effect_and_size_and_overstatement_shrinks(table):
    assert set(table[0]["arm"]) == {"methylcobalamin_50mg"}
    assert set(table[0]["estimand"]) == {"hypothetical"}
    found = table[0].set_index(["effect", "patients"])
    power = found["power"]
    assert power["0", 60] < 0.16
    assert power["0.4", 240] > power["0.4", 60] + 0.2
    # an uncertain effect of mean 0.27: between no effect and 0.4
    assert power["0", 240] < power["N(0.27, 0.1)", 240] < power["0.4", 240]
    assert found["type M"]["0.4", 60] > found["type M"]["0.4", 240] > 0.99
    assert np.isnan(found["type M"]["0", 240])
    assert (found["failed fits"] == 0).all()
    # the standard error falls with the root of the number of patients
    ratio = found["mean SE"]["0.4", 60] / found["mean SE"]["0.4", 240]
    assert ratio == pytest.approx(2, rel=0.1)


def test_a_study_resumes_to_the_same_table(table, patient, design):
    first, folder, choices = table
    marks = sorted(folder.rglob("*.json"))
    assert len(marks) == 12
    marks[3].unlink()
    again = power_table(patient, design, [0.0, 0.4], choices=choices, replicates=40, size=16, folder=folder)
    pd.testing.assert_frame_equal(first, again, check_exact=True)


def test_figures_show_every_design(table):
    drawn = figures(table[0], "JETALS")
    assert set(drawn) == {"power_curves", "power_heat_map"}
    labels = [text.get_text() for text in drawn["power_curves"].axes[0].get_legend().get_texts()]
    assert labels == ["60 patients", "240 patients"]


def test_one_arm_cannot_be_compared(patient):
    with pytest.raises(InvalidValue, match="has one arm"):
        summary(pd.DataFrame(), read_design("natural_history"), 0)
    with pytest.raises(InvalidValue, match="no active arm that the effect could act on; add a second"):
        power_table(patient, read_design("natural_history"), [0.3])


def test_the_effect_acts_on_comparator_arms_too(patient):
    """An effect of 0 has the power of the test's level, whatever reduction the design file states."""
    design = read_design("mci186_19")
    rows = power_table(patient, design, [0.0, 0.6], prior=None, replicates=40, size=16).set_index("effect")
    assert rows.loc["0", "power"] <= 0.15
    assert abs(rows.loc["0", "mean estimate"]) < 0.5 < 2 < rows.loc["0.6", "mean estimate"]
    assert rows.loc["0.6", "power"] > 0.8


def test_expected_sizes_have_a_95_percent_monte_carlo_interval():
    sizes = np.array([90.0, 100, 100, 110])
    columns = dict.fromkeys(("a:patients", "a:months", "randomised", "months"), sizes)
    table = pd.DataFrame({"a:reason": "end", "a:shown": True, "a:population": "all", **columns})
    row = _in_time(table, "a", ["a"])
    half = stats.t.ppf(0.975, 3) * stats.sem(sizes)
    low, high = row["trial patients 95 % low"], row["trial patients 95 % high"]
    assert [low, row["trial patients"], high] == pytest.approx([100 - half, 100, 100 + half])


@pytest.mark.parametrize("effect", [-0.1, 1.0, 1.5])
def test_an_effect_that_is_no_reduction_of_a_rate_is_refused(patient, design, effect):
    with pytest.raises(InvalidValue, match=r"effect = .* must lie in \[0, 1\), a share of the loss rate"):
        power_table(patient, design, [effect])


def test_a_design_with_an_arm_the_effect_cannot_reach_is_refused(patient, design):
    two = design.changed(arms=(*design.arms, Arm("sham")))
    with pytest.raises(InvalidValue, match="could act on in 'sham'; give it a regimen or a loss_reduction"):
        power_table(patient, two, [0.3])


def test_every_active_arm_is_shown_and_tested_at_its_share_of_five_per_cent():
    """Two arms: one with P = 0.03 throughout, one with 0.01; only the second is significant at 0.025."""
    three = read_design("e0761")
    columns = {}
    for dose, p in ((25, 0.03), (50, 0.01)):
        name = f"survival:methylcobalamin_{dose}mg - placebo"
        columns |= {f"{name}:value": [0.5, 0.5], f"{name}:p": [p, p], f"{name}:se": [0.2, 0.2]}
    rows = summary(pd.DataFrame({"candidates": [10, 10], "randomised": [5, 5], **columns}), three, 0)
    assert [(r["arm"], r["power"]) for r in rows] == [("methylcobalamin_25mg", 0), ("methylcobalamin_50mg", 1)]
    assert {r["tested at"] for r in rows} == {"0.025 (Bonferroni, 2 arms)"}
    assert rows[0]["mean estimate"] == pytest.approx(np.log(2))
    assert rows[0]["estimate"] == "lower log hazard of death or full ventilation"


def test_the_command_writes_table_and_figures(tmp_path, capsys):
    code = main(
        [
            "design",
            "example",
            "--effect",
            "0.4",
            "--prior",
            "none",
            "--replicates",
            "3",
            "--bodies",
            "16",
            "--out",
            str(tmp_path),
            "--workers",
            "1",
        ]
    )
    assert code == 0
    folder = tmp_path / "design_example"
    written = pd.read_csv(folder / "power.csv")
    assert len(written) == 1
    assert {p.name for p in folder.glob("power_*")} == {
        "power_curves.png",
        "power_curves.svg",
        "power_heat_map.png",
        "power_heat_map.svg",
    }
    assert "type M" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["nope"], "no design 'nope'"),
        (["jetals", "--effect", "much"], "--effect 'much' cannot be read"),
        (["jetals", "--effect", "x=0.2"], "no active arm 'x'"),
        (["jetals", "--effect", "x=0.2 x=0.3"], "x is named twice"),
        (["jetals", "--effect", "methylcobalamin_50mg=20"], "for 20 % write 0.2"),
        (["jetals", "--prior", "1"], "must read MEAN,SD"),
        (["jetals", "--run-in", "3"], "must read LOW-HIGH"),
        (
            ["jetals", "--run-in", "1-2-3"],
            "value = '2-3' cannot be read as one number",
        ),
        (["jetals", "--patients", "1_30"], "'1_30' cannot be read as one number"),
        (["jetals", "--patients", "130.5"], "'130.5' is not a whole number"),
        (["jetals", "--set", "als_patient", "--param", "MN_k=0"], "MN_k = 0 must lie in [1e-07, 0.01] per hour"),
        (["jetals", "--replicates", "0"], "at least 1"),
        (["jetals", "--onset-limit", "0.05", "--replicates", "1"], "candidates left at each filter"),
    ],
)
def test_a_wrong_command_is_refused_without_a_traceback(options, message, tmp_path, capsys):
    assert main(["design", *options, "--bodies", "16", "--out", str(tmp_path)]) == 2
    assert message in capsys.readouterr().err


def test_arms_may_differ_in_their_true_effect(patient):
    """A platform of one drug that works and one that does not: each is shown as often as it alone would be."""
    design = read_design("experts_als")
    options = {"prior": None, "replicates": 25, "size": 16}
    truths = [{"drug_1": 0.5, "drug_2": 0.0}, 0.5]
    table = power_table(patient, design, truths, **options)
    found = table.set_index(["effect", "arm"])["power"]
    assert found["drug_1 0.5, drug_2 0", "drug_1"] == found["0.5", "drug_1"] > 0.7
    assert found["drug_1 0.5, drug_2 0", "drug_2"] < 0.2
    drawn = figures(table, "x")
    ticks = [t.get_text() for t in drawn["power_heat_map"].axes[0].get_xticklabels()]
    assert ticks == ["drug 1 50, drug 2 0", "50"]
    assert set(figures(table.head(2), "x")) == {"power_heat_map", "stops"}
    for wrong, message in (
        ({"drug_1": 0.5}, "no effect is given for arm 'drug_2'"),
        ({"drug_3": 0.5}, "no active arm"),
    ):
        with pytest.raises((InvalidValue, UnknownName), match=message):
            power_table(patient, design, [wrong], **options)


# what no number of a design can be

FULL = {
    "patients": 160,
    "entry": {"mean": 40.0, "sd": 4.0, "low": 30.0, "high": 48.0},
    "eligibility": {"fvc": [60, 120], "nfl": [20, 500], "risk_profile": [-8, -1]},
    "observation": {"weeks": 12, "onset_limit": 36, "drop": [0, 3], "floor": 24},
    "randomisation": {"strata": ["onset"], "block": 2},
    "visits": {"weeks": [8, 16, 24], "window_days": 3},
    "conduct": {
        "missed_doses": 0.1,
        "missing_visits": 0.1,
        "drop_out": 0.02,
        "drop_out_slope": 0.5,
        "trial_effect": True,
        "edaravone": 0.2,
    },
    "accrual": {"per_month": 10, "ramp_months": 3, "centres": 8, "centre_sd": 0.1},
    "looks": {"at": [0.5, 1], "futility": [0.0], "power": 0.8, "week": 16, "alpha": 0.025},
    "marker": {"correlation": 0.6, "elasticity": 0.67, "within_sd": 0.2, "lag_weeks": 8, "median": 65},
    "risk": {"slope": -1.8, "delay": -2.4, "age": -0.26, "fvc": 0.47, "bulbar": 0.27, "diagnosed": 0.6},
    "analysis": {"primary": "slope", "early_share": 0.4, "responder_points": 1},
    "arm": [{"name": "p"}, {"name": "a", "loss_reduction": 0.3, "ratio": 2, "from_week": 4, "until_week": 20}],
}


def _leaves(found, path=()):
    """Every number of nested tables and lists, as the keys that lead to it."""
    pairs = found.items() if isinstance(found, dict) else enumerate(found) if isinstance(found, list) else ()
    if isinstance(found, int | float) and not isinstance(found, bool):
        yield path
    for key, value in pairs:
        yield from _leaves(value, (*path, key))


def _with(path, value):
    content = copy.deepcopy(FULL)
    inner = content
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = value
    return content


def test_the_full_design_is_one():
    assert parse_design("x", FULL).accrual.centres == 8


@pytest.mark.parametrize("path", list(_leaves(FULL)), ids=lambda p: ".".join(map(str, p)))
def test_no_number_of_a_design_may_be_none(path):
    """NaN, infinity, a truth value, a text and the far ends of the line: for every number, refused by its name."""
    name = next(k for k in reversed(path) if isinstance(k, str))
    for value in (np.nan, np.inf, -np.inf, True, "many", 1e9, -1e9):
        if path[0] == "eligibility" and value in ((np.inf, 1e9) if path[-1] else (-np.inf, -1e9)):
            continue
        with pytest.raises((InvalidValue, UnknownName), match=rf"^design 'x'.*{name}"):
            parse_design("x", _with(path, value))


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (("conduct", "drop_out"), 5, r"drop_out = 5 must lie in \[0, 1\) per month; for 5 % write 0.05"),
        (("conduct", "missing_visits"), 2, "for 2 % write 0.02"),
        (("conduct", "missed_doses"), 10, "for 10 % write 0.1"),
        (("conduct", "edaravone"), 30, "for 30 % write 0.3"),
        (("analysis", "early_share"), 39, "for 39 % write 0.39"),
        (("arm", 1, "loss_reduction"), 25, r"arm 'a': loss_reduction = 25 must lie in \[0, 1\); for 25 % write 0.25"),
        (("looks", "at"), [50, 100], "for 50 % write 0.5"),
        (("looks", "power"), 80, "for 80 % write 0.8"),
        (("looks", "alpha"), 2.5, r"for 2.5 % write 0.025"),
        (("marker", "correlation"), 67, "for 67 % write 0.67"),
        (("risk", "diagnosed"), 60, "for 60 % write 0.6"),
        (("eligibility", "fvc"), [0.6, 1.2], "outside the plausible 30-150"),
        (("eligibility", "fvc"), [60], r"fvc = .* must be two numbers"),
        (("observation", "drop"), [0, 3, 9], r"drop = .* must be two numbers"),
        (("visits", "weeks"), [8, 5000], r"visits = 5000 must lie in \(0, 1040\] weeks"),
        (("accrual", "per_month"), 0.1, "160 patients at 0.1 per month take 133 years"),
        (("accrual", "centres"), 200, "200 centres have 160 patients"),
        (("arm", 1, "until_week"), 30, "changes treatment at or after the last visit"),
        (("conduct", "trial_effect"), 1, "trial_effect = 1 must be true or false"),
    ],
)
def test_what_was_meant_is_said(path, value, message):
    with pytest.raises(InvalidValue, match=message):
        parse_design("x", _with(path, value))


@pytest.mark.parametrize(
    ("regimen", "late"),
    [("25 mg im weekly x 30", 5), ("50 mg im weekly x 5 from 22 weeks", 2), ("50 mg im every 3.5 d from 25 weeks", 1)],
)
def test_doses_after_the_last_visit_are_refused(regimen, late):
    arms = [{"name": "p"}, {"name": "a", "regimen": regimen}]
    with pytest.raises(
        InvalidValue, match=f"of which {late} dose{'s' * (late > 1)} would come after the last visit in week 24"
    ):
        parse_design("x", FULL | {"arm": arms})
    # at the visit itself is not after it
    arms[1]["regimen"] = "25 mg im weekly x 25"
    assert parse_design("x", FULL | {"arm": arms}).arms[1].regimen == "25 mg im weekly x 25"


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda m, d: power_table(m, d, [np.nan]), r"effect = nan must lie in \[0, 1\)"),
        (lambda m, d: power_table(m, d, [25]), "for 25 % write 0.25"),
        (lambda m, d: power_table(m, d, [0.2], prior=(27, 10)), "mean of the prior = 27 .* for 27 % write 0.27"),
        (lambda m, d: power_table(m, d, [0.2], prior=(0.27, 0)), r"SD of the prior = 0 must lie in \(0, 1\]"),
        (lambda m, d: power_table(m, d, [0.2], replicates=0), "replicates = 0 must be a whole number"),
        (lambda m, d: varied(d, patients=130.5), "patients = 130.5 must be a whole number"),
        (lambda m, d: varied(d, weeks=np.inf), "weeks = inf must lie in"),
        (lambda m, d: varied(d, run_in=(1.5, 2.5)), "run_in"),
        (lambda m, d: varied(d, onset_limit=np.nan), "onset_limit = nan must lie in"),
        (lambda m, d: closed_form(1.0, 0.0), r"se = 0 must lie in \(0, 1e6\]"),
        (lambda m, d: closed_form(np.nan, 1.0), "difference = nan must lie in"),
        (lambda m, d: wilson(5, 3), r"successes = 5 must be a whole number in \[0, 3\]"),
        (lambda m, d: wilson(0, 0), r"trials = 0 must be a whole number in \[1"),
        (lambda m, d: interval([np.nan]), "no finite value to give an interval of"),
        (lambda m, d: direct_maximum(m, 30, 0.2), r"effect = 30 must lie in \[-10, 1\]; for 30 % write 0.3"),
        (lambda m, d: points_gained({}, np.nan, 16, (2.0, 0.5)), "reduction = nan must lie in"),
        (lambda m, d: make_pool(m, d, np.nan, size=2), "beta_hcy = nan must lie in"),
        (lambda m, d: make_pool(m, d, 0.2, size=2.5), "patients of a cohort = 2.5 must be a whole number"),
        (lambda m, d: efficacy_bounds((np.nan, 1.0), "pocock"), "must rise from above 0 to 1"),
        (lambda m, d: efficacy_bounds((0.5, 1.0), "pocock", 5), r"alpha = 5 must lie in \(0, 0.5\)"),
    ],
)
def test_calls_with_numbers_that_are_none_are_refused(patient, design, call, message):
    with pytest.raises(InvalidValue, match=message):
        call(patient, design)


@pytest.mark.parametrize(("maximum", "reduction"), [(np.nan, None), (0.2, 25.0), (0.2, np.nan), (np.inf, None)])
def test_an_effect_that_is_none_stops_a_trial(patient, maximum, reduction):
    design = read_design("natural_history").changed(patients=20)
    pool = make_pool(patient, design, 0.0, size=8)
    with pytest.raises(InvalidValue, match="must lie in"):
        simulate_trial(pool, design, maximum, np.random.default_rng(1), reduction)


def test_follow_up_that_is_none_is_not_drawn():
    table = pd.DataFrame({"arm": ["a", "a"], "months": [1.0, np.nan], "event": [1, 0]})
    with pytest.raises(InvalidValue, match="no time of follow-up"):
        kaplan_meier(table, {"a": "blue"}, "x")
    with pytest.raises(UnknownName, match="no arm 'b'"):
        kaplan_meier(table.fillna(2.0), {"b": "blue"}, "x")


def test_a_byte_order_mark_before_a_design_or_a_fit_is_no_statement(tmp_path):
    from metabolism.data import experiments_dir, models_dir
    from metabolism.fit import read_definition

    for name, source in (
        ("design.toml", experiments_dir() / "designs" / "jetals.toml"),
        ("fit.toml", models_dir() / "fits" / "onecarbon3" / "fit.toml"),
    ):
        (tmp_path / name).write_text(source.read_text(encoding="utf-8"), encoding="utf-8-sig")
    assert read_design(str(tmp_path / "design.toml")).visits == read_design("jetals").visits
    assert read_definition(tmp_path / "fit.toml") == read_definition("onecarbon3")
