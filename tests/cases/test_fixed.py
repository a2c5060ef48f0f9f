"""How a case is represented is fixed before a run: a later change is listed with both values, or this fails."""

from __future__ import annotations

import csv
import hashlib
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[2] / "experiments" / "cases"
FIXED, CHANGED = FOLDER / "fixed" / "representations.csv", FOLDER / "fixed" / "changes.csv"
WHAT = (
    "population",
    "match",
    "interventions",
    "against",
    "reading",
    "observable",
    "unit",
    "metric",
    "observed",
    "low",
    "high",
    "role",
    "must_pass",
    "mixture",
)


def read(path):
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def mark(row):
    """First twelve hexadecimal digits of the SHA-256 of what is compared with what."""
    return hashlib.sha256("|".join(row[name].strip() for name in WHAT).encode()).hexdigest()[:12]


CASES = {row["row"]: row for path in sorted(FOLDER.glob("*.csv")) for row in read(path)}


def test_every_row_is_as_it_was_fixed_or_its_change_is_listed():
    fixed = {row["row"]: row["mark"] for row in read(FIXED)}
    fixed |= {row["row"]: row["mark"] for row in read(CHANGED) if row["mark"]}  # in order of date: the last form counts
    now = {name: mark(row) for name, row in CASES.items()}
    assert set(now) == set(fixed), "a new row is fixed, with its date, before it is run; a row that goes is listed"
    moved = {name: value for name, value in now.items() if value != fixed[name]}
    assert not moved, f"list these in {CHANGED.name} with both values and their new mark: {moved}"


@pytest.mark.parametrize("row", read(CHANGED), ids=lambda row: f"{row['row']}-{row['date']}")
def test_a_change_gives_both_forms_both_values_and_a_reason(row):
    assert row["row"] in CASES
    assert row["before"] != row["after"]
    float(row["value_before"]), float(row["value_after"])
    assert len(row["reason"]) > 20


def test_a_mark_sees_what_matters_and_nothing_else():
    row = dict(CASES["C12a"])
    assert mark(row | {"note": "anything"}) == mark(row)
    assert mark(row | {"low": "0"}) != mark(row)
    assert mark(row | {"match": ""}) != mark(row)
