"""The fast engine: its method, its answers, its independence of everything but the patient, its cache."""

from __future__ import annotations

import itertools
import re
import threading

import llvmlite.binding as llvm
import numpy as np
import pytest
import sympy as sp
from hypothesis import assume, given, settings
from hypothesis import strategies as st

import metabolism as mb
from metabolism.dosing import Dose, Regimen
from metabolism.engines.contract import Plan, Problem, get_engine
from metabolism.engines.ensemble import cache as disk
from metabolism.engines.ensemble import compile as fast_compile
from metabolism.engines.ensemble import reasons, run
from metabolism.engines.ensemble.code.symbols import Log, Power
from metabolism.engines.ensemble.compile import kernel
from metabolism.engines.ensemble.engine import rest_many
from metabolism.engines.ensemble.generate import LANES, generate, generate_ahead
from metabolism.engines.ensemble.loop.method import RODAS5P
from metabolism.engines.ensemble.run import Run
from metabolism.engines.ensemble.slopes import Direction, slopes
from metabolism.errors import InvalidValue, ModelError, SolverFailed, UnknownName
from metabolism.model import equations, sbml_from_antimony
from metabolism.sbml import read_equations, rest
from tests.conftest import JETALS

OUTPUTS = [
    "hcy_plasma",
    "met_plasma",
    "mma_plasma",
    "folate_plasma",
    "cbl_plasma",
    "cbl_free",
    "holo_tc",
    "cbl_csf",
    "motor_units",
    "alsfrs_r",
    "MS_liver",
]
VARIED = ["MN_k", "GFR_rel", "CBL_CLf", "IM_ka", "FOLATE_DIET_rate", "CBL_DIET_rate", "MTHFR_genotype"]

#: Exponential decay, and a species that feeds on itself and blows up at t = 1 / (grow x0).
TOY = """
model toy
  compartment c = 1; species x in c, depot in c, y in c;
  J1: depot -> x; c * ka * depot;
  J2: x -> ; c * k * x;
  J3: -> y; c * grow * y^2;
  x = 1; depot = 0; y = 1; k = 0.5; ka = 2; grow = 0; bend = 1.5; one = 1;
  bent := exp(-x) + ln(one + x) + x^bend + sqrt(x);
end
"""


@pytest.fixture(scope="module")
def toy():
    return read_equations(sbml_from_antimony(TOY))


def toy_problem(toy, rtol=1e-8, times=(0.0, 1.0, 4.0), outputs=("x",), plan=None, **columns):
    defaults = {"x": 1.0, "depot": 0.0, "y": 1.0, "c": 1.0, "k": 0.5, "ka": 2.0, "grow": 0.0, "bend": 1.5, "one": 1.0}
    count = max((len(v) for v in columns.values()), default=1)
    rows = {n: np.broadcast_to(columns.get(n, v), count) for n, v in defaults.items()}
    plan = plan or Plan()
    return Problem(
        toy,
        plan,
        0.0,
        4.0,
        np.array(times),
        tuple(outputs),
        np.stack([rows[n] for n in toy.parameters], axis=1),
        np.stack([rows[n] for n in toy.states], axis=1),
        np.ones((count, len(plan.boluses))),
        rtol,
        np.full(len(toy.states), rtol * 1e-3),
    )


def population(model, count, seed=0, names=VARIED, sd=0.3):
    rng = np.random.default_rng(seed)
    return {n: model.values[n] * np.exp(sd * rng.standard_normal(count)) for n in names}


def bits(result):
    return {name: result.data[name].values.tobytes() for name in result.data.data_vars}


# --- the method ---------------------------------------------------------------------------------------------


def trees(order):
    """Rooted trees of one order, each as the sorted tuple of its subtrees (Butcher 1963)."""
    if order == 1:
        return [()]
    found = set()
    for parts in partitions(order - 1):
        for choice in itertools.product(*(trees(p) for p in parts)):
            found.add(tuple(sorted(choice)))
    return sorted(found)


def partitions(total, largest=None):
    largest = largest or total
    if total == 0:
        return [()]
    return [(n, *rest_) for n in range(min(total, largest), 0, -1) for rest_ in partitions(total - n, n)]


def size(tree):
    return 1 + sum(size(t) for t in tree)


def density(tree):
    return size(tree) * np.prod([density(t) for t in tree])


def weight(tree, alpha, beta):
    """Elementary weight of each stage: beta above a single branch, alpha above several (Hairer and Wanner IV.7)."""
    if not tree:
        return np.ones(len(alpha))
    matrix = beta if len(tree) == 1 else alpha
    return np.prod([matrix @ weight(t, alpha, beta) for t in tree], axis=0)


def test_the_coefficients_meet_every_order_condition():
    """A wrong digit in any coefficient breaks at least one of these."""
    method = RODAS5P
    alpha, beta, b = method.classical()
    assert [len(trees(n)) for n in range(1, 6)] == [1, 1, 2, 4, 9]
    embedded = b - np.linalg.inv(np.eye(method.stages) / method.gamma - _square(method.c))[-1]
    for order in range(1, method.order + 1):
        for tree in trees(order):
            phi = weight(tree, alpha, beta)
            assert b @ phi == pytest.approx(1 / density(tree), abs=2e-12), tree
            if order < method.order:
                assert embedded @ phi == pytest.approx(1 / density(tree), abs=2e-12), tree
    # one more order would be a miracle: the conditions above are not satisfied by accident
    assert max(abs(b @ weight(t, alpha, beta) - 1 / density(t)) for t in trees(method.order + 1)) > 1e-5


