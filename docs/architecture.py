"""Draws the rooms and their order from the code; `python docs/architecture.py` writes ``docs/images/architecture.svg``.

With ``--sizes`` it writes the table of lines and statements per room into the decision on rooms instead.

Rows are the layers of the import contract in ``pyproject.toml``, words are first sentences of docstrings, and arrows
are imports, except those that other arrows already imply.
"""

from __future__ import annotations

import ast
import re
import sys
import textwrap
import tomllib
from collections.abc import Iterator
from html import escape
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "metabolism"
TARGET = ROOT / "docs" / "images" / "architecture.svg"
DECISION = ROOT / "docs" / "decisions" / "0008-rooms.md"
#: Horizontal place of each room; everything else in the drawing follows from the code.
PLACES = {
    **{"cli": 2.5, "explorer": 2.0, "report": 0.5, "court": 0.0, "fit": 1.0, "sensitivity": 3.0, "ensembles": 3.0},
    **{"trials": 0.0, "cases": 1.0, "exports": 2.0, "sweep": 3.0, "simulation": 1.5, "dosing": 1.5},
    **{"engines": 1.0, "model": 2.0, "sbml": 1.5},
}
WIDTH, HEIGHT, ACROSS, DOWN, EDGE = 190, 68, 206, 94, 12
STYLE = (
    "<style>.rooms{font-family:system-ui,sans-serif;font-size:12.5px;fill:#222}"
    ".rooms .n{font-weight:700;font-size:14.5px}"
    ".rooms rect{fill:#f5f7f9;stroke:#0072b2;stroke-width:1.2}.rooms .g{stroke:#767676;stroke-dasharray:4 3}"
    ".rooms .f{fill:#e3f3ed;stroke:#009e73}"
    ".rooms path{fill:none;stroke:#767676;stroke-width:1.3;marker-end:url(#tip)}</style>"
    "<defs><marker id='tip' viewBox='0 0 8 8' refX='7' refY='4' markerWidth='7' markerHeight='7' orient='auto'>"
    "<polygon points='0 0 8 4 0 8' fill='#767676'/></marker></defs>"
)


