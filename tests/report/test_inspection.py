"""Checks that look at themselves."""

import json
import sys

from metabolism.cli import main
from metabolism.report import checks


def test_a_case_that_hides_that_its_number_is_from_memory_is_reported(monkeypatch):
    from dataclasses import replace

    import metabolism.report.inspection as module

    rows = [replace(row, note="") for row in module.read_cases(module.load())]
    monkeypatch.setattr(module, "read_cases", lambda model: rows)
    published = module.read_data("literature/homocysteine")
    hidden = set(published.loc[published["evidence"].str.contains("from memory"), "id"])
    (check,) = [c for c in checks() if c.name == "cases-are-as-published"]
    assert {p.split()[1] for p in check.problems()} == hidden
    assert "C06a" in hidden


def test_a_check_that_needs_an_extra_says_so_and_the_others_go_on(monkeypatch, capsys, tmp_path):
    listed = [c for c in checks() if c.name in ("build-is-current", "values-within-bounds")]
    monkeypatch.setitem(sys.modules, "antimony", None)
    monkeypatch.setattr("metabolism.report.checks", lambda: listed)
    assert main(["check", "--json", str(tmp_path / "checks.json")]) == 0
    told = capsys.readouterr().out
    assert "--    build-is-current: Antimony text needs antimony: pip install 'als-methionine[referee]'." in told
    assert "ok    values-within-bounds" in told
    undone = [bool(row.get("not_done")) for row in json.loads((tmp_path / "checks.json").read_text(encoding="utf-8"))]
    assert undone == [True, False]
