"""A part that drives and a part that is driven, each with steps of its own."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.linalg import expm

from metabolism.engines.contract import Plan, Problem, get_engine
from metabolism.engines.ensemble import compile as fast_compile
from metabolism.engines.ensemble import run as fast_run
from metabolism.engines.ensemble.code.cascade import part, split
from metabolism.engines.ensemble.compile import kernel
from metabolism.engines.ensemble.run import Run
from metabolism.engines.ensemble.sharing import leaders
from metabolism.engines.ensemble.slopes import Direction, slopes
from metabolism.model import equations, sbml_from_antimony
from metabolism.sbml import read_equations

#: A depot feeds a and b, which exchange; e follows a; e feeds x and y, which exchange; z takes in what x and a do.
TOY = """
model cascade
  compartment c = 1; species depot in c, a in c, b in c, x in c, y in c, store in c;
  J1: depot -> a; c * ka * depot;
  J2: a -> b; c * (4 * a - 3 * b);
  J3: a -> ; c * k * a;
  J4: -> x; c * feed * e;
  J5: x -> y; c * (2 * x - y);
  J6: y -> ; c * 0.7 * y;
  J7: -> b; c * grow * b^2;
  J8: -> y; c * burst * y^2;
  J9: store -> x; c * store;
  e' = ke * (a - e);
  depot = 0; a = 1; b = 0; e = 0; x = 0; y = 0; store = 0;
  ka = 2; k = 0.5; ke = 0.3; feed = 1; grow = 0; burst = 0;
  both := a * x;
