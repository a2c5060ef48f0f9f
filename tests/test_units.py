"""Text becomes a number in one place, strictly: one number, one unit, never evaluated."""

from __future__ import annotations

import math
import re
import string
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metabolism import units
from metabolism.errors import InvalidValue, UnitMismatch, UsageError
from metabolism.units import MODEL_UNITS, label, magnitude, number, registry, split


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("0,8", "write '0.8'"),
        ("1,5 weeks", "write '1.5 weeks'"),
        ("2,5 mg", "write '2.5 mg'"),
        ("1,000 mg", "'1.000 mg', for thousands '1000 mg'"),
        ("1 000 h", "thousands without a gap"),
        ("1_000 h", "thousands without a gap"),
        ("08 h", "write '8 h' or '0.8 h'"),
        ("-08 h", "write '-8 h'"),
        ("1.5.2 d", "two decimal points"),
        ("5 days 3", "two numbers"),
        ("5 h 3 d", "two numbers"),
        ("5h3", "two numbers"),
        ("9**9**9 h", "never calculated"),
        ("2**3 d", "never calculated"),
        ("1/2 h", "never calculated"),
        ("1-2 h", "never calculated"),
        ("2 * 3 h", "never calculated"),
        ("1.000,5 h", "one number"),
        ("+-5 h", "one number"),
        ("three weeks", "one number"),
        ("１６ h", "one number"),
        ("", "one number"),
        ("h", "one number"),
    ],
)
def test_what_is_not_one_number_and_one_unit_is_refused_with_the_reading_it_suspects(text, words):
    begin = time.perf_counter()
    with pytest.raises(InvalidValue, match="cannot be read") as caught:
        magnitude(text, "h", "x", 1344.38)
    assert words in str(caught.value)
    assert time.perf_counter() - begin < 5


@pytest.mark.parametrize(
    ("text", "unit"), [("5 d", "umol"), ("5 h", "L"), ("2 1/d", "umol"), ("2 1/h", "dimensionless"), ("5 mg", "L")]
)
def test_a_unit_of_another_dimension_is_refused(text, unit):
    with pytest.raises(UnitMismatch, match="is not in"):
        magnitude(text, unit, molar_mass=1344.38)


@pytest.mark.parametrize(("text", "value"), [("2 1/d", 2 / 24), ("3 1/min", 180), ("1 1/week", 1 / 168), ("5 1/h", 5)])
def test_rates_are_read_whatever_their_unit_of_time(text, value):
    assert magnitude(text, "per_h") == pytest.approx(value, rel=1e-12)


@pytest.mark.parametrize(
    "text", ["5 h h", "5 h/", "5 nan", "5 (h)", "1.5e h", "5 quux", "0x10 h", "5 __import__", "16"]
)
def test_a_unit_is_names_joined_by_signs_and_a_time_needs_one(text):
    with pytest.raises(UsageError):
        magnitude(text, "h")


@pytest.mark.parametrize(
    ("text", "unit", "value"),
    [
        ("0.8", "dimensionless", 0.8),
        ("80 %", "dimensionless", 0.8),
        ("1e3", "umol_per_h", 1000.0),
        ("0 ", "h", 0.0),
        ("-0.5 d", "h", -12.0),
        ("\N{MINUS SIGN}12 h", "h", -12.0),
        (".5 d", "h", 12.0),
        ("3.5d", "h", 84.0),
        ("2 wk", "h", 336.0),
        ("2 w", "h", 336.0),
        ("1 month", "h", 730.5),
        ("1 mo", "h", 730.5),
        ("1 y", "h", 8766.0),
        ("1 yr", "h", 8766.0),
        ("0.1 1/uM/h", "per_uM_per_h", 0.1),
        ("24 1/d", "per_h", 1.0),
        ("24 umol per day", "umol_per_h", 1.0),
        ("60 mL/min", "L_per_h", 3.6),
        ("4 L^2/d", "L*L/h", 4 / 24),
    ],
)
def test_quantities_are_read(text, unit, value):
    assert magnitude(text, unit) == pytest.approx(value, rel=1e-14)


def test_a_mass_becomes_an_amount_by_the_molar_mass():
    assert magnitude("50 mg", "umol", "dose", 1344.38) == pytest.approx(50_000 / 1344.38, rel=1e-14)
    assert magnitude("50 µg", "umol", "dose", 1000.0) == pytest.approx(0.05, rel=1e-14)
    with pytest.raises(UnitMismatch, match="not in umol"):
        magnitude("50 mg", "umol")


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_every_printed_number_reads_back_to_the_bit(value):
    assert number(repr(value)) == value
    assert magnitude(f"{value!r} h", "h") == value


@given(st.text(string.digits + ".,-+e*/^ hd()_'", max_size=12))
def test_a_text_is_read_as_python_reads_its_number_or_refused(text):
    try:
        value, unit = split(text)
    except InvalidValue:
        return
    head = text.strip()[: len(text.strip()) - len(unit)].strip()
    assert float(head) == value
    assert not any(c.isdigit() for c in re.sub(r"^1 */|(\^|\*\*)-?[0-9]", "", unit))


@pytest.mark.parametrize("unit", MODEL_UNITS)
def test_every_model_unit_reads_as_it_is_printed(unit):
    printed = label(unit)
    assert magnitude(f"2 {unit}", unit) == 2.0
    assert not printed or magnitude(f"2 {printed}", unit) == pytest.approx(2.0, rel=1e-14)


@pytest.mark.parametrize("text", ["3 degree", "3 rad", "1 turn", "8 bit", "3 decibel", "2 neper"])
def test_angles_information_and_levels_are_no_share_of_anything(text):
    # pint has them without dimension: 3 degrees would be 0.052
    with pytest.raises(UnitMismatch, match="is no unit of amounts or times"):
        magnitude(text, "dimensionless")
    assert magnitude("3 %", "dimensionless") == pytest.approx(0.03)


def test_what_is_not_finite_is_refused():
    for wrong in ("nan h", "inf h", "1e400 h", math.inf, math.nan):
        with pytest.raises(InvalidValue, match="not a finite number"):
            magnitude(wrong, "h")


def test_the_units_that_need_no_pint_are_what_pint_says():
    for written, factor in units._HOURS.items():
        assert registry().Quantity(1.7, written).to("hour").magnitude == 1.7 * factor
        assert (
            magnitude(f"0.035 1/{written}", "per_h")
            == registry().Quantity(0.035, f"1/{written}").to("1/hour").magnitude
        )
    for written, factor in units._MASSES.items():
        whole = registry().Quantity(50 / 1344.4, registry().Unit(written) / registry().Unit("g/mol"))
        assert whole.to("umol").magnitude == 50 / 1344.4 * factor
        assert magnitude(f"50 {written}", "umol", molar_mass=1344.4) == whole.to("umol").magnitude
