"""The SBML Test Suite: the committed table, and a fixed sample of 150 cases where the suite's folder is named."""

import csv
import importlib.util
import os
import sys
from collections import Counter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="module")
def conformance():
    spec = importlib.util.spec_from_file_location("conformance", ROOT / "benchmarks" / "conformance.py")
    module = importlib.util.module_from_spec(spec)
    # what is sent to a worker is found by its module's name
    sys.modules["conformance"] = module
    spec.loader.exec_module(module)
    yield module
    del sys.modules["conformance"]


def test_the_table_of_the_suite_has_nothing_wrong_and_the_page_says_what_it_says(conformance):
    with conformance.TABLE.open() as file:
        rows = list(csv.reader(file))[1:]
    counts = Counter(row[1] for row in rows)
    assert set(counts) <= {"right", "refused", "failed"}
    assert len({row[0] for row in rows}) == len(rows)
    assert all(row[3] for row in rows if row[1] != "right"), "a loss without its reason"
    # the number of cases in the suite stands on the page alone
    text = conformance.PAGE.read_text()
    assert text == conformance.page(rows, int(text.partition("Of ")[2].split()[0]))


@pytest.mark.slow
@pytest.mark.skipif("SBML_TEST_SUITE" not in os.environ, reason="SBML_TEST_SUITE names no folder of the suite")
def test_a_sample_of_the_suite_is_right_or_refused_for_its_reason(conformance):
    """The suite's licence keeps it out of this repository; our own models of the same kinds are in tests/engines."""
    folders = sorted(p for p in (Path(os.environ["SBML_TEST_SUITE"]) / "cases" / "semantic").glob("[0-9]*"))
    worker, wrong = conformance.Worker(), []
    for folder in conformance.sample(folders):
        row = conformance.outcome(conformance.read_case(folder), worker)
        if row.outcome in ("wrong", "crash", "hang"):
            wrong.append(row)
    worker.end()
    assert wrong == []
