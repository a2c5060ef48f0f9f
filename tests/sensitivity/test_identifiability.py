"""Identifiability: known structures get the known verdict, and the example of n50 is exact."""

from __future__ import annotations

import numpy as np
import pytest
import sympy as sp

import metabolism as mb
from metabolism.errors import InvalidValue, SolverFailed, UnknownName
from metabolism.fit import profile
from metabolism.sensitivity.fisher import expected_information, information
from metabolism.sensitivity.identifiability import IDENTIFIED, NOT, WEAKLY, Structure, disease, pharmacokinetics

t = sp.Symbol("t")


def structure(rates, outputs, initial, parameters):
    return Structure(
        "example", *({k: sp.sympify(v) for k, v in d.items()} for d in (rates, outputs, initial)), parameters
    )


class TestStructural:
    def test_only_the_sum_of_two_losses_can_be_seen(self):
        found = structure({"x": "-(a + b) * x"}, {"y": "x"}, {"x": 1}, {"a": 0.3, "b": 0.7}).verdicts()
        assert found.rank == 1
        assert found.verdicts == (NOT, NOT)
        # the direction keeps a + b
        (direction,) = found.directions
        assert direction[0] * direction[1] < 0

    def test_dose_over_volume_hides_bioavailability(self):
        rates = {"gut": "-ka * gut", "x": "ka * F * gut / V - CL / V * x"}
        one = structure(rates, {"y": "x"}, {"gut": 10, "x": 0}, {"ka": 1.1, "F": 0.6, "V": 20.0, "CL": 3.0}).verdicts()
        assert dict(zip(one.parameters, one.verdicts, strict=True)) == {"ka": IDENTIFIED, "F": NOT, "V": NOT, "CL": NOT}
        iv = structure(rates, {"y": "x"}, {"gut": 0, "x": "10 / V"}, {"V": 20.0, "CL": 3.0, "ka": 1.1, "F": 0.6})
        both = structure(rates, {"y": "x"}, {"gut": 10, "x": 0}, {"ka": 1.1, "F": 0.6, "V": 20.0, "CL": 3.0})
        assert set(both.beside(iv, "oral and intravenous").verdicts().verdicts) == {IDENTIFIED}

    def test_saturation_and_exponentials_are_followed_exactly(self):
        rates = {"x": "-Vmax * x / (Km + x)"}
        found = structure(rates, {"y": "scale * x"}, {"x": 2}, {"Vmax": 1.0, "Km": 0.5, "scale": 3.0}).verdicts()
        assert set(found.verdicts) == {IDENTIFIED}
        free = structure(rates, {"y": "scale * x"}, {"x": "x0"}, {"Vmax": 1.0, "Km": 0.5, "scale": 3.0, "x0": 2.0})
        assert set(free.verdicts().verdicts) == {NOT}
        growth = structure({"x": "exp(-r) * x"}, {"y": "x**h"}, {"x": 2}, {"r": 0.5, "h": 1.5}).verdicts()
        assert set(growth.verdicts) == {IDENTIFIED}

    def test_derivatives_are_those_of_the_closed_form(self):
        import mpmath

        with mpmath.workdps(50):
            part = structure(
                {"x": "-k * x"},
                {"y": "48 * (1 + n**g) / (1 + (n / x)**g)"},
                {"x": 0.5},
                {"k": 0.1, "g": 2.3, "n": 0.25},
            )
            found = part._derivatives([mpmath.mpf("0.1"), mpmath.mpf("2.3"), mpmath.mpf("0.25")], 4)
            y = 48 * (1 + sp.Rational(1, 4) ** sp.Rational(23, 10)) / (1 + (sp.exp(t / 10) / 2) ** sp.Rational(23, 10))
            exact = [sp.diff(y, t, k).subs(t, 0).evalf(30) / sp.factorial(k) for k in range(5)]
        assert [float(a) for a in found] == pytest.approx([float(b) for b in exact], rel=1e-12)

    def test_nonsense_is_refused(self, model):
        with pytest.raises(InvalidValue, match="needs parameters"):
            structure({"x": "-x"}, {"y": "x"}, {"x": 1}, {}).verdicts()
        with pytest.raises(InvalidValue, match="'a' is 0"):
            structure({"x": "-a*x"}, {"y": "x"}, {"x": 1}, {"a": 0.0}).verdicts()
        with pytest.raises(UnknownName, match="MN_gamma"):
            Structure.from_model(model, "", states=["motor_units"], outputs=["alsfrs_r"], parameters=["MN_gama"])


@pytest.fixture(scope="module")
def found(model):
    return {s.title: dict(zip(s.parameters, s.verdicts, strict=True)) for s in disease(model)}