def test_the_dense_output_has_its_order_inside_the_step():
    method, order = RODAS5P, 4
    alpha, beta, _ = method.classical()
    gammas = np.linalg.inv(np.eye(method.stages) / method.gamma - _square(method.c))
    for s in (0.1, 0.37, 0.5, 0.9):
        d = sum(np.array(row) * s**i for i, row in enumerate(method.h))
        b = (s * np.array(method.m) + s * (1 - s) * d) @ gammas
        for n in range(1, order + 1):
            for tree in trees(n):
                assert b @ weight(tree, alpha, beta) == pytest.approx(s**n / density(tree), abs=2e-11), (s, tree)


def test_the_method_is_l_stable():
    """|R(iy)| <= 1 on the imaginary axis, no pole on the left, and R = 0 at infinity."""
    method = RODAS5P
    _, beta, b = method.classical()
    one = np.ones(method.stages)

    def r(z):
        return 1 + z * b @ np.linalg.solve(np.eye(method.stages) - z * beta, one)

    assert abs(r(-1e9)) < 1e-6
    assert all(abs(r(1j * y)) <= 1 + 1e-12 for y in np.geomspace(1e-3, 1e6, 200))
    assert method.gamma > 0


def _square(rows):
    matrix = np.zeros((len(rows), len(rows)))
    for i, row in enumerate(rows):
        matrix[i, : len(row)] = row
    return matrix


def test_errors_fall_with_the_fifth_power_of_the_step_on_a_closed_form(toy):
    """y' = y^2 from 1 / 4.1 over 4 h: y = 1 / (4.1 - t)."""
    errors, steps = [], []
    for rtol in (1e-7, 1e-8, 1e-9, 1e-10):
        run = Run(toy_problem(toy, rtol, (4.0,), ("y",), y=[1 / 4.1], grow=[1.0], x=[0.0]), kernel(toy))
        errors.append(abs(run.solve(None, 1).values[0, 0, 0] * 0.1 - 1))
        steps.append(run.steps[0])
    order = -np.polyfit(np.log(steps), np.log(errors), 1)[0]
    assert 4.5 < order < 5.5
    assert errors[-1] < 1e-8


def test_exponentials_logarithms_and_powers_are_those_of_numpy(toy):
    x = np.concatenate([[0.0], np.geomspace(1e-300, 700, 997)])
    got = Run(toy_problem(toy, times=(0.0,), outputs=("bent",), x=x), kernel(toy)).solve(None, 1).values[:, 0, 0]
    with np.errstate(under="ignore"):
        expected = np.exp(-x) + np.log(1 + x) + x**1.5 + np.sqrt(x)
    np.testing.assert_allclose(got, expected, rtol=1e-15 * 8)


def test_the_derivatives_of_a_power_are_those_of_calculus():
    x, y = sp.symbols("x y")
    for by, value in ((x, 3 * 2.0**2), (y, 2.0**3 * np.log(2))):
        found = sp.diff(Power(x, y), by).replace(Power, sp.Pow).replace(Log, sp.log)
        assert float(found.subs({x: 2, y: 3})) == pytest.approx(value, rel=1e-12)


def test_what_is_used_up_never_becomes_less_than_nothing():
    """Below zero the rate would turn its sign and the state run away; a step that goes there is taken again."""
    text = "model m; compartment c = 1; species s in c; J: s -> ; c * V * s / (K + s); s = 1; V = 1; K = 1; end"
    eaten, K = read_equations(sbml_from_antimony(text)), np.geomspace(1e-5, 0.1, 40)
    rows = {"K": K, "V": np.ones(40), "c": np.ones(40)}
    columns = np.stack([rows[p] for p in eaten.parameters], axis=1)
    times, atol = np.linspace(0, 4, 41), np.array([1e-6])
    problem = Problem(eaten, Plan(), 0.0, 4.0, times, ("s",), columns, np.ones((40, 1)), np.ones((40, 0)), 1e-3, atol)
    solved = Run(problem, kernel(eaten)).solve(None, 1)
    lasting = np.isfinite(solved.values).all(axis=(1, 2))
    assert lasting.mean() > 0.8
    assert solved.values[lasting].min() >= -100 * atol[0]


def test_a_function_without_code_is_refused_with_a_remedy():
    system = read_equations(sbml_from_antimony("model odd; x' = -factorial(x); x = 1; end"))
    with pytest.raises(ModelError, match=r"no code for 'factorial'.*engine='roadrunner'"):
        kernel(system)


@pytest.mark.parametrize("lanes", [2, 8])
def test_the_number_of_lanes_changes_nothing(toy, lanes, monkeypatch, tmp_path):
    """Processors differ in the width of their vectors; the arithmetic of a lane does not."""
    problem = toy_problem(toy, outputs=("x", "y", "bent"), k=np.linspace(0.1, 2, 5), grow=np.full(5, 0.1))
    here = Run(problem, kernel(toy)).solve(None, 1).values
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(fast_compile, "_kernels", {})
    monkeypatch.setattr(fast_compile, "_lanes", lambda features: lanes)
    assert kernel(toy).lanes == lanes
    np.testing.assert_array_equal(Run(problem, kernel(toy)).solve(None, 1).values, here)


