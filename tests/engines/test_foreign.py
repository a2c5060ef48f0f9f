"""Anybody's SBML on the fast engine: one small model for each kind of construct, right by a closed form."""

import math

import antimony
import libsbml
import numpy as np
import pytest

from metabolism.engines import Plan, Problem, get_engine, load_foreign, typical
from metabolism.engines.foreign import course, judge, run_one
from metabolism.errors import ModelError, SolverFailed
from metabolism.model import sbml_from_antimony
from metabolism.sbml import general_equations, single, start_values
from tests.engines.test_reasons import GROWING
from tests.sbml.documents import changed, model

TIMES = np.array([0.0, 0.31, 1.0, 2.0, 2.7, 4.0, 5.0, 7.3, 10.0])


def solved(sbml, outputs, times=TIMES, members=1, given=None, rtol=1e-9):
    equations = general_equations(sbml)
    parameters, initial = start_values(equations, members, given)
    scale = typical(equations, parameters, initial, times[0], times[-1])
    problem = Problem(
        equations,
        Plan(),
        times[0],
        times[-1],
        times,
        outputs,
        parameters,
        initial,
        np.ones((members, 0)),
        rtol,
        1e-3 * rtol * scale,
    )
    solution = get_engine("fast").solve(problem)
    assert not solution.failures
    return solution.values


t = TIMES
CELL = "compartment c = 2; species S in c; S = 3;"

