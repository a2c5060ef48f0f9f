"""Numbers read off stored curves equal the dense output of the solver: every route, infusions, both sides of jumps."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

import metabolism as mb
from metabolism.errors import InvalidValue
from metabolism.simulation.curves import Curve, area_of, panel_times
from metabolism.simulation.endpoints import summary

OUTPUTS = ["cbl_free", "cbl_plasma", "holo_tc", "hcy_plasma", "folate_plasma"]
SCHEDULES = [
    "{amount} mg im every {gap} h x {count}",
    "{amount} mg sc every {gap} h x {count}",
    "{amount} mg iv every {gap} h x {count}",
    "{amount} mg methylcobalamin oral every {gap} h x {count}",
    "{amount} mg iv over {length} h every {gap} h x {count}",
    "{amount} mg folic acid oral every {gap} h x {count}",
]


@st.composite
def regimens(draw):
    parts, end = [], 0.0
    for schedule in draw(st.lists(st.sampled_from(SCHEDULES), min_size=1, max_size=2)):
        gap, count = draw(st.sampled_from([3.7, 8, 24, 33.6, 84, 168])), draw(st.sampled_from([1, 2, 7, 40, 130]))
        length = gap * draw(st.sampled_from([0.01, 0.3, 1.0]))
        amount = draw(st.sampled_from([0.05, 0.8, 5, 50]))
        count = max(1, min(count, int(2500 / gap)))
        parts.append(schedule.format(amount=amount, gap=gap, count=count, length=length))
        end = max(end, count * gap)
    return " + ".join(parts), end * draw(st.sampled_from([1.0, 1.5])) + 1.0


@given(regimens(), st.sampled_from([0.3, 1.0]))
@settings(max_examples=20, deadline=None)
def test_numbers_off_a_stored_curve_are_those_of_the_dense_output(regimen, kidney):
    text, end = regimen
    model, patients = mb.load(), {"GFR_rel": [kidney]}
    stored = mb.simulate(model, text, end, outputs=OUTPUTS, patients=patients)
    wanted = {f"{kind} {output}": (kind, output) for kind in ("max", "min", "auc") for output in OUTPUTS}
    dense = mb.endpoints_of(model, wanted, text, end, patients=patients).iloc[0]
    for output in OUTPUTS:
        curve = stored[output]
        assert mb.endpoints.peak(curve)[0] == pytest.approx(dense[f"max {output}"], rel=1e-4)
        assert mb.endpoints.area(curve)[0] == pytest.approx(dense[f"auc {output}"], rel=1e-4)
        assert mb.endpoints.mean(curve)[0] == pytest.approx(dense[f"auc {output}"] / end, rel=1e-4)
        table = mb.endpoints.nca(curve)["median"]
        assert table["Cmax"] == pytest.approx(dense[f"max {output}"], rel=1e-4)
        assert table["AUClast"] == pytest.approx(dense[f"auc {output}"], rel=1e-4)
        if not text.count("oral"):
            assert -(mb.endpoints.peak(-curve)[0]) == pytest.approx(dense[f"min {output}"], rel=1e-4)


@pytest.mark.parametrize("engine", ["roadrunner", "scipy"])
@pytest.mark.parametrize(
    "regimen", ["5 mg iv over 0.5 h weekly x 3", "50 mg im every 3.5 d x 4", "5 mg iv every 5 d x 3"]
)
def test_the_value_of_an_endpoint_does_not_depend_on_the_engine(model, engine, regimen):
    texts = ["max(cbl_free)", "min(hcy_plasma)", "auc(cbl_plasma)", "mean(cbl_free)", "time_above(cbl_free, 0.01)"]
    grid = {"GFR_rel": [0.5]}
    one, two = (
        mb.scan(model, grid, regimen, "4 weeks", endpoints=[*texts, "change(cbl_plasma)"], engine=e).values()
        for e in ("fast", engine)
    )
    np.testing.assert_allclose(two, one, rtol=3e-5)


@pytest.mark.parametrize("engine", ["roadrunner", "scipy", "fast"])
def test_a_curve_holds_both_sides_of_doses_and_of_both_ends_of_an_infusion(model, engine):
    patients = {"GFR_rel": [1.0]} if engine == "fast" else None
    result = mb.simulate(
        model,
        "1 mg iv from 24 h + 1 mg iv over 2 h from 48 h",
        72,
        outputs=["cbl_plasma", "CBL_infusion"],
        patients=patients,
        engine=engine,
    )
    times = result.data["time"].values
    assert (np.diff(times) > 0).all()
    for jump in (24.0, 48.0, 50.0):
        assert jump in times
        assert np.nextafter(jump, 0) in times
    plasma = result["cbl_plasma"].squeeze()
    before, after = plasma.sel(time=np.nextafter(24.0, 0)), plasma.sel(time=24.0)
    pre = result.data["cbl_plasma_pre_dose"].squeeze()
    assert float(before) == pytest.approx(float(pre[0]), rel=1e-9)
    assert float(after) > 5 * float(before)
    rate = result["CBL_infusion"].squeeze()
    assert [float(rate.sel(time=np.nextafter(t, 0))) > 0 for t in (48.0, 50.0)] == [False, True]
    assert [float(rate.sel(time=t)) > 0 for t in (48.0, 50.0)] == [True, False]


def test_panels_integrate_and_find_the_peak_of_a_closed_form():
    """Absorption and elimination: C = (exp(-t) - exp(-8 t)), peak at ln 8 / 7, area 1 - 1/8."""
    times = panel_times(0.0, [], 60.0)
    curve = Curve(times, np.exp(-times) - np.exp(-8 * times), panels=True)
    peak = np.log(8) / 7
    top, when = curve.top()
    assert float(top) == pytest.approx(np.exp(-peak) - np.exp(-8 * peak), rel=1e-6)
    assert float(when) == pytest.approx(peak, rel=1e-4)
    assert float(curve.area()) == pytest.approx(7 / 8, rel=1e-5)
    # above 0.1 from the root on the way up to ln 10 on the way down
    up = np.roots([-1, 0, 0, 0, 0, 0, 0, 1, -0.1])
    first = min(-np.log(z.real) for z in up if abs(z.imag) < 1e-9 and 0.5 < z.real < 1)
    assert float(curve.above(0.1)) == pytest.approx(np.log(10) - first, abs=1e-4)


def test_a_curve_at_times_of_ones_own_is_read_as_samples(model):
    times = [0, 1, 2, 4, 8, 24]
    curve = mb.simulate(model, "1 mg im", 24, outputs=["cbl_free"], times=times)["cbl_free"]
    assert mb.endpoints.peak(curve) == float(curve.max())
    assert mb.endpoints.time_of_peak(curve) in times


def test_samples_are_joined_by_straight_lines_from_the_first_to_the_last():
    curve = Curve(np.array([0.0, 1, 2, 4]), np.array([[0.0, 1, 3, 2]]), False)
    assert curve.at(np.array([0, 0.5, 1, 1.25, 3, 4])).tolist() == [[0, 0.5, 1, 1.5, 2.5, 2]]


def test_falling_samples_are_joined_by_exponentials_and_rising_ones_by_lines():
    times = np.array([0.0, 1, 3, 4, 5])
    pieces = [4 / np.log(2), 2 * 3 / np.log(4), 2.0, 1.5]
    assert area_of(times, np.array([8.0, 4, 1, 3, 0])) == pytest.approx(sum(pieces), rel=1e-12)


def test_the_mean_of_a_constant_is_the_constant():
    curve = xr.DataArray([2.0, 2, 2], {"time": [0.0, 1, 5]}, "time", attrs={"units": "uM"})
    assert mb.endpoints.mean(curve) == pytest.approx(2, rel=1e-12)


def test_numbers_that_nobody_has_are_none_and_counted():
    row = summary([("half-life", "h", np.array([np.nan, np.nan]))], 0.9).loc["half-life"]
    assert row["n"] == 0
    assert row[["median", "low", "high"]].isna().all()


def test_the_mark_of_panels_survives_a_subtraction_a_cut_and_a_file(model, tmp_path):
    result = mb.simulate(model, "1 mg im", 24, outputs=["cbl_free"])
    loaded = mb.Result.load(result.save(tmp_path / "run.nc"))["cbl_free"]
    area = mb.endpoints.area(loaded)
    assert area == mb.endpoints.area(result["cbl_free"])
    assert mb.endpoints.area(loaded - 1.0) == pytest.approx(area - 24, rel=1e-9)
    parts = [mb.endpoints.area(loaded.sel(time=slice(*span))) for span in ((0, 7.3), (7.3, 24))]
    whole = [float(loaded.time[loaded.time <= 7.3][-1]), float(loaded.time[loaded.time >= 7.3][0])]
    between = mb.endpoints.area(loaded.sel(time=slice(*whole)))
    assert sum(parts) + between == pytest.approx(area, rel=1e-3)


def test_curves_that_would_not_fit_are_refused_with_what_to_do(model, monkeypatch):
    monkeypatch.setattr("metabolism.simulation.study.MEMORY", 2**20)
    with pytest.raises(InvalidValue, match=r"give times=.*endpoints_of"):
        mb.simulate(model, "1 mg im daily x 50", "50 d", patients={"GFR_rel": np.ones(100)})
