"""Record that the suite passes with the lowest versions that are declared: python benchmarks/lowest.py JUNIT...

Run in the environment that holds them, as ``nox --session lowest`` does, on what ``pytest --junit-xml`` left there; of
a test that stands in several files the last one counts. The page is docs/evidence/lowest.md; it is refused where a
version that is installed is not the lowest declared, or where a test failed.
"""

import platform
import sys
import tomllib
import xml.etree.ElementTree as ET
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from packaging.requirements import Requirement
from packaging.version import Version

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "evidence" / "lowest.md"


def bounds() -> Iterator[tuple[str, str, str]]:
    """Yield package, lowest version and who asks for it: the core, an extra or a group of the developers."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    own = project["project"]["name"]
    asked = {"core": project["project"]["dependencies"], **project["project"]["optional-dependencies"]}
    for group, lines in {**asked, **project["dependency-groups"]}.items():
        for requirement in (Requirement(line) for line in lines if isinstance(line, str)):
            if requirement.name != own:
                yield requirement.name, next(s.version for s in requirement.specifier if s.operator == ">="), group


def page(files: list[Path]) -> str:
    """Return the page.

    Raises
    ------
    SystemExit
        If a version is not the declared one, or a test failed.
    """
    rows = [(name, low, version(name), group) for name, low, group in bounds()]
    if higher := [f"{name}: {low} is declared, {found} is here" for name, low, found, _ in rows if _other(low, found)]:
        raise SystemExit("not the lowest versions (pyproject.toml):\n" + "\n".join(higher))
    outcomes = {
        (case.get("classname", ""), case.get("name", "")): {child.tag for child in case}
        for file in files
        for case in ET.parse(file).getroot().iter("testcase")
    }
    if failed := [".".join(key) for key, kinds in outcomes.items() if kinds & {"failure", "error"}]:
        raise SystemExit("failed with the lowest versions:\n" + "\n".join(failed))
    passed, skipped = Counter[str](), Counter[str]()
    for (place, _), kinds in outcomes.items():
        (skipped if "skipped" in kinds else passed)[place.replace(".", "/") + ".py"] += 1
    every = sorted(p.relative_to(ROOT).as_posix() for p in (ROOT / "tests").rglob("test_*.py"))
    left = [place for place in every if not passed[place] + skipped[place]]
    return "\n".join(
        [
            "# The lowest versions that are declared",
            "",
            f"{datetime.now(UTC):%Y-%m-%d}, Python {platform.python_version()}, {platform.system()}: {passed.total()} "
            f"tests passed, {skipped.total()} were skipped and none failed with exactly these versions. Not run: tests "
            f"marked slow{''.join(', ' + place for place in left)}.",
            "",
            "Written by `nox --session lowest`; refused while one fails. What the packages below need in turn is as "
            "new as it is on the day.",
            "",
            "| package | lowest | asked for by |",
            "|---|---|---|",
            *(f"| {name} | {low} | {group} |" for name, low, _, group in rows),
            "",
            "| tests | passed | skipped |",
            "|---|---|---|",
            *(f"| {place} | {passed[place]} | {skipped[place]} |" for place in sorted({*passed, *skipped})),
            "",
        ]
    )


def _other(low: str, found: str) -> bool:
    return Version(low) != Version(found)


if __name__ == "__main__":
    if len(sys.argv) < 2:
        raise SystemExit(__doc__)
    PAGE.write_text(page([Path(p) for p in sys.argv[1:]]), encoding="utf-8")