#: What is right, by kind: a model, an output, and its course.
RIGHT = {
    "negative rates and states": ("x = 0; y = 1; x' = y; y' = -x;", "x", np.sin(t)),
    "reaction in a compartment": (f"{CELL} k = 0.5; J: S -> ; k*S*c;", "S", 3 * np.exp(-0.5 * t)),
    "substance only": (
        "compartment c = 2; substanceOnly species S in c; S = 3; J: S -> ; 0.5*S;",
        "S",
        3 * np.exp(-t / 2),
    ),
    "assignment with the time": ("y := sin(time) + time^2;", "y", np.sin(t) + t**2),
    "no state at all": ("k = 3; y := 2*k;", "y", 6 + 0 * t),
    "initial assignment": ("k = 2; x = 3*k + 1; x' = -x;", "x", 7 * np.exp(-t)),
    "function definition": ("x = 1; x' = -product(x, 2);", "x", np.exp(-2 * t)),
    "boundary species": (f"{CELL} species $B in c; B = 4; J: B -> S; 0.25*B*c;", "S", 3 + t),
    "rate rule on a boundary species": ("species $B; B = 1; B' = 2;", "B", 1 + 2 * t),
    "piecewise in the time": ("x = 0; x' = piecewise(2, time < 3.3, 0);", "x", np.minimum(2 * t, 6.6)),
    "piecewise in a state": ("x = 0; x' = piecewise(1, x < 2, 0.5);", "x", np.where(t < 2, t, 2 + (t - 2) / 2)),
    "nested piecewise": (
        "x = 0; x' = piecewise(1, time < 1, 3, time < 2, piecewise(5, x > 0, 7));",
        "x",
        np.where(t < 1, t, np.where(t < 2, 1 + 3 * (t - 1), 4 + 5 * (t - 2))),
    ),
    "piecewise in a rule of an output": (
        "x = 0; x' = 1; y := piecewise(x, x <= 4.2, -x);",
        "y",
        np.where(t <= 4.2, t, -t),
    ),
    "floor": ("x = 0; x' = floor(time);", "x", np.floor(t) * (np.floor(t) - 1) / 2 + np.floor(t) * (t - np.floor(t))),
    "absolute value": ("x = -2; x' = 1; y = 0; y' = abs(x);", "y", 2 + np.sign(t - 2) * (t - 2) ** 2 / 2),
    "maximum": ("y = 0; y' = max(1, time);", "y", np.where(t < 1, t, 0.5 + t**2 / 2)),
    "minimum": ("y = 0; y' = min(1, time);", "y", np.where(t < 1, t**2 / 2, t - 0.5)),
    "comparison as a number": ("x = 0; x' = 2*(time > 4) + 1;", "x", t + 2 * np.maximum(t - 4, 0)),
    "power of a negative base": ("x = -2; x' = -x^3;", "x", -((0.25 + 2 * t) ** -0.5)),
    "power of nothing": ("x = 0; n = 1; x' = 1 - x^n;", "x", 1 - np.exp(-t)),
    "Hill function from nothing": ("x = 0; n = 2.5; x' = 1 - x + 0*x^n/(1 + x^n);", "x", 1 - np.exp(-t)),
    "chain from nothing": ("A = 0; B = 0; A' = 1 - A; B' = A - B;", "B", 1 - np.exp(-t) - t * np.exp(-t)),
    "root of what runs out": ("x = 1; x' = -sqrt(x);", "x", np.maximum(1 - t / 2, 0) ** 2),
    "power of what dies out": ("x = 1; n = 1.5; x' = -50*x; y = 0; y' = x^n;", "y", (1 - np.exp(-75 * t)) / 75),
    "power in a branch that is left": (
        "x = 1; n = 1.5; x' = -1; y = 0; y' = piecewise(0, x < 0, x^n);",
        "y",
        (1 - np.maximum(1 - t, 0) ** 2.5) / 2.5,
    ),
    "event beside a power of a trace": (
        "x = 1; n = 1.5; x' = -50*x; y = 0; y' = x^n; z = 0; z' = 0; E: at time >= 2.5: z = 1;",
        "y",
        (1 - np.exp(-75 * t)) / 75,
    ),
    "trigonometry": ("x = 1; x' = -sin(x);", "x", 2 * np.arctan(np.tan(0.5) * np.exp(-t))),
    "hyperbolics": ("x = 1; x' = -tanh(x);", "x", np.arcsinh(np.sinh(1) * np.exp(-t))),
    "factorial": ("x = 0; n = 4; x' = factorial(n);", "x", 24 * t),
    "compartment that grows": (f"{CELL} c' = 1; J: S -> ; 0*S;", "S", 6 / (2 + t)),
    "compartment by a rule": ("compartment c := 2 + time; species S in c; S = 3; J: S -> ; 0*S;", "S", 6 / (2 + t)),
    "rate of change": ("x = 1; x' = -0.5*x; y = 0; y' = rateOf(x);", "y", np.exp(-t / 2) - 1),
    "avogadro": ("x = 0; x' = avogadro/1e23;", "x", 6.02214179 * t),
    "event at a time": ("x = 1; x' = 0; E: at time >= 2: x = 5;", "x", np.where(t < 2, 1, 5)),
    "event after a time": ("x = 1; x' = 0; E: at time > 2: x = 5;", "x", np.where(t <= 2, 1, 5)),
    "event of a state": ("x = 1; x' = 1; E: at x >= 3: x = 0;", "x", np.where(t < 2, 1 + t, (t - 2) % 3)),
    "event on a parameter": ("k = 1; x = 0; x' = k; E: at time >= 4: k = 3;", "x", t + 2 * np.maximum(t - 4, 0)),
    "event with a delay": ("x = 0; x' = 0; E: at 1.5 after time >= 2: x = 7;", "x", np.where(t < 3.5, 0, 7)),
    "event in a growing compartment": (
        f"{CELL} c' = 1; J: S -> ; 0*S; E: at time >= 4: S = 5;",
        "S",
        np.where(t < 4, 6 / (2 + t), 30 / (2 + t)),
    ),
    "event that halves a compartment": (f"{CELL} J: S -> ; 0*S; E: at time >= 4: c = 1;", "S", np.where(t < 4, 3, 6)),
    "event on a concentration and its compartment": (
        f"{CELL} J: S -> ; 0*S; E: at time >= 4: S = 5, c = 1;",
        "S",
        np.where(t < 4, 3, 10),
    ),
    "rate of a concentration in a compartment that grows and jumps": (
        "compartment c = 2; species $S in c; S = 3; S' = 0.5; c' = 1; E: at time >= 4: c = 3;",
        "S",
        np.where(t < 4, 3 + t / 2, 10 + (t - 4) / 2),
    ),
    "event that starts true": ("x = 0; x' = 0; E: at time >= 0, t0 = false: x = 2;", "x", 2 + 0 * t),
    "event that was true before": ("x = 1; x' = 0; E: at time >= 0: x = 2;", "x", 1 + 0 * t),
    "events by priority": (
        "x = 0; x' = 0; A: at time >= 2, priority = 1, fromTrigger = false: x = x + 1;"
        "B: at time >= 2, priority = 2, fromTrigger = false: x = (x + 1)*10;",
        "x",
        np.where(t < 2, 0, 11),
    ),
    "events with the trigger's values": (
        "x = 1; y = 2; x' = 0; A: at time >= 2: x = y; B: at time >= 2: y = x;",
        "y",
        np.where(t < 2, 2, 1),
    ),
    "delayed event with the trigger's values": (
        "x = 0; x' = 1; y = 0; E: at 2 after x >= 2: y = x;",
        "y",
        np.where(t < 4, 0, 2),
    ),
    "delayed event with the values of its execution": (
        "x = 0; x' = 1; y = 0; E: at 2 after x >= 2, fromTrigger = false: y = x;",
        "y",
        np.where(t < 4, 0, 4),
    ),
    "event that does not persist": (
        "x = 0; x' = 0; E: at 2 after (time >= 1 && time < 2.5), persistent = false: x = 1;",
        "x",
        0 * t,
    ),
    "event that persists": (
        "x = 0; x' = 0; E: at 2 after (time >= 1 && time < 2.5): x = 1;",
        "x",
        np.where(t < 3, 0, 1),
    ),
    "event set off by an event": (
        "x = 0; y = 0; x' = 0; A: at time >= 2: x = 1; B: at x > 0.5: y = 4;",
        "y",
        np.where(t < 2, 0, 4),
    ),
    "short window": ("x = 0; x' = 0; E: at time > 4.1 && time < 4.10001: x = 1;", "x", np.where(t < 4.1, 0, 1)),
}


