"""The court and the smaller studies as experiments: quick runs, what they say aloud, and what they refuse to say."""

from __future__ import annotations

import numpy as np
import pytest

from metabolism.data import read_data
from metabolism.report import known_gaps, run

STUDIES = ("comparators", "mechanisms", "prevention", "safety", "vitamin_combination", "wobbler")


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory):
    """Each study, run quickly once."""
    out = tmp_path_factory.mktemp("studies")
    return {name: run(name, out=out, quick=True) for name in STUDIES}


@pytest.mark.parametrize("name", STUDIES)
def test_a_quick_run_is_complete_and_fails_only_where_confessed(outcomes, name):
    outcome, folder = outcomes[name]
    assert {f"{name}.{c.id}" for c in outcome.claims if not c.holds} <= set(known_gaps())
    assert outcome.notes
    assert list((folder / "figures").glob("*.png"))
    assert (folder / "report.html").exists()


def test_the_court_reports_weights_sensitivity_and_every_fact_with_its_reason(outcomes):
    tables = outcomes["mechanisms"][0].tables
    ranking = tables["ranking"]
    assert ranking["posterior weight"].sum() == pytest.approx(1)
    assert ranking["prior weight"].sum() == pytest.approx(1)
    by_variant = tables["sensitivity"].groupby("variant")["posterior weight"].sum()
    assert by_variant.to_numpy() == pytest.approx(1)
    facts = tables["facts"].set_index("id")
    scored = facts.index[facts["scored"] == "yes"]
    assert {f"without {f}" for f in scored} <= set(by_variant.index)
    assert facts["note"].notna().all()
    gains = tables["information"]
    assert (gains["information [bit]"] >= 0).all()
    assert (gains["about the family [bit]"] <= gains["uncertainty [bit]"]).all()


def test_numbers_that_are_not_available_stay_empty():
    studies = read_data("studies/studies")
    assert studies.loc[studies["available"] == "not available", "value"].isna().all()
    assert studies.loc[studies["available"] != "not available", "value"].notna().all()


def test_safety_draws_no_curve_of_harm_against_exposure(outcomes):
    outcome, _ = outcomes["safety"]
    assert any("no exposure-toxicity curve" in n for n in outcome.notes)
    rates = outcome.tables["adverse_reactions"].set_index("arm")["rate [%]"].round(1)
    assert dict(rates) == {"50 mg": 7.7, "placebo": 1.6}


def test_prevention_shows_the_genetic_null_beside_the_hypothesis(outcomes):
    # the genetic studies print no estimate, so the null is stated and cited and no number of ours stands for it
    outcome, _ = outcomes["prevention"]
    assert "hypothesis and not a finding" in outcome.answer
    assert "found no causal relation with ALS" in outcome.answer
    assert any("the null is stated and not drawn" in note for note in outcome.notes)
    assert len(outcome.tables["genetic_evidence"])
    table = outcome.tables["lifetime_status"]
    assert not table.columns.str.contains("genetic").any()
    ratios = table.filter(like="rate ratio, elasticity 0.67").iloc[:, 0]
    assert np.allclose(ratios, table["relative to reference"] ** 0.67)


def test_a_mouse_dose_scales_with_weight_to_the_quarter(outcomes):
    table = outcomes["wobbler"][0].tables["exposures"].set_index(["scaling of clearance", "dose [mg/kg/d]"])
    assert table.loc[("allometric", 30), "human dose with the same exposure [mg/kg/d]"] == pytest.approx(
        30 * (0.02 / 60) ** 0.25
    )
    # per kg the same dose gives the same exposure, so 100 mg a week in 60 kg is 0.238 mg/kg/d
    assert table.loc[("per kg", 1), "relative to JETALS"] == pytest.approx(7 * 60 / 100)


def test_homocysteine_alone_would_favour_folic_acid_over_methylcobalamin(outcomes):
    change = outcomes["vitamin_combination"][0].tables["arms"].set_index("arm")["change of tHcy [%]"]
    assert change["folic acid 0.8 mg/d"] < change["50 mg methylcobalamin"] < change["0.5 mg methylcobalamin"] < 0
    assert change["50 mg, folic acid and B6"] < change["50 mg and folic acid"]
