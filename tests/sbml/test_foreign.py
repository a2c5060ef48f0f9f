"""Files from elsewhere are read right or refused by name; every right value is from a closed form."""

import math

import libsbml
import numpy as np
import pytest

from metabolism.errors import ModelError
from metabolism.sbml import flatten, sbml_fingerprint
from metabolism.sbml.equations import read_equations
from metabolism.sbml.flat import read_formulas
from metabolism.sbml.trees import expression
from tests.sbml.documents import changed, model


def fingerprint(text, until=336.0):
    flat, remarks = flatten(text)
    return sbml_fingerprint(flat, until, remarks)


def at_rest(text):
    document = fingerprint(text)
    assert document["problem"] is None
    return document["steady_state"]["values"]


CLOSED = "compartment c = 1; species A in c, B in c; A = 1; B = 0; k = 2; h = 1;"


@pytest.mark.parametrize("ratio", [0.5, 0.75, 1.5, 2.0])
def test_fractional_stoichiometry_keeps_its_total(ratio):
    """A -> r B and back at equal rates rest where k A = h B, and A + B / r is what it was."""
    values = at_rest(model(f"{CLOSED} J: A -> {ratio} B; k*A - h*B;"))
    a = 1 / (1 + 2 / ratio)
    assert values == pytest.approx({"A": a, "B": 2 * a}, rel=1e-8)


@pytest.mark.parametrize("volume", [1.0, 1e-16, 1e6])
def test_two_moieties_that_share_a_species_keep_both_totals(volume):
    """E + S <-> ES: the quadratic of mass action with E and S total; in a cell as in a tank."""
    values = at_rest(
        model(
            f"compartment c = {volume}; species E in c, S in c, C in c; E = 1; S = 100; C = 0; on = 1; off = 5;"
            "J: E + S -> C; c*(on*E*S - off*C);"
        )
    )
    b = 1 + 100 + 5
    bound = (b - math.sqrt(b**2 - 400)) / 2
    assert values == pytest.approx({"C": bound, "E": 1 - bound, "S": 100 - bound}, rel=1e-7)


def test_a_conversion_factor_multiplies_what_a_reaction_moves():
    text = model("compartment c = 1; species A in c; A = 1; k = 0.5; s = 3; f = 4; J0: -> A; s; J1: A -> ; k*A;")
    for own in (True, False):
        with_factor = changed(text, lambda m, own=own: (m.getSpecies("A") if own else m).setConversionFactor("f"))
        document = fingerprint(with_factor)
        assert document["eigenvalues"] == [[-2.0, 0.0]]
        assert document["steady_state"]["values"]["A"] == pytest.approx(6.0)


def ruled(formula):
    def change(content):
        product = content.getReaction("J0").getProduct(0)
        product.setId("n")
        product.setConstant(False)
        product.unsetStoichiometry()
        rule = content.createAssignmentRule()
        rule.setVariable("n")
        rule.setMath(libsbml.parseL3Formula(formula))

    return changed(
        model("compartment c = 1; species A in c; A = 1; k = 0.5; s = 2; J0: -> A; s; J1: A -> ; k*A;"), change
    )


@pytest.mark.parametrize(("formula", "n"), [("3", 3.0), ("k * 5", 2.5), ("2^2", 4.0)])
def test_a_stoichiometry_ruled_by_constants_is_their_value(formula, n):
    assert at_rest(ruled(formula))["A"] == pytest.approx(2 * n / 0.5)


@pytest.mark.parametrize("formula", ["A", "time + 1", "2 * A"])
def test_a_stoichiometry_that_changes_is_refused_by_name(formula):
    with pytest.raises(ModelError, match="the stoichiometry of 'A' in reaction 'J0' changes with time"):
        fingerprint(ruled(formula))