@pytest.mark.parametrize("kind", RIGHT)
def test_each_kind_of_construct_is_right(kind):
    body, output, right = RIGHT[kind]
    times = "function product(a, b)\n  a*b;\nend\n" if "product(" in body else ""
    text = sbml_from_antimony(f"{times}model top\n{body}\nend")
    assert solved(text, (output,))[0, :, 0] == pytest.approx(right, rel=2e-7, abs=2e-7)


@pytest.mark.parametrize("n", [0.6, 1.0, 1.4, 2.3, 3.0])
def test_a_power_of_a_state_that_begins_with_nothing_behind_another(n):
    """The stages of a step lie below zero by the square of its length: x = t, y = t^2/2, z' = y^n."""
    text = model("x = 0; y = 0; z = 0; n = 2; x' = 1; y' = x; z' = y^n;")
    right = t ** (2 * n + 1) / (2**n * (2 * n + 1))
    assert solved(text, ("z",), given={"n": n})[0, :, 0] == pytest.approx(right, rel=1e-5, abs=1e-10 * right.max())


@pytest.mark.parametrize("rate", ["x^n", "sqrt(x)", "x^1.5", "(2*x)^n"])
def test_a_power_without_a_value_ends_the_run_where_it_loses_it(rate):
    equations = general_equations(model(f"x = 0.5; n = 1.5; z = 0; x' = -1; z' = {rate};"))
    parameters, initial = start_values(equations)
    with pytest.raises(SolverFailed, match=r"t = 0\.5") as failure:
        run_one(equations, parameters, initial, np.array([0.0, 2.0]), 2.0, ("z",), 1e-6, np.ones(2))
    assert failure.value.state == "x"


def test_an_order_of_events_that_is_left_to_chance_is_no_disagreement():
    """Both events are due each second; which goes first decides, and every run may draw its own."""
    by_chance = "x = 0; y = 0; due = 1; x' = 0; A: at time >= due, persistent = false: x = x + 1, due = due + 1;"
    equations = general_equations(
        model(f"{by_chance} B: at time >= due, persistent = false: y = y + 1, due = due + 1;")
    )
    found = course(equations, 30.5)
    other = {"values": [[v + 1 for v in row] for row in found["values"]]}
    judged = judge(found, lambda rtol: other)
    assert judged.agreement is None
    assert "chance" in judged.remarks[-1]
    ordered = course(general_equations(model(f"{by_chance} B: at time >= 9: y = 1;")), 30.5)
    with pytest.raises(ModelError, match="disagree"):
        judge(ordered, lambda rtol: {"values": [[v + 1 for v in row] for row in ordered["values"]]})


