"""Changes of parameters: what is done to a patient besides doses, in every engine, against values known beforehand."""

from __future__ import annotations

import numpy as np
import pytest

import metabolism as mb
from metabolism.errors import InvalidValue, UnknownName

ENGINES = ("roadrunner", "scipy", "fast")


@pytest.fixture(scope="module")
def model():
    return mb.load()


def run(model, text, until, engine="fast", **options):
    return mb.simulate(model, text, until, engine=engine, rtol=1e-9, **options)


@pytest.mark.parametrize("engine", ENGINES)
def test_a_change_is_factor_times_own_plus_offset_in_the_order_written(model, engine):
    own = model.values["MET_DIET_rate"]
    text = (
        "MET_DIET_rate x 2 lifelong; 5 g/d methionine from -1 h until 3 h; MET_DIET_rate x 0.5 from 2 h for 2 h; "
        "MET_DIET_rate = 24 mmol/d from 3.5 h for 30 min"
    )
    supply = 5e6 / 149.21 / 24
    found = run(model, text, "6 h", engine, outputs=["MET_DIET_rate"], times=[-1, 0, 2, 3, 3.5, 4, 5])["MET_DIET_rate"]
    expected = [2 * own + supply, 2 * own + supply, own + supply / 2, own, 1000.0, 2 * own, 2 * own]
    assert found.values == pytest.approx(expected, rel=1e-14)


@pytest.mark.parametrize("engine", ENGINES)
def test_what_is_for_life_is_in_force_at_rest_and_stays_there(model, engine):
    changed = mb.steady_state(model.with_values(CBS_activity=0.5 * model.values["CBS_activity"])).values
    found = run(model, "enzyme CBS x 0.5 lifelong", "100 h", engine, outputs=["hcy_plasma"], times=[0, 100])
    assert found["hcy_plasma"].values == pytest.approx([changed["hcy_plasma"]] * 2, rel=1e-7)


@pytest.mark.parametrize("engine", ENGINES)
def test_both_sides_of_a_change_are_kept(model, engine):
    found = run(model, "GFR_rel = 0.5 from 2 h for 3 h", "6 h", engine, outputs=["GFR_rel"], times=[2, 5])
    own = model.values["GFR_rel"]
    assert found["GFR_rel"].values == pytest.approx([0.5, own], rel=1e-15)
    assert found["GFR_rel_pre_dose"].values == pytest.approx([own, 0.5], rel=1e-15)
    assert found.data["dose_time"].values.tolist() == [2.0, 5.0]


#: One of each kind of intervention that the case files use.
KINDS = [
    "fasting from -12 h for 36 h; 100 mg/kg methionine oral",
    "set mthfr_677tt lifelong; 65 umol/kg homocysteine oral",
    "enzyme CBS x 0.02 lifelong; 1 mg/d folic acid until 0 h",
    "nitrous oxide 60 % for 5 h; 0.5 mg iv q6h x 2",
    "5 mg/d folic acid from -1 d for 2 d; MET_DIET_rate x 0.25 from 1 h for 9 h",
    "5 mg iv over 2 h; GFR_rel = 0.1 lifelong",
]


@pytest.mark.parametrize("text", KINDS)
def test_the_engines_agree_on_every_kind_of_intervention(model, text):
    outputs = ["hcy_plasma", "met_plasma", "cbl_plasma", "folate_plasma"]
    times = [0.0, 0.5, 6.0, 12.0, 30.0]
    curves = {e: run(model, text, "30 h", e, outputs=outputs, times=times) for e in ENGINES}
    for name in outputs:
        for engine in ("roadrunner", "scipy"):
            assert curves[engine][name].values == pytest.approx(curves["fast"][name].values, rel=1e-6), (engine, name)


def test_each_patient_gets_his_own_value_back(model):
    found = run(
        model,
        "GFR_rel x 0.5 from 1 h for 1 h",
        "3 h",
        outputs=["GFR_rel"],
        times=[0, 1, 2],
        patients={"GFR_rel": [1.0, 0.4]},
    )
    assert found["GFR_rel"].values == pytest.approx(np.array([[1.0, 0.5, 1.0], [0.4, 0.2, 0.4]]), rel=1e-15)


def test_values_at_times_of_doses_one_rounding_apart_are_after_the_dose(model):
    times = [26.4, 3 * 26.4, 79.2 + 26.4]
    found = run(model, "1 mg iv every 1.1 d x 5", "6 d", outputs=["cbl_free"], times=times)
    after, before = found["cbl_free"].values, found["cbl_free_pre_dose"].values
    assert (after > 10 * before[[1, 3, 4]]).all()


@pytest.mark.parametrize(
    "text",
    [
        "0.5 mg iv over 26.4 h every 1.1 d x 5",
        "1 mg iv every 1.1 d x 5 + 1 mg iv every 26.4 h x 5",
        "1 mg iv over 1 s from 5 d",
    ],
)
def test_schedules_that_meet_run_on_every_engine(model, text):
    last = [run(model, text, "6 d", e, outputs=["cbl_plasma"], times=[144.0])["cbl_plasma"].item() for e in ENGINES]
    assert last == pytest.approx([last[0]] * 3, rel=1e-6)


def test_a_slope_knows_the_share_of_the_own_value_in_what_is_for_life(model):
    text, step = "GFR_rel x 0.5 lifelong", 1e-4
    slope = mb.sensitivities(model, ["GFR_rel"], text, "2 d", outputs=["hcy_plasma"], times=[24.0], rtol=1e-9)
    up, down = (
        run(model.with_values(GFR_rel=1 + s), text, "2 d", outputs=["hcy_plasma"], times=[24.0])["hcy_plasma"].item()
        for s in (step, -step)
    )
    assert slope["d_hcy_plasma"].item() == pytest.approx((up - down) / (2 * step), rel=1e-3)


def test_an_unknown_parameter_and_an_impossible_value_are_refused(model):
    with pytest.raises(UnknownName, match="Did you mean 'GFR_rel'"):
        mb.Regimen.parse("GFR_rell x 0.5")
    with pytest.raises(InvalidValue, match="not negative"):
        mb.Regimen.parse("GFR_rel = -1")
