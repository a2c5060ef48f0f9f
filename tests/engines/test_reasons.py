"""What is said of a member that was given up: the reason that is there, and advice that would help."""

import numpy as np
import pytest

from metabolism.engines import foreign
from metabolism.engines.foreign import run_one, typical
from metabolism.errors import SolverFailed
from metabolism.sbml import general_equations, start_values
from tests.sbml.documents import model


def failure(text, until=5.0):
    equations = general_equations(model(text))
    with pytest.raises(SolverFailed) as caught:
        run_one(equations, *start_values(equations), np.array([0.0]), until, equations.states, 1e-6, np.ones(2))
    return caught.value


@pytest.mark.parametrize(
    ("rates", "formula"),
    [
        ("x' = -1; y' = x^0.5;", "x^0.5"),
        ("x' = -1; y' = ln(x);", "log(x)"),
        ("x' = -1; y' = arccos(1 - x) + y;", "acos(1 - x)"),
        ("x' = -1; y' = piecewise(1, y < -9, sqrt(x));", "sqrt(x)"),
    ],
)
def test_a_formula_that_loses_its_value_is_named(rates, formula):
    found = failure(f"x = 1; y = 1; {rates}")
    assert f"'{formula}' is not a number" in str(found)
    assert "looser rtol" not in str(found)
    assert not found.lasting


def test_what_a_piecewise_does_not_choose_needs_no_value():
    """An explosion beside the square root of what is negative, which is not asked for."""
    found = failure("x = 1; y = -1; x' = x^2 + piecewise(0, y < 0, sqrt(y)); y' = 0;")
    assert "no step is small enough" in str(found)
    assert found.time == pytest.approx(1.0, abs=1e-3)


def test_events_beyond_count_are_said_to_be_so_and_not_tried_again(monkeypatch):
    """A sawtooth of a million teeth: no tolerance makes them fewer."""
    equations = general_equations(model("x = 0; n = 0; x' = 1; E: at x >= 1e-4: x = 0, n = n + 1;"))
    tried = []

    def counted(*arguments, **more):
        tried.append(arguments)
        return run_one(*arguments, **more)

    monkeypatch.setattr(foreign, "run_one", counted)
    with pytest.raises(SolverFailed, match=r"turned \d+ times, and go on\); try a shorter course") as caught:
        typical(equations, *start_values(equations), 0.0, 100.0)
    assert caught.value.lasting
    assert len(tried) == 1