def test_submodels_are_written_out_unless_they_are_in_other_files():
    text = "model part\nS = 3; k = 0.5; J: S -> ; k*S;\nend\nmodel *top\nA: part(); B: part(); B.k is r; r = 2;\nend"
    antimony.clearPreviousLoads()
    assert antimony.loadAntimonyString(text) >= 0
    whole = antimony.getCompSBMLString("top")
    assert "comp:submodel" in whole
    found = solved(whole, ("A__S", "B__S"))[0]
    assert found[:, 0] == pytest.approx(3 * np.exp(-t / 2), rel=1e-6, abs=1e-8)
    assert found[:, 1] == pytest.approx(3 * np.exp(-2 * t), rel=1e-6, abs=1e-8)
    assert "its 2 submodels are written out" in general_equations(whole).reading["remarks"]
    assert "comp:" not in single(whole)
    outside = whole.replace(
        "<comp:listOfModelDefinitions>",
        '<comp:listOfExternalModelDefinitions><comp:externalModelDefinition comp:id="far" comp:source="far.xml"/>'
        "</comp:listOfExternalModelDefinitions><comp:listOfModelDefinitions>",
    )
    with pytest.raises(ModelError, match="other files"):
        general_equations(outside)


def test_conversion_factors_multiply_what_reactions_move():
    text = model(f"{CELL} f = 4; J: S -> ; 0.1*S*c;")
    for own in (True, False):
        other = changed(text, lambda m, own=own: (m.getSpecies("S") if own else m).setConversionFactor("f"))
        assert solved(other, ("S",))[0, :, 0] == pytest.approx(3 * np.exp(-0.4 * t), rel=1e-7)


@pytest.mark.parametrize(("formula", "right"), [("3", 3 * t), ("time", t**2 / 2), ("x", t**2 / 2), ("2^2", 4 * t)])
def test_stoichiometry_by_a_rule(formula, right):
    def change(content):
        product = content.getReaction("J").getProduct(0)
        product.setId("n")
        product.setConstant(False)
        product.unsetStoichiometry()
        rule = content.createAssignmentRule()
        rule.setVariable("n")
        rule.setMath(libsbml.parseL3Formula(formula))

    text = changed(model("compartment c = 1; species S in c; S = 0; x = 0; x' = 1; J: -> S; 1;"), change)
    assert solved(text, ("S",))[0, :, 0] == pytest.approx(right, abs=1e-7)


def test_a_course_beside_an_explosion_is_looked_at_closely():
    found = solved(model(GROWING), ("P",), np.array([0.0, 10.0, 25.0, 100.0]))[0, :, 0]
    assert found[1] == pytest.approx(60.427, rel=1e-3)
    assert found[2] == pytest.approx(3.812e-6, rel=1e-2)


def test_a_sawtooth_fires_every_time():
    text = model("x = 0; x' = 1; n = 0; E: at x >= 1: x = 0, n = n + 1;")
    assert solved(text, ("n",), np.array([0.0, 500.5, 1000.5]))[0, :, 0].tolist() == [0.0, 500.0, 1000.0]


def test_initial_assignments_follow_each_member():
    text = model("k = 2; x = 3*k; x' = -x;")
    values = solved(text, ("x",), members=3, given={"k": np.array([1.0, 2.0, 5.0])})
    assert values[:, -1, 0] == pytest.approx(np.array([3.0, 6.0, 15.0]) * math.exp(-10), rel=1e-6)


def test_a_member_with_events_has_the_same_bits_alone_and_among_others():
    text = model("x = 1; k = 1; x' = piecewise(k, x < 2, 2*k); n = 0; E: at x >= 3: x = x - 2.5, n = n + 1;")
    draws = np.linspace(0.5, 2.5, 70)
    among = solved(text, ("x", "n"), members=70, given={"k": draws})
    for row in (0, 13, 69):
        alone = solved(text, ("x", "n"), given={"k": draws[row]})
        assert (alone[0] == among[row]).all()


