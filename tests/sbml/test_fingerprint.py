"""The kinetic fingerprint: closed forms, a second engine, the schema, re-import, and a comparer that can tell apart."""

from __future__ import annotations

import copy
import json

import jsonschema
import numpy as np
import pytest

import metabolism as mb
from metabolism.cli import main
from metabolism.errors import OutputError
from metabolism.exports import model_fingerprint, sbml_text
from metabolism.model import antimony_from_sbml, sbml_from_antimony
from metabolism.sbml.compare import file_fingerprint
from metabolism.sbml.fingerprint import REGIMEN, UNTIL, differences, read_fingerprint, sbml_fingerprint
from tests.other_tools import ROOT

FOLDER = ROOT / "docs/fingerprints"
CHAIN = """model chain
compartment v = 2; species a in v, b in v, waste in v; a = 1; b = 1; waste = 0;
IN: -> a; v * k0; MID: a -> b; v * (k1 * a - k2 * b); OUT: b -> waste; v * k3 * b;
k0 = 1; k1 = 2; k2 = 1; k3 = 4; due = 0; dose = 3;
DOSE: at (time >= due), t0=false, fromTrigger=false: a = a + dose / v, due = due + 10;
end"""


@pytest.fixture(scope="module")
def ours():
    return model_fingerprint(mb.load())


@pytest.fixture(scope="module")
def chain():
    return sbml_fingerprint(sbml_from_antimony(CHAIN), 25.0)


def test_a_linear_chain_has_its_textbook_fingerprint(chain):
    assert chain["problem"] is None
    assert chain["held"] == ["waste"]
    assert chain["steady_state"]["values"] == {"a": 0.625, "b": 0.25}
    assert chain["fluxes"] == {"IN": 2.0, "MID": 2.0, "OUT": 2.0}
    # eigenvalues of [[-2, 1], [2, -5]]
    np.testing.assert_allclose(chain["eigenvalues"], [[-3.5 - 17**0.5 / 2, 0], [-3.5 + 17**0.5 / 2, 0]], rtol=1e-9)
    assert chain["flux_control"] == {r: {"IN": 1.0} for r in ("IN", "MID", "OUT")}
    assert chain["concentration_control"]["b"] == {"IN": 1.0, "OUT": -1.0}
    assert chain["dose_response"] == {"k0": {"0.5": {"a": 0.3125, "b": 0.125}, "2.0": {"a": 1.25, "b": 0.5}}}
    ledger = chain["events"]["DOSE"]
    assert (ledger["count"], ledger["first"], ledger["last"]) == (3, 0.0, pytest.approx(20.0))
    assert ledger["added"]["a"] == pytest.approx(9.0)


def test_libroadrunner_finds_the_same_control_coefficients(chain):
    import roadrunner

    open_chain = CHAIN.split("due =")[0].replace(", waste in v", "").replace("waste = 0;", "").replace("-> waste", "->")
    runner = roadrunner.RoadRunner(sbml_from_antimony(open_chain + "\nend"))
    runner.steadyState()
    scaled = runner.getScaledConcentrationControlCoefficientMatrix()
    for i, species in enumerate(scaled.rownames):
        row = dict(zip(scaled.colnames, np.asarray(scaled)[i], strict=True))
        for reaction, value in row.items():
            want = chain["concentration_control"][species].get(reaction, 0.0)
            assert value == pytest.approx(want, abs=1e-5)


def test_a_conserved_moiety_is_found_and_its_total_kept():
    text = (
        "model c\ncompartment v = 2; species a in v, b in v; a = 3; b = 0;\n"
        "F: a -> b; v * k1 * a; G: b -> a; v * k2 * b; k1 = 1; k2 = 2;\nend"
    )
    found = sbml_fingerprint(sbml_from_antimony(text))
    assert found["conserved_moieties"] == [{"a": 1.0, "b": 1.0}]
    assert found["steady_state"]["values"] == {"a": pytest.approx(2.0), "b": pytest.approx(1.0)}
    assert found["theorems"]["hold"]


def test_a_model_without_a_resting_state_says_so():
    text = (
        "model c\ncompartment v = 1; species a in v, b in v; a = 1; b = 0; F: -> a; k; G: a -> b; m*b*a; k = 1; m "
        "= 0;\nend"
    )
    found = sbml_fingerprint(sbml_from_antimony(text))
    assert found["steady_state"] is None
    assert "no resting state" in found["problem"]
    decay = "model c\ncompartment v = 1; species a in v; a = 1; G: a -> ; v*m*a; m = 1;\nend"
    assert "decays by itself" in sbml_fingerprint(sbml_from_antimony(decay))["problem"]


def test_what_nothing_moves_is_held_with_the_state_it_feeds():
    text = "model two; k = 0; N = 1; V = 1; A = 1; J: -> A; 1; K: A -> ; A; N' = -k*N; V' = -k*(1 - N)*V; end"
    found = sbml_fingerprint(sbml_from_antimony(text))
    assert found["problem"] is None
    assert found["held"] == ["N", "V"]
    assert found["theorems"]["hold"]


