"""Matching, arms, metrics and the board: closed forms, round trips, repeatability, honest exit codes."""

from __future__ import annotations

import json
import math
import re

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

from metabolism.cases.baseline import match
from metabolism.cases.board import known_misfits, qualify
from metabolism.cases.intervals import from_scale, residual_sds, to_scale
from metabolism.cases.metrics import METRICS, Reading
from metabolism.cases.peers import run_peers
from metabolism.cases.people import Member, read_match, read_population
from metabolism.cases.predictions import predict, run_arm
from metabolism.cases.render import board_markdown, board_text, place
from metabolism.cases.rows import read_cases
from metabolism.cli import main
from metabolism.data import experiments_dir
from metabolism.dosing import Regimen
from metabolism.errors import InvalidValue, MetabolismError, ModelError, UnknownName
from metabolism.model import draws, equations, sbml_from_antimony
from metabolism.sbml import file_fingerprint
from metabolism.simulation import area, half_life, lambda_z, nca, rest_patients, simulate
from tests.cases.test_cases import GOOD, write

HELD = {
    "match": "",
    "interventions": "none",
    "reading": "rest",
    "unit": "uM",
    "metric": "value",
    "low": "0",
    "high": "inf",
}


def people(model, count=1, **values):
    system = equations(model)
    states, parameters = system.vectors(model.values)
    many, starts = np.tile(parameters, (count, 1)), np.tile(states, (count, 1))
    for name, column in values.items():
        many[:, system.parameters.index(name)] = column
    return rest_patients(model, many, starts)


def arm(model, text, outputs, times, **values):
    treatment = Regimen.parse(text)
    return run_arm(model, people(model, **values), treatment, outputs, np.asarray(times, dtype=float), {})


def targets(model, text):
    system = equations(model)
    return read_match(text, system.units, system.parameters)


def cases(model, tmp_path, *changes):
    rows = [GOOD | {"row": f"M{i}"} | HELD | change for i, change in enumerate(changes)]
    return read_cases(model, [write(tmp_path / "mine.csv", *rows)])


# --- metrics: closed forms -------------------------------------------------------------------------------------------

T = np.linspace(0, 24, 161)


def window(curve, baseline=0.0):
    return [Reading(np.array([baseline]), np.empty((1, 0)), T, np.asarray(curve)[None, :])]


def at(*values, baseline=10.0):
    return Reading(np.array([baseline]), np.array([values], dtype=float), np.empty(0), np.empty((1, 0)))


def number(name, readings):
    return METRICS[name].compute(readings)[0].tolist()


def test_metrics_of_one_exponential_are_its_constants():
    k, c0 = 0.25, 8.0
    curve = 3.0 + c0 * np.exp(-k * T)
    assert number("half_life", window(curve, 3.0)) == pytest.approx([math.log(2) / k], rel=1e-12)
    assert number("area", window(curve, 3.0)) == pytest.approx([c0 / k * (1 - math.exp(-k * 24))], rel=1e-9)
    assert number("area_to_infinity", window(curve, 3.0)) == pytest.approx([c0 / k], rel=1e-9)
    assert number("peak", window(curve, 3.0)) == [11.0]
    assert number("peak_increment", window(curve, 3.0)) == [8.0]
    assert number("time_of_peak", window(curve, 3.0)) == [0.0]
    assert number("remaining", window(curve, 3.0)) == pytest.approx([100 * math.exp(-k * 24)], rel=1e-9)


def test_metrics_of_bateman_absorption():
    ka, k = 1.5, 0.2
    fine = np.linspace(0, 60, 6001)
    curve = ka / (ka - k) * (np.exp(-k * fine) - np.exp(-ka * fine))
    reading = [Reading(np.zeros(1), np.empty((1, 0)), fine, curve[None, :])]
    assert number("area_to_infinity", reading) == pytest.approx([1 / k], rel=1e-4)
    assert number("time_of_peak", reading) == pytest.approx([math.log(ka / k) / (ka - k)], abs=1e-4)
    # the vertex of a parabola is exact on any grid, and the end of a window is no vertex
    uneven = np.array([0.0, 0.5, 1.5, 2.0, 4.0])
    reading = [Reading(np.zeros(1), np.empty((1, 0)), uneven, (5 - (uneven - 1.3) ** 2)[None, :])]
    assert number("time_of_peak", reading) == pytest.approx([1.3], rel=1e-12)
    reading = [Reading(np.zeros(1), np.empty((1, 0)), uneven, uneven[None, :])]
    assert number("time_of_peak", reading) == [4.0]


def test_metrics_of_readings():
    a, b, c, d = at(6.0, 8.0), at(8.0, 10.0), at(9.0, 9.0), at(10.0, 10.0)
    assert number("value", [a]) == [6.0, 8.0]
    assert number("change", [a]) == [-4.0, -2.0]
    assert number("percent_change", [a]) == pytest.approx([-40.0, -20.0])
    assert number("fold", [a]) == [0.6, 0.8]
    assert number("difference", [a, b]) == [-2.0, -2.0]
    assert number("percent_difference", [a, b]) == pytest.approx([-25.0, -20.0])
    assert number("ratio", [b, a]) == pytest.approx([8 / 6, 1.25])
    assert number("interaction", [b, a, d, c]) == [2.0, 2.0]
    assert number("increment_percent_change", [a, b]) == pytest.approx([100.0, math.nan], nan_ok=True)
    assert number("ordering", [d, c, a]) == pytest.approx([10 / 9, 10 / 9])
    assert number("ordering", [d, b, c]) == pytest.approx([8 / 9, 1.0])


