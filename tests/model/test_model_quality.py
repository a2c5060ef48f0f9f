"""The model as an instrument: every check passes, and every check can fail."""

from __future__ import annotations

import re

import numpy as np
import pytest

import metabolism as mb
from metabolism.data import models_dir
from metabolism.errors import ModelError
from metabolism.model.build import antimony_text, messages, sbml_from_antimony
from metabolism.model.model import equations
from metabolism.model.parameters import parameter_table, set_names
from metabolism.model.sources import bibliography, citation, reference_problems
from metabolism.report import checks, fragment_problems, grade_problems, resting_problems, source_problems

SUPPLIES = [
    "MET_DIET_rate",
    "BETAINE_DIET_rate",
    "CHOLINE_DIET_rate",
    "FOLATE_DIET_rate",
    "CBL_DIET_rate",
    "B6_DIET_rate",
    "SERINE_SUPPLY_level",
    "GLYCINE_SUPPLY_rate",
    "PROPIONYL_SUPPLY_rate",
    "FAD_diet",
]
REQUIRED = ["hcy_plasma", "met_plasma", "mma_plasma", "folate_plasma", "cbl_plasma", "alsfrs_r"]


@pytest.mark.parametrize("check", checks(), ids=lambda c: c.name)
def test_the_check_finds_nothing(check):
    assert check.problems() == []


@pytest.mark.parametrize(
    ("right", "wrong", "code"),
    [
        ("MS_liver_Km_hcy has uM;", "MS_liver_Km_hcy has uM_per_h;", "10501"),
        ("(1 dimensionless + hcy_liver", "(1 + hcy_liver", "99505"),
        (
            "MS_liver: hcy_liver + thf5m_liver -> met_liver + thf_liver; liver * ",
            "MS_liver: hcy_liver + thf5m_liver -> met_liver + thf_liver; ",
            "10541",
        ),
        ("MET_DIET_rate has umol_per_h;", "MET_DIET_rate has uM_per_h;", "10541"),
    ],
)
def test_a_wrong_unit_is_reported_by_libsbml(right, wrong, code):
    text = antimony_text(parameter_table())
    if right.startswith("(1"):
        right, wrong = "(1 dimensionless + sah_liver / GNMT_Ki_sah)", "(1 + sah_liver / GNMT_Ki_sah)"
    assert text.count(right) == 1
    found = messages(sbml_from_antimony(text.replace(right, wrong)))
    assert any(line.startswith(code) for line in found)


def test_a_misspelt_unit_is_an_error_although_antimony_loads_it():
    text = antimony_text(parameter_table()).replace("SERINE_USE_k has per_h;", "SERINE_USE_k has per_hh;")
    with pytest.raises(ModelError):
        sbml_from_antimony(text)


def test_a_fragment_with_a_number_or_a_false_header_is_reported():
    text = (models_dir() / "motor_neuron.ant").read_text(encoding="utf-8")
    assert fragment_problems("motor_neuron", text) == []
    assert any("bare number" in p for p in fragment_problems("x", text + "\na := 2.5 * b;"))
    assert any("does not define" in p for p in fragment_problems("x", text.replace("gives: ", "gives: nonsense, ")))
    assert any("does not use" in p for p in fragment_problems("x", text.replace("needs: ", "needs: nonsense, ")))


def test_a_value_without_a_source_is_reported():
    table = parameter_table()
    assert source_problems(table, set()) != []
    assert any("not in references.bib" in p for p in source_problems(table, {"Reed2008"}))


def test_a_moved_reference_is_reported(model):
    assert resting_problems(model) == []
    assert any("moves at" in p for p in resting_problems(model.with_values(MS_liver_Vmax=100.0)))


def test_the_reference_rests_to_a_billionth_per_hour_and_every_eigenvalue_is_negative(model):
    state = mb.steady_state(model)
    assert state.residual < 1e-9
    assert state.stable
    assert 8 <= state.values["hcy_plasma"] <= 12


@pytest.mark.parametrize("supply", SUPPLIES)
@pytest.mark.parametrize("factor", [0.2, 0.5, 2.0, 3.0])
def test_no_supply_between_a_fifth_and_three_times_reference_runs_away(model, supply, factor):
    changed = model.with_values({supply: model.values[supply] * factor})
    state = mb.steady_state(changed)
    assert state.stable
    system = equations(model)
    assert min(state.values[s] for s in system.states) >= 0
    scale = {s: model.table[s].scale for s in system.states}
    # no state far above any physiological range: a bounded rest, not a runaway caught early
    assert max(state.values[s] / scale[s] for s in system.states if s not in model.not_at_rest) < 60


@pytest.mark.slow
def test_two_hundred_simultaneous_draws_of_all_supplies_rest(model):
    rng = np.random.default_rng(3)
    for _ in range(200):
        factors = np.exp(rng.uniform(np.log(0.2), np.log(3), len(SUPPLIES)))
        changed = model.with_values({s: model.values[s] * f for s, f in zip(SUPPLIES, factors, strict=True)})
        assert mb.steady_state(changed).residual < 1e-9


@pytest.mark.parametrize("name", set_names())
def test_every_parameter_set_rests(model, name):
    assert mb.steady_state(model.with_set(name)).stable


