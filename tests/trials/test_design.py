"""Design mode: closed forms, variation of designs, resumability, and the command line."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from metabolism.cli import main
from metabolism.errors import InvalidRegimen, InvalidValue, UnknownName
from metabolism.trials.design import read_design
from metabolism.trials.power import closed_form, figures, power_table, summary, varied
from metabolism.trials.sections import Arm


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
    assert labels == ["60", "240"]


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
        (["jetals", "--prior", "1"], "must read MEAN,SD"),
        (["jetals", "--run-in", "3"], "must read LOW-HIGH"),
        (["jetals", "--replicates", "0"], "at least 1"),
        (["jetals", "--onset-limit", "0.05", "--replicates", "1"], "candidates left at each filter"),
    ],
)
def test_a_wrong_command_is_refused_without_a_traceback(options, message, tmp_path, capsys):
    assert main(["design", *options, "--bodies", "16", "--out", str(tmp_path)]) == 2
    assert message in capsys.readouterr().err
