"""Event tables: what NONMEM, rxode2 and mrgsolve write is read as the same doses, or refused by name."""

from __future__ import annotations

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

import metabolism as mb
from metabolism.dosing import Regimen, read_events, substance
from metabolism.errors import InvalidRegimen, InvalidValue, UnitMismatch, UnknownName

MECBL = 1000 / 1344.38
DEPOT = substance("methylcobalamin").routes["im"][0]


def table(**columns):
    return pd.DataFrame(columns)


def test_a_table_of_two_patients_is_read_by_id(tmp_path):
    path = tmp_path / "doses.csv"
    path.write_text(
        "\ufeffid,time,amt,evid,ii,addl,ss,rate,cmt,dv\n"
        f"1,0,50,1,84,31,0,0,{DEPOT},.\n"
        "1,24,0,0,0,0,0,0,cbl_free,12.5\n"
        "2,0,5,1,.,.,.,2.5,iv,.\n"
        "2,7,1,1,24,2,0,0,im,.\n"
    )
    patients = read_events(path)
    assert patients["1"] == Regimen.parse("50 mg im every 3.5 d x 32").doses
    assert Regimen.from_events(path, 2) == Regimen.parse("5 mg iv over 2 h + 1 mg im daily x 3 from 7 h")
    with pytest.raises(InvalidRegimen, match="2 patients with doses; name one: 1, 2"):
        Regimen.from_events(path)
    with pytest.raises(UnknownName, match="patient"):
        Regimen.from_events(path, 3)


def test_units_substances_and_compartments_can_be_said():
    days = table(TIME=[0, 7], AMT=[400.0, 800.0], CMT=[1, 1], II=[1, 0], ADDL=[2, 0])
    found = Regimen.from_events(days, amount="ug", time="d", name="folic acid", routes={1: "oral"})
    assert found == Regimen.parse("400 ug folic acid oral daily x 3 + 800 ug folic acid oral from 7 d")
    named = table(TIME=[0, 1], AMT=[1.0, 2.0], SUBSTANCE=["mecobalamin", "folic acid"], ROUTE=["sc", "oral"])
    assert Regimen.from_events(named) == Regimen.parse("1 mg sc + 2 mg folic acid oral from 1 h")


@pytest.mark.parametrize(
    ("columns", "error", "words"),
    [
        ({"EVID": [3]}, InvalidRegimen, "EVID 3 in row 1"),
        ({"EVID": [4]}, InvalidRegimen, "resets are not"),
        ({"SS": [1], "II": [84]}, InvalidRegimen, "no steady state is assumed"),
        ({"RATE": [-2]}, InvalidRegimen, "modelled"),
        ({"ADDL": [3]}, InvalidRegimen, "II > 0 the time between"),
        ({"II": [24]}, InvalidRegimen, "ADDL is a whole number"),
        ({"ADDL": [1.5], "II": [24]}, InvalidRegimen, "whole number"),
        ({"AMT": ["2,5"]}, InvalidValue, "write '2.5'"),
        ({"AMT": [0], "EVID": [1]}, InvalidRegimen, "no dose"),
        ({"CMT": [7]}, InvalidRegimen, "CMT '7' in row 1 of the event table names no route"),
        ({"WT": [70]}, UnknownName, "leave covariates out"),
        ({"ADL": [70]}, UnknownName, "Did you mean 'ADDL'"),
        ({"TIME": ["soon"]}, InvalidValue, "TIME in row 1"),
    ],
)
def test_what_is_no_dose_is_refused_with_its_row(columns, error, words):
    with pytest.raises(error, match=words):
        Regimen.from_events(pd.DataFrame({"TIME": [0], "AMT": [50], "CMT": ["im"]} | columns))


def test_a_row_with_a_cell_too_many_and_a_table_without_times_are_refused(tmp_path):
    path = tmp_path / "doses.csv"
    path.write_text("TIME,AMT,CMT\n0,50,im,\n")
    with pytest.raises(InvalidValue, match="4 fields under 3 columns"):
        Regimen.from_events(path)
    with pytest.raises(InvalidValue, match="cannot be read as CSV"):
        Regimen.from_events(tmp_path / "gone.csv")
    with pytest.raises(InvalidRegimen, match="needs TIME and AMT"):
        Regimen.from_events(table(AMT=[1.0]))
    with pytest.raises(UnitMismatch):
        Regimen.from_events(table(TIME=[0], AMT=[1], CMT=["im"]), amount="L")


def test_a_regimen_is_written_as_one_row_for_each_series():
    events = Regimen.parse("50 mg im every 3.5 d x 32 + 5 mg iv over 2 h from 1 d").to_events()
    assert events[["TIME", "AMT", "II", "ADDL", "RATE", "CMT"]].to_numpy().tolist() == [
        [0.0, 50.0, 84.0, 31, 0.0, DEPOT],
        [24.0, 5.0, 0.0, 0, 2.5, "cbl_free"],
    ]
    assert Regimen.parse("1 mg im").to_events("umol")["AMT"].item() == pytest.approx(MECBL, rel=1e-13)
    for text, words in (("fasting", "changes parameters"), ("1 mg im daily", "cut the regimen with until")):
        with pytest.raises(InvalidRegimen, match=words):
            Regimen.parse(text).to_events()


@given(
    st.lists(
        st.tuples(
            st.integers(1, 99999),
            st.sampled_from(["methylcobalamin im", "folic acid oral", "cyanocobalamin iv"]),
            st.integers(1, 900),
            st.integers(1, 30),
            st.integers(-500, 5000),
        ),
        min_size=1,
        max_size=4,
    )
)
def test_a_written_table_reads_back_the_same(parts):
    regimen = Regimen()
    for amount, what, gap, count, start in parts:
        name, route = what.rsplit(" ", 1)
        regimen += Regimen.of(f"{amount / 100} mg", name, route, every=gap / 10, count=count, start=start / 10)
    assert Regimen.from_events(regimen.to_events()) == regimen


def test_a_regimen_of_an_event_table_has_words_that_read_back_and_can_be_simulated():
    written = Regimen.parse("1 mg im daily x 5 + 5 mg iv over 2 h at 9 h")
    found = Regimen.from_events(written.to_events())
    assert Regimen.parse(str(found)) == found == written
    assert mb.simulate(mb.load(), found, "1 weeks", outputs="cbl_plasma").nca().attrs["window"] == (96, 120)
