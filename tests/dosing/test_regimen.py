"""Regimens: reading, printing, arithmetic, and the rules of docs/event_semantics.md."""

from __future__ import annotations

import math
import re
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from metabolism.data import models_dir
from metabolism.dosing.events import Dose
from metabolism.dosing.formulary import substances
from metabolism.dosing.regimen import Regimen
from metabolism.dosing.schedule import plan
from metabolism.errors import InvalidRegimen, InvalidValue, MetabolismError, UnitMismatch, UnknownName
from metabolism.tables import read_table

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
        ("1e99 mg im", InvalidRegimen, "more than anybody can be given"),
        ("1.1 kg folic acid oral", InvalidRegimen, "a dose of 1.1 kg folic acid"),
        ("50 L im", UnitMismatch, "mass"),
        ("50 quux im", UnitMismatch, "quux"),
        ("50 mg im x 3", InvalidRegimen, "how far apart"),
        ("50 mg im every 3.5 d x 2.5", InvalidRegimen, "whole number"),
        ("50 mg im every 0 h x 3", InvalidRegimen, "interval"),
        ("50 mg im every 3 kg x 3", UnitMismatch, "interval"),
        ("50 mg methylcobalamine im", UnknownName, "Did you mean 'methylcobalamin'"),
        ("50 mg folic acid im", InvalidRegimen, "routes are oral"),
        ("50 mg oral", InvalidRegimen, "which substance"),
        ("50 mg im daily x 3 please", InvalidRegimen, "cannot read 'please'"),
        ("50 mg im over 2 h", InvalidRegimen, "infused"),
        ("50 mg im every 3.5 x 32", UnitMismatch, "interval = '3.5' has no unit; write '3.5 h', '3.5 d'"),
        ("50 mg im every x", InvalidRegimen, "'every' in '50 mg im every x' is not followed by an interval"),
        ("50 mg im daily x 3 x 4", InvalidRegimen, "says 'x' twice"),
        ("50 mg im daily x 3 for 3 d", InvalidRegimen, "keep one of 'x' and 'for'"),
        ("50 mg im for 3 d", InvalidRegimen, "how far apart"),
        ("50 mg im lifelong", InvalidRegimen, "cannot go on for life"),
        ("50 mg im at 0, 3.5 d x 2", InvalidRegimen, "lists its times"),
        ("50 mg im at 0,8 d", InvalidValue, "write '0.8 d'"),
        ("50 mg im daily until 0 h", InvalidValue, "ends before it begins"),
        ("50 mg im, 5 mg folic acid oral", InvalidRegimen, "join them with '+'"),
        ("2,5 mg im", InvalidRegimen, "write '2.5 mg'"),
        ("50 mg im every 3,5 d x 2", InvalidValue, "write '3.5 d'"),
        ("50 mg im every 1.5.2 d x 2", InvalidValue, "two decimal points"),
        ("50 mg im from 08 h", InvalidValue, "write '8 h'"),
        ("1 mg im daily, then weekly", InvalidRegimen, "when what follows 'then' begins"),
        ("50 mg im every -3 h x 2", InvalidRegimen, "interval between doses must be above 0"),
        ("50 mg im daily x 0", InvalidRegimen, "1 to 100000 times"),
        ("50 mg im daily x 100001", InvalidRegimen, "1 to 100000 times"),
        ("5 mg iv over -2 h", InvalidRegimen, "duration of a dose must be finite and not negative"),
        ("50 mg im +", InvalidRegimen, "no dose beside it"),
        ("50 mg im ;; 0.5 mg iv", InvalidRegimen, "no dose beside it"),
    ],
)
def test_a_bad_regimen_says_what_is_wrong(text, error, words):
    with pytest.raises(error, match=re.escape(words)):
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
        ((math.nan, 5.0, "methylcobalamin", "im"), InvalidRegimen, "start of a dose must be finite, not nan h"),
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


