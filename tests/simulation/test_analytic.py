"""Truth by calculation: closed forms that the model must reproduce."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import xarray as xr

import metabolism as mb
from metabolism.model import equations
from metabolism.simulation.endpoints import area, half_life, peak, time_of_peak
from metabolism.trials import alsfrs_r, motor_units

TIGHT = {"rtol": 1e-10}


def test_the_depot_chain_is_a_gamma_two_absorption(model):
    """Two equal first-order steps, as long as the depot is small beside IM_K: D exp(-kt) and D k t exp(-kt)."""
    times = np.linspace(0, 6, 61)
    model = replace(model, changed={"IM_K": 1e12})
    result = mb.simulate(model, "50 mg im", 6, times=times, outputs=["depot_im", "transit_im"], **TIGHT)
    dose, k = float(result.data["asked"].sum()), model.values["IM_ka"]
    np.testing.assert_allclose(result["depot_im"], dose * np.exp(-k * times), rtol=1e-7, atol=1e-9)
    np.testing.assert_allclose(result["transit_im"], dose * k * times * np.exp(-k * times), rtol=1e-7, atol=1e-9)


def test_a_saturating_dose_follows_the_linear_two_compartment_curve(model):
    """At 50 mg carriers and tubular uptake are negligible: the Bateman-type solution of the linear part."""
    model = replace(model, changed={"IM_K": 1e12})
    v = model.values
    times = np.linspace(0.5, 12, 24)
    result = mb.simulate(model, "50 mg im", 12, times=times, outputs=["cbl_free"], **TIGHT)
    ka, out = v["IM_ka"], v["CBL_CLf"] + v["CBL_CLns"]
    matrix = np.array(
        [
            [-ka, 0, 0, 0],
            [ka, -ka, 0, 0],
            [0, ka / v["central"], -(v["CBL_Q"] + out) / v["central"], v["CBL_Q"] / v["central"]],
            [0, 0, v["CBL_Q"] / v["peripheral"], -v["CBL_Q"] / v["peripheral"]],
        ]
    )
    from scipy.linalg import expm

    start = np.array([float(result.data["asked"].sum()), 0, 0, 0])
    linear = np.array([(expm(matrix * t) @ start)[2] for t in times])
    # what saturates (reuptake at most CBL_Tm, capture of about 3 nmol) is below 2 % of a 37-umol dose
    np.testing.assert_allclose(result["cbl_free"], linear, rtol=0.02)


def test_a_large_depot_empties_more_slowly(model):
    """Integral of dA/dt = -k A / (1 + A / K): ln(A0 / A) + (A0 - A) / K = k t."""
    times = np.linspace(0, 3, 13)
    k, capacity = model.values["IM_ka"], model.values["IM_K"]
    result = mb.simulate(model, "50 mg im", 3, times=times, outputs=["depot_im"], **TIGHT)
    dose, left = float(result.data["asked"].sum()), result["depot_im"]
    np.testing.assert_allclose(np.log(dose / left) + (dose - left) / capacity, k * times, rtol=1e-6, atol=1e-9)


def test_doses_superpose_in_the_linear_range(model):
    model = replace(model, changed={"IM_K": 1e12})
    times = np.linspace(0, 24, 49)
    options = {"times": times, "outputs": ["cbl_free"], **TIGHT}
    one = mb.simulate(model, "25 mg im", 24, **options)["cbl_free"]
    two = mb.simulate(model, "50 mg im", 24, **options)["cbl_free"]
    early = times <= 8
    np.testing.assert_allclose(
        two[early] / one[early].where(one[early] > 0), np.where(times[early] > 0, 2.0, 1.0), rtol=0.02
    )


def test_the_score_map_equals_the_rule_in_the_model(model):
    system = equations(model)
    units = np.linspace(0.05, 1, 40)
    x, p = system.vectors(model.values)
    from_model = []
    for n in units:
        x[system.states.index("motor_units")] = n
        from_model.append(system.derived(x.tolist(), p.tolist())[list(system.expanded).index("alsfrs_r")])
    gamma, n50 = model.values["MN_gamma"], model.values["MN_n50"]
    np.testing.assert_allclose(alsfrs_r(units, gamma, n50), from_model, rtol=1e-12)
    np.testing.assert_allclose(motor_units(alsfrs_r(units, gamma, n50), gamma, n50), units, rtol=1e-10)


def test_untreated_decline_is_the_d50_logistic(model):
    """At a constant loss rate: 48 (1 + n50^g) / (1 + exp((t - D50) / dx)), D50 = ln(1/n50)/k, dx = 1/(g k)."""
    patient = model.with_values(MN_k=8e-5, motor_units=1.0)
    times = np.linspace(0, 20_000, 41)
    result = mb.simulate(patient, None, 20_000, times=times, outputs=["alsfrs_r"], **TIGHT)
    gamma, n50, k = patient.values["MN_gamma"], patient.values["MN_n50"], 8e-5
    d50, dx = np.log(1 / n50) / k, 1 / (gamma * k)
    np.testing.assert_allclose(result["alsfrs_r"], 48 * (1 + n50**gamma) / (1 + np.exp((times - d50) / dx)), rtol=1e-7)


def test_methionine_synthase_half_saturates_at_its_michaelis_constant(model):
    system = equations(model)
    x, p = system.vectors(model.values)
    index = list(system.expanded).index("MS_liver")

    def flux(level):
        x[system.states.index("hcy_liver")] = level
        return system.derived(x.tolist(), p.tolist())[index]

    assert flux(model.values["MS_liver_Km_hcy"]) / flux(1e9) == pytest.approx(0.5, rel=1e-6)


def test_half_life_area_and_peak_of_an_exponential_are_exact():
    t = np.concatenate([np.linspace(0, 1, 5), np.linspace(2, 40, 20)])
    curve = xr.DataArray(5 * np.exp(-0.3 * t), dims="time", coords={"time": t})
    assert half_life(curve, 2, 40) == pytest.approx(np.log(2) / 0.3)
    assert area(curve) == pytest.approx(5 / 0.3 * (1 - np.exp(-12)))
    assert (peak(curve), time_of_peak(curve)) == (5, 0)


def test_an_infusion_delivers_its_amount_at_constant_rate(model):
    result = mb.simulate(model, "5 mg iv over 2 h", 3, outputs=["CBL_INFUSION"], times=[0, 1, 1.99, 2.01, 3])
    amount = float(result.data["asked"].sum())
    np.testing.assert_allclose(result["CBL_INFUSION"], [amount / 2, amount / 2, amount / 2, 0, 0])


def test_nitrous_oxide_inactivates_methionine_synthase_at_the_stated_rate(model):
    """Where folate makes no difference (a half-saturation far above it) inactivation is of first order."""
    inspired = 0.6
    regimen = mb.Regimen().expose("N2O_inspired", inspired, "0 h", "4 h")
    plain = replace(model, changed={"MS_tissue_Km_thf5m": 1e9})
    result = mb.simulate(plain, regimen, 100, outputs=["ms_active"], times=[0, 4, 28, 100], **TIGHT)
    v = model.values
    r, o = v["MS_reactivation_k"], v["MS_oxidation_k"] + v["N2O_inactivation_k"] * inspired
    start = v["MS_reactivation_k"] / (v["MS_reactivation_k"] + v["MS_oxidation_k"])
    end = r / (r + o) + (start - r / (r + o)) * np.exp(-(r + o) * 4)
    assert float(result["ms_active"][1]) == pytest.approx(end, rel=1e-6)


def test_folate_slows_the_inactivation_and_homocysteine_rises(model):
    regimen = mb.Regimen().expose("N2O_inspired", 0.6, "0 h", "4 h")
    options = {"outputs": ["ms_active", "hcy_plasma"], "times": [0, 4, 28]}
    usual = mb.simulate(model, regimen, 28, **options)
    rich = mb.simulate(model.with_values(FOLATE_DIET_rate=0.06), regimen, 28, **options)
    assert float(usual["hcy_plasma"][2]) > float(usual["hcy_plasma"][0])
    assert float(rich["ms_active"][1]) > float(usual["ms_active"][1])