def test_the_set_of_kidney_failure_still_follows_from_its_sizing(model):
    # its numbers are absolute, those of the model may be fitted again: one factor for all enzymes, the untreated
    # homocysteine of 0.68 of them in cells that want no more cobalamin than others (decision 7)
    patient = model.with_set("kidney_failure")
    enzymes = ("MS_liver_Vmax", "MS_tissue_Vmax", "BHMT_Vmax", "BHMT_kidney_CL")
    assert [patient.values[e] / model.values[e] for e in enzymes] == pytest.approx([0.855] * 4, rel=1e-5)
    before = model.with_values({"GFR_rel": 0.1} | {e: 0.68 * model.values[e] for e in enzymes})
    hcy = [mb.steady_state(m).values["hcy_plasma"] for m in (patient, before)]
    assert hcy[0] == pytest.approx(hcy[1], rel=0.01)


def test_the_required_observables_exist(model):
    system = equations(model)
    assert {*REQUIRED} <= {*system.states, *system.rules}


def test_sulfur_is_conserved_by_every_reaction_between_sulfur_species(model):
    """Methionine to cysteine carry one sulfur atom each: only supply and declared losses change the sum."""
    system = equations(model)
    sulfur = {s for s in system.states if re.match(r"(met|sam|sah|hcy|cystathionine|cysteine)_", s)}
    open_ends = {
        "MET_DIET",
        "MET_PROTEIN",
        "MET_OVERFLOW",
        "SAM_CLEARANCE",
        "SAH_CLEARANCE",
        "HCY_CLEARANCE",
        "HCY_DIALYSIS",
        "CYSTATHIONINE_CLEARANCE",
        "CYSTEINE_USE",
        "CYSTEINE_CLEARANCE",
    }
    unbalanced = {
        r.id for r in system.reactions.values() if sum(c for s, c in r.stoichiometry.items() if s in sulfur) != 0
    }
    assert unbalanced == open_ends


def test_folate_is_conserved_but_for_intake_urine_and_catabolism(model):
    system = equations(model)
    folate = {s for s in system.states if re.match(r"(thf|ch2thf|dhf|fa_gut|folate_plasma|folate_store)", s)}
    unbalanced = {
        r.id for r in system.reactions.values() if sum(c for s, c in r.stoichiometry.items() if s in folate) != 0
    }
    assert all(r.startswith(("FOLATE_DIET", "FOLATE_URINE", "FOLATE_CAT")) for r in unbalanced)


def test_an_open_system_has_no_conserved_moiety_and_a_closed_one_does(model):
    assert equations(model).moieties() == []
    from metabolism.sbml import read_equations

    closed = sbml_from_antimony(
        "model c\ncompartment v = 1; species a in v, b in v; a = 1; b = 0; R: a -> b; k*a; k = 1;\nend"
    )
    assert read_equations(closed).moieties() == [{"a": 1.0, "b": 1.0}]


def _entries(text):
    from pybtex.database import parse_string

    return parse_string(text, "bibtex").entries


@pytest.mark.parametrize(
    ("fields", "complaint"),
    [
        ("", "has no doi, pmid or url"),
        ("doi = {10.1/x},", ""),
        ("pmid = {1},", ""),
        ("url = {https://x},", ""),
        ("traceable = {no},", ""),
        ("traceable = {yes},", "has no doi, pmid or url"),
        ("doi = { },", "has no doi, pmid or url"),
        ("pmid = {1}, traceable = {no},", "has a pmid"),
        ("pmid = {1}, note = {pages from memory},", "rests on memory"),
    ],
)
def test_a_reference_has_an_identifier_or_says_that_it_has_none(fields, complaint):
    found = reference_problems(_entries(f"@misc{{Lost, {fields} {'' if 'note' in fields else 'note = {x}'}}}"))
    assert len(found) == bool(complaint)
    assert all(complaint in f and "'Lost'" in f for f in found)


@pytest.mark.parametrize(
    ("cited", "grade", "complaint"),
    [
        ("Seen2000", "A", ""),
        ("Seen2000", "", "only a row whose source is 'assumed' may have none"),
        ("Seen2000", "E", "not A-D"),
        ("Lost1999", "D", ""),
        ("Lost1999", "C", "cannot be traced"),
        ("fit:any;Lost1999", "B", "cannot be traced"),
        ("fit:any;assumed", "C", "cannot be traced"),
        ("Lost1999;Seen2000", "B", ""),
        ("assumed", "", ""),
        ("assumed", "D", ""),
        ("assumed", "A", "cannot be traced"),
        ("derived", "C", ""),
        ("derived", "", "only a row whose source is 'assumed' may have none"),
    ],
)
def test_a_grade_needs_a_source_that_can_be_traced(cited, grade, complaint):
    found = grade_problems("KM", cited, grade, {"Lost1999"})
    assert len(found) == bool(complaint)
    assert all(complaint in f and f.startswith("KM") for f in found)


def test_a_reference_is_read_as_text_without_signs_of_latex():
    signs = {key: text for key in bibliography() if set("\\{}") & set(text := citation(key))}
    assert signs == {}


def test_a_citation_ends_with_what_finds_the_work(monkeypatch):
    import metabolism.model.sources as provenance

    text = (
        "@misc{A, year={2000}, doi={10.1/x}, pmid={7}} @misc{B, pmid={7}} @misc{C, url={https://x}} @misc{D, note={n}}"
    )
    monkeypatch.setattr(provenance, "bibliography", lambda: _entries(text))
    ends = [citation(k).rsplit(". ", 1)[-1] for k in "ABCD"]
    assert ends == ["doi:10.1/x.", "pmid:7.", "https://x.", "Not traceable."]
    assert provenance.untraceable() == {"D"}
