"""Foreign SBML: read in a process of its own; broken or hostile files end in one sentence."""

from __future__ import annotations

import pytest

from metabolism.cli import main
from metabolism.errors import ModelError
from metabolism.model import sbml_from_antimony
from metabolism.sbml.compare import file_fingerprint, side_by_side
from metabolism.sbml.fingerprint import sbml_fingerprint
from metabolism.sbml.foreign import checked_text, flatten
from tests.other_tools import ROOT

SMALL = sbml_from_antimony(
    "model small\ncompartment v = 1; species a in v; a = 1; IN: -> a; v * k; OUT: a -> ; v * m * a; k = 1; m = 2;\nend"
)
L2 = """<?xml version="1.0" encoding="UTF-8"?>
<sbml xmlns="http://www.sbml.org/sbml/level2/version4" level="2" version="4"><model id="old">
<listOfFunctionDefinitions><functionDefinition id="mm"><math xmlns="http://www.w3.org/1998/Math/MathML"><lambda>
<bvar><ci>s</ci></bvar><bvar><ci>vm</ci></bvar><apply><divide/><apply><times/><ci>vm</ci><ci>s</ci></apply>
<apply><plus/><cn>1</cn><ci>s</ci></apply></apply></lambda></math></functionDefinition></listOfFunctionDefinitions>
<listOfCompartments><compartment id="c" size="2"/></listOfCompartments>
<listOfSpecies><species id="x" compartment="c" initialConcentration="3" boundaryCondition="true"/>
<species id="y" compartment="c" initialConcentration="1"/></listOfSpecies>
<listOfReactions><reaction id="R" reversible="false"><listOfReactants><speciesReference species="x"/></listOfReactants>
<listOfProducts><speciesReference species="y"/></listOfProducts><kineticLaw>
<math xmlns="http://www.w3.org/1998/Math/MathML"><apply><ci>mm</ci><ci>x</ci><ci>vmax</ci></apply></math>
<listOfParameters><parameter id="vmax" value="4"/></listOfParameters></kineticLaw></reaction>
<reaction id="S" reversible="false"><listOfReactants><speciesReference species="y"/></listOfReactants><kineticLaw>
<math xmlns="http://www.w3.org/1998/Math/MathML"><apply><times/><ci>k</ci><ci>y</ci></apply></math>
<listOfParameters><parameter id="k" value="2"/></listOfParameters></kineticLaw></reaction></listOfReactions>
</model></sbml>"""
BOMB = (
    '<?xml version="1.0"?><!DOCTYPE sbml [<!ENTITY a "aaaaaaaaaa">'
    + "".join(f'<!ENTITY {b} "{f"&{a};" * 10}">' for a, b in zip("abcdefgh", "bcdefghi", strict=True))
    + "]><sbml>&i;</sbml>"
)
FETCH = '<?xml version="1.0"?><!DOCTYPE sbml [<!ENTITY x SYSTEM "file:///etc/hostname">]><sbml>&x;</sbml>'
ALGEBRAIC = SMALL.replace(
    "</model>",
    "<listOfRules><algebraicRule><math "
    'xmlns="http://www.w3.org/1998/Math/MathML"><apply><minus/><ci>k</ci><ci>m</ci></apply>'
    "</math></algebraicRule></listOfRules></model>",
)


def test_a_level_2_file_with_functions_local_parameters_and_a_boundary_species_is_read(tmp_path):
    path = tmp_path / "old.xml"
    path.write_text(L2)
    found = file_fingerprint(path)
    # R = 4 * 3 / (1 + 3) = 3, S = 2 y: y = 1.5
    assert found["steady_state"]["values"] == {"y": pytest.approx(1.5)}
    assert found["fluxes"] == {"R": pytest.approx(3.0), "S": pytest.approx(3.0)}
    assert any("Level 2 Version 4" in r for r in found["remarks"])