# --- its answers --------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_trial_patient_agrees_with_tight_cvode_in_the_order_of_the_tolerance(model):
    patient = model.with_set("als_patient").with_values(MN_Emax=0.5)
    grid = np.unique(np.append(np.arange(0, 2689, 12.0), [1, 2, 4, 85, 86, 88]))
    reference = mb.simulate(patient, JETALS, outputs=OUTPUTS, times=grid, engine="roadrunner", rtol=1e-12)
    for rtol in (1e-5, 1e-7, 1e-9):
        fast = mb.simulate(patient, JETALS, outputs=OUTPUTS, times=grid, engine="fast", rtol=rtol)
        for output in OUTPUTS:
            error = np.abs(fast[output] / reference[output] - 1).max()
            assert float(error) < 10 * rtol, (rtol, output)


@settings(max_examples=12)
@given(
    st.lists(st.floats(-0.5, 0.5), min_size=len(VARIED), max_size=len(VARIED)),
    st.sampled_from(["50 mg im every 24 h x 2", "0.5 mg iv", "5 mg iv over 2 h", "0.8 mg folic acid oral daily x 2"]),
    st.sampled_from(["als_patient", "b12_deficient", "renal_impairment"]),
)
def test_random_patients_agree_with_both_other_engines(shifts, regimen, name):
    model = mb.load().with_set(name)
    patient = {n: [model.values[n] * np.exp(s)] for n, s in zip(VARIED, shifts, strict=True)}
    runs = [
        mb.simulate(model, regimen, 60, outputs=OUTPUTS, times=[0, 1, 8, 30, 60], patients=patient, engine=e, rtol=r)
        for e, r in (("fast", 1e-8), ("roadrunner", 1e-9), ("scipy", 1e-9))
    ]
    assume(not runs[1].failures)
    for output in OUTPUTS:
        for other in runs[1:]:
            np.testing.assert_allclose(runs[0][output], other[output], rtol=2e-6, err_msg=output)


@pytest.mark.slow
def test_a_thousand_patients_agree_with_libroadrunner(model):
    patients = population(model, 1000)
    options = {"outputs": OUTPUTS, "times": [0, 2, 24, 84], "patients": patients}
    fast = mb.simulate(model, "50 mg im", 84, **options)
    other = mb.simulate(model, "50 mg im", 84, engine="roadrunner", **options)
    assert fast.failures == other.failures == {}
    assert fast.manifest["engine"] == "fast"
    for output in OUTPUTS:
        # fast at 1e-6 and libRoadRunner at 1e-8, the defaults
        np.testing.assert_allclose(fast[output], other[output], rtol=2e-5, err_msg=output)


@pytest.mark.parametrize("rtol", [1e-4, 1e-8])
def test_cobalamin_is_conserved_far_below_the_tolerance(model, rtol):
    """A Rosenbrock method keeps linear invariants to rounding, whatever its step."""
    from tests.test_invariants import COBALAMIN

    system = equations(model)
    patients = population(model, 6)
    result = mb.simulate(model, JETALS, outputs=COBALAMIN, times=[0, 1000, 2688], patients=patients, rtol=rtol)
    size_ = {s: model.values[system.volume[s]] if s in system.volume else 1.0 for s in COBALAMIN}
    total = sum(result[s].values * size_[s] for s in COBALAMIN)
    doses = mb.Regimen.parse(JETALS)
    for column, hours in enumerate((0, 1000, 2688)):
        given_ = sum(d.amount for d in doses.doses if 0 < d.time <= hours)
        expected = total[:, 0] + given_ + patients["CBL_DIET_rate"] * hours
        np.testing.assert_allclose(total[:, column], expected, rtol=1e-9)
    np.testing.assert_allclose(result.ledger["delivered"], result.ledger["asked"], rtol=1e-9)


@pytest.mark.parametrize(
    "regimen",
    [
        mb.Regimen.parse("5 mg iv over 2 h + 1 mg iv over 3 h from 1 h"),
        mb.Regimen.parse("1 mg im").expose("N2O_inactivation_k", 0.9, "2 h", "4 h"),
        mb.Regimen().expose("FOLATE_DIET_rate", 0.0, "0 h"),
    ],
    ids=["infusions", "nitrous oxide", "stopped folate"],
)
def test_infusions_and_exposures_equal_those_of_the_other_engine(model, regimen):
    patients = {"GFR_rel": [1.0, 0.4]}
    options = {"outputs": OUTPUTS, "times": [0, 1, 2, 3, 5, 24, 72], "patients": patients}
    fast = mb.simulate(model, regimen, 72, rtol=1e-9, **options)
    other = mb.simulate(model, regimen, 72, rtol=1e-9, engine="roadrunner", **options)
    for output in OUTPUTS:
        np.testing.assert_allclose(fast[output], other[output], rtol=1e-6, err_msg=output)
    untreated = mb.simulate(model, None, 72, **options)
    assert float(np.abs(fast["MS_liver"] / untreated["MS_liver"] - 1).max()) > 1e-5


