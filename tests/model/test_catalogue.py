"""Looking through a model: its numbers, what can be asked of it, what differs, what it rests on."""

from __future__ import annotations

import pytest

from metabolism.errors import Implausible, InvalidValue, UnknownName, UsageError
from metabolism.model import equations


def test_parameters_and_species_are_those_of_this_model(model):
    changed = model.with_values(GFR_rel=0.5, hcy_plasma="12000 nM")
    assert changed.parameters.loc["GFR_rel", "value"] == changed["GFR_rel"].value == 0.5
    assert changed.species.loc["hcy_plasma", ["name", "value", "unit"]].tolist() == [
        "plasma total homocysteine",
        12,
        "µM",
    ]
    assert list(changed.species.index) == list(equations(model).states)
    assert model["GFR_rel"] == model.table["GFR_rel"]
    assert set(model._ipython_key_completions_()) == set(model.parameters.index) == set(model.table)
    with pytest.raises(UnknownName, match="Did you mean 'GFR_rel'"):
        model["GFR"]


def test_outputs_are_what_can_be_asked_of_a_run(model):
    found, system = model.outputs, equations(model)
    assert list(found.index) == [*system.states, *system.computed]
    assert found["kind"].value_counts().to_dict() == {
        "reaction": len(system.reactions),
        "state": len(system.states),
        "rule": len(system.rules),
    }
    assert found.loc["MS_liver"].tolist() == ["methionine synthase, liver", "µmol/h", "reaction"]


def test_search_finds_words_in_ids_names_sources_and_notes(model):
    found = model.search("Homocysteine plasma")
    assert {"hcy_plasma", "HCY_CLEARANCE", "HCY_CLEARANCE_CL"} <= set(found.index)
    assert found.index.is_unique
    assert all("guttormsen1993" in source.casefold() for source in model.search("guttormsen1993 absorption")["source"])
    with pytest.raises(UsageError, match="nothing in the model has 'kryptonite'"):
        model.search("kryptonite")


def test_diff_names_what_differs_and_nothing_else(model):
    patient = model.with_set("als_patient")
    found = patient.diff()
    assert set(found.index) == set(patient.changed)
    assert found.loc["motor_units"].tolist() == [patient.values["motor_units"], model.values["motor_units"], ""]
    other = patient.with_values(GFR_rel=0.5)
    assert patient.diff(other).to_dict("index") == {"GFR_rel": {"this": 1.0, "other": 0.5, "unit": ""}}
    assert model.diff(model).empty
    html = patient._repr_html_()
    assert f"als_methionine + als_patient: {len(equations(patient).states)} states" in html
    assert "motor_units" in html


def test_citations_are_those_of_the_numbers_named(model):
    everything = model.citations()
    some = model.citations("HCY_GUT_ka")
    assert list(some) == ["Guttormsen1993"]
    assert some.items() <= everything.items()
    assert {key for p in model.table.values() for key in p.keys} == set(everything)


def test_a_value_outside_its_bounds_is_remarked_one_that_cannot_be_meant_warned_of_and_one_that_cannot_be_refused(
    model, caplog
):
    assert model.with_values(GFR_rel="2.9").values["GFR_rel"] == 2.9
    assert caplog.text == ""
    assert model.with_values(GFR_rel=5).values["GFR_rel"] == 5
    assert "GFR_rel = 5 lies outside its bounds of 0.02 to 3; see `metabolism show GFR_rel`." in caplog.text
    # a share above one
    for absurd in ({"HCY_GUT_F": 3}, {"MN_Emax": 7}):
        with pytest.raises(InvalidValue, match="further than can be meant"):
            model.with_values(absurd)
    # below zero is no value, but of what has a sign
    with pytest.raises(InvalidValue, match="GFR_rel = -1 is too low; give a value >= 0"):
        model.with_values(GFR_rel=-1)
    assert model.with_values(MN_tilt_fine=-0.5).values["MN_tilt_fine"] == -0.5
    # ten times a bound: a script is warned and goes on, the command line refuses
    with pytest.warns(Implausible, match="GFR_rel = 80 .* further than can be meant"):
        assert model.with_values(GFR_rel=80).values["GFR_rel"] == 80
