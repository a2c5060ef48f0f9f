"""Tables are read strictly: nothing is dropped, shifted or guessed in silence."""

import logging

import numpy as np
import pandas as pd
import pytest

import metabolism as mb
from metabolism.errors import InvalidValue, UnknownName
from metabolism.sweep import Grid
from metabolism.tables import column, read_table


def written(tmp_path, text, name="design.csv", encoding="utf-8"):
    path = tmp_path / name
    path.write_bytes(text.encode(encoding))
    return path


def design(tmp_path, text):
    return mb.scan(mb.load(), written(tmp_path, text), None, "1 h", endpoints=["final(hcy_plasma)"]).frame()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("GFR_rel,HC_k\n0.5,1,\n0.8,1,\n", "3 fields under 2 columns"),
        ("GFR_rel,HC_k,\n0.5,1,\n", "without a name"),
        ("id,GFR_rel\n1\n", "1 fields under 2 columns"),
        ("id, GFR_rel\n1,0.5\n", "write 'GFR_rel'"),
        ("gfr_rel\n0.5\n", "write 'GFR_rel'"),
        ("GFRrel\n0.5\n", "write 'GFR_rel'"),
        ("GFR_rel,CBS_activty\n0.5,1\n", "CBS_activ"),
        ("GFR_rel,GFR_rel\n0.5,1\n", "twice"),
        ('GFR_rel\n"0,5"\n', "'0,5' in row 1"),
        ("GFR_rel\n80 %\n", "'80 %' in row 1"),
        ("GFR_rel\n0.5\n\nNA\n", "'NA' in row 2"),
        ("GFR_rel\n\n", "has no rows"),
        ("", "has no rows"),
        ("id,weight\n1,70\n", "no column"),
        ('GFR_rel\n"0.5\n', "cannot be read as CSV"),
    ],
)
def test_a_design_that_is_not_one_is_refused(tmp_path, text, words):
    with pytest.raises((InvalidValue, UnknownName), match=words):
        design(tmp_path, text)


def test_columns_that_are_no_parameters_are_named_as_left_out(tmp_path, caplog):
    with caplog.at_level(logging.WARNING, logger="metabolism"):
        table = design(tmp_path, "id,GFR_rel,day\n1,0.5,2\n2,0.8,3\n")
    assert table["GFR_rel"].tolist() == [0.5, 0.8]
    assert "left out, as no parameters of the model: id, day" in caplog.text


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_marks_and_ends_of_lines_do_not_matter(tmp_path, encoding, end):
    path = written(tmp_path, f"a,b{end}1,x{end}{end}", encoding=encoding)
    assert read_table(path, ("a", "b")) == [{"a": "1", "b": "x"}]


@pytest.mark.parametrize("encoding", ["utf-16", "latin-1"])
def test_other_encodings_are_refused_by_name(tmp_path, encoding):
    with pytest.raises(InvalidValue, match="cannot be read as CSV"):
        read_table(written(tmp_path, "a,b\n1,µ\n", encoding=encoding), ("a", "b"))


def test_a_column_that_is_missing_or_more_is_refused(tmp_path):
    path = written(tmp_path, "a,b\n1,2\n")
    with pytest.raises(InvalidValue, match="no column c"):
        read_table(path, ("a", "b", "c"))
    with pytest.raises(UnknownName, match="no column 'b'"):
        read_table(path, ("a",))


@pytest.mark.parametrize(
    ("frame", "words"),
    [
        (pd.DataFrame({"GFR_rel ": [0.5]}), "write 'GFR_rel'"),
        (pd.DataFrame({"GFR_rel": [0.5], "CBS_activty": [1.0]}), "CBS_activ"),
        (pd.DataFrame([[0.5, 1.0]], columns=["GFR_rel", "GFR_rel"]), "twice"),
        (pd.DataFrame({"GFR_rel": ["0,5"]}), "'0,5' in row 1"),
        (pd.DataFrame({"GFR_rel": pd.array([0.5, None], dtype="Float64")}), "row 2|not finite"),
        ({"GFR_rel": np.ma.array([0.5, 0.6], mask=[False, True])}, "masked"),
        ({"GFR_rel": [[0.5, 0.6]]}, "2 dimensions"),
        ({"GFR_rel": ["80 %"]}, "'80 %' in row 1"),
    ],
)
def test_patients_that_are_not_numbers_are_refused(model, frame, words):
    with pytest.raises((InvalidValue, UnknownName), match=words):
        mb.simulate(model, None, "1 h", patients=frame)


@pytest.mark.parametrize(
    ("cell", "words"),
    [
        ("0,8", "decimal comma write '0.8'"),
        ("1.5.2", "two decimal points"),
        ("08", "begins with 0"),
        ("nan", "write e.g."),
    ],
)
def test_a_cell_is_read_by_the_rules_of_every_number(tmp_path, cell, words):
    with pytest.raises(InvalidValue, match=f"column 'GFR_rel' has '{cell}' in row 2, which is no number.*{words}"):
        design(tmp_path, f'GFR_rel,CBL_CLf\n0.5,4\n"{cell}",4\n')


def test_text_that_is_a_number_and_nullable_numbers_are_numbers():
    np.testing.assert_array_equal(column(["0.5", " 1e3 ", "-.2"], "x"), [0.5, 1000, -0.2])
    np.testing.assert_array_equal(column(pd.array([1, 2], dtype="Int64"), "x"), [1, 2])
    np.testing.assert_array_equal(column(np.ma.array([1.0, 2.0]), "x"), [1, 2])
    assert Grid({"x": (1.0,)}).shape == (1,)
