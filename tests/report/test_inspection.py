"""Checks that look at themselves."""

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