def test_a_curve_that_does_not_fall_has_no_half_life():
    assert np.isnan(number("half_life", window(1 + T))).all()
    assert np.isnan(number("half_life", window(np.exp(-T), 0.5))).all()
    assert np.isnan(number("area_to_infinity", window(1 + T))).all()


@settings(max_examples=25)
@given(st.floats(0.02, 0.5), st.floats(2.0, 8.0))
def test_lambda_z_leaves_the_distribution_phase_out(k, ratio):
    t = np.concatenate([[0, 0.5, 1, 1.5, 2, 3], np.linspace(30, 60, 7) / k])
    curve = xr.DataArray(100 * np.exp(-ratio * k * t) + np.exp(-k * t) + 0.0, dims="time", coords={"time": t})
    assert lambda_z(curve) == pytest.approx(k, rel=0.02)
    two = xr.concat([curve, 3 * curve], "patient")
    assert lambda_z(two) == pytest.approx([lambda_z(curve)] * 2)


def test_lambda_z_leaves_the_peak_out():
    t = np.array([0.0, 1, 2, 3])
    curve = xr.DataArray([0.0, 8, 4, 2], dims="time", coords={"time": t})
    with pytest.raises(InvalidValue, match="three or more"):
        lambda_z(curve)


def test_lambda_z_chooses_its_points_by_the_adjusted_r2():
    """R2 is 0.970 over the last four points and 0.976 over the last three; adjusted it is 0.955 and 0.953."""
    t, logs = np.arange(5.0), np.array([1.0, -0.37, -0.51, -0.91, -1.14])
    curve = xr.DataArray(np.exp(logs), dims="time", coords={"time": t})
    assert lambda_z(curve) == pytest.approx(-np.polyfit(t[1:], logs[1:], 1)[0])


def test_lambda_z_takes_more_points_where_they_fit_as_well_within_a_ten_thousandth():
    """The last three points fit exactly, all four nearly so: the longer line is the one that is reported."""
    t, logs = np.arange(6.0), np.array([0.5, 4.004, 3.002, 2.0, 1.0, 0.0])
    curve = xr.DataArray(np.exp(logs), dims="time", coords={"time": t})
    slope = -np.polyfit(t[2:], logs[2:], 1)[0]
    assert slope != pytest.approx(1.0, rel=1e-4)
    assert lambda_z(curve) == pytest.approx(slope, rel=1e-9)


def test_lambda_z_and_half_life_refuse_what_they_cannot_say():
    rising = xr.DataArray(1 + T, dims="time", coords={"time": T})
    with pytest.raises(InvalidValue, match="three or more positive falling points"):
        lambda_z(rising)
    falling = xr.DataArray(np.exp(-0.1 * T), dims="time", coords={"time": T})
    assert lambda_z(falling) == pytest.approx(0.1)
    assert half_life(falling, 2, 20) == pytest.approx(math.log(2) / 0.1)
    assert area(falling) == pytest.approx((1 - math.exp(-2.4)) / 0.1)


def test_the_table_of_noncompartmental_analysis_is_that_of_one_compartment():
    t = np.linspace(0, 40, 401)
    curve = xr.DataArray(
        [dose / 5.0 * np.exp(-0.2 * t) for dose in (8.0, 10.0, 12.0)],
        dims=("patient", "time"),
        coords={"time": t},
        attrs={"units": "uM"},
    )
    table = nca(curve, dose=10.0, interval=0.5)
    assert table.loc["Cmax", ["median", "low", "high"]].tolist() == pytest.approx([2.0, 1.8, 2.2])
    assert table.loc["AUCinf", "median"] == pytest.approx(10.0, rel=1e-9)
    assert table.loc["AUCinf", "unit"] == "uM h"
    assert table.loc["half_life", "low"] == pytest.approx(math.log(2) / 0.2)
    # dose 10 umol in 5 L, cleared at 1 L/h
    assert table.loc[["CL_F", "Vz_F"], "median"].tolist() == pytest.approx([1.0, 5.0])
    single = nca(curve[1])
    assert single["low"].isna().all()
    assert "CL_F" not in single.index
    rising = nca(xr.DataArray(1 + t, dims="time", coords={"time": t}))
    assert rising.loc["half_life", "n"] == 0
    for wrong in ({"dose": 0.0}, {"dose": math.nan}, {"interval": 1.0}):
        with pytest.raises(InvalidValue):
            nca(curve, **wrong)


# --- baselines -------------------------------------------------------------------------------------------------------


def test_a_matched_baseline_rests_at_its_values_for_every_candidate(model):
    wanted = targets(
        model,
        "hcy_plasma = 12 uM by HCY_CLEARANCE_CL; folate_plasma = 11 nM by FOLATE_DIET_rate; "
        "cbl_plasma = 250 pM by CBL_DIET_rate",
    )
    start = people(model, 3, BETAINE_CLEARANCE_CL=[0.8, 1.2, 1.8])
    found = match(model, start, wanted)
    assert found.failures == {}
    values = equations(model).evaluate([t.output for t in wanted], found.states, found.parameters)
    assert values == pytest.approx(np.tile([12.0, 0.011, 0.00025], (3, 1)), rel=1e-6)
    # and stays there
    flat = run_arm(model, found, Regimen(), ["hcy_plasma"], np.array([2000.0]), {})
    assert flat.before[:, -1, 0] == pytest.approx(12.0, rel=1e-6)


