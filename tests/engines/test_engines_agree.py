"""Engines that share no integration code give the same curves."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

import metabolism as mb
from metabolism.errors import SolverFailed
from tests.conftest import JETALS

OUTPUTS = [
    "hcy_plasma",
    "met_plasma",
    "mma_plasma",
    "folate_plasma",
    "cbl_plasma",
    "cbl_free",
    "holo_tc",
    "cbl_liver",
    "cbl_csf",
    "cbl_urine",
    "motor_units",
    "alsfrs_r",
    "MS_liver",
    "sam_liver",
    "plp_cell",
]
ENGINES = ["roadrunner", "scipy", "fast"]
CASES = {
    "jetals": (JETALS, "16 weeks", "als_patient"),
    "single 50 mg": ("50 mg im", 144, None),
    "single 0.5 mg": ("0.5 mg im", 144, None),
    "single 0.5 mg intravenous": ("0.5 mg iv", 144, None),
    "rest": (None, "4 weeks", "mthfr_677tt"),
    "infusion": ("5 mg iv over 2 h + 1 mg iv over 3 h from 1 h", 48, "renal_impairment"),
    "oral mixture": (
        "0.8 mg folic acid oral daily x 14 + 16.5 mg pyridoxine oral daily x 14 + 3 g betaine oral daily x 14 "
        "+ 1 g choline oral daily x 14 + 7 g methionine oral from 5 d + 1.6 mg riboflavin oral daily x 14 "
        "+ 1 mg cyanocobalamin oral daily x 14",
        "2 weeks",
        "b12_deficient",
    ),
}


def scaled_difference(first, second, outputs):
    """Largest difference of each output relative to its own largest value."""
    return {o: float(np.abs(first[o] - second[o]).max() / np.abs(first[o]).max()) for o in outputs}


@pytest.mark.parametrize("case", CASES)
def test_all_engines_agree_to_a_millionth(model, case):
    regimen, until, name = CASES[case]
    patient = model.with_set(name) if name else model
    runs = [mb.simulate(patient, regimen, until, outputs=OUTPUTS, engine=e, rtol=1e-9) for e in ENGINES]
    for other in runs[1:]:
        difference = scaled_difference(runs[0], other, OUTPUTS)
        assert max(difference.values()) < 1e-6, difference
    for run in runs:
        if regimen:
            np.testing.assert_allclose(run.ledger["delivered"], run.ledger["asked"], rtol=1e-9)


@pytest.mark.parametrize("engine", ENGINES)
def test_nothing_depends_on_the_output_grid(model, engine):
    coarse = np.arange(0, 337, 84.0)
    options = {"outputs": OUTPUTS, "engine": engine, "rtol": 1e-9}
    few = mb.simulate(model, "50 mg im every 3.5 d x 4", 336, times=coarse, **options)
    many = mb.simulate(model, "50 mg im every 3.5 d x 4", 336, times=np.arange(0, 336.5, 0.5), **options)
    difference = scaled_difference(few, mb.Result(many.data.sel(time=coarse)), OUTPUTS)
    assert max(difference.values()) < 1e-6, difference


def test_a_tenfold_tighter_tolerance_moves_outputs_by_less_than_a_ten_thousandth(model):
    loose, tight = (mb.simulate(model, JETALS, outputs=OUTPUTS, rtol=r) for r in (1e-8, 1e-9))
    assert max(scaled_difference(loose, tight, OUTPUTS).values()) < 1e-4


@pytest.mark.parametrize("engine", ENGINES)
def test_values_at_a_dose_time_are_after_the_dose_and_the_ones_before_are_kept(model, engine):
    result = mb.simulate(model, "50 mg im every 84 h x 2", 100, outputs=["depot_im"], times=[0, 84], engine=engine)
    dose = float(result.data["asked"].sum()) / 2
    np.testing.assert_allclose(result["depot_im"], [dose, dose], rtol=1e-6)
    np.testing.assert_allclose(result["depot_im_pre_dose"], [0, 0], atol=1e-6)


@pytest.mark.parametrize("engine", ENGINES)
def test_a_run_never_sees_the_one_before_it(model, engine):
    first = mb.simulate(model, JETALS, 336 * 8, outputs=OUTPUTS, engine=engine, rtol=1e-7, times=[0, 100, 2688])
    mb.simulate(model.with_set("b12_deficient"), "5 mg iv over 2 h", 50, engine=engine)
    again = mb.simulate(model, JETALS, 336 * 8, outputs=OUTPUTS, engine=engine, rtol=1e-7, times=[0, 100, 2688])
    assert first.data.drop_attrs().identical(again.data.drop_attrs())


@pytest.mark.parametrize("engine", ["roadrunner", "scipy"])
def test_a_failed_integration_names_time_state_and_remedy(model, engine, monkeypatch):
    if engine == "roadrunner":
        import metabolism.engines.roadrunner as module

        runner = module._loaded(model.sbml)
        runner.integrator.setValue("maximum_num_steps", 3)
    else:
        import scipy.integrate

        class Stopped:
            success, t, message = False, np.array([1.5]), "excess work"
            y = np.full((1, 1), np.nan)

        monkeypatch.setattr(scipy.integrate, "solve_ivp", lambda *a, **k: Stopped())
    try:
        with pytest.raises(SolverFailed, match=r"stopped at t = .* h in '\w+'.*try engine=") as caught:
            mb.simulate(model, "50 mg im", 24, engine=engine)
        assert caught.value.time is not None
        assert caught.value.state in model.values
    finally:
        if engine == "roadrunner":
            runner.integrator.setValue("maximum_num_steps", 200_000)


def test_a_failed_patient_is_flagged_and_costs_its_neighbours_nothing(model):
    columns = {"MET_DIET_rate": [model.values["MET_DIET_rate"]] * 3}
    alone = mb.simulate(model, "50 mg im", 48, patients={k: v[:1] for k, v in columns.items()})
    # the middle patient cannot remove cysteine: no resting state
    for name in ("CYSTEINE_USE_k", "CYSTEINE_EXPORT_k"):
        columns[name] = [model.values[name], 0.0, model.values[name]]
    together = mb.simulate(model, "50 mg im", 48, patients=columns)
    assert list(together.failures) == [1]
    for output in alone.outputs:
        np.testing.assert_array_equal(together[output][0], alone[output][0])
        np.testing.assert_array_equal(together[output][2], alone[output][0])


THREADS = """
import numpy as np, metabolism as mb
from concurrent.futures import ThreadPoolExecutor
rates = np.linspace(0.4, 1.0, 16)
def run(rate):
    changed = mb.load().with_values(GFR_rel=rate)
    return mb.simulate(changed, until="24 h", outputs=["hcy_plasma", "cbl_plasma"], engine="roadrunner").curves
with ThreadPoolExecutor(4) as pool:
    together = list(pool.map(run, rates))
for rate, curves in zip(rates, together, strict=True):
    assert all(np.array_equal(curves[n], alone) for n, alone in run(rate).items()), rate
"""


def test_threads_get_the_curves_of_one_run_after_the_other():
    # in a process of its own: libRoadRunner shared between threads crashes
    done = subprocess.run([sys.executable, "-c", THREADS], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