PARTS = [
    "50 mg im every 3.5 d",
    "1.7 mg/kg iv over 2 h",
    "400 ug folic acid oral qd for 2 wk",
    "1 mg im daily for 1 week, then weekly for 4 weeks, then monthly",
    "0.3 g betaine oral at 0, 3.5 d",
    "0.4 mg/d folic acid",
    "fasting from -12 h for 36 h",
    "set b6_deficient lifelong",
    "enzyme AHCY x 0.02 until 3 d",
    "nitrous oxide 60 % for 5 h",
    "GFR_rel x 0.3",
    "FOLATE_DIET_rate + 0.1 umol/h from 2 h",
    "MET_DIET_rate = 24 mmol/d from 1 wk for 1 mo",
]


@given(
    st.lists(st.sampled_from(PARTS), min_size=1, max_size=4, unique=True),
    st.floats(-5000, 5000),
    st.floats(40, 120),
    st.integers(0, 10),
    st.booleans(),
)
def test_every_regimen_reads_back_from_what_it_prints(parts, delay, weight, seed, cut):
    regimen = Regimen.parse("; ".join(parts), weight).delayed(delay)
    if cut:
        regimen = regimen.until("20 wk").missed(0.3, seed)
    regimen += Regimen().expose("GFR_rel", abs(delay) / 7, delay, weight)
    assert Regimen.parse(str(regimen)) == regimen


def test_doses_can_be_added_delayed_missed_and_cut():
    regimen = Regimen.parse("50 mg im weekly x 4")
    assert len((regimen + regimen.delayed("2 d")).doses) == 8
    assert [d.time for d in regimen.delayed("1 week").doses] == [168, 336, 504, 672]
    early = (regimen + Regimen().expose("GFR_rel", 0.5, "1 d")).delayed("-2 d")
    assert (early.start, early.doses[0].time, early.holds[0].start) == (-48.0, -48.0, -24.0)
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


def test_a_dose_that_is_refused_is_counted_from_one():
    with pytest.raises(InvalidRegimen, match=r"^dose 2 \(methylcobalamin im at 30 h\)"):
        plan(Regimen.parse("1 mg im + 1 mg im from 30 h"), 0, 24)


def test_an_infusion_may_end_with_the_run():
    steps = plan(Regimen.parse("5 mg iv over 24 h"), 0, 24)
    assert steps.settings[0] == (0.0, "CBL_infusion", 0.0, pytest.approx(5 * MECBL / 24))


def test_the_share_of_missed_doses_is_the_probability():
    kept = len(Regimen.parse("1 mg im every 1 d x 20000").missed(0.3, seed=1).doses) / 20_000
    assert kept == pytest.approx(0.7, abs=4 * math.sqrt(0.3 * 0.7 / 20_000))