def test_matching_finds_the_input_that_made_the_baseline(model):
    system = equations(model)
    made = people(model, 1, FOLATE_DIET_rate=0.4 * model.values["FOLATE_DIET_rate"])
    value = float(system.evaluate(["hcy_plasma"], made.states, made.parameters)[0, 0])
    found = match(model, people(model), targets(model, f"hcy_plasma = {value!r} uM by FOLATE_DIET_rate"))
    own = found.parameters[0, system.parameters.index("FOLATE_DIET_rate")]
    assert own == pytest.approx(0.4 * model.values["FOLATE_DIET_rate"], rel=1e-5)


def test_an_impossible_baseline_names_the_nearest_reachable_value(model):
    found = match(model, people(model), targets(model, "hcy_plasma = 5000 uM by FOLATE_DIET_rate"))
    assert np.isnan(found.states).all()
    text = found.failures[0]
    assert text.startswith("the baseline hcy_plasma = 5000 uM cannot be met by FOLATE_DIET_rate between ")
    nearest = float(text.split("nearest reachable value is hcy_plasma = ")[1].split()[0])
    lowest = people(model, 1, FOLATE_DIET_rate=1e-4 * model.values["FOLATE_DIET_rate"])
    reached = equations(model).evaluate(["hcy_plasma"], lowest.states, lowest.parameters)[0, 0]
    assert nearest == pytest.approx(reached, rel=1e-4)


# --- arms ------------------------------------------------------------------------------------------------------------


def test_an_arm_is_what_simulate_gives(model):
    times = [6.0, 24.0, 30.0, 30.5]
    text = (
        "0.5 mg iv q6h x 2 from 24 h; 3 g betaine oral; nitrous oxide 50 % from 10 h for 4 h; "
        "fasting from -12 h for 36 h; MET_DIET_rate x 2 from 20 h for 3 h; enzyme CBS x 0.7 lifelong"
    )
    regimen = Regimen.parse(text)
    outputs = ["hcy_plasma", "betaine_plasma", "cbl_plasma"]
    ours = arm(model, text, outputs, times)
    theirs = simulate(model, regimen, 31, outputs=outputs, times=times, rtol=1e-9)
    index = [ours.times.tolist().index(t) for t in times]
    for i, name in enumerate(outputs):
        assert ours.after[0, index, i] == pytest.approx(theirs[name].values, rel=1e-5), name
    # a reading at a dose is taken before it
    before = dict(zip(theirs.data["dose_time"].values, theirs["cbl_plasma_pre_dose"].values, strict=True))
    assert ours.before[0, index, 2][1:3] == pytest.approx([before[24.0], before[30.0]], rel=1e-5)
    assert ours.dosed["methylcobalamin"] == pytest.approx(1000 / 1344.38)


def test_the_value_before_time_0_is_before_its_doses_and_after_what_came_earlier(model):
    resting = arm(model, "none", ["cbl_plasma", "met_plasma"], [1.0])
    dosed = arm(model, "0.5 mg iv; fasting from -12 h for 24 h", ["cbl_plasma", "met_plasma"], [1.0])
    assert dosed.baseline[0, 0] == pytest.approx(resting.baseline[0, 0], rel=1e-6)
    assert dosed.after[0, 0, 0] > 10 * dosed.before[0, 0, 0]
    assert dosed.baseline[0, 1] < 0.95 * resting.baseline[0, 1]


def test_a_lifelong_change_acts_once_and_rests(model):
    for text in ("enzyme CBS x 0.5 lifelong", "0.4 mg/d folic acid lifelong", "GFR_rel = 0.5 lifelong"):
        found = arm(model, text, ["hcy_plasma"], [500.0])
        assert found.before[0, -1, 0] == pytest.approx(found.baseline[0, 0], rel=1e-6), text
    assert arm(model, "enzyme CBS x 0.5 lifelong", ["hcy_plasma"], [0.0]).baseline[0, 0] == pytest.approx(
        simulate(model.with_values(CBS_activity=0.5), None, 1, outputs=["hcy_plasma"])["hcy_plasma"].values[0], rel=1e-6
    )


def test_changes_act_on_the_patients_own_value_in_order(model):
    names = ["MET_DIET_rate"]
    doubled = arm(model, "MET_DIET_rate x 2; 5 g/d methionine", names, [0.0, 1.0, 2.0], MET_DIET_rate=300.0)
    assert doubled.after[0, 1:, 0] == pytest.approx(600 + 5e6 / 149.21 / 24)
    other = arm(model, "5 g/d methionine; MET_DIET_rate x 2 for 1 h", names, [0.5, 1.0, 2.0], MET_DIET_rate=300.0)
    assert other.after[0, 1:, 0] == pytest.approx(
        [600 + 2 * 5e6 / 149.21 / 24, 300 + 5e6 / 149.21 / 24, 300 + 5e6 / 149.21 / 24]
    )
    assert other.before[0, 2, 0] == pytest.approx(600 + 2 * 5e6 / 149.21 / 24)


def test_stopping_a_lifelong_supplement_lets_homocysteine_rise(model):
    found = arm(model, "1 mg/d folic acid until 0 h", ["hcy_plasma", "folate_plasma"], [1000.0])
    assert found.before[0, -1, 0] > found.baseline[0, 0]
    assert found.before[0, -1, 1] < found.baseline[0, 1]


def test_an_infusion_is_split_at_changes_and_run_to_its_end(model):
    whole = arm(model, "5 mg iv over 2 h", ["cbl_free", "cbl_urine"], [1.0, 6.0])
    split = arm(model, "5 mg iv over 2 h; fasting from 0.5 h for 1 h", ["cbl_free", "cbl_urine"], [1.0, 6.0])
    assert split.before == pytest.approx(whole.before, rel=1e-5)
    early = arm(model, "5 mg iv over 2 h", ["cbl_free"], [1.0])
    assert early.before[0, -1, 0] == pytest.approx(whole.before[0, 1, 0], rel=1e-5)


