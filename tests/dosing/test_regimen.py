"""Regimens: reading, printing, arithmetic, and the rules of docs/event_semantics.md."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metabolism.dosing.events import Dose
from metabolism.dosing.formulary import substances
from metabolism.dosing.regimen import Regimen, plan
from metabolism.errors import InvalidRegimen, InvalidValue, UnitMismatch, UnknownName

MECBL = 1000 / 1344.38  # umol per mg


def test_the_jetals_regimen_is_thirty_two_doses_over_sixteen_weeks():
    regimen = Regimen.parse("50 mg im every 3.5 d x 32")
    assert len(regimen.doses) == 32
    assert regimen.doses[0] == Dose(0.0, regimen.doses[0].amount, "methylcobalamin", "im")
    assert regimen.doses[0].amount == pytest.approx(50 * MECBL)
    assert regimen.last_time == 31 * 84
    assert regimen.doses[-1].time == 31 * 84
    assert regimen.total("mecobalamin") == pytest.approx(1600 * MECBL)


@pytest.mark.parametrize(
    ("text", "count", "last", "substance", "route"),
    [
        ("0.5 mg iv", 1, 0, "methylcobalamin", "iv"),
        ("400 ug folic acid oral daily x 84", 84, 83 * 24, "folic acid", "oral"),
        ("50 mg IM twice weekly x 32", 32, 31 * 84, "methylcobalamin", "im"),
        ("1 mg hydroxocobalamin intramuscular weekly x 8 from 2 weeks", 8, 336 + 7 * 168, "hydroxocobalamin", "im"),
        ("3 g betaine by mouth q12h x 4", 4, 36, "betaine", "oral"),
        ("100 nmol cyanocobalamin sc", 1, 0, "cyanocobalamin", "sc"),
        ("5 mg iv over 2 h", 1, 0, "methylcobalamin", "iv"),
        ("7 g l-methionine po", 1, 0, "methionine", "oral"),
        ("50mg im every 3.5d x32", 32, 31 * 84, "methylcobalamin", "im"),
        ("5 mg iv over 2h every 24h x 3 from 1d", 3, 72, "methylcobalamin", "iv"),
        ("50 mg im twice  weekly x 2", 2, 84, "methylcobalamin", "im"),
    ],
)
def test_regimens_are_read(text, count, last, substance, route):
    regimen = Regimen.parse(text)
    assert (len(regimen.doses), regimen.doses[-1].time) == (count, last)
    assert (regimen.doses[0].substance, regimen.doses[0].route) == (substance, route)


@pytest.mark.parametrize(
    ("text", "error", "words"),
    [
        ("", InvalidRegimen, "empty"),
        ("fifty mg im", InvalidRegimen, "cannot read 'fifty mg im'"),
        ("50 mg", InvalidRegimen, "write e.g. '50 mg im every 3.5 d x 32'"),
        ("-50 mg im", InvalidRegimen, "negative"),
        ("0 mg im", InvalidRegimen, "no dose"),
        ("nan mg im", InvalidRegimen, "finite"),
        ("50 L im", UnitMismatch, "mass"),
        ("50 quux im", UnitMismatch, "quux"),
        ("50 mg im every 3.5 d", InvalidRegimen, "how often"),
        ("50 mg im x 3", InvalidRegimen, "how far apart"),
        ("50 mg im every 3.5 d x 2.5", InvalidRegimen, "whole number"),
        ("50 mg im every 0 h x 3", InvalidRegimen, "interval"),
        ("50 mg im every 3 kg x 3", UnitMismatch, "interval"),
        ("50 mg methylcobalamine im", UnknownName, "Did you mean 'methylcobalamin'"),
        ("50 mg folic acid im", InvalidRegimen, "routes are oral"),
        ("50 mg oral", InvalidRegimen, "which substance"),
        ("50 mg im daily x 3 please", InvalidRegimen, "cannot read 'please'"),
        ("50 mg im over 2 h", InvalidRegimen, "infused"),
        ("50 mg im every 3.5 x 32", InvalidRegimen, "cannot read the interval 'every 3.5 x 32'"),
        ("50 mg im every x", InvalidRegimen, "cannot read the interval 'every x'"),
        ("50 mg im x 3 every 2 d", InvalidRegimen, "the order is over, every, x, from"),
        ("50 mg im every -3 h x 2", InvalidRegimen, "interval between doses must be above 0"),
        ("50 mg im daily x 0", InvalidRegimen, "1 to 100000 times"),
        ("50 mg im daily x 100001", InvalidRegimen, "1 to 100000 times"),
        ("50 mg im from -3 h", InvalidRegimen, "start of a dose must be finite and not negative"),
        ("5 mg iv over -2 h", InvalidRegimen, "duration of a dose must be finite and not negative"),
        ("50 mg im +", InvalidRegimen, "no dose beside it"),
        ("50 mg im ;; 0.5 mg iv", InvalidRegimen, "no dose beside it"),
    ],
)
def test_a_bad_regimen_says_what_is_wrong(text, error, words):
    with pytest.raises(error, match=words.replace("(", r"\(")):
        Regimen.parse(text)


@pytest.mark.parametrize("joint", [" + ", "+", " +", "; ", ";"])
def test_parts_may_be_joined_with_or_without_spaces(joint):
    regimen = Regimen.parse(f"50 mg im{joint}0.8 mg folic acid oral")
    assert [d.substance for d in regimen.doses] == ["folic acid", "methylcobalamin"]


@pytest.mark.parametrize(
    ("values", "error", "words"),
    [
        ((0.0, -5.0, "methylcobalamin", "im"), InvalidRegimen, "above 0 umol, not -5.0"),
        ((0.0, 0.0, "methylcobalamin", "im"), InvalidRegimen, "above 0 umol, not 0.0"),
        ((0.0, math.nan, "methylcobalamin", "im"), InvalidRegimen, "above 0 umol, not nan"),
        ((math.nan, 5.0, "methylcobalamin", "im"), InvalidRegimen, "start of a dose .* not nan h"),
        ((0.0, 5.0, "methylcobalamin", "iv", math.inf), InvalidRegimen, "duration of a dose .* not inf h"),
        ((0.0, 5.0, "methylcobalamin", "rectal"), InvalidRegimen, "cannot be given 'rectal'"),
        ((0.0, 5.0, "methylcobalamin", "im", 2.0), InvalidRegimen, "5 mg iv over 2 h"),
        ((0.0, 5.0, "folic acyd", "oral"), UnknownName, "Did you mean 'folic acid'"),
    ],
)
def test_a_dose_made_by_hand_obeys_the_same_rules(values, error, words):
    with pytest.raises(error, match=words):
        Dose(*values)


def test_a_dose_given_by_an_alias_counts_under_the_proper_name():
    assert Regimen((Dose(0.0, 5.0, "mecbl", "im"),)).total("methylcobalamin") == 5.0


@pytest.mark.parametrize("count", [2.0, "2", 0, -1, 100_001])
def test_a_count_is_a_whole_number_from_one_to_a_hundred_thousand(count):
    with pytest.raises(InvalidRegimen, match="1 to 100000 times"):
        Regimen.of(1.0, every=24.0, count=count)


@given(
    st.lists(
        st.tuples(
            st.floats(0.001, 1e4),
            st.sampled_from(["methylcobalamin im", "folic acid oral", "cyanocobalamin iv", "hydroxocobalamin sc"]),
            st.floats(0.01, 1000),
            st.integers(1, 40),
            st.floats(0, 5000),
            st.floats(0.01, 1e17),
        ),
        min_size=1,
        max_size=4,
    )
)
def test_a_printed_regimen_reads_back_the_same(parts):
    regimen = Regimen()
    for amount, what, gap, count, start, duration in parts:
        name, route = what.rsplit(" ", 1)
        infused = duration if route == "iv" else 0.0
        regimen += Regimen.of(amount, name, route, every=gap, count=count, start=start, duration=infused)
    assert Regimen.parse(str(regimen)) == regimen


def test_doses_can_be_added_delayed_missed_and_cut():
    regimen = Regimen.parse("50 mg im weekly x 4")
    assert len((regimen + regimen.delayed("2 d")).doses) == 8
    assert [d.time for d in regimen.delayed("1 week").doses] == [168, 336, 504, 672]
    with pytest.raises(InvalidRegimen, match="before time 0"):
        Regimen().expose("GFR_rel", 0.5, "1 d").delayed("-2 d")
    assert [d.time for d in regimen.missing([2, 4]).doses] == [0, 336]
    assert [d.time for d in regimen.until("2 weeks").doses] == [0, 168]
    assert regimen.missed(0.0, seed=1) == regimen
    assert regimen.missed(1.0, seed=1).doses == ()
    assert regimen.missed(0.5, seed=1) == regimen.missed(0.5, seed=1)
    with pytest.raises(InvalidRegimen, match="no dose number 5"):
        regimen.missing([5])
    with pytest.raises(InvalidValue, match="probability"):
        regimen.missed(1.5, seed=1)


def test_doses_at_one_time_are_summed():
    steps = plan(Regimen.parse("50 mg im + 30 mg im + 0.5 mg im"), 0, 24)
    assert steps.boluses == ((0.0, "depot_im", pytest.approx(80.5 * MECBL)),)


@pytest.mark.parametrize("text", ["50 mg im from 24 h", "50 mg im weekly x 3", "5 mg iv over 30 h"])
def test_a_dose_outside_the_run_is_refused(text):
    with pytest.raises(InvalidRegimen, match=r"outside the run of 0 to 24 h; run longer"):
        plan(Regimen.parse(text), 0, 24)


def test_overlapping_infusions_add_up_and_end_at_exactly_nothing():
    steps = plan(Regimen.of(10.0, route="iv", duration=2) + Regimen.of(9.0, route="iv", duration=3, start=1), 0, 24)
    assert steps.settings == (
        (0.0, "CBL_infusion", 5.0),
        (1.0, "CBL_infusion", 8.0),
        (2.0, "CBL_infusion", pytest.approx(3.0)),
        (4.0, "CBL_infusion", None),
    )
    assert steps.asked == {"cbl_free": 19.0}


@pytest.mark.parametrize("name", ["methylcobalamin", "cyanocobalamin", "hydroxocobalamin"])
@pytest.mark.parametrize("route", ["im", "sc"])
def test_muscle_skin_and_hydroxocobalamin_have_depots_of_their_own(name, route):
    target = "depot_oh" if name == "hydroxocobalamin" else f"depot_{route}"
    for amount in ("0.5 mg", "50 mg"):
        assert plan(Regimen.of(amount, name, route), 0, 24).boluses[0][1] == target


@given(st.lists(st.tuples(st.floats(0.01, 100), st.floats(0, 50), st.floats(0.1, 50)), min_size=1, max_size=8))
def test_the_infusion_rate_held_over_time_delivers_what_was_asked(infusions):
    regimen = Regimen(
        tuple(Dose(start, amount, "methylcobalamin", "iv", length) for amount, start, length in infusions)
    )
    steps = plan(regimen, 0, 200)
    held = [(time, value or 0.0) for time, _, value in steps.settings]
    area = math.fsum(rate * (later - time) for (time, rate), (later, _) in pairwise(held))
    assert area == pytest.approx(steps.asked["cbl_free"], rel=1e-9)
    assert steps.settings[-1] == (regimen.last_time, "CBL_infusion", None)
    assert regimen.last_time in steps.boundaries


def test_an_exposure_outside_the_run_is_refused():
    with pytest.raises(InvalidRegimen, match=r"exposure of GFR_rel at 50 h is outside the run .* run longer"):
        plan(Regimen().expose("GFR_rel", 0.5, 50, 1), 0, 24)


def test_exposures_hold_a_parameter_and_give_it_back():
    steps = plan(Regimen().expose("GFR_rel", 0.5, "1 d", "2 d").expose("GFR_rel", 0.7, "3 d", math.inf), 0, 200)
    assert steps.settings == ((24.0, "GFR_rel", 0.5), (72.0, "GFR_rel", 0.7))
    with pytest.raises(InvalidRegimen, match="same time"):
        plan(Regimen().expose("GFR_rel", 0.5, 0, 10).expose("GFR_rel", 0.7, 5, 10), 0, 24)
    with pytest.raises(InvalidValue, match="not possible"):
        Regimen().expose("GFR_rel", -1, 0)


def test_every_substance_has_its_own_molar_mass():
    masses = {s.name: s.molar_mass for s in substances().values()}
    assert masses["methylcobalamin"] == 1344.38
    assert len({masses["methylcobalamin"], masses["cyanocobalamin"], masses["hydroxocobalamin"]}) == 3
    assert Regimen.of("1 mg", "cyanocobalamin").doses[0].amount == pytest.approx(1000 / 1355.37)
