"""Metabolic control analysis: closed forms, theorems, and finite differences of the resting state itself."""

from __future__ import annotations

import numpy as np
import pytest

import metabolism as mb
from metabolism.errors import SolverFailed, UnknownName
from metabolism.model import sbml_from_antimony
from metabolism.sbml.control import control_at
from metabolism.sbml.equations import read_equations
from metabolism.sensitivity import control

CHAIN = """model chain
compartment v = 2; species a in v, b in v; a = 1; b = 1;
IN: -> a; v * k0; MID: a -> b; v * (k1 * a - k2 * b); OUT: b -> ; v * k3 * b;
k0 = 1; k1 = 2; k2 = 1; k3 = 4;
end"""
CYCLE = """model cycle
compartment v = 2; species a in v, b in v; a = 2; b = 1;
F: a -> b; v * k1 * a; G: b -> a; v * k2 * b;
k1 = 1; k2 = 2;
end"""


def at_rest(text, x, held=()):
    system = read_equations(sbml_from_antimony(text))
    import libsbml

    document = libsbml.readSBMLFromString(system.sbml)
    content = document.getModel()
    values = {
        name: (content.getParameter(name) or content.getCompartment(name)).getValue()
        if content.getParameter(name)
        else content.getCompartment(name).getSize()
        for name in system.parameters
    }
    return control_at(
        system, np.array([x[s] for s in system.states]), np.array([values[p] for p in system.parameters]), held
    )


def test_a_linear_chain_has_its_textbook_coefficients():
    # b = k0/k3, a = (k0 + k2 b)/k1: all by hand
    found = at_rest(CHAIN, {"a": 0.625, "b": 0.25})
    order = {p: i for i, p in enumerate(found.processes)}
    want_flux = {"IN": 1.0, "MID": 0.0, "OUT": 0.0}
    for row in found.flux_control:
        assert {p: pytest.approx(row[i], abs=1e-12) for p, i in order.items()} == want_flux
    a, b = found.concentration_control
    assert b[order["OUT"]] == pytest.approx(-1)
    assert a[order["OUT"]] == pytest.approx(-0.2)
    assert a[order["MID"]] == pytest.approx(-0.8)
    response = found.response(["k0", "k1", "k2", "k3", "v"], ["a", "b", "OUT"])
    np.testing.assert_allclose(response, [[1, -1, 0.2, -0.2, 0], [1, 0, 0, -1, 0], [1, 0, 0, 0, 1]], atol=1e-12)


def test_a_conserved_moiety_is_held():
    # a + b = T: a = T k2/(k1+k2); both coefficients by hand
    found = at_rest(CYCLE, {"a": 2.0, "b": 1.0})
    assert found.link.shape == (2, 1)
    np.testing.assert_allclose(found.concentration_control, [[-1 / 3, 1 / 3], [2 / 3, -2 / 3]], atol=1e-12)
    np.testing.assert_allclose(found.flux_control, [[2 / 3, 1 / 3], [2 / 3, 1 / 3]], atol=1e-12)
    # at a fixed amount, a larger compartment dilutes both
    np.testing.assert_allclose(found.response(["v"]), [[-1], [-1]], atol=1e-12)
    assert max(found.theorems().values()) < 1e-12


@pytest.mark.parametrize("name", [None, "als_patient", "b12_deficient", "renal_impairment"])
def test_summation_and_connectivity_hold_to_a_millionth(model, name):
    found = control(model.with_set(name) if name else model)
    assert found.theorems().keys() == {
        "flux_summation",
        "concentration_summation",
        "flux_connectivity",
        "concentration_connectivity",
    }
    assert max(found.theorems().values()) < 1e-6
    assert found.flowing.sum() > 50


def test_a_state_that_does_not_rest_breaks_the_summation_theorem(model):
    # the check can fail: control coefficients of a state off its rest do not sum
    system = control(model).system
    x, p = system.vectors({**model.values, "hcy_plasma": model.values["hcy_plasma"] * 1.01})
    assert control_at(system, x, p, model.not_at_rest).theorems()["concentration_summation"] > 1e-4


def test_response_coefficients_are_the_slopes_of_the_resting_state(model):
    outputs = ["hcy_plasma", "met_plasma", "cbl_plasma", "MS_liver", "remethylation"]
    parameters = ["MET_DIET_rate", "liver", "FOLATE_DIET_rate", "MS_liver_Vmax", "GFR_rel"]
    got = control(model).response(parameters, outputs)
    for j, parameter in enumerate(parameters):
        value, h = model.values[parameter], 5e-3

        def log_outputs(factor, parameter=parameter, value=value):
            values = mb.steady_state(model.with_values({parameter: value * factor})).values
            return np.log([values[o] for o in outputs])

        wide, narrow = ((log_outputs(np.exp(s)) - log_outputs(np.exp(-s))) / (2 * s) for s in (2 * h, h))
        np.testing.assert_allclose(got[:, j], (4 * narrow - wide) / 3, atol=2e-5, err_msg=parameter)


def test_a_state_without_an_isolated_rest_is_an_error():
    text = CHAIN.replace("OUT: b -> ; v * k3 * b;", "OUT: b -> ; v * k3 * k0 / k3;")
    with pytest.raises(SolverFailed, match="singular"):
        at_rest(text.replace("v * (k1 * a - k2 * b)", "v * k1 * a"), {"a": 0.5, "b": 0.25})


def test_an_unknown_parameter_or_output_is_named(model):
    found = control(model)
    with pytest.raises(UnknownName, match="GFR_rel"):
        found.response(["GFR_re"])
    with pytest.raises(UnknownName, match="hcy_plasma"):
        found.response(["GFR_rel"], ["hcy_plasm"])
