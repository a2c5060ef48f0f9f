"""Experiments: they run, they repeat, and their claims are true or confessed."""

from __future__ import annotations

import json
import re

import numpy as np
import pandas as pd
import pytest

import metabolism as mb
from metabolism.cases import read_cases
from metabolism.data import read_data, source, sources
from metabolism.errors import InvalidValue, ModelError, ProvenanceError, UnknownName
from metabolism.model import citations
from metabolism.progress import silent
from metabolism.report.claims import ROLES, Claim, case_claims, tally
from metabolism.report.registry import Context, experiment_names, get_experiment, known_gaps, run
from metabolism.trials import JETALS_RUN_IN, RunIn, scenarios, select, with_scenario
from tests.conftest import JETALS

#: Studies that claim the same in a quick run as in a full one, or nothing, and take minutes in full.
LONG = ("mechanisms", "platforms", "power", "sensitivity_jetals")


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory):
    """Every experiment, run once: in full, but for those that take minutes."""
    out = tmp_path_factory.mktemp("results")
    return {name: run(name, out=out, workers=2, quick=name in LONG) for name in experiment_names()}


@pytest.mark.slow
def test_every_failing_claim_is_a_known_gap_and_every_known_gap_still_fails(outcomes):
    failing = {f"{n}.{c.id}" for n, (outcome, _) in outcomes.items() for c in outcome.claims if not c.holds}
    assert failing == set(known_gaps())


@pytest.mark.slow
def test_every_run_leaves_a_complete_folder(outcomes):
    for name, (outcome, folder) in outcomes.items():
        manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
        assert manifest["experiment"] == name
        assert manifest["data_sha256"]
        assert manifest["citations"]
        for key, result in outcome.results.items():
            assert mb.Result.load(folder / f"{key}.nc").data.identical(result.data)
        for key, table in outcome.tables.items():
            assert len(pd.read_csv(folder / "tables" / f"{key}.csv")) == len(table)
        stems = {p.stem for p in (folder / "figures").iterdir()}
        assert stems
        # the flux map is drawn as SVG; every other figure is written as PNG too
        wanted = {f"{s}.svg" for s in stems} | {f"{s}.png" for s in stems if "flux_map" not in s}
        assert {p.name for p in (folder / "figures").iterdir()} == wanted


@pytest.mark.slow
def test_reports_are_self_contained_and_show_every_claim_and_figure(outcomes):
    for outcome, folder in outcomes.values():
        html = (folder / "report.html").read_text(encoding="utf-8")
        # a link to a publication is followed by the reader; nothing is fetched by the page itself
        assert not re.search(r'src="(?!data:)|<link|@import', html)
        links = re.findall(r'href="([^"]+)"', html)
        beside = [link for link in links if not re.match(r"#|https?://", link)]
        assert [link for link in beside if not (folder / link).is_file()] == []
        assert html.count("data:image/png;base64,") == len(list((folder / "figures").glob("*.png")))
        for claim in outcome.claims:
            assert claim.source in html


@pytest.mark.slow
def test_jetals_reports_the_published_numbers_and_the_share_of_homocysteine(outcomes):
    outcome, folder = outcomes["jetals"]
    assert "42.5 % (printed as 43 %)" in outcome.answer
    assert "45 % also quoted is the subgroup on riluzole" in outcome.answer
    assert "marked reduction" in outcome.answer
    table = outcome.tables["effect_scenarios"].set_index("scenario")
    assert set(table.index) == set(scenarios())
    assert (table["homocysteine share [%]"].loc[["face_value", "pooled"]] < 20).all()
    assert table.loc["pooled", "uses E0761"] == "yes"
    assert abs(table.loc["zero", "difference [points]"]) < 0.1
    assert set(outcome.tables["failed_runs"]["failed"]) == {0}
    manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    for entry in manifest["runs"].values():
        assert entry["engine"] in ("roadrunner", "fast")


def test_a_quick_run_repeats_to_the_bit_for_one_seed_whatever_the_number_of_workers(model):
    answer = get_experiment("jetals").answer
    tables = [
        answer(Context(model, True, seed, workers, silent)).tables["trial_replicates"]
        for seed, workers in [(5, 1), (5, 2), (6, 1)]
    ]
    pd.testing.assert_frame_equal(tables[0], tables[1], check_exact=True)
    assert not tables[0].equals(tables[2])