@pytest.mark.parametrize(
    ("body", "values"),
    [
        ("J0: -> A; 2; J1: A -> ; 0.5*A; A = 0;", {"A": 4.0}),
        ("J0: -> A; 2; J1: A -> B; 0.5*A; J2: B -> ; 0.1*B; A = 0; B = 0;", {"A": 4.0, "B": 20.0}),
        ("J0: -> A; 2; J1: A -> B; 0.5*A; J2: B -> C; 0.1*B; J3: C -> ; C; A = 0; B = 0; C = 0;", {"C": 2.0}),
        ("J0: -> A; 1e6; J1: A -> ; 1e-3*A; A = 1;", {"A": 1e9}),
        ("J0: -> A; 2; J1: A -> ; A^1.5; A = 0;", {"A": 2 ** (2 / 3)}),
    ],
)
def test_a_start_from_nothing_comes_to_rest(body, values):
    species = "species " + ", ".join(f"{s} in c" for s in "ABC" if f"{s} =" in body)
    found = at_rest(model(f"compartment c = 1; {species}; {body}"))
    assert {s: found[s] for s in values} == pytest.approx(values, rel=1e-8)


def test_a_store_that_fills_for_ever_has_no_rest():
    document = fingerprint(
        model("compartment c = 1; species A in c, B in c; A = 1; B = 1; F: -> A; 1; G: A -> B; 0*A; H: B -> ; B*A;")
    )
    assert "no resting state" in document["problem"]


def test_a_closed_pair_at_equilibrium_has_no_flux_and_no_broken_theorem():
    document = fingerprint(model(f"{CLOSED} J: A -> B; k*A - h*B;"))
    assert document["theorems"]["hold"]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda m: m.getReaction("J").setFast(True), "reaction 'J' is fast"),
        (lambda m: m.getReaction("J").getReactant(0).setStoichiometry(float("nan")), "has no value"),
    ],
)
def test_what_cannot_be_read_is_refused_by_name(change, words):
    text = model(f"{CLOSED} J: A -> B; k*A - h*B;")
    document = libsbml.readSBMLFromString(text)
    document.setLevelAndVersion(3, 1, False)
    change(document.getModel())
    with pytest.raises(ModelError, match=words):
        fingerprint(libsbml.writeSBMLToString(document))


def test_an_event_that_changes_a_compartment_is_refused_by_name():
    text = model("compartment c = 1; species A in c; A = 1; J: A -> ; 0.1*A; E: at time > 5: c = 2;")
    with pytest.raises(ModelError, match="event 'E' changes the size of compartment 'c'"):
        fingerprint(text)


def firings(body, until=300.0):
    return fingerprint(model(f"species A; A = 1; k = 0.01; J: A -> ; k*A; x = 0; {body}"), until)["events"]


@pytest.mark.parametrize("width", [0.5, 0.01, 1e-5])
def test_a_window_of_time_is_seen_however_short(width):
    events = firings(f"E: at time > 100 && time < {100 + width}: x = x + 1;")
    assert events["E"]["count"] == 1
    assert events["E"]["first"] == pytest.approx(100.0)


@pytest.mark.parametrize("level", [0.5, 0.1, 0.07])
def test_a_state_trigger_fires_when_the_state_gets_there(level):
    events = firings(f"E: at A < {level}: x = 1;")
    # the run has a relative tolerance of 1e-8 per step
    assert events["E"]["first"] == pytest.approx(-math.log(level) / 0.01, rel=1e-6)


@pytest.mark.parametrize(("persistent", "count"), [("true", 1), ("false", 0)])
def test_a_trigger_that_another_event_undoes_fires_only_if_it_persists(persistent, count):
    events = firings(
        "y = 0; E1: at time > 10, priority = 2: y = 1; "
        f"E2: at time > 10 && y < 0.5, priority = 1, persistent = {persistent}: x = x + 1;"
    )
    assert events.get("E2", {"count": 0})["count"] == count


