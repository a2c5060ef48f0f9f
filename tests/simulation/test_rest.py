"""Rest and evaluation: many points at once as one by one, and one impossible patient never ends the rest."""

from __future__ import annotations

import numpy as np
import pytest

import metabolism as mb
from metabolism.errors import SolverFailed
from metabolism.model import sbml_from_antimony
from metabolism.sbml import read_equations, rest

ZEROS = ("central", "MS_liver_Km_thf5m", "csf")


def test_evaluating_many_points_gives_the_formula_at_each():
    system = read_equations(
        sbml_from_antimony(
            "model m\ncompartment v = 2; species a in v; a = 3; k = 4; r := k * a + 1; IN: -> a; k / a; w = 5;\nend"
        )
    )
    p = np.array([[{"v": 2.0, "k": k, "w": 5.0}[n] for n in system.parameters] for k in (4.0, 10.0)])
    x = np.array([[3.0], [5.0]])
    expected = [[3, 4, 13, 4 / 3, 5], [5, 10, 51, 2, 5]]
    np.testing.assert_allclose(system.evaluate(["a", "k", "r", "IN", "w"], x, p), expected)
    # one patient over many times: the axes in front are broadcast
    np.testing.assert_allclose(system.evaluate(["r"], x, p[0])[:, 0], [13, 21])
    assert np.isnan(system.evaluate(["w"], np.array([[np.nan]]), p[:1])[0, 0])
    assert np.isinf(system.evaluate(["IN"], np.zeros((1, 1)), p[:1])[0, 0])


def test_rest_of_a_chain_is_its_closed_form():
    system = read_equations(
        sbml_from_antimony(
            "model c\ncompartment v = 1; species a in v, b in v; a = 0; b = 7; F: -> a; v * k; G: a -> b; v * m * a; "
            "H: b -> ; v * n * b; k = 5; m = 2; n = 4;\nend"
        )
    )
    x, p = system.vectors({"a": 0.0, "b": 7.0, "v": 1.0, "k": 5.0, "m": 2.0, "n": 4.0})
    found, residual, _ = rest(system, x, p, np.ones(2), ())
    np.testing.assert_allclose(found, [2.5, 1.25], rtol=1e-9)
    assert residual < 1e-9


@pytest.mark.parametrize("name", ZEROS)
def test_a_value_of_zero_that_the_model_divides_by_is_named(model, name):
    with pytest.raises(SolverFailed, match=rf"divides by .*{name} = 0|no resting state"):
        mb.simulate(model.with_values({name: 0.0}), None, 24)


@pytest.mark.parametrize("name", ZEROS)
def test_one_impossible_patient_fails_alone(model, name):
    patients = {name: [0.0, model.values[name]]}
    both = mb.simulate(model, "1 mg im", 24, outputs=["hcy_plasma"], patients=patients, times=[24])
    alone = mb.simulate(model, "1 mg im", 24, outputs=["hcy_plasma"], patients={name: patients[name][1:]}, times=[24])
    assert list(both.failures) == [0]
    assert np.isnan(both["hcy_plasma"].values[0]).all()
    np.testing.assert_array_equal(both["hcy_plasma"].values[1], alone["hcy_plasma"].values[0])
    frame = mb.steady_states(model, patients)
    assert list(frame["failed"]) == [True, False]