# --- predictions and the board ---------------------------------------------------------------------------------------

FEW = (
    {"match": "hcy_plasma = 12 uM by HCY_CLEARANCE_CL", "observable": "hcy_plasma", "observed": "12"},
    {"observable": "transmethylation", "unit": "umol/kg/h", "population": "weight = 50 kg"},
    {
        "interventions": "50 mg im",
        "observable": "cbl_urine",
        "unit": "% of dose",
        "metric": "change",
        "reading": "72 h",
    },
    {
        "interventions": "50 mg im",
        "observable": "cbl_free",
        "unit": "ng/mL",
        "metric": "peak",
        "reading": "0 h to 24 h",
    },
    {"observable": "apo_tc + holo_tc", "unit": "pM"},
    {"interventions": "set mthfr_677tt lifelong", "against": "none", "unit": "%", "metric": "percent_difference"},
    {"interventions": "100 mg/kg methionine oral", "reading": "0 h, 3 h, 6 h", "low": "0", "high": "20"},
)


def test_rows_are_in_their_units(model, tmp_path):
    found = predict(model, cases(model, tmp_path, *FEW)).values[:, 0]
    rested = people(model)
    system = equations(model)
    flux, apo, holo = system.evaluate(["transmethylation", "apo_tc", "holo_tc"], rested.states, rested.parameters)[0]
    assert found[0] == pytest.approx(12.0, rel=1e-6)
    assert found[1] == pytest.approx(flux / 50, rel=1e-9)
    assert found[2] == pytest.approx(93, abs=6)
    peak = float(simulate(model, "50 mg im", 24, outputs=["cbl_free"])["cbl_free"].max())
    assert found[3] == pytest.approx(peak * 1344.38, rel=2e-3)
    assert found[4] == pytest.approx((apo + holo) * 1e6, rel=1e-9)
    assert found[5] > 0
    # of several readings the one that leaves the band, or comes nearest to leaving it
    assert found[6] == pytest.approx(
        predict(model, cases(model, tmp_path, FEW[6] | {"reading": "6 h"})).values[0, 0], rel=1e-5
    )


def test_of_a_limit_the_reading_nearest_to_it_counts(model, tmp_path):
    """'At least 90 %' is judged by the lowest of its readings, 'at most' by the highest."""
    load = FEW[6] | {"low": "0", "high": "1000"}
    each = [load | {"reading": f"{t} h"} for t in (0, 3, 6)]
    alone = predict(model, cases(model, tmp_path, *each)).values[:, 0]
    least, most = predict(model, cases(model, tmp_path, load | {"observed": "0"}, load | {"observed": "1000"})).values[
        :, 0
    ]
    assert (least, most) == (alone.min(), alone.max())


def test_candidates_threads_and_neighbours_do_not_change_a_bit(model, tmp_path):
    rows = cases(model, tmp_path, *FEW)
    columns = {"MS_K_cbl": [0.3, 0.5, 0.7], "mthfr_677tt/MTHFR_677T": [0.4, 0.6, 0.8]}
    many = predict(model, rows, columns, workers=2)
    again = predict(model, rows, columns, workers=1)
    assert np.array_equal(many.values, again.values)
    alone = predict(model, rows, {k: v[1:2] for k, v in columns.items()})
    assert np.array_equal(alone.values[:, 0], many.values[:, 1])
    assert many.values[5, 0] < many.values[5, 1] < many.values[5, 2], "a set's value may differ between candidates"


def test_a_candidate_that_fails_is_nan_with_its_reason_and_leaves_the_others_alone(model, tmp_path):
    rows = cases(model, tmp_path, FEW[0], {"interventions": "MET_DIET_rate x 1 lifelong"})
    columns = {"MET_DIET_rate": [model.values["MET_DIET_rate"], 1e7]}
    found = predict(model, rows, columns)
    assert np.isfinite(found.values[:, 0]).all()
    assert np.isnan(found.values[:, 1]).all()
    assert set(found.failures) == {(0, 1), (1, 1)}
    assert "no resting state" in found.failures[1, 1]


def test_unknown_or_ragged_columns_are_refused(model, tmp_path):
    rows = cases(model, tmp_path, FEW[0])
    with pytest.raises(UnknownName, match="Did you mean 'MS_K_cbl'"):
        predict(model, rows, {"MS_K_cb": [1.0]})
    with pytest.raises(InvalidValue, match="differ in number"):
        predict(model, rows, {"MS_K_cbl": [0.5, 0.6], "MS_n_cbl": [1.0]})
    with pytest.raises(InvalidValue, match="not finite"):
        predict(model, rows, {"MS_K_cbl": [math.nan]})


def test_the_board_counts_roles_apart_and_a_failed_simulation_is_a_failed_row(model, tmp_path):
    rows = cases(
        model,
        tmp_path,
        {"case": "A", "observed": "10", "low": "1", "high": "100", "must_pass": "yes"},
        {"case": "B", "low": "1", "high": "2", "role": "calibration"},
        {"case": "B", "low": "1", "high": "100", "role": "calibration"},
        {"case": "C", "interventions": "enzyme CBS x 0 lifelong", "low": "-inf", "high": "inf"},
    )
    board = qualify(model, rows)
    assert re.fullmatch(r"<Board: \d+ of \d+ rows inside their bands, in \d+ cases>", repr(board))
    assert board.counts() == {"calibration": (0, 1), "check": (1, 2)}
    assert board.passed, "only case A must pass"
    data = json.loads(json.dumps(board.as_json(), allow_nan=False))
    assert set(data) == {"cases", "model", "coverage", "left_out"}
    assert {frozenset(c) for c in data["cases"]} == {frozenset({"case", "role", "passed", "refused", "rows"})}
    assert [c["case"] for c in data["cases"]] == ["A", "B", "C"]
    assert [[r["passed"] for r in c["rows"]] for c in data["cases"]] == [[True], [False, True], [False]]
    failed = data["cases"][2]["rows"][0]
    assert set(failed) == {"id", "observed", "simulated", "low", "high", "passed", "failure", "view"}
    assert (failed["simulated"], failed["low"], failed["high"]) == (None, None, None)
    assert "no resting state" in failed["failure"]
    assert data["model"]["parameter_hash"] == model.parameter_hash