@pytest.mark.parametrize(("early", "x"), [("true", 1.0), ("false", 2.0)])
def test_values_are_taken_when_the_trigger_turns_or_when_the_event_is_carried_out(early, x):
    """Two events at one time both add 1: to what was there, or one after the other."""
    events = firings(
        f"E1: at time > 10, priority = 2, fromTrigger = {early}: x = x + 1; "
        f"E2: at time > 10, priority = 1, fromTrigger = {early}: x = x + 1;"
    )
    assert sum(e["added"]["x"] for e in events.values()) == x


def test_units_that_do_not_agree_are_a_remark_in_every_level():
    text = model("compartment c = 1; species A in c; A = 1; k = 2 second; J0: -> A; 3; J1: A -> ; k*A*c;")
    document = libsbml.readSBMLFromString(text)
    document.setLevelAndVersion(2, 1, False)
    values = at_rest(libsbml.writeSBMLToString(document))
    assert values["A"] == pytest.approx(1.5)


def test_conserved_totals_hold_in_a_cascade_of_cycles():
    """Two covalent cycles on one kinase and one phosphatase: five totals that share their enzymes."""
    body = "compartment c = 1; species K in c, P in c; K = 2; P = 1;"
    for s, total in (("S", 100), ("T", 30)):
        body += f"species {s} in c, {s}p in c, K{s} in c, P{s} in c; {s} = {total}; {s}p = 0; K{s} = 0; P{s} = 0;"
        body += f"a{s}: K + {s} -> K{s}; 0.5*K*{s} - 0.1*K{s}; b{s}: K{s} -> K + {s}p; 0.2*K{s};"
        body += f"c{s}: P + {s}p -> P{s}; 0.6*P*{s}p - 0.1*P{s}; d{s}: P{s} -> P + {s}; 0.3*P{s};"
    values = at_rest(model(body))
    assert sum(values[s] for s in ("S", "Sp", "KS", "PS")) == pytest.approx(100, rel=1e-9)
    assert sum(values[s] for s in ("T", "Tp", "KT", "PT")) == pytest.approx(30, rel=1e-9)
    assert sum(values[s] for s in ("K", "KS", "KT")) == pytest.approx(2, rel=1e-9)
    assert sum(values[s] for s in ("P", "PS", "PT")) == pytest.approx(1, rel=1e-9)
    # what a kinase makes of each substrate, its phosphatase takes back
    np.testing.assert_allclose([0.2 * values["KS"], 0.2 * values["KT"]], [0.3 * values["PS"], 0.3 * values["PT"]])


def test_a_species_on_both_sides_of_a_reaction_is_counted_on_both():
    net = read_formulas(model("A = 1; E = 1; B = 0; k = 2; J: A + 2 E -> B + E + E; k*A*E"))["J"].stoichiometry
    assert net == {"A": -1, "E": 0, "B": 1}


def test_what_is_conserved_may_count_against():
    """Where A and B are used up together, their difference stays."""
    system = read_equations(model("A = 1; B = 2; C = 0; k = 2; J: A + B -> C; k*A*B"))
    column = dict(zip(system.states, system.stoichiometry[:, 0], strict=True))
    found = system.moieties()
    assert len(found) == 2
    assert any(min(moiety.values()) < 0 for moiety in found)
    assert [sum(w * column[s] for s, w in moiety.items()) for moiety in found] == [0, 0]


@pytest.mark.parametrize("name", ["<", "<=", ">", ">=", "==", "and"])
def test_a_comparison_with_nothing_to_compare_is_true(name):
    # a file may say so; as a chain without a link it ended in a TypeError of the compiler
    assert expression([name], None) == 1
    assert expression([name, "x", "y"], None) != 1


@pytest.mark.parametrize("name", ["not", "floor", "factorial", "ceiling", "abs"])
def test_an_operator_with_too_many_arguments_is_named(name):
    with pytest.raises(ModelError, match=f"'{name}' has 2 arguments in a formula, which it cannot take"):
        expression([name, "x", "y"], None)
