"""The evidence file: what supports the model, by the headings reviewers use, each line with the test or file behind it.

The lines stand in ``templates/evidence.toml``; numbers in them are read from the repository at the time of writing. A
line without evidence prints "not shown". A link that does not resolve is an error: nothing is claimed without it.
"""

from __future__ import annotations

import ast
import hashlib
import json
import os
import re
import tomllib
from collections import Counter
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from metabolism.data import experiments_dir
from metabolism.errors import OutputError, ProvenanceError
from metabolism.files import render
from metabolism.fit import read_definition, shipped_fits
from metabolism.model import equations, load, model_settings

EMPTY = "not shown"

_SCORES = ("insufficient", "partial", "adequate", "extensive", "comprehensive")


@dataclass(frozen=True)
class Line:
    """One heading of a framework, what is said to it, and what supports it."""

    item: str
    text: str
    links: tuple[str, ...]


@dataclass(frozen=True)
class Section:
    """One framework: title, where its headings come from, and its lines."""

    title: str
    source: str
    lines: tuple[Line, ...]


def repository() -> Path:
    """Return the root of the checkout; an installed package has neither tests nor documents to link."""
    root = experiments_dir().parent
    if not (root / "tests").is_dir() or not (root / "docs").is_dir():
        raise OutputError("the evidence file links tests and documents; run it in a checkout of the repository.")
    return root


def evidence_sections() -> list[Section]:
    """Return every framework with its lines, facts filled in and links checked."""
    raw = tomllib.loads((files("metabolism.report") / "templates" / "evidence.toml").read_text(encoding="utf-8"))
    known = _facts(repository())
    sections, problems = [], []
    for section in raw["section"]:
        lines = []
        for line in section["line"]:
            text, links = _fill(line["text"], known), tuple(line["links"])
            if text and not links:
                problems.append(f"'{line['item']}' claims something without a link")
            problems += [f"'{line['item']}': {p}" for link in links if (p := link_problem(link))]
            item = line["item"] + (f" ({line['score']}, {_SCORES[line['score']]})" if "score" in line else "")
            lines.append(Line(item, text or EMPTY, links if text else ()))
        sections.append(Section(section["title"], section["source"], tuple(lines)))
    if problems:
        raise ProvenanceError(f"the evidence file cannot be written: {'; '.join(problems)}.")
    return sections


def link_problem(link: str) -> str:
    """Return why a link (``file`` or ``file::test``) does not resolve, or an empty text."""
    name, _, test = link.partition("::")
    path = repository() / name
    if not path.is_file():
        return f"there is no file {name}"
    if test and test not in _functions(path):
        return f"there is no test {test} in {name}"
    return ""


@cache
def _functions(path: Path) -> frozenset[str]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return frozenset(node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef))


def _fill(text: str, known: dict[str, str]) -> str:
    """Put facts in place of their names; a line that needs a fact which is not there is not shown."""
    return text.format_map(known) if set(re.findall(r"\{(\w+)\}", text)) <= known.keys() else ""


def _facts(root: Path) -> dict[str, str]:
    """Numbers the lines may use, each read from what the repository holds."""
    model = load()
    system = equations(model)
    rows = list(model.table.values())
    grades = Counter(p.confidence or "none" for p in rows)
    facts = {
        "states": str(len(system.states)),
        "reactions": str(len(system.reactions)),
        "constants": str(len(system.parameters)),
        "numbers": str(len(rows)),
        "assumed": str(sum(p.source == "assumed" for p in rows)),
        "estimated": str(sum(p.estimate for p in rows)),
        "grades": ", ".join(f"{grade} {count}" for grade, count in sorted(grades.items())),
    }
    gaps = tomllib.loads((root / "experiments" / "known_gaps.toml").read_text(encoding="utf-8"))
    facts["gaps"] = str(sum(len(claims) for claims in gaps.values()))
    board = root / "docs" / "evidence" / "qualification.md"
    if board.is_file():
        text = board.read_text(encoding="utf-8")
        lines = re.findall(r"^- ((calibration|check|must) ?(?:pass)?: .+)$", text, flags=re.M)
        facts |= {f"board_{key}": line for line, key in lines}
        facts["left_out"] = "\n".join(re.findall(r"^- left-out studies.+$", text, flags=re.M))
    if fits := shipped_fits():
        facts["fitted"] = str(sum(len(read_definition(name).parameters) for name in fits))
    fingerprint = root / "docs" / "fingerprints" / f"{model.id}.json"
    if fingerprint.is_file():
        theorems = json.loads(fingerprint.read_text(encoding="utf-8"))["theorems"]
        facts["theorem"] = f"{max(v for v in theorems.values() if not isinstance(v, bool)):.0e}"
    return facts


def model_card() -> str:
    """Return the model card as Markdown: purpose, data, scores seen and unseen, limits; numbers from the repository.

    Raises
    ------
    ProvenanceError
        If a fact of the page is not there, the board for one.
    """
    page = (files("metabolism.report") / "templates" / "card.md").read_text(encoding="utf-8")
    settings = {key: str(value) for key, value in model_settings().items() if isinstance(value, str)}
    text = _fill(page, _facts(repository()) | settings)
    if not text:
        raise ProvenanceError("the model card needs the board: first `metabolism qualify --markdown docs/evidence`.")
    return text


def evidence_text(format: str = "markdown", folder: Path | None = None) -> str:
    """Return the evidence file.

    Parameters
    ----------
    format : {"markdown", "html"}
    folder : Path, optional
        Folder the file will stand in, so that its links lead to the right place; the root of the checkout by default.
    """
    sections, root, settings = evidence_sections(), repository(), model_settings()
    base = Path(os.path.relpath(root, (folder or root).resolve()))
    empty = sum(line.text == EMPTY for section in sections for line in section.lines)
    total = sum(len(section.lines) for section in sections)
    head = [
        f"{settings['title']}, version {settings['version']}. {settings['limits']}",
        "Written by `metabolism evidence`. Each line names the tests (file::test) or files (with the start of their "
        f"SHA-256) that support it. {empty} of {total} lines are not shown.",
    ]

    def support_of(line: Line) -> list[tuple[str, str]]:
        return [(_label(link, root), (base / link.split("::")[0]).as_posix()) for link in line.links]

    if format == "html":
        head = [line.replace("`", "") for line in head]
        fill: dict[str, Any] = {"head": head, "sections": sections, "support_of": support_of, "empty": EMPTY}
        return render("metabolism.report", "evidence.html", **fill)
    parts = ["# Evidence", "", *(f"{line}\n" for line in head)]
    for section in sections:
        parts += [f"## {section.title}", "", section.source, ""]
        parts += ["| heading | what is shown | support |", "|---|---|---|"]
        for line in section.lines:
            support = "<br>".join(f"[{label}]({address})" for label, address in support_of(line))
            parts.append(f"| {line.item} | {line.text.replace('|', '/')} | {support or '–'} |")
        parts.append("")
    return "\n".join(parts)


def _label(link: str, root: Path) -> str:
    if "::" in link:
        return link
    return f"{link} {hashlib.sha256((root / link).read_bytes()).hexdigest()[:12]}"