def test_where_nobody_rests_every_row_says_so(model, tmp_path):
    rows = cases(model, tmp_path, {}, {"case": "B", "match": "hcy_plasma = 12 uM by FOLATE_DIET_rate"})
    board = qualify(model.with_values(plasma=0.0), rows)
    reasons = [v.failure for c in board.cases for v in c.verdicts]
    assert len(reasons) == 2
    assert all("the model divides by plasma = 0" in reason for reason in reasons)


def test_a_baseline_out_of_reach_refuses_its_case_and_no_other(model, tmp_path):
    far = {"case": "F", "match": "hcy_plasma = 5 mM by FOLATE_DIET_rate"}
    rows = cases(model, tmp_path, {}, far, {"case": "F"}, {"case": "G", "low": "1", "high": "100"})
    board = qualify(model, rows)
    assert [c.refused for c in board.cases] == [False, True, False]
    assert board.cases[2].passed
    reason = board.cases[1].verdicts[0].failure
    assert [v.failure for v in board.cases[1].verdicts] == [reason, reason]
    assert re.search(
        r"mine.csv line 3 \(row M1\), column 'match'.*nearest reachable value is hcy_plasma = 0.0\d+ mM", reason
    )
    for text in (board_text(board), board_markdown(board)):
        assert "refused: 1 of 3 cases: F" in text
        assert reason in text
    assert "refused" in next(line for line in board_text(board).splitlines() if line.startswith("F "))
    assert not board.passed
    own = {"mixture": "0.5 none | 0.5 hcy_plasma = 5 mM by FOLATE_DIET_rate"}
    (verdict,) = qualify(model, cases(model, tmp_path, own)).cases[0].verdicts
    assert verdict.failure.startswith("mine.csv line 2 (row M0), column 'mixture'")


def test_a_mixture_is_the_mean_of_its_members_and_ratios_are_those_of_means(model, tmp_path):
    """Two people apart, by hand, against the mixture of both: 3 to 1."""
    shared = {"interventions": "0.4 mg/d folic acid", "reading": "12 weeks"}
    apart = [shared | {"population": p, "metric": m} for p in ("", "set mthfr_677tt") for m in ("value", "change")]
    mixed = {"population": "", "mixture": "0.75 none | 0.25 set mthfr_677tt"}
    rows = cases(model, tmp_path, *apart, shared | mixed, shared | mixed | {"metric": "percent_change", "unit": "%"})
    cc, cc_change, tt, tt_change, mean, percent = predict(model, rows).values[:, 0]
    assert tt > 1.2 * cc
    assert mean == pytest.approx(0.75 * cc + 0.25 * tt, rel=1e-9)
    change = 0.75 * cc_change + 0.25 * tt_change
    assert percent == pytest.approx(100 * change / (mean - change), rel=1e-9)
    # and candidates do not get mixed up
    two = predict(model, rows, {"MS_K_cbl": [model.values["MS_K_cbl"], 0.6]}).values
    assert two[:, 0] == pytest.approx([cc, cc_change, tt, tt_change, mean, percent], rel=1e-9)
    assert two[4, 1] == pytest.approx(0.75 * two[0, 1] + 0.25 * two[2, 1], rel=1e-9)


def test_the_mean_of_a_mixture_meets_the_baseline_by_one_factor_and_members_meet_their_own(model):
    texts = ("none", "set mthfr_677tt", "FOLATE_DIET_rate x 3")
    column = equations(model).parameters.index
    own = [read_population("" if t == "none" else t)[0] for t in texts]
    (status,) = targets(model, "cbl_plasma = 150 pM by CBL_DIET_rate")
    shares = np.array([0.5, 0.3, 0.2])
    members = [Member(w, t, (status,) if i == 1 else ()) for i, (w, t) in enumerate(zip(shares, own, strict=True))]
    start = people(
        model, 3, MTHFR_677T=[0, 1, 0], FOLATE_DIET_rate=model.values["FOLATE_DIET_rate"] * np.array([1, 1, 3])
    )
    wanted = targets(model, "hcy_plasma = 12 uM by HCY_CLEARANCE_CL; folate_plasma = 15 nM by FOLATE_DIET_rate")
    found = match(model, start, wanted, members)
    values = equations(model).evaluate(["hcy_plasma", "folate_plasma", "cbl_plasma"], found.states, found.parameters)
    assert shares @ values[:, :2] == pytest.approx([12.0, 0.015], rel=1e-6)
    assert values[1, 2] == pytest.approx(0.00015, rel=1e-6)
    clearance, folate, cobalamin = (
        found.parameters[:, column(n)] for n in ("HCY_CLEARANCE_CL", "FOLATE_DIET_rate", "CBL_DIET_rate")
    )
    assert len(set(clearance)) == 1
    assert folate / folate[0] == pytest.approx([1, 1, 3])
    assert cobalamin[[0, 2]] == pytest.approx(model.values["CBL_DIET_rate"])


