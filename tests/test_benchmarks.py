"""The benchmark compares like with like: every tool reaches the accuracy it is timed at."""

from __future__ import annotations

import datetime
import importlib.util
import re
import sys
import tomllib
from pathlib import Path

import numpy as np
import pytest

import metabolism

ROOT = Path(__file__).resolve().parent.parent
COMMANDS = ROOT / "metabolism" / "cli" / "commands.toml"


@pytest.fixture(scope="module")
def bench():
    spec = importlib.util.spec_from_file_location("bench", ROOT / "benchmarks" / "bench.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules["bench"] = module
    spec.loader.exec_module(module)
    yield module
    del sys.modules["bench"]


@pytest.mark.parametrize("statement", ["READING", "COMPILING"])
def test_the_statements_that_are_timed_in_new_processes_run(bench, statement, tmp_path):
    assert re.fullmatch(r"[\d.]+ s \([\d.]+ s of CPU time\)", bench.fresh(getattr(bench, statement), tmp_path))


@pytest.mark.slow
def test_tools_are_timed_at_an_accuracy_they_reach(bench, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(bench, "COMPARED", 1)
    monkeypatch.setattr(bench, "COUNT", {"fast": 4, "roadrunner": 1})
    monkeypatch.setattr(bench, "LADDER", (1e-4, 3e-6, 3e-8))
    problem = bench.trial(4)
    bench.write_folder(tmp_path, problem, 1)
    assert (tmp_path / "model.c").read_text(encoding="utf-8").count("ydot[") == len(problem.equations.states)
    found = bench.measure(["fast", "roadrunner"], {}, 1, tmp_path, problem)
    for own in found:
        assert own.rtol in bench.LADDER, own
        assert own.errors[own.rtol] <= bench.ACCURACY
        # and not at a tighter tolerance than needed
        assert all(error > bench.ACCURACY for rtol, error in own.errors.items() if rtol > own.rtol)
    assert bench.comparison(found, found[0]).count("\n") == 3
    capsys.readouterr()


def test_operations_are_counted_in_the_generated_code(bench):
    system = bench.trial(1).equations
    parts = bench.arithmetic(system)
    assert sum(part["states"] for part in parts) == len(system.states)
    for part in parts:
        assert part["solve"] > 2 * part["states"]
        assert part["step"] > 8 * part["solve"] + 7 * part["rates"]


def test_the_page_is_the_one_the_benchmark_writes(bench):
    page = (ROOT / "docs/performance.md").read_text(encoding="utf-8")
    for name in bench.NAMES.values():
        assert name in page
    assert bench.comparison([], None).splitlines()[0] in page
    assert re.search(r"Machine: .+ cores", page)
    assert not re.search(r"/(home|root|work|tmp)/", page)


@pytest.fixture(scope="module")
def bench_sbml():
    spec = importlib.util.spec_from_file_location("bench_sbml", ROOT / "benchmarks" / "bench_sbml.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_page_of_other_models_is_that_of_the_table_and_hides_no_loss(bench_sbml):
    rows = bench_sbml.read_table()
    measured = [r for r in rows if r["outcome"] == "measured"]
    assert len(measured) >= 60
    assert all(float(r[name]) <= bench_sbml.ACCURACY for r in measured for name in ("error", "their_error"))
    page = bench_sbml.PAGE.read_text(encoding="utf-8")
    assert page == bench_sbml.page(rows)
    losses = page.split("## Where we lose")[1].split("## Every file")[0]
    assert {r["id"] for r in measured if float(r["ratio"]) < 1} == set(re.findall(r"BIOMD\d+", losses))


@pytest.mark.slow
def test_a_file_is_measured_at_an_accuracy_that_both_tools_reach(bench_sbml, tmp_path, monkeypatch):
    from metabolism.model import sbml_from_antimony

    text = "model m; S = 5; E = 1; ES = 0; k = 2; q = 0.5; J: S + E -> ES; k*S*E - ES; K: ES -> E; q*ES; end"
    (tmp_path / "m.xml").write_text(sbml_from_antimony(text), encoding="utf-8")
    monkeypatch.setattr(bench_sbml, "MEMBERS", 64)
    monkeypatch.setattr(bench_sbml, "ENOUGH", 0.02)
    row = bench_sbml.measure(tmp_path / "m.xml")
    assert row["outcome"] == "measured", row
    assert max(row["error"], row["their_error"]) <= bench_sbml.ACCURACY
    assert (row["states"], row["events"]) == (3, 0)


def test_every_mutant_is_a_change_of_code_that_stands_and_its_tests_exist():
    spec = importlib.util.spec_from_file_location("mutation", ROOT / "benchmarks" / "mutation.py")
    mutation = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(mutation)
    rows = mutation.mutants()
    wrong = [
        m["before"]
        for m in rows
        if (ROOT / m["file"]).read_text(encoding="utf-8").count(m["before"]) != 1 or m["before"] == m["after"]
    ]
    assert wrong == [], "benchmarks/mutants.toml: these texts must stand once in their files"
    assert {m["tests"].split(" -")[0] for m in rows if not all((ROOT / t).exists() for t in named_in(m))} == set()
    assert {m["room"] for m in rows} >= {"dosing", "units", "endpoints", "engine", "trials", "analysis", "mixed-model"}
    known = mutation.results()
    assert known.keys() <= {m["key"] for m in rows}, "results of mutants that are gone: python benchmarks/mutation.py"
    page = (ROOT / "docs" / "evidence" / "mutation.md").read_text(encoding="utf-8")
    assert page == mutation.page(rows, known)
    assert [m["before"] for m in rows if known.get(m["key"], {}).get("verdict") == "survived" and not m["why"]] == []


@pytest.mark.slow
def test_a_mutants_time_limit_counts_work_and_not_waiting(tmp_path, monkeypatch):
    spec = importlib.util.spec_from_file_location("mutation", ROOT / "benchmarks" / "mutation.py")
    mutation = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(mutation)
    monkeypatch.setattr(mutation, "LONGEST", 5)
    (tmp_path / "test_busy.py").write_text("def test_busy():\n    while True:\n        pass\n", encoding="utf-8")
    (tmp_path / "test_idle.py").write_text("import time\ndef test_idle():\n    time.sleep(7)\n", encoding="utf-8")
    assert mutation.run_tests(tmp_path, "test_busy.py") == (False, "time limit")
    assert mutation.run_tests(tmp_path, "test_idle.py") == (True, "")


def test_the_campaigns_have_no_silent_failure_and_their_wrong_inputs_fit_the_commands():
    spec = importlib.util.spec_from_file_location("campaigns", ROOT / "benchmarks" / "campaigns.py")
    campaigns = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(campaigns)
    rows = campaigns.results()
    patients = [row for (name, _), row in rows.items() if name == "patients"]
    assert sum(int(row["tried"]) for row in patients) >= 100_000
    for (name, block), row in rows.items():
        count, size = campaigns.BLOCKS[name]
        assert 0 <= int(block) < count
        assert int(row["tried"]) == size == sum(int(row[k]) for k in ("right", "flagged", "wrong"))
        # a failure stays in the table with its reason
        assert bool(row["remark"]) >= (int(row["wrong"]) > 0), (name, block)
        assert datetime.date.fromisoformat(row["date"]) >= datetime.date(2026, 11, 30), "run this block again"
    assert sum(int(row["wrong"]) for (name, _), row in rows.items() if name in ("patients", "files")) == 0
    # at least 300 different command lines over every command, each of them wrong
    lines = campaigns.command_lines()
    assert len({tuple(line) for line in lines}) == len(lines) >= 300
    commands = {command["name"] for command in tomllib.loads(COMMANDS.read_text(encoding="utf-8"))["command"]}
    assert commands <= {line[0] for line in lines}
    # one draw is one patient, whatever runs beside it
    model = metabolism.load()
    one, two = (campaigns.people(np.random.default_rng(3), 2, model) for _ in range(2))
    assert one.keys() == two.keys()
    assert all((one[k] == two[k]).all() for k in one)
    given = campaigns.regimen(np.random.default_rng(11), 672.0)
    assert all(d.time >= 0 and d.time + d.duration < 672 for d in given.doses)


def named_in(mutant):
    return mutant["tests"].split(" -")[0].split()