def test_hundreds_of_events_one_after_the_other_are_no_failure():
    text = model("x = 0; x' = 1; n = 0; E: at x >= 1: x = 0, n = n + 1;")
    assert solved(text, ("n",), times=np.array([0.0, 300.5]))[0, -1, 0] == 300


def test_endpoints_run_through_events():
    """The area and extremes of a triangle wave of height 2, and its time above 1."""
    equations = general_equations(model("x = 0; v = 1; x' = v; A: at x >= 2: v = -1; B: at x <= 0, t0 = true: v = 1;"))
    parameters, initial = start_values(equations)
    problem = Problem(
        equations,
        Plan(),
        0.0,
        12.0,
        np.array([0.0]),
        ("x",),
        parameters,
        initial,
        np.ones((1, 0)),
        1e-9,
        np.full(2, 1e-12),
    )
    requests = [("auc", "x"), ("max", "x"), ("min", "x"), ("time_above", "x", 1.0), ("final", "x")]
    found = get_engine("fast").endpoints(problem, requests)
    assert not found.failures
    assert found.values[0, 0] == pytest.approx([12.0, 2.0, 0.0, 6.0, 0.0], abs=1e-7)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda m: m.createAlgebraicRule().setMath(libsbml.parseL3Formula("S - 1")), "algebraic"),
        (lambda m: m.getReaction(0).getKineticLaw().setMath(libsbml.parseL3Formula("delay(S, 1)")), "delay"),
        (lambda m: m.removeParameter("k"), "'k'"),
    ],
)
def test_what_is_not_covered_is_refused_by_name(change, words):
    with pytest.raises(ModelError, match=words):
        general_equations(changed(model(f"{CELL} k = 1; J: S -> ; k*S*c;"), change))


def test_events_without_end_are_a_failure_with_its_reason():
    equations = general_equations(
        model("x = 0; x' = 1; y = 0; A: at y < 0.5, t0 = false: y = 1; B: at y > 0.5: y = 0;")
    )
    parameters, initial = start_values(equations)
    problem = Problem(
        equations,
        Plan(),
        0.0,
        1.0,
        np.array([1.0]),
        ("x",),
        parameters,
        initial,
        np.ones((1, 0)),
        1e-6,
        np.full(3, 1e-9),
    )
    failures = get_engine("fast").solve(problem).failures
    assert "without end" in failures[0].message


@pytest.mark.parametrize("engine", ["scipy", "roadrunner"])
def test_an_engine_that_carries_out_no_events_says_so(engine):
    equations = general_equations(model("x = 1; x' = 1; E: at x >= 2: x = 0;"))
    parameters, initial = start_values(equations)
    problem = Problem(
        equations,
        Plan(),
        0.0,
        3.0,
        np.array([3.0]),
        ("x",),
        parameters,
        initial,
        np.ones((1, 0)),
        1e-6,
        np.full(2, 1e-9),
    )
    with pytest.raises(ModelError, match="events"):
        get_engine(engine).solve(problem)


def test_scipy_finds_the_same_where_rates_jump():
    equations = general_equations(model("x = 0; x' = piecewise(1, x < 2, 0.5) - 0.1*x; y := floor(x);"))
    parameters, initial = start_values(equations)
    problem = Problem(
        equations,
        Plan(),
        0.0,
        9.0,
        TIMES[:-1],
        ("x", "y"),
        parameters,
        initial,
        np.ones((1, 0)),
        1e-10,
        np.full(1, 1e-12),
    )
    found = [get_engine(engine).solve(problem).values[0] for engine in ("fast", "scipy")]
    assert found[0] == pytest.approx(found[1], rel=1e-6)


def test_a_file_is_compared_with_libroadrunner_once(tmp_path):
    path = tmp_path / "m.xml"
    path.write_text(model(f"{CELL} k = 0.5; J: S -> ; k*S*c; E: at time > 3: S = 2;"))
    found = load_foreign(path, 10.0)
    assert found.agreement < 1e-6
    assert found.scale[0] == pytest.approx(3.0)
    assert any("agrees with libRoadRunner" in remark for remark in found.remarks)