def test_a_baseline_on_treatment_is_met_just_before_time_0_by_the_same_people_in_every_arm(model, tmp_path):
    doses = "1 mg folic acid oral daily x 42 from -42 d"
    treated = {"match": "hcy_plasma = 8 uM by HCY_CLEARANCE_CL on treatment", "interventions": doses}
    rows = cases(
        model,
        tmp_path,
        treated,
        treated | {"against": "none", "metric": "difference"},
        treated | {"interventions": "none"},
    )
    on, difference, off = predict(model, rows).values[:, 0]
    assert on == pytest.approx(8.0, rel=1e-3)
    assert difference < -0.5, "without folic acid the same people are higher"
    assert off == pytest.approx(8.0, rel=1e-3), "nothing before time 0: met at rest"


def test_a_fasting_reading_is_the_reading_at_the_end_of_that_fast(model, tmp_path):
    rows = cases(
        model,
        tmp_path,
        {"reading": "3 d fasting for 12 h"},
        {"reading": "3 d", "interventions": "fasting from 60 h for 12 h"},
        {"reading": "3 d fasting", "interventions": "fasting from 60 h for 24 h"},
        {"reading": "3 d"},
        {"reading": "fasting for 12 h", "metric": "percent_change", "unit": "%"},
    )
    stated, held, longer, fed, change = predict(model, rows).values[:, 0]
    assert stated == held == pytest.approx(longer, rel=1e-6)
    assert abs(stated / fed - 1) > 1e-3
    assert change == 0.0, "both readings are the same fasting one"


def test_a_population_may_be_a_set_with_a_starting_state(model, tmp_path):
    motor = {"observable": "motor_units", "unit": "dimensionless"}
    rows = cases(model, tmp_path, motor | {"population": "set als_patient; weight = 62 kg"}, motor)
    assert predict(model, rows).values[:, 0].tolist() == [0.55, 1.0]


def test_draws_and_a_residual_give_a_predictive_interval(model, tmp_path, monkeypatch):
    rows = cases(model, tmp_path, FEW[1], {"observed": "10.1", "low": "9", "high": "12"}, {"low": "0", "observed": "0"})
    k = model.values["HCY_EXPORT_tissue_CL"]
    draws_ = {"HCY_EXPORT_tissue_CL": np.linspace(0.9, 1.1, 11) * k}
    monkeypatch.setattr("metabolism.cases.intervals.models_dir", lambda: tmp_path)
    board = qualify(model, rows, draws=draws_)
    (low, high), value = board.cases[0].verdicts[1].interval, board.cases[0].verdicts[1].simulated
    assert low < value < high
    assert "hold the spread of parameters only" in board_text(board)
    (tmp_path / "fits" / "one").mkdir(parents=True)
    (tmp_path / "fits" / "one" / "residual_sd.csv").write_text("class,rows,sd\nlevel,9,0.2\nlevel of others,20,0.5\n")
    wide = qualify(model, rows, draws=draws_)
    own = wide.cases[0].verdicts[1].interval
    assert own[1] / own[0] == pytest.approx(math.exp(2 * 1.645 * 0.2), rel=0.05), "the scale, for want of the class"
    assert [v.covered for v in wide.cases[0].verdicts] == [None, True, None]
    assert wide.coverage() == {"check": (1, 1)}
    assert "cover 1 of 1 (100 %) published values of check rows, wanted 80 to 97 %" in board_text(wide)


def test_the_likeliest_residual_is_that_of_the_data():
    rng = np.random.default_rng(3)
    spreads = rng.uniform(0, 0.2, 4000)
    errors = rng.normal(0, np.sqrt(spreads**2 + 0.15**2))
    classes = ["level of homocysteine"] * 4000
    found = residual_sds([*classes, "percent of others"], np.append(errors, 0.1), np.append(spreads, 0.1))
    assert found["level of homocysteine"] == found["level"] == (4000, pytest.approx(0.15, rel=0.05))
    assert "percent" not in found, "one row says nothing of a spread"
    # without any parameter spread: the sum of squares over n - 1
    assert residual_sds(["level of x"] * 9, np.arange(9.0), np.zeros(9))["level"][1] == pytest.approx(
        math.sqrt(np.square(np.arange(9.0)).sum() / 8), rel=1e-3
    )
    # errors that the parameters alone would explain leave some residual all the same, but a smaller one
    assert 0.05 < residual_sds(["level of x"] * 9, np.full(9, 0.01), np.ones(9))["level"][1] < 0.8


def test_scales_are_inverted_exactly(model, tmp_path):
    rows = cases(model, tmp_path, {}, {"metric": "change", "low": "-2", "high": "4"}, FEW[5])
    for row, value, scaled in zip(rows, (7.0, 1.5, -20.0), (math.log(7), 0.5, math.log(0.8)), strict=True):
        assert to_scale(row, value) == pytest.approx(scaled)
        assert from_scale(row, to_scale(row, value)) == pytest.approx(value)
    assert np.isnan(to_scale(rows[0], [-1.0, 0.0])).all()