end
"""
START = {"depot": 0.5, "a": 1.0, "b": 0.2, "e": 0.1, "x": 0.3, "y": 0.4, "store": 0.0}
VALUES = {"c": 1.0, "ka": 2.0, "k": 0.5, "ke": 0.3, "feed": 1.0, "grow": 0.0, "burst": 0.0}
END = 8.0


@pytest.fixture(scope="module")
def toy():
    return read_equations(sbml_from_antimony(TOY))


def problem(toy, rtol=1e-8, times=(0.0, 1.0, END), outputs=("y", "a", "both"), plan=None, scale=None, **columns):
    count = max((len(v) for v in columns.values()), default=1)
    rows = {n: np.broadcast_to(columns.get(n, v), count) for n, v in {**START, **VALUES}.items()}
    plan = plan or Plan()
    return Problem(
        toy,
        plan,
        0.0,
        END,
        np.array(times),
        tuple(outputs),
        np.stack([rows[n] for n in toy.parameters], axis=1),
        np.stack([rows[n] for n in toy.states], axis=1),
        np.ones((count, len(plan.boluses))) if scale is None else scale,
        rtol,
        np.full(len(toy.states), rtol * 1e-3),
    )


def closed(toy, times, **values):
    """States at some times: the model is linear unless something grows."""
    p = np.array([{**VALUES, **values}[n] for n in toy.parameters])
    matrix = toy.J(np.zeros(len(toy.states)), p)
    start = np.array([START[s] for s in toy.states])
    return np.stack([expm(matrix * t) @ start for t in times])


def column(toy, states, name):
    return states[:, toy.states.index(name)]


def test_the_parts_of_the_shipped_model_are_cobalamin_with_its_effects_and_the_rest(model):
    system = equations(model)
    found = split(system)
    assert set(found.inputs) == {"cbl_effect", "cofactor", "cbl_cell"}
    assert {"depot_im", "cbl_free", "holo_tc", "cbl_urine"} <= set(found.upper)
    assert {"hcy_plasma", "motor_units", "folate_rbc", "ms_active"} <= set(found.lower)
    assert sorted([*found.upper, *found.lower]) == sorted(system.states)
    # nothing in the upper part depends on the lower one
    upper = {system.states.index(s) for s in found.upper}
    assert not [(row, column) for row, column in system.jacobian if row in upper and column not in upper]
    assert [len(p.inputs) for p in kernel(system).parts] == [0, 3]


def test_a_model_is_split_between_its_two_cores_or_not_at_all(toy):
    found = split(toy)
    assert (set(found.upper), set(found.lower), found.inputs) == ({"depot", "a", "b", "e"}, {"x", "y", "store"}, ("e",))
    assert split(part(toy, found.upper)) is None
    mutual = read_equations(sbml_from_antimony(TOY.replace("c * ka * depot", "c * ka * depot * (1 + y)")))
    assert split(mutual) is None


def test_errors_of_the_driven_part_fall_with_a_high_power_of_the_step(toy):
    """Without the change of the inputs with time the order would be one."""
    exact = column(toy, closed(toy, [END]), "y")[0]
    errors, steps = [], []
    for rtol in (1e-5, 1e-6, 1e-7, 1e-8, 1e-9):
        run = Run(problem(toy, rtol, (END,), ("y",)), kernel(toy))
        errors.append(abs(run.solve(None, 1).values[0, 0, 0] / exact - 1))
        steps.append(run.counts[1])
        assert errors[-1] < 10 * rtol
    order = -np.polyfit(np.log(steps), np.log(errors), 1)[0]
    assert order > 4


def test_values_at_all_times_have_their_closed_form_in_both_parts_and_of_both(toy):
    times = np.sort(np.append(np.geomspace(1e-3, END, 60), [0.0, 3.0]))
    states = closed(toy, times)
    got = Run(problem(toy, 1e-10, times, (*toy.states, "both", "J4")), kernel(toy)).solve(None, 1).values[0]
    np.testing.assert_allclose(got[:, : len(toy.states)], states, rtol=1e-7, atol=1e-9)
    np.testing.assert_allclose(got[:, -2], column(toy, states, "a") * column(toy, states, "x"), rtol=1e-7)
    np.testing.assert_allclose(got[:, -1], column(toy, states, "e"), rtol=1e-7)


def test_doses_and_settings_in_either_part_agree_with_tight_cvode(toy):
    plan = Plan(
        boluses=((0.0, "depot", 1.0), (2.0, "store", 0.7), (2.0, "a", 0.3), (5.0, "depot", 1.0), (END, "a", 1.0)),
        settings=(
            (-np.inf, "k", 0.5, 0.1),
            (1.0, "k", 0.0, 2.0),
            (3.0, "feed", 0.0, np.array([4.0, 5.0, 6.0])),
            (4.0, "k", 1.5, 0.2),
            (6.0, "feed", 1.0, 0.0),
        ),
        boundaries=(1.0, 2.0, 3.0, 4.0, 5.0, 6.0),
        asked={"depot": 2.0, "store": 0.7, "a": 1.3},
    )
    scale = np.array([[1, 1, 1, 1, 1], [1, 0, 1, 1, 1], [0, 1, 0, 1, 0]], dtype=float)
    times = np.array([0.0, 0.5, 2.0, 2.5, 3.0, 5.0, 7.0, END])
    asked = problem(toy, 1e-9, times, (*toy.states, "both", "k"), plan, scale, ka=[1.0, 2.0, 3.0])
    got, expected = get_engine("fast").solve(asked), get_engine("roadrunner").solve(asked)
    np.testing.assert_allclose(got.values, expected.values, rtol=1e-6, atol=1e-9)
    np.testing.assert_allclose(got.pre_dose, expected.pre_dose, rtol=1e-6, atol=1e-9)
    np.testing.assert_allclose(got.final, expected.final, rtol=1e-6, atol=1e-9)
    for target, amounts in expected.delivered.items():
        np.testing.assert_allclose(got.delivered[target], amounts, rtol=1e-9)


def test_what_the_inputs_alone_drive_and_nobody_needs_goes_below(model, toy):
    assert {"mmcoa_liver", "mma_plasma"} <= set(split(equations(model)).lower)
    leaf = read_equations(sbml_from_antimony(TOY.replace("ka = 2;", "w = 0; w' = e - w; v = 0; v' = a - v; ka = 2;")))
    found = split(leaf)
    assert "w" in found.lower
    assert "v" in found.upper
    assert found.inputs == ("e",)


@pytest.mark.parametrize("threads", [1, 2])
def test_patients_with_one_course_of_the_driving_part_share_its_record_to_the_bit(toy, threads, monkeypatch):
    monkeypatch.setattr(fast_run, "CROWD", 40)
    rng, count = np.random.default_rng(5), 150
    plan = Plan(
        boluses=((0.0, "depot", 1.0), (2.0, "store", 0.7), (3.0, "a", 0.3)),
        settings=((4.0, "k", 0.0, rng.integers(1, 3, count) / 2.0), (5.0, "feed", 0.0, rng.random(count))),
        boundaries=(2.0, 3.0, 4.0, 5.0),
        asked={"depot": 1.0, "store": 0.7, "a": 0.3},
    )
    scale = np.stack([rng.integers(0, 2, count), rng.integers(0, 2, count), np.ones(count)], axis=1).astype(float)
    drug, drawn = rng.integers(1, 7, count) / 2.0, rng.random(count)
    asked = problem(toy, 1e-6, (0.0, 2.0, 6.0, END), ("x", "both"), plan, scale, ka=drug, feed=drawn)
    leads = leaders(asked, kernel(toy))
    # six constants, two effects of the setting, and given or not
    assert leads.max() + 1 == 24
    together = get_engine("fast").solve(asked, workers=threads)
    alone = Run(asked, kernel(toy)).solve(None, 1)
    for name in ("values", "pre_dose", "final"):
        np.testing.assert_array_equal(getattr(together, name), getattr(alone, name))
    for target, amounts in alone.delivered.items():
        np.testing.assert_array_equal(together.delivered[target], amounts)
    requests = [("max", "x"), ("auc", "a")]
    np.testing.assert_array_equal(
        get_engine("fast").endpoints(asked, requests).values,
        Run(asked, kernel(toy)).endpoints(requests, None, 1).values,
    )


def test_a_failure_of_a_shared_course_is_everybodys_who_shares_it(toy):
    grow = np.array([0.0, 3.0, 0.0, 3.0, 0.0])
    asked = problem(toy, 1e-6, grow=grow, feed=np.arange(5.0))
    found = get_engine("fast").solve(asked)
    assert sorted(found.failures) == [1, 3]
    assert {f.state for f in found.failures.values()} == {"b"}
    assert leaders(problem(toy, grow=np.arange(3.0)), kernel(toy)) is None


def test_what_stays_at_zero_is_known_from_the_problem(toy):
    zero = Run(problem(toy), kernel(toy))._zero
    assert "store" in zero
    assert not zero & {"depot", "a", "b", "e", "x", "y", "k"}
    given = Plan(boluses=((2.0, "store", 0.7),), boundaries=(2.0,), asked={"store": 0.7})
    assert "store" not in Run(problem(toy, plan=given), kernel(toy))._zero
    empty = {n: [0.0] for n in START}
    assert {"store", "depot"} <= Run(problem(toy, **empty), kernel(toy))._zero
    found = Run(problem(toy, **empty), kernel(toy)).solve(None, 1)
    assert not found.failures
    assert (found.final == 0).all()


@pytest.mark.parametrize(("parameter", "state"), [("grow", "b"), ("burst", "y")])
def test_a_failure_in_either_part_is_flagged_and_nobody_else_notices(toy, parameter, state):
    values, times = np.zeros(21), np.linspace(0, END, 33)
    alone = Run(problem(toy, 1e-6, times, ("a", "x"), **{parameter: values}), kernel(toy)).solve(None, 1)
    values[13] = 3.0
    together = Run(problem(toy, 1e-6, times, ("a", "x"), **{parameter: values}), kernel(toy)).solve(None, 1)
    assert list(together.failures) == [13]
    failure = together.failures[13]
    assert failure.state == state
    assert 0 < failure.time < END
    before = times < failure.time
    assert np.isfinite(together.values[13, before]).all()
    assert np.isnan(together.values[13, ~before]).all()
    assert np.isnan(together.final[13]).all()
    others = np.delete(np.arange(21), 13)
    np.testing.assert_array_equal(together.values[others], alone.values[others])
    np.testing.assert_array_equal(together.final[others], alone.final[others])
    tight = Run(problem(toy, 1e-10, times, ("a", "x"), **{parameter: [3.0]}), kernel(toy)).solve(None, 1)
    assert failure.time == pytest.approx(tight.failures[0].time, rel=1e-4)
    np.testing.assert_allclose(together.values[13, before], tight.values[0, before], rtol=1e-3)


def test_a_patient_whose_inputs_are_not_numbers_fails_alone_at_the_start(toy):
    solution = Run(problem(toy, k=[0.5, np.nan, 0.5]), kernel(toy)).solve(None, 1)
    assert list(solution.failures) == [1]
    assert solution.failures[1].time == 0
    np.testing.assert_array_equal(solution.values[0], solution.values[2])


def test_neither_the_room_for_records_nor_neighbours_nor_threads_change_a_bit(toy, monkeypatch):
    k = np.linspace(0.1, 3, 37)
    plan = Plan(boluses=((2.0, "depot", 1.0),), boundaries=(2.0,), asked={"depot": 1.0})
    here = Run(problem(toy, plan=plan, k=k), kernel(toy)).solve(None, 1)
    monkeypatch.setattr(fast_run, "ROWS", 2)
    for workers, chosen in ((1, slice(0, 37)), (3, slice(0, 37)), (2, slice(5, 22)), (1, slice(36, 37))):
        again = Run(problem(toy, plan=plan, k=k[chosen]), kernel(toy)).solve(None, workers)
        np.testing.assert_array_equal(again.values, here.values[chosen])
        np.testing.assert_array_equal(again.delivered["depot"], here.delivered["depot"][chosen])
    dense = Run(problem(toy, times=np.append(np.arange(0, END, 0.01), END), plan=plan, k=k), kernel(toy)).solve(None, 1)
    np.testing.assert_array_equal(dense.values[:, [0, 100, -1]], here.values)
    np.testing.assert_array_equal(dense.final, here.final)


@pytest.mark.parametrize("lanes", [2, 8])
def test_the_number_of_lanes_changes_nothing(toy, lanes, monkeypatch, tmp_path):
    asked = problem(toy, k=np.linspace(0.1, 3, 19))
    here = Run(asked, kernel(toy)).solve(None, 1).values
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(fast_compile, "_kernels", {})
    monkeypatch.setattr(fast_compile, "_lanes", lambda features: lanes)
    assert kernel(toy).lanes == lanes
    np.testing.assert_array_equal(Run(asked, kernel(toy)).solve(None, 1).values, here)


def test_running_endpoints_follow_the_finer_steps_where_an_output_needs_them(toy):
    grid = np.linspace(0, END, 40001)
    states = closed(toy, grid)
    curves = {n: column(toy, states, n) for n in ("a", "b", "y", "e")}
    curves["both"] = curves["a"] * column(toy, states, "x")
    wanted = [
        (kind, name, *([0.2] if kind == "time_above" else []))
        for name in curves
        for kind in ("final", "max", "min", "auc", "time_above")
    ]
    asked = problem(toy, 1e-8, k=[0.5, 0.5])
    got = get_engine("fast").endpoints(asked, wanted).values[0, 0]
    for (kind, name, *_), value in zip(wanted, got, strict=True):
        curve = curves[name]
        expected = {
            "final": curve[-1],
            "max": curve.max(),
            "min": curve.min(),
            "auc": np.trapezoid(curve, grid),
            "time_above": np.trapezoid((curve > 0.2).astype(float), grid),
        }[kind]
        assert value == pytest.approx(expected, rel=1e-6, abs=1e-3 if kind == "time_above" else 0), (kind, name)
    # an endpoint does not depend on which others are asked for
    alone = get_engine("fast").endpoints(asked, [("auc", "y"), ("max", "y")]).values[0, 0]
    assert alone.tolist() == [got[wanted.index(("auc", "y"))], got[wanted.index(("max", "y"))]]


def test_sensitivities_pass_through_both_parts(toy):
    times = (1.0, 4.0, END)
    asked = problem(toy, 1e-8, times, ("y", "a"), k=[0.5] * 5)
    move = np.zeros((5, len(toy.parameters)))
    move[:, toy.parameters.index("k")] = 1.0
    _, got = slopes(asked, [Direction(move, np.zeros((5, len(toy.states))), np.full(5, 1e-4))])
    for n, name in enumerate(("y", "a")):
        up, down = (column(toy, closed(toy, times, k=k), name) for k in (0.5 + 1e-5, 0.5 - 1e-5))
        np.testing.assert_allclose(got[2, 0, :, n], (up - down) / 2e-5, rtol=1e-5)
    np.testing.assert_array_equal(got[0], got[4])