class TestDisease:
    def test_scores_alone_leave_one_direction_open_and_counts_close_it(self, found):
        scores = found["ALSFRS-R, untreated"]
        assert len(scores) == 4
        assert set(scores.values()) == {NOT}
        counts = found["ALSFRS-R and motor-unit count, untreated"]
        assert set(counts.values()) == {IDENTIFIED}

    def test_one_dose_cannot_part_maximum_from_potency_and_two_can(self, found):
        one, two = found["ALSFRS-R, placebo and one dose"], found["ALSFRS-R, placebo and two doses"]
        assert (one["MN_Emax"], one["MN_EC50"]) == (NOT, NOT)
        assert (two["MN_Emax"], two["MN_EC50"]) == (IDENTIFIED, IDENTIFIED)
        paths = found["ALSFRS-R, placebo and one dose that also lowers homocysteine"]
        assert (paths["MN_Emax"], paths["MN_beta_hcy"]) == (NOT, NOT)

    def test_rescaled_parameters_give_identical_scores_in_the_full_model(self, model):
        patient = model.with_set("als_patient")
        p = patient.values
        runs = []
        for c in (0.6, 1.0, 1.8):
            twin = patient.with_values(
                MN_gamma=p["MN_gamma"] * c,
                MN_k=p["MN_k"] / c,
                MN_n50=p["MN_n50"] ** (1 / c),
                motor_units=p["motor_units"] ** (1 / c),
            )
            runs.append(mb.simulate(twin, None, "26 weeks", outputs=["alsfrs_r", "motor_units"], rtol=1e-10))
        for other in (runs[0], runs[2]):
            np.testing.assert_allclose(other["alsfrs_r"], runs[1]["alsfrs_r"], rtol=1e-8)
            assert abs(float(other["motor_units"][-1] / runs[1]["motor_units"][-1]) - 1) > 0.1

    def test_urine_parts_the_two_clearances(self, model):
        plasma, urine = (dict(zip(s.parameters, s.verdicts, strict=True)) for s in pharmacokinetics(model))
        assert [k for k, v in plasma.items() if v == NOT] == ["CBL_CLf", "CBL_CLns"]
        assert set(urine.values()) == {IDENTIFIED}


class TestPractical:
    def test_information_of_a_straight_line_is_the_textbook_one(self):
        x = np.linspace(0, 1, 11)
        found = information(np.column_stack([np.ones_like(x), x]) / 0.1, ["a", "b"])
        covariance = 0.01 * np.linalg.inv([[len(x), x.sum()], [x.sum(), (x**2).sum()]])
        np.testing.assert_allclose(found.standard_errors, np.sqrt(np.diag(covariance)), rtol=1e-10)
        assert found.rank == 2
        assert set(found.frame()["verdict"]) == {IDENTIFIED}

    def test_a_blind_direction_and_a_weak_one_are_named(self):
        found = information(np.array([[1.0, 1.0, 0.0], [2.0, 2.0, 0.0], [0.0, 0.0, 1.0]]), ["a", "b", "c"])
        assert found.rank == 2
        assert list(found.frame()["verdict"]) == [NOT, NOT, WEAKLY]

    def test_wrong_jacobians_are_refused(self):
        with pytest.raises(InvalidValue, match="shape"):
            information(np.ones((3, 2)), ["a"])
        with pytest.raises(InvalidValue, match="finite"):
            information(np.array([[np.nan]]), ["a"])
        with pytest.raises(InvalidValue, match="above 0"):
            expected_information(mb.load(), ["MN_k"], {"alsfrs_r": ([24.0], 0.0)})

    def test_scores_of_the_coupled_model_inform_two_of_three_and_counts_the_third(self, model):
        patient = model.with_set("als_patient")
        weeks = np.arange(0, 105, 13) * 168.0
        names = ["MN_k", "MN_gamma", "MN_n50"]
        alone = expected_information(patient.with_values(motor_units=1.0), names, {"alsfrs_r": (weeks, 1.0)})
        assert alone.rank == 2
        both = expected_information(
            patient.with_values(motor_units=1.0), names, {"alsfrs_r": (weeks, 1.0), "motor_units": (weeks, 0.03)}
        )
        assert both.rank == 3

    def test_a_profile_finds_the_interval_of_a_known_problem(self):
        # ln a is normal with standard deviation 0.2
        found = profile(
            lambda p: (np.log(p) - np.log([3.0, 2.0])) / [0.2, 0.1],
            [3.0, 2.0],
            ["a", "b"],
            "a",
            low=[0.5, 0.5],
            high=[20, 20],
            points=20,
        )
        assert found.verdict == "identified"
        np.testing.assert_allclose(found.rise, (np.log(found.values / 3) / 0.2) ** 2, atol=1e-6)

    def test_profiles_are_flat_or_one_sided_where_data_are_blind(self):
        tau = np.linspace(0, 3, 12)

        def product(p):
            return (p[0] * p[1] * np.exp(-tau) - 2 * np.exp(-tau)) / 0.05

        flat = profile(product, [1.0, 2.0], ["a", "b"], "a", low=[0.1, 0.01], high=[10, 100])
        assert flat.verdict == "not identified"
        assert flat.rise.max() < 1e-8

        def saturated(p):
            return (1 / (1 + 0.01 / p) - 1) / 0.02

        assert profile(saturated, [2.0], ["k"], "k", low=[1e-3], high=[100.0]).verdict == "one-sided: lower bound"

    def test_a_fit_that_was_no_minimum_is_said_to_be_none(self):
        with pytest.raises(SolverFailed, match="no minimum"):
            profile(lambda p: np.log(p) / 0.1, [2.0], ["a"], "a", low=[0.5], high=[4.0])
        with pytest.raises(InvalidValue, match="bounds"):
            profile(lambda p: p, [2.0], ["a"], "a", low=[3.0], high=[4.0])
        with pytest.raises(UnknownName):
            profile(lambda p: p, [2.0], ["a"], "b", low=[1.0], high=[4.0])