def test_the_board_shows_version_1_beside_and_what_was_tuned_in_view(model, tmp_path, monkeypatch):
    monkeypatch.setattr("metabolism.cases.render.experiments_dir", lambda: tmp_path / "experiments")
    (tmp_path / "docs" / "evidence").mkdir(parents=True)
    (tmp_path / "docs" / "evidence" / "version1.csv").write_text("case,row,predicted,verdict\nM01,M0,33.3,FAIL\n")
    seen = {"split": "check in view 2026-11-29"}
    board = qualify(
        model, cases(model, tmp_path, seen, {"study": "theirs", "source": "HLT1998", "split": "check 2026-11-29"})
    )
    text = board_text(board)
    assert "33.3 FAIL" in next(line for line in text.splitlines() if " M0 " in line)
    assert "version 1: 0 of 1 of these rows pass, and 1 of the same in this one" in text
    assert "rows that pass: check, tuned in view 1 of 1 (100 %); check, not seen before 1 of 1 (100 %)" in text
    assert "pass, check, tuned in view |" in board_markdown(board)
    assert "- splits by study were fixed on 2026-11-29" in board_markdown(board)


def test_draws_come_closed_from_the_shipped_sample_or_say_how_to_make_one(model, tmp_path, monkeypatch):
    monkeypatch.setattr("metabolism.model.uncertainty.models_dir", lambda: tmp_path)
    with pytest.raises(MetabolismError, match="metabolism fit"):
        draws(model, 10)
    (tmp_path / "fits" / "one").mkdir(parents=True)
    (tmp_path / "fits" / "two").mkdir()
    (tmp_path / "fits" / "one" / "posterior.csv").write_text("BETAINE_CLEARANCE_CL\n4.0\n5.0\n6.0\n", encoding="utf-8")
    (tmp_path / "fits" / "two" / "posterior.csv").write_text("CBL_CLf\n5.0\n6.0\n5.5\n", encoding="utf-8")
    with pytest.raises(InvalidValue, match="holds 3"):
        draws(model, 4)
    found = draws(model, 3)
    assert found["BETAINE_CLEARANCE_CL"].tolist() == [4.0, 5.0, 6.0]
    assert found["CBL_CLf"].tolist() == [5.0, 6.0, 5.5], "each fit has its own sample"
    # closed: more betaine clearance needs more betaine for the same reference state
    assert found["BETAINE_DIET_rate"].is_monotonic_increasing
    run = simulate(model, None, 24, outputs=["betaine_plasma"], patients=draws(model, 3))
    assert run["betaine_plasma"].values[:, -1] == pytest.approx(model.values["betaine_plasma"], rel=1e-5)
    rested = people(model, 3, **{k: found[k].to_numpy() for k in found if k in equations(model).parameters})
    assert equations(model).evaluate(["betaine_plasma"], rested.states, rested.parameters)[:, 0] == pytest.approx(
        model.values["betaine_plasma"], rel=1e-6
    )


# --- command line ----------------------------------------------------------------------------------------------------


def call(capsys, *arguments):
    code = main(["qualify", *map(str, arguments)])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def test_the_command_prints_the_board_writes_json_and_exits_honestly(capsys, tmp_path):
    good = {"low": "1", "high": "100", "must_pass": "yes", "observed": "10"}
    path = write(tmp_path / "mine.csv", GOOD | HELD | good)
    code, out, err = call(capsys, "--cases", path, "--json", tmp_path / "b.json", "--workers", 1)
    assert (code, err) == (0, "")
    heads = out.splitlines()[0].split()
    assert heads == ["case", "row", "study", "observed", "simulated", "band", "unit"]
    assert "check: 1 of 1 cases pass" in out
    assert json.loads((tmp_path / "b.json").read_text(encoding="utf-8"))["cases"][0]["passed"] is True
    path = write(tmp_path / "mine.csv", GOOD | HELD | good | {"high": "2"})
    code, out, _ = call(capsys, "--cases", path)
    assert code == 1
    assert "FAIL" in out
    assert "must pass: 0 of 1; fail: M01" in out
    # a parameter may be changed as everywhere
    code, out, _ = call(capsys, "--cases", path, "--param", "HCY_EXPORT_tissue_CL=0.5")
    assert "FAIL" in out


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["--cases", "nowhere.csv"], 2, "cannot be read"),
        (["--workers", "0"], 2, "--workers"),
        (["--workers", "x"], 2, "--workers"),
        (["--cases", "GOOD", "--peers", "BIOMD0000000268"], 1, "https://www.ebi.ac.uk/biomodels/BIOMD0000000268"),
        (["--cases", "GOOD", "--peers", "BIOMD0000000269"], 2, "Did you mean 'BIOMD0000000268'"),
        (["--cases", "GOOD", "--json", "/dev/null/b.json"], 1, "cannot write"),
    ],
)
def test_a_mistake_gets_one_clear_line(capsys, tmp_path, arguments, code, words):
    path = write(tmp_path / "mine.csv", GOOD | HELD | {"low": "1", "high": "100"})
    got, _, err = call(capsys, *[path if a == "GOOD" else a for a in arguments])
    assert got == code
    assert words in err
    assert err.startswith("metabolism: ")
    assert err.count("\n") == 1


def test_a_place_in_the_band_is_an_affine_map_or_squeezes_an_open_end():
    assert [place(v, -20, -10) for v in (-20, -15, -10, -5)] == [-1, 0, 1, 2]
    assert [place(v, 3, math.inf) for v in (0, 3, 6, math.inf)][:3] == [-2, -1, 0]
    assert [place(v, -math.inf, 3) for v in (6, 3, 0)] == [2, 1, 0]
    assert -1 < place(1e9, 3, math.inf) <= 1
    assert place(5, -math.inf, math.inf) == 0