def test_an_experiment_runs_on_the_engine_that_is_asked_for(model, tmp_path):
    answers = {}
    for engine in ("fast", "roadrunner"):
        outcome, folder = run("pk_im_single_dose", out=tmp_path / engine, engine=engine)
        manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
        assert manifest["engine"] == engine
        assert {entry["engine"] for entry in manifest["runs"].values()} == {engine}
        answers[engine] = [float(r["cbl_free"].max()) for r in outcome.results.values()]
    np.testing.assert_allclose(answers["fast"], answers["roadrunner"], rtol=1e-4)
    with pytest.raises(UnknownName, match="no engine 'quick'"):
        run("pk_im_single_dose", out=tmp_path, engine="quick")


def test_experiments_state_question_and_source():
    for name in experiment_names():
        found = get_experiment(name)
        assert found.question.endswith("?")
        assert found.source


def test_an_experiment_file_must_register_exactly_once(tmp_path, monkeypatch):
    (tmp_path / "none.py").write_text("x = 1\n")
    monkeypatch.setattr("metabolism.report.registry.experiments_dir", lambda: tmp_path)
    with pytest.raises(ModelError, match="exactly one function"):
        get_experiment("none")
    with pytest.raises(UnknownName, match="no experiment 'nine'"):
        get_experiment("nine")


@pytest.mark.parametrize("predicted", [float("nan"), -1.0, 5.0])
def test_a_claim_outside_its_band_or_not_a_number_does_not_hold(predicted):
    assert not Claim("x", "x", predicted, 1, 0, 2, "points", "Oki2022").holds


def test_a_claim_about_a_row_takes_what_was_published_and_is_judged_by_the_models_own_trials():
    inside = Claim.of("jetals.riluzole_difference", 1.8, (0.6, 3.0))
    assert (inside.id, inside.published, inside.unit, inside.role, inside.holds) == (
        "riluzole_difference",
        2.11,
        "points",
        "check",
        True,
    )
    assert not Claim.of("jetals.riluzole_difference", 1.8, (1.5, 2.0)).holds
    band = Claim.of("jetals.baseline", 42.4)
    assert (band.low, band.high, band.role, band.holds) == (41.9, 42.8, "calibration", True)
    with pytest.raises(UnknownName, match="no published number"):
        Claim.of("jetals.sa", 1.0)


def test_rows_of_the_case_files_serve_as_claims_with_their_role(model):
    check = next(r.id for r in read_cases(model) if r.role == "check" and np.isfinite(r.observed))
    claims = case_claims(model, {"C04a": "homocysteine", check: "a row that entered no fit", "C04m": "cysteine"})
    assert [(c.id, c.role) for c in claims[:2]] == [("C04a", "calibration"), (check, "check")]
    # what nobody has seen printed is not called published
    assert [c.remembered for c in claims] == [False, False, True]
    assert Claim.of("centaur.vital_capacity", -4.0).remembered
    assert 9.5 < claims[0].predicted < 12
    with pytest.raises(UnknownName, match="no row of the case files"):
        case_claims(model, {"C99": "nothing"})


def test_checks_are_counted_apart_from_what_the_model_was_made_with():
    inside = Claim.of("jetals.riluzole_difference", 1.8, (0.6, 3.0))
    claims = [inside, Claim.of("jetals.difference", 2.0), Claim.of("e0761.early_50", 5.0)]
    assert tally(claims).startswith("Of 2 checks 1 holds; of 1 figure that the model was made with")
    assert tally(claims[1:2]).startswith("Nothing here is a check; of 1 figure")


def test_every_published_number_has_a_known_source_and_a_role():
    numbers = read_data("published/numbers")
    assert numbers["id"].is_unique
    assert set(numbers["kind"]) <= set(ROLES)
    assert citations(numbers["source"].str.split(";").explode())


def test_data_files_are_checked_against_their_checksum(tmp_path, monkeypatch):
    folder = tmp_path / "data" / "mine"
    folder.mkdir(parents=True)
    (folder / "mine.csv").write_text("a\n1\n")
    (folder / "SOURCE.toml").write_text('["mine.csv"]\nsha256 = "0000"\n')
    monkeypatch.setattr("metabolism.data.experiments_dir", lambda: tmp_path)
    with pytest.raises(ProvenanceError, match="restore the file"):
        source("mine/mine")
    with pytest.raises(UnknownName):
        source("mine/yours")


