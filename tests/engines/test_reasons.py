"""What is said of a member that was given up: the reason that is there, and advice that would help."""

import numpy as np
import pytest

from metabolism.engines import foreign, load_foreign
from metabolism.engines.foreign import course, judge, run_one, typical
from metabolism.errors import ModelError, SolverFailed
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


#: A pathogen that grows with its square until cells hold it (Crauste 2017, doi:10.1016/j.cels.2017.02.014): what is off
#: before its peak is 7e4 times as much beside it, for every solver.
GROWING = (
    "N = 8090; E = 0; L = 0; P = 1; N' = -0.0119307857579241*N*P - 0.739907308603256*N;"
    "L' = 0.51794597529254*E - 8.11520135326853e-6*L^2 - 0.0225806365892933*L - 1e-10*E*L;"
    "E' = 0.0119307857579241*N*P + 0.507415703707752*E*P - 0.51794597529254*E - 3.91359322673521e-5*E^2;"
    "P' = 0.126382288121756*P^2 - 3.6340308186265e-5*L*P - 1.36571832778378e-10*E*P - 1e-5*P;"
)


def test_where_errors_grow_both_are_tightened_until_they_agree_and_the_user_is_told(tmp_path):
    """At 1e-8 both are off, libRoadRunner by 3e-2 and the fast engine by 7e-4 (DOP853 at 1e-12 and 1e-13, Radau)."""
    path = tmp_path / "growing.xml"
    path.write_text(model(GROWING))
    found = load_foreign(path, 25.0)
    assert found.agreement < foreign.AGREEMENT
    assert found.sensitive
    assert "errors grow along its course: rtol=1e-06" in found.remarks[-1]
    # with what it is told the user is within what the comparison asks for
    enough = float(found.remarks[-1].rpartition("rtol=")[2])
    names, times = ("P",), np.linspace(8.0, 12.0, 9)
    equations, times = found.equations, np.concatenate([[0.0], times])
    start = start_values(equations)
    told, tight = (run_one(equations, *start, times, 12.0, names, r, found.scale).values for r in (enough, 1e-11))
    assert np.abs(told - tight).max() < 3 * foreign.AGREEMENT * tight.max()


def test_a_steady_course_is_compared_once_and_nothing_more_is_said():
    equations = general_equations(model("x = 1; x' = -x;"))
    found, asked = course(equations, 5.0), []
    judged = judge(found, lambda rtol: asked.append(rtol) or {"values": found["values"]})
    assert asked == [1e-8]
    assert not judged.sensitive
    assert judged.remarks[-1] == "agrees with libRoadRunner to 0.0e+00"


def test_a_referee_that_cannot_be_tightened_still_refuses():
    found = course(general_equations(model("x = 1; x' = -x;")), 5.0)
    wrong = {"values": [[2.0 * v for v in row] for row in found["values"]]}
    with pytest.raises(ModelError, match="disagree on 'x'"):
        judge(found, lambda rtol: wrong if rtol == 1e-8 else {"error": "no step"})