def test_pages_hold_every_row_and_the_figure_every_marker(capsys, tmp_path):
    changes = {"low": "1", "high": "100", "observed": "10"}, {"low": "1", "high": "2", "row": "M01b"}
    path = write(tmp_path / "mine.csv", *(GOOD | HELD | c for c in changes))
    code, _, _ = call(capsys, "--cases", path, "--markdown", tmp_path)
    assert code == 0, "no case must pass"
    page = (tmp_path / "qualification.md").read_text(encoding="utf-8")
    assert "| M01a | mine (HLT2005) | none: value of hcy_plasma | rest | 10 |" in page
    assert "**FAIL**, check" in page
    assert (tmp_path / "qualification.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.slow
def test_the_pages_of_the_documentation_are_current(model):
    board = qualify(model, read_cases(model), workers=2)
    now = {v.row.id: v for c in board.cases for v in c.verdicts}
    folder = experiments_dir().parent / "docs" / "evidence"
    page = (folder / "qualification.md").read_text(encoding="utf-8")
    # between the simulated value and the band stands what the first version gave
    rows = re.findall(
        r"^\| (\w+) \| .* \| (\S+) \| [^|]+ \| \S+ to \S+ \| [^|]+ \| (?:\*\*)?(pass|FAIL|no value)", page, re.MULTILINE
    )
    assert [key for key, *_ in rows] == list(now)
    for key, simulated, word in rows:
        remedy = f"{key}: run `metabolism qualify --markdown docs/evidence`"
        assert float(simulated) == pytest.approx(now[key].simulated, rel=2e-3, abs=1e-6), remedy
        assert (word == "pass") == now[key].passed, remedy
    peers = (folder / "published_models.md").read_text(encoding="utf-8")
    for key, simulated in re.findall(r"^\| (\w+) \| [-\d][^|]* \| (\S+) (?:pass|FAIL) \|", peers, re.MULTILINE):
        remedy = f"{key}: run `metabolism qualify --markdown docs/evidence --peers FOLDER` with the public models"
        assert float(simulated) == pytest.approx(now[key].simulated, rel=2e-3), remedy


# --- published models ------------------------------------------------------------------------------------------------


def test_a_published_model_is_run_on_the_rows_it_can_express(model, tmp_path):
    text = """
    model BIOMD0000000268
      compartment cell = 1; species hcy in cell, met in cell; hcy = 1; met = 50;
      breakfast = 1; lunch = 1; dinner = 1; fasting = 1; Vm_CBS = 2;
      SUPPLY: -> hcy; 4 * breakfast; V_CBS: hcy -> ; Vm_CBS * hcy;
    end
    """
    path = tmp_path / "BIOMD0000000268.xml"
    path.write_text(sbml_from_antimony(text), encoding="utf-8")
    rows = cases(
        model,
        tmp_path,
        {
            "interventions": "enzyme CBS x 0.5 lifelong",
            "against": "none",
            "unit": "%",
            "metric": "percent_difference",
            "high": "120",
        },
        {"observable": "transsulfuration", "unit": "umol/kg/h", "interventions": "fasting", "reading": "12 h"},
        {"interventions": "50 mg im", "reading": "2 h"},
        {},
        {"observable": "mma_plasma"},
    )
    (peer,) = run_peers(model, rows, [str(tmp_path)])
    # at rest hcy = supply / Vm: half the enzyme, twice the homocysteine
    assert peer.simulated["M0"] == pytest.approx(100.0, rel=1e-4)
    # 12 h of a quarter of the supply, in 1.2 L of liver water per 70 kg
    flux = 2 * (0.5 + 1.5 * math.exp(-2 * 12))
    assert peer.simulated["M1"] == pytest.approx(flux * model.values["liver"] / 70, rel=1e-4)
    assert peer.missing["M2"] == "has no hcy_plasma, only a relative stand-in for it"
    assert peer.missing["M4"] == "has no mma_plasma"
    assert peer.passes(rows[0])
    data = peer.as_json()
    assert (data["cases"], data["cases_expressed"]) == (1, 0)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("BIOMD0000000268 this is not SBML", "not well-formed XML"),
        ('<?xml version="1.0"?><!DOCTYPE sbml [<!ENTITY a "b">]><sbml>BIOMD0000000268</sbml>', "remove the DOCTYPE"),
        ("<html>BIOMD0000000268</html>", "no SBML"),
    ],
)
def test_a_published_model_is_refused_where_compare_refuses_it(model, tmp_path, text, reason):
    path = tmp_path / "BIOMD0000000268.xml"
    path.write_text(text, encoding="utf-8")
    row = {"interventions": "enzyme CBS x 0.5 lifelong", "against": "none", "unit": "%", "metric": "percent_difference"}
    rows = cases(model, tmp_path, row)
    with pytest.raises(ModelError, match=reason):
        run_peers(model, rows, [str(path)])
    with pytest.raises(ModelError, match=reason):
        file_fingerprint(path)


# --- the shipped board -----------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_the_shipped_board_repeats_bitwise_and_every_row_has_a_value(model):
    rows = read_cases(model)
    first, again = qualify(model, rows, workers=2), qualify(model, rows, workers=1)
    assert json.dumps(first.as_json()) == json.dumps(again.as_json())
    assert [v.failure for c in first.cases for v in c.verdicts if v.failure] == []
    assert len({c.id for c in first.cases if c.id.startswith("C")}) == 23


def test_every_published_value_lies_in_its_own_band(model):
    for row in read_cases(model):
        assert math.isnan(row.observed) or row.low <= row.observed <= row.high, row.id


@pytest.mark.slow
def test_every_failing_row_has_a_stated_cause_and_every_cause_a_failing_row(model):
    board = qualify(model, read_cases(model), workers=2)
    failing = {v.row.id for c in board.cases for v in c.verdicts if not v.passed}
    assert failing == set(known_misfits())
    assert board.passed
    literature = [c for c in board.cases if c.id.startswith("C")]
    assert sum(c.passed for c in literature) >= 20