def contract(kind: str, key: str) -> list[str]:
    """Return what the first import contract of a kind lists under a key."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"]
    found: list[str] = next(c[key] for c in settings["contracts"] if c["type"] == kind)
    return found


def layers() -> list[list[str]]:
    """Return the rows of the import contract, highest first."""
    rows = contract("layers", "layers")
    return [[name.strip().removeprefix("metabolism.") for name in row.split("|")] for row in rows]


def imports() -> dict[str, set[str]]:
    """Return what each room imports from other rooms and ground files."""
    used: dict[str, set[str]] = {name: set() for row in layers() for name in row}
    for path in sorted(PACKAGE.rglob("*.py")):
        own = path.relative_to(PACKAGE).with_suffix("").parts[0]
        if own in used:
            used[own] |= {name for name in _imported(path) if name != own}
    return used


def _imported(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        names = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
        names += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        yield from (name.split(".")[1] for name in names if name.startswith("metabolism."))


def arrows(used: dict[str, set[str]]) -> dict[str, list[str]]:
    """Return the imports that no chain of other imports implies."""

    def below(name: str) -> set[str]:
        return used[name].union(*map(below, used[name]))

    return {name: sorted(direct - set().union(*map(below, direct))) for name, direct in used.items()}


def answers(name: str) -> str:
    """Return the first sentence of a room, or of a file of the ground, up to its first full stop or colon."""
    path = PACKAGE / name / "__init__.py"
    source = (path if path.is_file() else PACKAGE / f"{name}.py").read_text(encoding="utf-8")
    text = " ".join((ast.get_docstring(ast.parse(source)) or "").split())
    return re.match(r".*?(\?|(?=[.:]( |$)))", text).group(0)  # type: ignore[union-attr]


def drawing() -> str:
    """Return the drawing as SVG text."""
    rows = [[name for name in row if (PACKAGE / name).is_dir()] for row in layers()]
    rows = [row for row in rows if row]
    ground = [name for row in layers() for name in row if not (PACKAGE / name).is_dir()]
    place = {name: (EDGE + PLACES[name] * ACROSS, EDGE + DOWN * i) for i, row in enumerate(rows) for name in row}
    boxes, lines, fenced = [], [], contract("forbidden", "source_modules")
    for name, (x, y) in place.items():
        words = textwrap.wrap(answers(name), 24, max_lines=3, placeholder=" ...")
        texts = [f"<text x='{x + 10:g}' y='{y + 17:g}' class='n'>{name}</text>"]
        texts += [f"<text x='{x + 10:g}' y='{y + 32 + 14 * i:g}'>{escape(word)}</text>" for i, word in enumerate(words)]
        kind = " class='f'" if f"metabolism.{name}" in fenced else ""
        boxes.append(f"<rect x='{x:g}' y='{y:g}' width='{WIDTH}' height='{HEIGHT}' rx='6'{kind}/>" + "".join(texts))
    for name, targets in arrows(imports()).items():
        for target in (t for t in targets if t in place and name in place):
            (x, y), (a, b) = place[name], place[target]
            x, a, y, turn = x + WIDTH / 2, a + WIDTH / 2, y + HEIGHT, b - (DOWN - HEIGHT)
            lines.append(f"<path d='M{x:g} {y:g}V{turn:g}C{x:g} {turn + 16:g} {a:g} {b - 16:g} {a:g} {b:g}'/>")
    bottom, across = EDGE + DOWN * len(rows), 3 * ACROSS + WIDTH
    boxes.append(f"<rect x='{EDGE}' y='{bottom}' width='{across}' height='46' rx='6' class='g'/>")
    notes = (
        f"On the ground, files that rooms share: {', '.join(ground)}.",
        "Green: for anybody's SBML, knows errors and types only.",
    )
    for i, words in enumerate(notes):
        boxes.append(f"<text x='{EDGE + 10}' y='{bottom + 19 + 17 * i}'>{escape(words, quote=False)}</text>")
    size = f"0 0 {across + 2 * EDGE} {bottom + 46 + EDGE}"
    head = f"<svg xmlns='http://www.w3.org/2000/svg' viewBox='{size}' class='rooms' role='img'>"
    title = "<title>The rooms of the package: each may use those below it</title>"
    return "\n".join([head, title, STYLE, *lines, *boxes, "</svg>", ""])


def sizes() -> dict[str, tuple[int, int]]:
    """Return lines and statements of each room, of the ground, and of all together."""
    counted: dict[str, tuple[int, int]] = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        text, parts = path.read_text(encoding="utf-8"), path.relative_to(PACKAGE).parts
        size = len(text.splitlines()), sum(isinstance(node, ast.stmt) for node in ast.walk(ast.parse(text)))
        for room in (parts[0] if len(parts) > 1 else "ground", "all"):
            lines, statements = counted.get(room, (0, 0))
            counted[room] = lines + size[0], statements + size[1]
    return dict(sorted(counted.items(), key=lambda item: (item[0] == "all", item[0])))


def ceilings() -> dict[str, tuple[int, int]]:
    """Return lines and statements that each room may have, as the decision on rooms says."""
    rows = re.findall(r"^\| (\w+) \| ([\d,]+) \| ([\d,]+) \|$", DECISION.read_text(encoding="utf-8"), flags=re.M)
    return {room: (int(lines.replace(",", "")), int(statements.replace(",", ""))) for room, lines, statements in rows}


def write_sizes() -> None:
    """Write today's sizes into the decision on rooms."""
    rows = "".join(f"| {room} | {lines:,} | {statements:,} |\n" for room, (lines, statements) in sizes().items())
    page = DECISION.read_text(encoding="utf-8")
    head = "| room | lines | statements |\n|---|---|---|\n"
    DECISION.write_text(re.sub(rf"{re.escape(head)}(\|.*\n)*", lambda _: head + rows, page), encoding="utf-8")


if __name__ == "__main__":
    if sys.argv[1:] == ["--sizes"]:
        write_sizes()
    else:
        TARGET.write_text(drawing(), encoding="utf-8")
