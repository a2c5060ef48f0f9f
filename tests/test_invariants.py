"""What must hold for every regimen and every patient (Hypothesis)."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import metabolism as mb
from metabolism.model import equations

COBALAMIN = [
    "depot_im",
    "depot_sc",
    "transit_im",
    "depot_oh",
    "ohcbl",
    "cbl_stomach",
    "cbl_gut",
    "cbl_gut_oh",
    "cbl_ileum",
    "tc_receptor",
    "cbl_free",
    "cbl_peripheral",
    "holo_tc",
    "holo_hc",
    "cbl_kidney",
    "cbl_tail",
    "cbl_liver",
    "cbl_tissue",
    "cbl_urine",
    "cbl_faeces",
]
DOSES = st.tuples(
    st.sampled_from([0.1, 0.5, 4.9, 25.0, 50.0]),
    st.sampled_from(["im", "sc", "iv", "oral"]),
    st.floats(6, 100),
    st.integers(1, 4),
)


def schedule(parts):
    regimen = mb.Regimen()
    for mg, route, gap, count in parts:
        regimen += mb.Regimen.of(f"{mg} mg", "methylcobalamin", route, every=gap, count=count)
    return regimen


@settings(max_examples=25)
@given(st.lists(DOSES, min_size=1, max_size=3))
def test_cobalamin_in_equals_cobalamin_held_and_lost(parts):
    """Depots, plasma, stores, urine and faeces = start + doses + diet (CSF is a declared side branch)."""
    model, regimen = mb.load(), schedule(parts)
    result = mb.simulate(model, regimen, 500, outputs=COBALAMIN, times=[0, 250, 500], rtol=1e-10)
    system, values = equations(model), model.values
    total = sum(result[s] * (values[system.volume[s]] if s in system.volume else 1.0) for s in COBALAMIN)
    start = sum(
        mb.steady_state(model).values[s] * (values[system.volume[s]] if s in system.volume else 1.0) for s in COBALAMIN
    )
    given_ = regimen.total("methylcobalamin")
    expected = start + given_ + values["CBL_DIET_rate"] * 500
    assert float(total[-1]) == pytest.approx(expected, rel=1e-8)
    np.testing.assert_allclose(result.ledger["delivered"].sum(), given_, rtol=1e-9)


@settings(max_examples=25)
@given(st.lists(DOSES, min_size=1, max_size=3), st.sampled_from(["als_patient", "b12_deficient", "renal_impairment"]))
def test_no_state_becomes_negative_beyond_its_tolerance(parts, name):
    model = mb.load().with_set(name)
    states = list(equations(model).states)
    result = mb.simulate(model, schedule(parts), 450, outputs=states)
    for state in states:
        assert float(result[state].min()) >= -1e-7 * model.table[state].scale, state


@settings(max_examples=10)
@given(st.floats(1, 100))
def test_a_later_dose_gives_the_same_curve_later(delay):
    model = mb.load()
    grid = np.linspace(0, 100, 26)
    options = {"outputs": ["cbl_plasma", "hcy_plasma"], "rtol": 1e-10}
    now = mb.simulate(model, "25 mg im", 100, times=grid, **options)
    later = mb.simulate(model, mb.Regimen.parse("25 mg im").delayed(delay), 100 + delay, times=grid + delay, **options)
    for output in now.outputs:
        np.testing.assert_allclose(later[output].values, now[output].values, rtol=2e-6)


@settings(max_examples=20)
@given(st.floats(1e-6, 5e-4), st.floats(0.1, 1.0), st.floats(1.0, 4.0), st.floats(0.1, 0.6))
def test_alsfrs_r_stays_in_range_and_never_rises_without_treatment(k, start, gamma, n50):
    patient = mb.load().with_values(MN_k=k, motor_units=start, MN_gamma=gamma, MN_n50=n50)
    score = mb.simulate(patient, None, "2 years", outputs=["alsfrs_r"])["alsfrs_r"].values
    assert (score >= 0).all()
    assert (score <= 48 + 1e-9).all()
    assert (np.diff(score) <= 1e-9).all()


@settings(max_examples=20)
@given(st.floats(0, 1), st.floats(0, 1), st.sampled_from(["25 mg im every 3.5 d x 8", "50 mg im every 3.5 d x 8"]))
def test_treatment_speeds_up_decline_only_by_the_homocysteine_it_raises(emax, beta, regimen):
    """In the first weeks methyl-folate is used up faster than made, which can raise homocysteine by 0.5 % at most."""
    patient = mb.load().with_set("als_patient").with_values(MN_Emax=emax, MN_beta_hcy=beta)
    options = {
        "outputs": ["motor_units", "hcy_plasma"],
        "patients": {"GFR_rel": [1.0]},
        "own_baseline": {"MN_hcy_ref": "hcy_plasma"},
        "times": np.arange(0.0, 673.0, 8.0),
    }
    runs = [mb.simulate(patient, dose, **options) for dose in (regimen, None)]
    treated, untreated = (-np.log(r["motor_units"].values[0, -1] / r["motor_units"].values[0, 0]) for r in runs)
    rise = float((runs[0]["hcy_plasma"].values / runs[1]["hcy_plasma"].values).max())
    assert treated <= untreated * max(rise, 1) ** beta * (1 + 1e-9)
    assert rise < 1.005


def test_twice_the_dose_gives_twice_the_ledger_and_more_exposure():
    model = mb.load()
    low, high = (mb.simulate(model, f"{mg} mg im every 3.5 d x 4", "2 weeks") for mg in (25, 50))
    assert float(high.ledger["delivered"].sum()) == pytest.approx(2 * float(low.ledger["delivered"].sum()))
    assert mb.endpoints.area(high["cbl_free"]) > 1.9 * mb.endpoints.area(low["cbl_free"])


def test_processes_do_not_change_a_bit():
    model = mb.load()
    columns = {"GFR_rel": np.linspace(0.3, 1.2, 7)}
    one, two = (mb.simulate(model, "50 mg im", 48, patients=columns, workers=w) for w in (1, 2))
    assert one.data.drop_attrs().identical(two.data.drop_attrs())