def test_a_missed_dose_and_the_own_start_are_per_patient(model):
    scale = [[1, 1], [0, 1], [1, 0]]
    result = mb.simulate(
        model,
        "50 mg im every 24 h x 2",
        48,
        patients={"GFR_rel": [1, 1, 1]},
        dose_scale=scale,
        outputs=["depot_im", "motor_units"],
        times=[0, 24],
    )
    dose = mb.Regimen.parse("50 mg im").total("methylcobalamin")
    np.testing.assert_allclose(result["depot_im"][:, 0], np.array([1, 0, 1]) * dose, atol=1e-9)
    np.testing.assert_allclose(result.data["delivered"][:, 0], np.array([2, 1, 1]) * dose, rtol=1e-12)
    own = mb.simulate(model, None, 1, patients={"motor_units": [0.9, 0.5]}, outputs=["motor_units"], times=[0])
    np.testing.assert_array_equal(own["motor_units"][:, 0], [0.9, 0.5])


def test_stops_as_near_as_the_clock_can_tell_are_reached(model):
    # a first step of 1e-9 h where 1.0000036e-9 h are left ended on the stop without being told
    rng = np.random.default_rng(7)
    for time, gap in zip([105.6, *rng.uniform(30, 600, 12)], [1e-9, *10 ** rng.uniform(-9.3, -8, 12)], strict=True):
        doses = [mb.Dose(at, 1.0, "methylcobalamin", "im") for at in (gap, time, time + gap)]
        result = mb.simulate(
            model, mb.Regimen(tuple(doses)), 672, outputs=["cbl_plasma"], times=[672], patients={"GFR_rel": [1.0, 0.5]}
        )
        assert not result.failures
        np.testing.assert_allclose(result.data["delivered"][:, 0], 3, rtol=1e-12)


def test_results_of_an_ensemble_survive_netcdf_and_say_which_engine_ran(model, tmp_path):
    result = mb.simulate(model, "50 mg im", 24, patients={"GFR_rel": [1.0, 0.5]})
    loaded = mb.Result.load(result.save(tmp_path / "ensemble.nc"))
    assert loaded.data.identical(result.data)
    assert (loaded.manifest["engine"], loaded.manifest["rtol"]) == ("fast", 1e-6)
    assert mb.simulate(model, "50 mg im", 24).manifest["engine"] == "fast"
    referee = mb.simulate(model, "50 mg im", 24, engine="roadrunner").manifest
    assert (referee["engine"], referee["rtol"]) == ("roadrunner", 1e-8)


# --- independence -------------------------------------------------------------------------------------------


def test_a_patient_does_not_depend_on_batch_position_or_threads(model):
    patients = population(model, 13)
    options = {"outputs": OUTPUTS, "times": [0, 5, 84, 100, 168]}
    regimen = "50 mg im every 3.5 d x 2"
    whole = mb.simulate(model, regimen, 168, patients=patients, **options)
    for workers in (2, 3):
        assert bits(mb.simulate(model, regimen, 168, patients=patients, workers=workers, **options)) == bits(whole)
    order = np.random.default_rng(1).permutation(13)
    shuffled = mb.simulate(model, regimen, 168, patients={k: v[order] for k, v in patients.items()}, **options)
    one = mb.simulate(model, regimen, 168, patients={k: v[7:8] for k, v in patients.items()}, **options)
    five = mb.simulate(model, regimen, 168, patients={k: v[4:9] for k, v in patients.items()}, **options)
    for output in OUTPUTS:
        np.testing.assert_array_equal(shuffled[output].values, whole[output].values[order])
        np.testing.assert_array_equal(one[output].values, whole[output].values[7:8])
        np.testing.assert_array_equal(five[output].values, whole[output].values[4:9])


def test_long_courses_fit_into_memory_for_few_patients_at_once(model, monkeypatch):
    asked = {"regimen": "50 mg im every 7 d x 12", "until": "12 weeks", "times": [0.0, 2016.0], "rtol": 1e-8}
    many = {"GFR_rel": np.linspace(0.5, 1.0, 20)}
    right = [mb.simulate(model, **asked, patients=p).curves["cbl_free"] for p in (None, many)]
    monkeypatch.setattr(run, "ROWS", 150)
    monkeypatch.setattr(run, "MEMORY", 2**26)
    for patients, curve in zip((None, many), right, strict=True):
        assert np.array_equal(mb.simulate(model, **asked, patients=patients).curves["cbl_free"], curve)
    for module in (run, reasons):
        monkeypatch.setattr(module, "MEMORY", 2**17)
    with pytest.raises(SolverFailed, match=r"takes more than 0\.00012 GiB\); try a shorter course"):
        mb.simulate(model, **asked)


@pytest.mark.slow
def test_ten_years_of_weekly_doses_at_a_tight_tolerance_are_simulated(model):
    result = mb.simulate(model, "50 mg im every 7 d x 500", "10 years", times=[0.0, 87_660.0], rtol=1e-8)
    assert np.isfinite(list(result.curves.values())).all()