def test_overlapping_infusions_add_up_and_end_at_exactly_nothing():
    steps = plan(Regimen.of(10.0, route="iv", duration=2) + Regimen.of(9.0, route="iv", duration=3, start=1), 0, 24)
    assert steps.settings == (
        (0.0, "CBL_infusion", 0.0, 5.0),
        (1.0, "CBL_infusion", 0.0, 8.0),
        (2.0, "CBL_infusion", 0.0, pytest.approx(3.0)),
        (4.0, "CBL_infusion", 1.0, 0.0),
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
    held = [(time, 0.0 if factor else offset) for time, _, factor, offset in steps.settings]
    area = math.fsum(rate * (later - time) for (time, rate), (later, _) in pairwise(held))
    assert area == pytest.approx(steps.asked["cbl_free"], rel=1e-9)
    assert steps.settings[-1] == (pytest.approx(regimen.last_time), "CBL_infusion", 1.0, 0.0)
    assert steps.settings[-1][0] in steps.boundaries


def test_an_exposure_outside_the_run_is_refused():
    with pytest.raises(InvalidRegimen, match=r"change of GFR_rel at 50 h is outside the run .* run longer"):
        plan(Regimen().expose("GFR_rel", 0.5, 50, 1), 0, 24)


def test_exposures_hold_a_parameter_and_give_it_back():
    steps = plan(Regimen().expose("GFR_rel", 0.5, "1 d", "2 d").expose("GFR_rel", 0.7, "3 d", math.inf), 0, 200)
    assert steps.settings == ((24.0, "GFR_rel", 0.0, 0.5), (72.0, "GFR_rel", 0.0, 0.7))
    steps = plan(Regimen().expose("GFR_rel", 0.5, 0, 10), 0, 24)
    assert steps.settings == ((0.0, "GFR_rel", 0.0, 0.5), (10.0, "GFR_rel", 1.0, 0.0))
    with pytest.raises(InvalidValue, match="not negative"):
        Regimen().expose("GFR_rel", -1, 0)


def test_changes_of_one_parameter_compose_in_the_order_written():
    text = (
        "GFR_rel x 0.5 lifelong; GFR_rel + 0.25 from 2 h for 6 h; GFR_rel x 2 from 4 h until 10 h; GFR_rel = 3 from 9 h"
    )
    assert plan(Regimen.parse(text), 0, 24).settings == (
        (-math.inf, "GFR_rel", 0.5, 0.0),
        (2.0, "GFR_rel", 0.5, 0.25),
        (4.0, "GFR_rel", 1.0, 0.5),
        (8.0, "GFR_rel", 1.0, 0.0),
        (9.0, "GFR_rel", 0.0, 3.0),
        (10.0, "GFR_rel", 0.0, 3.0),
    )
    before = plan(Regimen.parse("GFR_rel = 0.5 until 0 h"), 0, 24)
    assert before.settings == ((-math.inf, "GFR_rel", 0.0, 0.5), (0.0, "GFR_rel", 1.0, 0.0))
    assert before.lasting(["GFR_rel"], np.array([[0.9], [0.7]])).tolist() == [[0.5], [0.5]]


def test_the_rate_of_an_infusion_cannot_be_changed_besides():
    with pytest.raises(InvalidRegimen, match="rate of an infusion"):
        plan(Regimen.parse("5 mg iv over 2 h; CBL_infusion = 3 umol/h for 1 h"), 0, 24)


def test_a_volume_can_be_changed_for_life_only():
    for text in ("central x 2 from 1 h", "central = 3 L until 0 h"):
        with pytest.raises(InvalidRegimen, match="'central' is a volume"):
            plan(Regimen.parse(text), 0, 24)
    assert plan(Regimen.parse("central x 2 lifelong"), 0, 24).settings == ((-math.inf, "central", 2.0, 0.0),)


WORDS = [
    *(
        "50",
        "mg",
        "mg/kg",
        "im",
        "i.m.",
        "iv",
        "oral",
        "folic",
        "acid",
        "every",
        "3.5",
        "d",
        "x",
        "32",
        "then",
        "for",
        "lifelong",
    ),
    *(
        "+",
        ";",
        "at",
        "0,",
        "from",
        "-12",
        "h",
        "until",
        "set",
        "fasting",
        "enzyme",
        "CBS",
        "GFR_rel",
        "=",
        "0.4",
        "mg/d",
        "q8h",
    ),
    *(
        "nitrous",
        "oxide",
        "60",
        "%",
        "daily",
        "over",
        "2",
        "1,5",
        "08",
        "nan",
        "**",
        "/",
        ",",
        "twice",
        "weekly",
        "inf",
        "",
    ),
]


@given(st.lists(st.sampled_from(WORDS), max_size=14))
def test_any_words_are_a_regimen_that_reads_back_or_are_refused_in_words(words):
    try:
        regimen = Regimen.parse(" ".join(words))
    except MetabolismError:
        return
    assert Regimen.parse(str(regimen)) == regimen


@pytest.mark.parametrize(
    ("text", "times"),
    [
        ("1 mg im q3.5d x 3", [0, 84, 168]),
        ("1 mg i.m. q84h x 2", [0, 84]),
        ("1 mg im qd x 2", [0, 24]),
        ("5 ug cyanocobalamin p.o. bid x 3", [0, 12, 24]),
        ("1 mg s.c. BIW x 2", [0, 84]),
        ("1 mg i.v. tiw x 2", [0, 56]),
        ("1 mg im qod x 2", [0, 48]),
        ("1 mg im every other day x 2", [0, 48]),
        ("1 mg im every week x 2", [0, 168]),
        ("1 mg im twice a week x 2", [0, 84]),
        ("1 mg im three times per day x 2", [0, 8]),
        ("1 mg im x 2 every 2 d from 1 d", [24, 72]),
        ("1 mg im daily for 3 d from 1 wk", [168, 192, 216]),
        ("1 mg im daily until 60 h", [0, 24, 48]),
        ("1 mg im at 0, 3.5, 7 d", [0, 84, 168]),
        ("1 mg im at 6 h, 3.5 d and 1 wk", [6, 84, 168]),
        ("1 mg im from -1 wk", [-168]),
        ("1 mg im weekly x 2, then 2 mg monthly x 2", [0, 168, 336, 1066.5]),
    ],
)
def test_the_idioms_of_prescriptions_are_read(text, times):
    assert [d.time for d in Regimen.parse(text).doses] == times


@pytest.mark.parametrize(
    ("words", "per_week"),
    [
        ("daily", 7),
        ("once daily", 7),
        ("twice daily", 14),
        ("three times daily", 21),
        ("four times daily", 28),
        ("weekly", 1),
        ("once weekly", 1),
        ("twice weekly", 2),
        ("three times weekly", 3),
        ("monthly", 12 * 7 / 365.25),
        *(("qd", 7), ("qod", 3.5), ("bid", 14), ("tid", 21), ("qid", 28), ("qw", 1), ("biw", 2), ("tiw", 3)),
    ],
)
def test_every_word_for_an_interval_says_how_often_a_week(words, per_week):
    assert Regimen.parse(f"1 mg im {words} x 2").every == pytest.approx(168 / per_week, rel=1e-12)


def test_a_label_with_three_stretches_is_read():
    regimen = Regimen.parse("1 mg im daily for 1 week, then weekly for 4 weeks, then monthly").until("1 y")
    times = [d.time for d in regimen.doses]
    assert times[:7] == [24.0 * i for i in range(7)]
    assert times[7:11] == [168.0 * i for i in range(1, 5)]
    assert times[11:] == pytest.approx([840 + 730.5 * i for i in range(11)])
    assert {(d.substance, d.route, d.amount) for d in regimen.doses} == {("methylcobalamin", "im", 1000 / 1344.38)}


def test_twice_weekly_for_sixteen_weeks_is_thirty_two_doses():
    assert Regimen.parse("50 mg im twice weekly for 16 weeks") == Regimen.parse("50 mg im every 3.5 d x 32")


def test_a_repeat_without_end_goes_on_to_the_end_of_the_run():
    regimen = Regimen.parse("50 mg im every 3.5 d")
    assert regimen.last_time == math.inf
    assert [b[0] for b in plan(regimen, 0, 300).boluses] == [0, 84, 168, 252]
    assert len(plan(regimen, 0, 84).boluses) == 1
    assert regimen.until("16 weeks") == Regimen.parse("50 mg im every 3.5 d x 32")
    for verb in (
        lambda: regimen.total("methylcobalamin"),
        lambda: regimen.missed(0.5, 1),
        lambda: regimen.missing([1]),
    ):
        with pytest.raises(InvalidRegimen, match="cut it first with until"):
            verb()


def test_an_amount_per_kg_takes_the_weight():
    assert Regimen.parse("0.7 mg/kg im", "60 kg").doses[0].amount == pytest.approx(42000 / 1344.38)
    assert Regimen.parse("100 mg/kg/d betaine", 50).holds[0].value == pytest.approx(100e3 * 50 / 117.15 / 24)
    assert Regimen.parse(str(Regimen.parse("0.7 mg/kg im", 60))) == Regimen.parse("0.7 mg/kg im", 60)


@pytest.mark.parametrize(
    "text",
    [
        "50 mg im every 3.5 d x 32",
        "0.4 mg/d folic acid",
        "fasting from -12 h for 36 h",
        "enzyme CBS x 0.02 lifelong",
        "1 mg im daily for 1 week, then weekly for 4 weeks, then monthly",
        "nitrous oxide 60 % from 0 h for 5 h",
        "FOLATE_DIET_rate + 0.1 umol/h from 2 h; 50 mg im",
        "50 mg im q84h x 3 + 0.8 mg folic acid oral qd for 2 wk",
        "100 mg/kg methionine oral",
    ],
)
def test_text_shown_back_is_what_was_typed(text):
    shown = str(Regimen.parse(text))
    assert set(re.split(r"; | \+ (?=[0-9.]+ mg)", shown)) == set(re.split(r"; | \+ (?=[0-9.]+ mg)", text))
    assert Regimen.parse(shown) == Regimen.parse(text)


def test_a_regimen_that_was_changed_keeps_the_unit_that_was_typed():
    regimen = Regimen.parse("50 mg im every 3.5 d x 4; fasting from -12 h for 36 h")
    assert str(regimen.missing([2])) == (
        "50 mg methylcobalamin im every 7 d x 2; 50 mg methylcobalamin im from 252 h; fasting from -12 h for 36 h"
    )
    assert str(regimen.delayed("1 d")) == (
        "50 mg methylcobalamin im every 84 h x 4 from 1 d; fasting from 12 h until 2 d"
    )
    assert str(Regimen()) == "no treatment"
    assert Regimen.parse("no treatment") == Regimen.parse("none") == Regimen()


@pytest.mark.parametrize(
    ("text", "until", "amount", "every", "shown"),
    [
        ("50 mg im every 3.5 d x 32", "8 weeks", None, None, "50 mg im every 3.5 d x 16"),
        ("50 mg im twice weekly", "16 weeks", "25 mg", "7 d", "25 mg im every 7 d x 16"),
        (
            "5 mg iv over 2 h daily x 3 from 1 d",
            "4 d",
            "1 mg",
            None,
            "1 mg iv over 2 h every 24.0 h x 3 from 1 d",
        ),
    ],
)
def test_a_series_can_be_given_in_another_amount_and_interval(text, until, amount, every, shown):
    changed = Regimen.parse(text).redosed(until, amount, every)
    assert str(changed) == shown
    assert Regimen.parse(shown) == changed


@pytest.mark.parametrize("text", ["50 mg im", "50 mg im at 0, 1, 3 d", "50 mg im daily x 2 + 1 mg im daily x 2"])
def test_only_a_plain_series_can_be_redosed(text):
    with pytest.raises(InvalidRegimen, match="only equal doses at equal intervals"):
        Regimen.parse(text).redosed("16 weeks", "25 mg")


@given(st.integers(1, 400), st.integers(1, 60), st.integers(0, 60))
def test_a_dose_and_its_decimal_time_are_one_time(tenths, count, start):
    regimen = Regimen.of("1 mg", route="iv", every=f"{tenths / 10} h", count=count, start=start)
    assert regimen.doses[-1].time == float(f"{start + (count - 1) * tenths / 10:.10f}")
    gapless = Regimen.of(
        "1 mg", route="iv", every=f"{tenths / 10} h", count=count, start=start, duration=f"{tenths / 10} h"
    )
    steps = plan(gapless, 0, start + count * tenths / 10 + 1)
    assert len(steps.settings) == count + 1
    assert math.fsum((later[0] - one[0]) * one[3] for one, later in pairwise(steps.settings)) == pytest.approx(
        steps.asked["cbl_free"], rel=1e-12
    )


def test_two_ways_to_write_one_schedule_meet_at_every_dose():
    steps = plan(Regimen.parse("1 mg iv every 1.1 d x 5 + 1 mg iv every 26.4 h x 5"), 0, 144)
    assert len(steps.boluses) == 5
    near = (Dose(100.0, 1.0, "methylcobalamin", "iv"), Dose(100.0 * (1 + 5e-13), 1.0, "methylcobalamin", "iv"))
    assert plan(Regimen(near), 0, 144).boluses == ((100.0, "cbl_free", 2.0),)
    assert steps.snapped(np.array([79.19999999999999, 79.3])).tolist() == [79.2, 79.3]


def test_a_one_second_injection_a_year_in_delivers_its_dose():
    (first, second) = plan(Regimen.of("5 mg", route="iv", start="1 y", duration="1 s"), 0, 9000).settings
    assert (second[0] - first[0]) * first[3] == pytest.approx(5000 / 1344.38, rel=1e-15)


def test_every_substance_has_its_own_molar_mass():
    masses = {s.name: s.molar_mass for s in substances().values()}
    assert masses["methylcobalamin"] == 1344.38
    assert len({masses["methylcobalamin"], masses["cyanocobalamin"], masses["hydroxocobalamin"]}) == 3
    assert Regimen.of("1 mg", "cyanocobalamin").doses[0].amount == pytest.approx(1000 / 1355.37)


def test_a_regimen_draws_its_doses_and_changes():
    text = "1 mg im daily x 7 + 5 mg folic acid oral weekly x 2; enzyme CBS x 0.5 from 1 d for 3 d"
    figure = Regimen.parse(text).plot()
    (panel,) = figure.axes
    stems = [line for line in panel.lines if line.get_marker() == "o"]
    assert [line.get_label() for line in stems] == ["methylcobalamin im", "folic acid oral"]
    assert stems[0].get_xdata() == pytest.approx(range(7))
    assert stems[0].get_ydata() == pytest.approx([1.0] * 7)
    assert stems[1].get_ydata() == pytest.approx([5.0] * 2)
    assert panel.lines[-1].get_xdata() == pytest.approx([1.0, 4.0])
    assert [text.get_text() for text in panel.texts] == ["enzyme CBS x 0.5 from 1 d for 3 d"]
    assert panel.get_xlabel() == "time [days]"
    assert len(Regimen.parse("1 mg im daily").plot("2 weeks").axes[0].lines[0].get_xdata()) == 14
    with pytest.raises(InvalidRegimen, match="until"):
        Regimen.parse("1 mg im daily").plot()


def test_no_route_stands_twice_and_no_alias_belongs_to_two_substances():
    rows = read_table(models_dir() / "substances.csv", ("substance", "aliases", "route"), more=True)
    places = [(row["substance"], row["route"]) for row in rows]
    assert len(places) == len(set(places))
    owners = {}
    for row in rows:
        for word in (row["substance"], *filter(None, row["aliases"].split(";"))):
            assert owners.setdefault(word, row["substance"]) == row["substance"], word


def test_what_recurs_is_said_once_and_printed_as_it_was_said():
    text = "GFR_rel = 1.6 for 4 h every 56 h x 3"
    made = Regimen.parse(text)
    assert [(h.start, h.end) for h in made.holds] == [(0, 4), (56, 60), (112, 116)]
    assert str(made) == text
    assert [h.start for h in Regimen.parse("fasting from 6 h for 14 h daily until 3 d").holds[::6]] == [6, 30, 54]
    moved = made.delayed("1 d")
    assert Regimen.parse(str(moved)).holds == moved.holds


@pytest.mark.parametrize(
    "text",
    ["every 56 h", "for 4 h every 56 h", "for 56 h every 56 h x 3", "for 4 h every 56 h x 0", "for 4 h daily lifelong"],
)
def test_what_recurs_says_how_long_how_often_and_how_many_times(text):
    with pytest.raises(InvalidRegimen, match=r"for 4 h every 56 h x 36|whole number"):
        Regimen.parse(f"GFR_rel = 1.6 {text}")


def test_a_steady_supply_feeds_the_input_its_substance_names():
    fed = {s.name: s.steady for s in substances().values()}
    assert fed["nicotinamide riboside"] == "NICOTINAMIDE_rate"
    assert fed["methylcobalamin"] == fed["riboflavin"] == ""
    (hold,) = Regimen.parse("1 g/d nicotinamide").holds
    assert (hold.parameter, hold.how, hold.value) == ("NICOTINAMIDE_rate", "+", pytest.approx(1e6 / 122.12 / 24))
    (hold,) = Regimen.parse("FOLATE_DIET_rate = 0.2 mg/d").holds
    assert (hold.how, hold.value) == ("=", pytest.approx(200 / 441.4 / 24))
    with pytest.raises(InvalidRegimen, match="write a steady supply: '1 g/d nicotinamide'"):
        Regimen.parse("300 mg nicotinamide oral")
