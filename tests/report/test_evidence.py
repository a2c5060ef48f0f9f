"""The evidence file: every link resolves, nothing is claimed without one, and what is missing says so."""

from __future__ import annotations

import re

import pytest

import metabolism.report.evidence as module
from metabolism.cli import main
from metabolism.errors import ProvenanceError
from metabolism.report.evidence import EMPTY, evidence_sections, evidence_text, link_problem, model_card, repository

FRAMEWORKS = ("ICH M15", "ISoP QSP", "V&V40", "Ten Simple Rules", "CURE", "Tiwari")


@pytest.fixture(scope="module")
def sections():
    return evidence_sections()


def test_all_frameworks_are_there_with_their_headings(sections):
    titles = [s.title for s in sections]
    for name in FRAMEWORKS:
        assert any(name in title for title in titles), name
    count = {s.title: len(s.lines) for s in sections}
    assert count["Ten Simple Rules for credible practice"] == 10
    assert count["Tiwari's eight points of reproducibility"] == 8
    assert count["ASME V&V40: credibility factors"] == 13
    assert count["CURE"] == 4
    items = {line.item for line in sections[0].lines}
    assert {"Question of interest", "Context of use", "Model influence", "Model risk"} <= items


def test_every_link_resolves_and_every_claim_has_one(sections):
    for section in sections:
        for line in section.lines:
            assert [p for link in line.links if (p := link_problem(link))] == []
            assert bool(line.links) == (line.text != EMPTY), line.item
            assert "{" not in line.text


def test_an_empty_cell_prints_not_shown(sections):
    empty = {line.item for s in sections for line in s.lines if line.text == EMPTY}
    assert any("independent reviews" in item for item in empty)
    text = evidence_text()
    assert text.count(f"| {EMPTY} | – |") == len(empty)


@pytest.mark.parametrize(
    ("link", "words"),
    [
        ("tests/test_nothing.py", "no file"),
        ("tests/report/test_evidence.py::test_that_is_not_there", "no test"),
        ("tests/report/test_evidence.py::test_every_link_resolves_and_every_claim_has_one", ""),
    ],
)
def test_a_link_that_does_not_resolve_is_named(link, words):
    assert (words in link_problem(link)) if words else link_problem(link) == ""


def test_a_broken_link_or_a_claim_without_one_stops_the_file(monkeypatch):
    monkeypatch.setattr(module, "link_problem", lambda link: "there is no file x")
    with pytest.raises(ProvenanceError, match=r"Question of interest.*no file x"):
        evidence_sections()


def test_a_fact_that_is_not_there_empties_its_line(monkeypatch):
    real = module._facts
    monkeypatch.setattr(module, "_facts", lambda root: {k: v for k, v in real(root).items() if k != "board_check"})
    lines = {line.item: line.text for s in evidence_sections() for line in s.lines}
    assert lines["Data used for checking only"] == EMPTY


@pytest.mark.parametrize("suffix", [".md", ".html"])
def test_the_written_file_links_to_existing_files_from_where_it_stands(tmp_path, suffix, capsys):
    folder = repository() / "docs"
    target = tmp_path / f"evidence{suffix}"
    assert main(["evidence", "--out", str(target)]) == 0
    text = target.read_text(encoding="utf-8")
    links = re.findall(r"\]\(([^)]+)\)" if suffix == ".md" else r'href="([^"#]+)"', text)
    assert len(links) > 80
    for link in links:
        assert (tmp_path / link).resolve().is_file(), link
    assert main(["evidence", "--out", str(target)]) == 1
    assert "--force" in capsys.readouterr().err
    assert "](../tests/" in evidence_text("markdown", folder)


def test_a_file_link_carries_the_hash_of_the_file():
    import hashlib

    digest = hashlib.sha256((repository() / "models/parameters.csv").read_bytes()).hexdigest()[:12]
    assert f"models/parameters.csv {digest}" in evidence_text()


def test_the_command_prints_markdown(capsys):
    assert main(["evidence"]) == 0
    assert capsys.readouterr().out.startswith("# Evidence")
    assert main(["evidence", "--out", "evidence.docx"]) == 2
    assert ".md or .html" in capsys.readouterr().err


def test_the_model_card_is_what_the_repository_says():
    card = (repository() / "docs" / "model_card.md").read_text(encoding="utf-8")
    assert card == model_card()
    board = (repository() / "docs" / "evidence" / "qualification.md").read_text(encoding="utf-8")
    for line in re.findall(r"^- (?:left-out|must pass|check:).+$", board, flags=re.M):
        assert line in card