def test_the_published_table_holds_the_published_numbers():
    table = read_data("jetals/jetals").set_index(["group", "variable", "statistic"])["value"]
    placebo, active = (float(table[g, "alsfrs_change_wk16", "mean"]) for g in ("placebo", "methylcobalamin_50mg"))
    assert (placebo, active) == (-4.63, -2.66)
    assert (
        round(100 * (active - placebo) / -placebo, 1)
        == float(table["difference", "relative_slowing", "percent"])
        == 42.5
    )
    assert "jetals/jetals" in sources()


def test_the_run_in_decline_equals_the_engine(model):
    """The observation period is a closed form; the coupled model without treatment must give the same."""
    patient = model.with_set("als_patient")
    cohort = select(patient, 3, JETALS_RUN_IN, seed=2).people
    columns = {"MN_k": cohort["k_run_in"], "motor_units": cohort["entry_units"]}
    result = mb.simulate(
        patient, None, "12 weeks", patients=columns, own_baseline={"MN_hcy_ref": "hcy_plasma"}, outputs=["motor_units"]
    )
    np.testing.assert_allclose(result["motor_units"].values[:, -1], cohort["motor_units"], rtol=1e-6)


def test_the_selected_cohort_meets_its_criteria_and_is_counted(model):
    cohort = select(model.with_set("als_patient"), 200, JETALS_RUN_IN, seed=1)
    people = cohort.people
    assert len(people) == 200
    assert people["drop"].between(1, 2).all()
    assert (people["baseline_rating"] >= 36).all()
    assert (people["onset_months"] <= 12).all()
    counts = list(cohort.counts.values())
    assert counts == sorted(counts, reverse=True)
    again = select(model.with_set("als_patient"), 200, JETALS_RUN_IN, seed=1).people
    pd.testing.assert_frame_equal(people, again, check_exact=True)


def test_an_impossible_run_in_is_refused_with_counts(model):
    with pytest.raises(InvalidValue, match="leaves almost nobody"):
        select(model.with_set("als_patient"), 10, RunIn(12, 12, (30, 40), 36), seed=1)


@pytest.mark.parametrize("name", ["face_value", "pooled", "sceptical"])
def test_a_scenario_gives_its_stated_total_effect_at_its_regimen(model, name):
    patient = model.with_set("als_patient").with_values(MN_k=5e-5)
    regimen = mb.Regimen.parse(JETALS)
    treated = with_scenario(patient, name)
    options = {"patients": {"GFR_rel": [1.0]}, "own_baseline": {"MN_hcy_ref": "hcy_plasma"}, "outputs": ["motor_units"]}
    loss = [
        float(np.log(run_["motor_units"].values[0, 0] / run_["motor_units"].values[0, -1]))
        for run_ in (mb.simulate(treated, regimen, **options), mb.simulate(patient, None, **options))
    ]
    assert 1 - loss[0] / loss[1] == pytest.approx(scenarios()[name].effect, abs=2e-3)


def test_without_either_path_treatment_changes_nothing(model):
    """Negative control: the zero scenario."""
    patient = with_scenario(model.with_set("als_patient"), "zero")
    treated, untreated = (mb.simulate(patient, r, outputs=["alsfrs_r"], times=[0, 2688]) for r in (JETALS, None))
    assert abs(float(treated["alsfrs_r"][-1] - untreated["alsfrs_r"][-1])) < 1e-6


def test_half_a_milligram_has_no_direct_effect_but_lowers_homocysteine_as_much(model):
    """The direct path needs exposure; carriers and stores saturate long before."""
    patient = with_scenario(model.with_set("als_patient"), "face_value")
    low, high = (
        mb.simulate(patient, f"{mg} mg im every 3.5 d x 32", outputs=["effect_direct", "hcy_plasma"], times=[0, 2688])
        for mg in (0.5, 50)
    )
    assert float(low["effect_direct"][-1]) < 0.05 * float(high["effect_direct"][-1])
    falls = [float(r["hcy_plasma"][-1] / r["hcy_plasma"][0] - 1) for r in (low, high)]
    assert falls[0] < 0.4 * falls[1] < 0