def test_rates_that_run_with_time_are_frozen_and_said_so():
    time = '<csymbol encoding="text" definitionURL="http://www.sbml.org/sbml/symbols/time"> t </csymbol>'
    text = SMALL.replace("<ci> k </ci>", f"<apply><plus/><ci> k </ci>{time}</apply>")
    assert text != SMALL
    flat, remarks = flatten(text)
    assert any("frozen at time 0" in r for r in remarks)
    assert sbml_fingerprint(flat)["steady_state"]["values"] == {"a": 0.5}


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("", "is empty"),
        ("   \n", "is empty"),
        ("hello", "not well-formed XML"),
        (SMALL[: len(SMALL) // 2], "not well-formed XML"),
        (SMALL.replace("</sbml>", ""), "truncated"),
        (BOMB, "document type or entities"),
        (FETCH, "document type or entities"),
        ("<html><body/></html>", "no SBML: its root element is <html>"),
        ("<sbml" + ' xmlns="http://www.sbml.org/sbml/level3/version2/core" level="3" version="2"/>', "no model"),
        ("<sbml>" + "<a>" * 2000 + "</a>" * 2000 + "</sbml>", "deeper than"),
        (
            '<sbml xmlns="http://www.sbml.org/sbml/level1" level="1" version="2"><model name="m"/></sbml>',
            "cannot read it|Level 1",
        ),
        (SMALL.replace('level="3" version="2"', 'level="9" version="7"'), "cannot read it"),
        (SMALL.replace('value="2"', ""), "parameter 'm' has no value"),
        (SMALL.replace('initialConcentration="1"', ""), "species 'a' has no initial value"),
        (SMALL.replace("<ci> m </ci>", "<ci> missing </ci>"), "breaks the rules of SBML|missing"),
        (ALGEBRAIC, "algebraic rules|breaks the rules"),
        (SMALL.encode("utf-16"), "UTF-8|not well-formed|cannot read"),
        (b"\x00\xff\xfe<sbml/>", "not well-formed"),
    ],
)
def test_a_broken_or_hostile_file_is_refused_in_words(tmp_path, content, words):
    path = tmp_path / "bad.xml"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(ModelError, match=words):
        flatten(checked_text(path))


def test_missing_units_are_a_remark_and_not_an_error():
    _, remarks = flatten(SMALL)
    assert any("parameters of the model have no unit" in r for r in remarks)
    assert any("no model-wide unit of substance" in r for r in remarks)


def test_the_command_prints_one_line_for_a_bomb_and_a_missing_file(tmp_path, capsys):
    path = tmp_path / "bomb.xml"
    path.write_text(BOMB)
    for argument in (str(path), str(tmp_path / "nothing.xml")):
        assert main(["compare", argument]) == 1
        err = capsys.readouterr().err
        assert err.count("\n") == 1
        assert "Traceback" not in err


def test_a_model_that_never_ends_or_eats_memory_is_stopped(tmp_path):
    path = tmp_path / "small.xml"
    path.write_text(SMALL)
    with pytest.raises(ModelError, match=r"within 1 s|ended the process"):
        file_fingerprint(path, seconds=1)
    with pytest.raises(ModelError, match=r"MB allowed|could not be analysed|ended the process"):
        file_fingerprint(path, megabytes=60)


def test_two_models_stand_side_by_side():
    one = sbml_fingerprint(SMALL)
    two = sbml_fingerprint(
        sbml_from_antimony(
            "model other\ncompartment v = 1; species a in v; a = 1; IN: -> a; v * k; OUT: a -> ; v * m * a; k = 1; m "
            "= 4;\nend"
        )
    )
    table = side_by_side(one, two)
    assert "small" in table.splitlines()[0]
    assert "other" in table.splitlines()[0]
    assert "numbers differ" in table
    assert "steady_state.values.a: 0.5 and 0.25" in table
    assert "identical to 1e-6" in side_by_side(one, one)


@pytest.mark.slow
def test_our_own_build_compares_as_the_same_states(capsys):
    assert main(["compare", str(ROOT / "models/build/als_methionine.xml"), "--until", "1 h"]) == 0
    out = capsys.readouterr().out
    assert "the same states" in out
    assert "theorems to 1e-6" in out