def test_a_value_does_not_depend_on_which_others_are_asked_for(model):
    patients = population(model, 5)
    regimen = "50 mg im every 3.5 d x 4"
    coarse = mb.simulate(model, regimen, 400, patients=patients, outputs=["hcy_plasma"], times=[100, 400])
    fine = mb.simulate(model, regimen, 400, patients=patients, outputs=OUTPUTS, times=np.arange(0, 400.1, 0.5))
    np.testing.assert_array_equal(fine["hcy_plasma"].sel(time=[100, 400]).values, coarse["hcy_plasma"].values)


def test_a_patient_who_blows_up_is_flagged_with_time_and_state_and_nobody_else_notices(toy):
    grow = np.full(9, 0.01)
    alone = Run(toy_problem(toy, outputs=("x", "y"), grow=grow), kernel(toy)).solve(None, 1)
    grow[4] = 0.4
    together = Run(toy_problem(toy, outputs=("x", "y"), grow=grow), kernel(toy)).solve(None, 1)
    assert list(together.failures) == [4]
    failure = together.failures[4]
    assert failure.time == pytest.approx(1 / 0.4, rel=1e-6)
    assert failure.state == "y"
    assert "stopped at t = 2.5 h in 'y'" in failure.message
    # what was reached before the failure is kept, what lies after it is not made up
    assert np.isfinite(together.values[4, :2]).all()
    assert np.isnan(together.values[4, 2]).all()
    others = np.delete(np.arange(9), 4)
    np.testing.assert_array_equal(together.values[others], alone.values[others])


def test_a_patient_with_parameters_that_are_not_numbers_fails_alone(toy):
    solution = Run(toy_problem(toy, k=[0.5, np.nan, 0.5]), kernel(toy)).solve(None, 1)
    assert list(solution.failures) == [1]
    np.testing.assert_allclose(solution.values[[0, 2], 2, 0], np.exp(-2), rtol=1e-7)


@pytest.mark.parametrize("workers", [1, 2])
def test_an_interruption_stops_the_threads_before_the_work_is_done(model, workers):
    from metabolism.simulation import Study

    problem, _ = Study.of(model, JETALS).lay_out({"GFR_rel": np.ones(400)}, outputs=["hcy_plasma"], times=[0])
    run = Run(problem, kernel(problem.equations))

    def interrupt(done):
        raise KeyboardInterrupt

    before = threading.active_count()
    with pytest.raises(KeyboardInterrupt):
        run.solve(interrupt, workers)
    assert threading.active_count() == before
    assert (run.steps == 0).any()


def test_progress_counts_every_patient_once(model):
    seen = []
    mb.simulate(model, "50 mg im", 84, patients={"GFR_rel": np.ones(30)}, tick=seen.append, workers=2)
    assert sum(seen) == 30


# --- resting states, endpoints, sensitivities ---------------------------------------------------------------


def test_resting_states_of_many_patients_are_those_found_one_by_one(model):
    patients = population(model, 40)
    found = mb.steady_states(model, patients)
    assert not found["failed"].any()
    assert (found["residual"] < 1e-9).all()
    system = equations(model)
    scale = np.array([model.table[s].scale for s in system.states])
    for i in (0, 17, 39):
        own = model.with_values({k: v[i] for k, v in patients.items()})
        x, p = system.vectors(own.values)
        x, _, _ = rest(system, x, p, scale, model.not_at_rest)
        np.testing.assert_allclose(found.loc[i, list(system.states)].astype(float), x, rtol=1e-6, atol=1e-12)
    assert found.attrs["units"]["hcy_plasma"] == "uM"


def test_a_patient_without_rest_is_reported_with_a_reason(model):
    columns = {n: [model.values[n], 0.0, model.values[n]] for n in ("CYSTEINE_USE_k", "CYSTEINE_EXPORT_k")}
    found = mb.steady_states(model, columns, ["hcy_plasma", "MS_liver"])
    assert list(found["failed"]) == [False, True, False]
    assert "runs away" in found.loc[1, "reason"] or "still moves" in found.loc[1, "reason"]
    assert np.isnan(found.loc[1, "hcy_plasma"])
    assert found.loc[0, "hcy_plasma"] == found.loc[2, "hcy_plasma"]


