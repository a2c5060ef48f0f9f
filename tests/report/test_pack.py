"""The validation pack: every requirement has tests, what fails is said, and two releases are compared row by row."""

from __future__ import annotations

import hashlib
import json
import sys

import pytest

import metabolism.report.inspection as inspection
import metabolism.report.pack as module
from metabolism.cli import main
from metabolism.errors import ProvenanceError
from metabolism.report.evidence import repository
from metabolism.report.pack import compare_releases, junit_outcomes, requirements, self_checks

JUNIT = """<testsuites><testsuite>
<testcase classname="tests.test_units" name="test_a_mass_becomes_an_amount_by_the_molar_mass[a]"/>
<testcase classname="tests.test_units" name="test_a_mass_becomes_an_amount_by_the_molar_mass[b]"><failure/></testcase>
<testcase classname="tests.test_units" name="test_every_printed_number_reads_back_to_the_bit"/>
</testsuite></testsuites>"""


@pytest.fixture
def quick(monkeypatch):
    """A pack of the first rows, the first checks and the committed fingerprint: the parts have tests of their own."""
    rows, listed = module.read_cases, module.checks
    print_ = json.loads((repository() / "docs/fingerprints/als_methionine.json").read_text(encoding="utf-8"))
    monkeypatch.setattr(module, "read_cases", lambda model: rows(model)[:5])
    monkeypatch.setattr(module, "checks", lambda: listed()[2:4])
    monkeypatch.setattr(module, "model_fingerprint", lambda model: print_)


def test_every_requirement_has_a_risk_and_tests_and_a_high_one_has_three():
    rows = requirements()
    assert len({r["id"] for r in rows}) == len(rows) >= 15
    for row in rows:
        assert row["risk"] in ("low", "medium", "high")
        assert len(row["links"]) >= (3 if row["risk"] == "high" else 2), row["id"]
        assert set(row["tests"].values()) == {"not run here"}


def test_a_requirement_without_its_test_stops_the_pack(monkeypatch):
    monkeypatch.setattr(module, "link_problem", lambda link: "there is no test x")
    with pytest.raises(ProvenanceError, match=r"R01: there is no test x"):
        requirements()


def test_the_worst_outcome_of_a_test_counts(tmp_path):
    path = tmp_path / "tests.xml"
    path.write_text(JUNIT, encoding="utf-8")
    found = {link.rpartition("::")[2]: o for r in requirements(junit_outcomes(path)) for link, o in r["tests"].items()}
    assert found["test_a_mass_becomes_an_amount_by_the_molar_mass"] == "failed"
    assert found["test_every_printed_number_reads_back_to_the_bit"] == "passed"
    assert found["test_type_one_error_is_nominal_without_any_effect"] == "not run here"


def test_closed_forms_hold_and_a_wrong_constant_is_seen(monkeypatch):
    assert [r["name"] for r in self_checks() if not r["passed"]] == []
    half = module.half_life
    monkeypatch.setattr(module, "half_life", lambda *a: half(*a) * (1 + 1e-6))
    assert ["half-life" in r["name"] for r in self_checks() if not r["passed"]] == [True]


def test_releases_are_compared_row_by_row_both_ways():
    def record(fingerprint, **board):
        rows = {key: {"simulated": value, "passed": passed} for key, (value, passed) in board.items()}
        return {"version": "1", "board": rows, "fingerprint": {"steady_state": {"values": {"A": fingerprint}}}}

    before = record(1.0, a=(1.0, True), b=(2.0, True), c=(3.0, False), d=(None, False), gone=(1.0, True))
    now = record(1.1, a=(1.0 + 1e-9, True), b=(2.1, True), c=(3.5, True), d=(None, False), new=(1.0, False))
    made = compare_releases(before, now)
    words = {row["row"]: row["word"] for row in made["board"]}
    assert words == {"a": "same", "b": "moved", "c": "passes now", "d": "same", "new": "new row", "gone": "row gone"}
    assert made["fingerprint"] == ["steady_state.values.A: 1 and 1.1"]


def test_a_pack_of_the_core_alone_says_what_was_not_examined(tmp_path, quick, monkeypatch):
    listed = inspection.checks
    monkeypatch.setattr(module, "checks", lambda: [c for c in listed() if c.name == "build-is-current"])
    monkeypatch.setitem(sys.modules, "antimony", None)
    main(["evidence", "--pack", str(tmp_path / "core")])
    assert "not wholly examined" in (tmp_path / "core" / "pack.html").read_text(encoding="utf-8")
    pack = json.loads((tmp_path / "core" / "pack.json").read_text(encoding="utf-8"))
    assert pack["verdict"]["operation"] is None
    assert "als-methionine[referee]" in pack["operation"]["checks"][0]["not_done"]


def test_the_pack_appears_whole_with_hashes_and_is_compared_with_the_one_before(tmp_path, quick, capsys, chromium):
    first, second = tmp_path / "first", tmp_path / "second"
    assert main(["evidence", "--pack", str(first)]) == 0
    assert "--    tests" in capsys.readouterr().out
    for line in (first / "SHA256SUMS").read_text(encoding="utf-8").splitlines():
        digest, name = line.split("  ")
        assert hashlib.sha256((first / name).read_bytes()).hexdigest() == digest
    assert len(list(first.iterdir())) == 5
    (record,) = first.glob("[0-9]*.json")
    changed = json.loads(record.read_text(encoding="utf-8"))
    row = next(iter(changed["board"]))
    changed["board"][row]["simulated"] *= 2
    earlier = tmp_path / "earlier.json"
    earlier.write_text(json.dumps(changed), encoding="utf-8")
    junit = tmp_path / "tests.xml"
    junit.write_text(JUNIT, encoding="utf-8")
    assert main(["evidence", "--pack", str(second), "--against", str(earlier), "--junit", str(junit)]) == 1
    pack = json.loads((second / "pack.json").read_text(encoding="utf-8"))
    assert {r["row"] for r in pack["comparison"]["board"] if r["word"] != "same"} == {row}
    assert pack["comparison"]["fingerprint"] == []
    assert pack["verdict"] == {"installation": True, "operation": True, "performance": True, "tests": False}
    page = (second / "pack.html").read_text(encoding="utf-8")
    assert "Reviewed by (independent)" in page
    assert all(r["id"] in page for r in requirements())
    assert all(reason.split("'")[0] in page for reason in module.known_gaps())
    # on a telephone tables scroll by themselves, and the page does not
    tab = chromium.new_page(viewport={"width": 390, "height": 800})
    tab.set_content(page)
    assert tab.evaluate("document.documentElement.scrollWidth") <= 390
    tab.close()
    assert main(["evidence", "--pack", str(first)]) == 1
    assert "--force" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--against", "nothing.json"], "add --pack"),
        (["--pack", "{}/p", "--card"], "folder of its own"),
        (["--pack", "{}/p", "--junit", "pyproject.toml"], "no JUnit file"),
        (["--pack", "{}/p", "--against", "codemeta.json"], "no record of a release"),
    ],
)
def test_a_wrong_request_is_one_line_and_leaves_nothing(arguments, words, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(repository())
    assert main(["evidence", *(a.format(tmp_path) for a in arguments)]) in (1, 2)
    assert words in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