def test_our_theorems_hold_and_all_doses_are_in_the_ledger(ours):
    assert ours["problem"] is None
    assert ours["theorems"]["hold"]
    assert set(ours["held"]) == set(mb.load().not_at_rest)
    assert ours["steady_state"]["residual"] < 1e-9
    want = mb.steady_state(mb.load()).values
    for state, value in ours["steady_state"]["values"].items():
        assert value == pytest.approx(want[state], rel=1e-6, abs=1e-12), state
    total = mb.Regimen.parse(REGIMEN).total("methylcobalamin")
    (ledger,) = ours["events"].values()
    assert ledger["count"] == 4
    assert ledger["added"]["depot_im"] == pytest.approx(total, rel=1e-9)
    assert {"MET_DIET_rate", "FOLATE_DIET_rate", "CBL_DIET_rate"} <= set(ours["dose_response"])


@pytest.mark.slow
def test_the_written_sbml_read_back_in_another_process_is_identical(ours, tmp_path):
    path = mb.export(mb.load(), tmp_path / "als.xml", regimen=REGIMEN, until=UNTIL)
    again, expected = file_fingerprint(path, UNTIL), json.loads(json.dumps(ours, allow_nan=False))
    # the file carries a drawing besides, and with it another digest
    assert again["model"].pop("sbml_sha256") != expected["model"].pop("sbml_sha256")
    assert again == expected
    path.write_text(sbml_text(mb.load(), REGIMEN, until=UNTIL, drawing=False), encoding="utf-8")
    assert file_fingerprint(path, UNTIL) == json.loads(json.dumps(ours, allow_nan=False))


@pytest.mark.slow
def test_antimony_there_and_back_is_the_same_model(ours):
    text = sbml_from_antimony(antimony_from_sbml(sbml_text(mb.load(), REGIMEN, until=UNTIL, drawing=False)))
    again = sbml_fingerprint(text, UNTIL)
    assert differences(ours, again) == []


@pytest.mark.parametrize(
    ("section", "change"),
    [
        ("steady_state", lambda f: f["steady_state"]["values"].__setitem__("a", 0.6250010)),
        ("fluxes", lambda f: f["fluxes"].__setitem__("IN", 2.00001)),
        ("eigenvalues", lambda f: f["eigenvalues"].__setitem__(0, [-5.6, 0.0])),
        ("concentration_control", lambda f: f["concentration_control"]["b"].pop("OUT")),
        ("dose_response", lambda f: f["dose_response"].pop("k0")),
        ("events.DOSE.count", lambda f: f["events"]["DOSE"].__setitem__("count", 2)),
        ("held", lambda f: f.__setitem__("held", [])),
    ],
)
def test_the_comparer_names_the_number_that_differs(chain, section, change):
    other = copy.deepcopy(chain)
    assert differences(chain, other) == []
    change(other)
    found = differences(chain, other)
    assert found
    assert all(line.startswith(section) for line in found)


def test_a_changed_parameter_is_seen(ours):
    other = sbml_fingerprint(sbml_from_antimony(CHAIN.replace("k3 = 4", "k3 = 4.001")), 25.0)
    first = sbml_fingerprint(sbml_from_antimony(CHAIN), 25.0)
    assert any(line.startswith("steady_state.values.b") for line in differences(first, other))
    assert len(differences(ours, first)) > 100


def test_every_committed_fingerprint_follows_the_schema(ours, chain):
    schema = json.loads((ROOT / "docs/fingerprint.schema.json").read_text(encoding="utf-8"))
    names = {p.stem for p in FOLDER.glob("*.json")}
    assert {"als_methionine", "BIOMD0000000268", "MODEL1007200000"} <= names
    for document in (ours, chain, *(read_fingerprint(p) for p in FOLDER.glob("*.json"))):
        jsonschema.validate(document, schema)
        assert document["theorems"]["hold"]
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({**chain, "extra": 1}, schema)


def test_the_documentation_names_every_part(ours):
    page = (ROOT / "docs/fingerprint.md").read_text(encoding="utf-8")
    for key in ours:
        if key not in ("schema", "model", "settings"):
            assert f"`{key}" in page, key


def test_our_committed_fingerprint_is_current(ours):
    # remedy: make generated
    assert differences(read_fingerprint(FOLDER / "als_methionine.json"), ours) == []


def test_the_command_writes_once_compares_and_explains(tmp_path, capsys, chain):
    a, b = tmp_path / "a.json", tmp_path / "b.json"
    a.write_text(json.dumps(chain))
    b.write_text(json.dumps(chain | {"fluxes": {**chain["fluxes"], "IN": 2.1}}))
    assert main(["fingerprint", "--compare", str(a), str(a)]) == 0
    assert main(["fingerprint", "--compare", str(a), str(b)]) == 1
    assert "fluxes.IN: 2 and 2.1" in capsys.readouterr().out
    assert main(["fingerprint", "--json", str(a)]) == 1
    assert "--force" in capsys.readouterr().err
    assert main(["fingerprint", "x.xml", "--set", "als_patient"]) == 2
    assert "our own model" in capsys.readouterr().err
    b.write_text(json.dumps(chain), encoding="utf-8-sig")
    assert differences(read_fingerprint(a), read_fingerprint(b)) == []
    b.write_text("[" * 100_000)
    with pytest.raises(OutputError, match="cannot be read as a fingerprint"):
        read_fingerprint(b)
    (tmp_path / "c.json").write_text("{}")
    with pytest.raises(OutputError, match="no fingerprint of the schema"):
        read_fingerprint(tmp_path / "c.json")