def test_threads_change_no_bit_of_a_resting_state(model):
    system = equations(model)
    x, p = system.vectors(model.values)
    scale = np.array([model.table[s].scale for s in system.states])
    many = np.tile(p, (300, 1))
    many[:, system.parameters.index("FOLATE_DIET_rate")] *= np.linspace(0.5, 2, 300)
    one, three = (rest_many(system, many, np.tile(x, (300, 1)), scale, model.not_at_rest, workers=w) for w in (1, 3))
    assert one[2].all()
    for a, b in zip(one, three, strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_singular_start_of_the_search_harms_nobody(model):
    system = equations(model)
    x, p = system.vectors(model.values)
    scale = np.array([model.table[s].scale for s in system.states])
    starts = np.stack([x, np.full_like(x, np.nan), x])
    found, residual, ok = rest_many(system, np.tile(p, (3, 1)), starts, scale, model.not_at_rest)
    assert ok.tolist() == [True, False, True]
    np.testing.assert_array_equal(found[0], found[2])
    assert residual[0] < 1e-9


def test_running_endpoints_have_their_closed_forms(toy):
    """Decay x = exp(-k t); absorption and elimination with equal start: the Bateman function and its peak."""
    k = np.array([0.3, 0.5, 1.1, 2.0, 3.0])
    problem = toy_problem(toy, 1e-10, k=k)
    wanted = [("final", "x"), ("max", "x"), ("min", "x"), ("auc", "x"), ("time_above", "x", 0.5)]
    got = get_engine("fast").endpoints(problem, wanted).values[:, 0]
    closed = [np.exp(-4 * k), np.ones(5), np.exp(-4 * k), (1 - np.exp(-4 * k)) / k, np.minimum(np.log(2) / k, 4)]
    np.testing.assert_allclose(got, np.stack(closed, axis=1), rtol=1e-8)
    ka = 2.5
    bolus = toy_problem(toy, 1e-10, x=np.zeros(5), depot=np.ones(5), k=k, ka=np.full(5, ka))
    peak = np.log(ka / k) / (ka - k)
    height = np.exp(-k * peak)
    got = get_engine("fast").endpoints(bolus, [("max", "x"), ("min", "x")]).values[:, 0]
    np.testing.assert_allclose(got[:, 0], height, rtol=1e-8)
    np.testing.assert_array_equal(got[:, 1], 0.0)


def test_endpoints_are_those_of_the_stored_curves(model):
    patients = population(model, 7)
    wanted = {
        "Cmax": ("max", "cbl_free"),
        "low": ("min", "hcy_plasma"),
        "AUC": ("auc", "hcy_plasma"),
        "end": ("final", "alsfrs_r"),
        "above": ("time_above", "cbl_free", 1.0),
    }
    regimen = "50 mg im every 3.5 d x 2"
    frame = mb.endpoints_of(model, wanted, regimen, "1 week", patients=patients)
    grid = np.unique(
        np.concatenate([np.arange(0, 168.01, 0.05), np.geomspace(1e-3, 1, 50), 84 + np.geomspace(1e-3, 1, 50)])
    )
    result = mb.simulate(
        model, regimen, "1 week", patients=patients, times=grid, outputs=["cbl_free", "hcy_plasma", "alsfrs_r"]
    )
    np.testing.assert_array_equal(frame["end"], result["alsfrs_r"][:, -1])
    # the peak lies between the points of any grid
    np.testing.assert_allclose(frame["Cmax"], mb.endpoints.peak(result["cbl_free"]), rtol=1e-3)
    tight = mb.endpoints_of(model, wanted, regimen, "1 week", patients=patients, rtol=1e-10)
    np.testing.assert_allclose(frame["Cmax"], tight["Cmax"], rtol=1e-6)
    np.testing.assert_allclose(frame["above"], tight["above"], rtol=1e-5)
    assert (frame["Cmax"].to_numpy() >= mb.endpoints.peak(result["cbl_free"]) * (1 - 1e-6)).all()
    np.testing.assert_allclose(frame["low"], result["hcy_plasma"].min("time"), rtol=1e-6)
    np.testing.assert_allclose(frame["AUC"], mb.endpoints.area(result["hcy_plasma"]), rtol=1e-6)
    above = np.trapezoid((result["cbl_free"].values > 1.0).astype(float), grid, axis=1)
    np.testing.assert_allclose(frame["above"], above, atol=0.2)
    assert frame.attrs["units"] == {"Cmax": "uM", "low": "uM", "AUC": "uM h", "end": "points", "above": "h"}
    assert frame.attrs["manifest"]["engine"] == "fast"
    twice = mb.endpoints_of(
        model, wanted, regimen, "1 week", patients={k: v[3:5] for k, v in patients.items()}, workers=2
    )
    assert twice["Cmax"].tolist() == frame["Cmax"].tolist()[3:5]


def test_wrong_endpoints_are_refused_before_anything_runs(model):
    patients = {"GFR_rel": [1.0]}
    for wanted, error in (
        (("maximum", "cbl_free"), UnknownName),
        (("max", "cbl_fre"), UnknownName),
        (("max", "cbl_free", 1.0), InvalidValue),
        (("time_above", "cbl_free"), InvalidValue),
    ):
        with pytest.raises(error):
            mb.endpoints_of(model, {"x": wanted}, "50 mg im", 24, patients=patients)
    with pytest.raises(InvalidValue, match="no endpoint"):
        mb.endpoints_of(model, {}, "50 mg im", 24, patients=patients)
    with pytest.raises(InvalidValue, match="would be lost"):
        mb.endpoints_of(model, {"x": ("max", "cbl_free")}, "50 mg im", 24, patients={"hcy_plasma": [10.0]})


def test_sensitivities_have_their_closed_form(toy):
    """x = exp(-k t): dx/dk = -t x, and the area's derivative; by the start: dx/dx0 = exp(-k t)."""
    k = np.array([0.3, 0.5, 1.1])
    problem = toy_problem(toy, 1e-8, k=k)
    by_k, by_start = (np.zeros_like(problem.parameters), np.zeros_like(problem.initial))
    by_k[:, toy.parameters.index("k")] = 1
    by_start[:, toy.states.index("x")] = 1
    directions = [
        Direction(by_k, np.zeros_like(problem.initial), 1e-4 * k),
        Direction(np.zeros_like(problem.parameters), by_start, np.full(3, 1e-4)),
    ]
    solution, found = slopes(problem, directions)
    np.testing.assert_allclose(solution.values[:, 2, 0], np.exp(-4 * k), rtol=1e-7)
    for column, time in enumerate((0.0, 1.0, 4.0)):
        np.testing.assert_allclose(found[:, 0, column, 0], -time * np.exp(-k * time), rtol=1e-6, atol=1e-12)
        np.testing.assert_allclose(found[:, 1, column, 0], np.exp(-k * time), rtol=1e-6)
    _, found = slopes(problem, directions[:1], [("auc", "x")])
    closed = ((4 * k + 1) * np.exp(-4 * k) - 1) / k**2
    np.testing.assert_allclose(found[:, 0, 0, 0], closed, rtol=1e-6)


def test_sensitivities_equal_finite_differences_with_resting_state_and_baseline(model):
    patient = model.with_set("als_patient").with_values(MN_Emax=0.4, MN_beta_hcy=0.5)
    wanted = {"Cmax": ("max", "cbl_free"), "AUC": ("auc", "hcy_plasma"), "end": ("final", "motor_units")}
    names = ["CBL_CLf", "IM_ka", "GFR_rel", "MN_k"]
    options = {"own_baseline": {"MN_hcy_ref": "hcy_plasma"}}
    regimen, until = "50 mg im every 3.5 d x 2", 168
    found = mb.sensitivities(patient, names, regimen, until, endpoints=wanted, **options)
    for name in names:
        value = patient.values[name]
        nudges = value * (1 + np.array([-2, -1, 1, 2]) * 1e-3)
        runs = mb.endpoints_of(patient, wanted, regimen, until, patients={name: nudges}, rtol=1e-11, **options)
        for label in wanted:
            y = runs[label].to_numpy()
            difference = (y[0] - 8 * y[1] + 8 * y[2] - y[3]) / (12e-3 * value)
            got = float(found[f"d_{label}"].sel(parameter=name))
            scale = abs(float(found[label]) / value)
            assert got == pytest.approx(difference, rel=1e-4, abs=1e-7 * scale), (name, label)


def test_sensitivities_of_many_patients_do_not_depend_on_each_other(model):
    patients = population(model, 3)
    options = {"outputs": ["hcy_plasma", "cbl_plasma"], "times": [0, 24, 48]}
    names = ["GFR_rel", "CBL_CLf"]
    many = mb.sensitivities(model, names, "50 mg im", 48, patients=patients, workers=2, **options)
    one = mb.sensitivities(model, names, "50 mg im", 48, patients={k: v[1:2] for k, v in patients.items()}, **options)
    for variable in ("hcy_plasma", "d_hcy_plasma", "d_cbl_plasma"):
        np.testing.assert_array_equal(many[variable].values[1:2], one[variable].values)
    assert many["d_hcy_plasma"].dims == ("patient", "parameter", "time")
    for name, wrong in ((["GFR"], UnknownName), (["MN_Emax"], InvalidValue)):
        with pytest.raises(wrong):
            mb.sensitivities(model.with_values(MN_Emax=0.0), name, "50 mg im", 48, **options)


# --- the cache ----------------------------------------------------------------------------------------------


@pytest.fixture
def cache(toy, tmp_path, monkeypatch):
    """A cache of its own with one entry, and a builder that counts."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("LOCALAPPDATA", str(tmp_path))
    monkeypatch.setattr(disk, "cache_folder", lambda: tmp_path / "als-methionine")
    built, build = [], fast_compile._build

    def counting(*arguments):
        built.append(1)
        return build(*arguments)

    monkeypatch.setattr(fast_compile, "_build", counting)

    def load():
        """Load as a new process would, and prove that the code works; return the number of builds so far."""
        monkeypatch.setattr(fast_compile, "_kernels", {})
        solution = Run(toy_problem(toy), kernel(toy)).solve(None, 1)
        np.testing.assert_allclose(solution.values[0, 2, 0], np.exp(-2), rtol=1e-7)
        return len(built)

    assert load() == 1
    (entry,) = (tmp_path / "als-methionine").glob("*.kernel")
    return entry, load


def test_compiled_code_is_kept_and_used_again(cache):
    entry, load = cache
    assert load() == 1
    assert entry.stat().st_mode & 0o077 == 0
    assert entry.parent.stat().st_mode & 0o077 == 0


@pytest.mark.parametrize("lanes", LANES)
def test_the_code_that_ships_is_the_code_that_would_be_generated(lanes):
    system = equations(mb.load())
    meta, text = disk.shipped(disk.source(system), lanes)
    assert (meta, text) == generate(system, "", lanes)


def test_code_that_ships_serves_every_value_and_no_other_structure():
    system = equations(mb.load())
    other = read_equations(re.sub(r' value="([0-9])', r' value="1\1', system.sbml))
    assert other.sbml != system.sbml
    assert generate(other, "", 2) == generate(system, "", 2)
    assert generate_ahead(other)
    assert not generate_ahead(read_equations(system.sbml.replace("<times/>", "<plus/>", 1)))


def test_code_generated_ahead_is_kept_until_its_source_changes(toy, tmp_path, monkeypatch):
    monkeypatch.setattr(disk, "SHIPPED", tmp_path / "shipped.xz")
    assert not generate_ahead(toy)
    assert generate_ahead(toy, write=True)
    written = disk.SHIPPED.read_bytes()
    assert generate_ahead(toy, write=True)
    assert disk.SHIPPED.read_bytes() == written
    assert disk.shipped(disk.source(toy), 2) == generate(toy, "", 2)
    assert disk.shipped("another", 2) is None


def test_only_the_newest_entries_are_kept(cache, monkeypatch):
    import os

    entry, _ = cache
    old = [entry.with_name(f"{n}.kernel") for n in "ab"]
    for n, path in enumerate(old):
        path.write_bytes(b"")
        os.utime(path, (n, n))
    monkeypatch.setattr(disk, "KEPT", 2)
    disk._prune(entry.parent)
    assert entry.exists()
    assert [p.exists() for p in old] == [False, True]


def test_a_very_large_model_is_compiled_with_no_effort_and_runs_the_same(cache, toy, monkeypatch):
    entry, load = cache
    monkeypatch.setattr(fast_compile, "_kernels", {})
    usual = Run(toy_problem(toy), kernel(toy)).solve(None, 1).values
    levels, target = [], llvm.Target.create_target_machine

    def noted(self, **options):
        levels.append(options["opt"])
        return target(self, **options)

    monkeypatch.setattr(llvm.Target, "create_target_machine", noted)
    monkeypatch.setattr(fast_compile, "LARGE", 10)
    entry.unlink()
    assert load() == 2
    assert levels[-1] == 0
    np.testing.assert_allclose(Run(toy_problem(toy), kernel(toy)).solve(None, 1).values, usual, rtol=1e-9)


@pytest.mark.parametrize("damage", ["flipped", "cut", "empty", "foreign format"])
def test_a_damaged_entry_is_rebuilt_and_never_run(cache, damage, caplog):
    entry, load = cache
    good = entry.read_bytes()
    bad = {
        "flipped": good[:-100] + bytes([good[-100] ^ 1]) + good[-99:],
        "cut": good[: len(good) // 2],
        "empty": b"",
        "foreign format": b"\x7fELF" + good,
    }
    entry.write_bytes(bad[damage])
    assert load() == 2
    assert "damaged" in caplog.text
    assert load() == 2
    assert entry.read_bytes()[:20] == good[:20]


def test_an_entry_of_another_model_under_this_name_is_not_run(cache, tmp_path):
    entry, load = cache
    other = read_equations(sbml_from_antimony(TOY.replace("k * x;", "k * x * 2;")))
    kernel(other)
    foreign = next(p for p in entry.parent.glob("*.kernel") if p != entry)
    entry.write_bytes(foreign.read_bytes())
    assert load() == 3


@pytest.mark.skipif(not hasattr(__import__("os"), "getuid"), reason="POSIX permissions")
def test_an_entry_that_others_can_write_or_a_link_is_not_run(cache, tmp_path):
    entry, load = cache
    entry.chmod(0o666)
    assert load() == 2
    moved = entry.rename(tmp_path / "elsewhere")
    entry.symlink_to(moved)
    assert load() == 3


@pytest.mark.skipif(not hasattr(__import__("os"), "getuid"), reason="POSIX permissions")
def test_a_folder_that_others_can_write_or_none_at_all_means_no_cache(cache, caplog, monkeypatch, tmp_path):
    entry, load = cache
    entry.parent.chmod(0o777)
    assert load() == 2
    assert "can be written by others" in caplog.text
    (tmp_path / "file").write_text("")
    monkeypatch.setattr(disk, "cache_folder", lambda: tmp_path / "file" / "x")
    assert load() == 3
    assert "no cache folder" in caplog.text


def test_the_first_compilation_is_announced_on_stderr(tmp_path):
    import os
    import subprocess
    import sys

    code = (
        "from metabolism.sbml import read_equations; from metabolism.engines import kernel;"
        "from metabolism.model import sbml_from_antimony;"
        "kernel(read_equations(sbml_from_antimony('model m; x = 1; k = 1; x -> ; k*x; end')))"
    )
    environment = {**os.environ, "XDG_CACHE_HOME": str(tmp_path), "LOCALAPPDATA": str(tmp_path), "HOME": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert done.stderr.startswith("compiling the model for the fast engine")
    assert done.stdout == ""


@pytest.mark.parametrize("length", [0.1, 1.0, 2.0])
def test_infusions_that_begin_and_end_a_moment_apart_are_as_one(model, length):
    # a first step as long as the first gap met the second stop by rounding, and nothing was left to step over
    times = np.array([0.0, 1.0, 3.0, 12.0])
    one = mb.simulate(model, Regimen((Dose(0.0, 0.0548, "methylcobalamin", "iv", length),)), 24.0, times=times)
    for gap in (1e-10, 1e-9, 1.1e-9, 1e-8, 1e-7, 1e-6):
        doses = (Dose(begin, 0.0274, "methylcobalamin", "iv", length) for begin in (0.0, gap))
        two = mb.simulate(model, Regimen(tuple(doses)), 24.0, times=times)
        np.testing.assert_allclose(two["cbl_free"].values, one["cbl_free"].values, rtol=2e-5)
