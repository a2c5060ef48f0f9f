"""What is said outside the package - container, notebook, cluster, workflows, pages - names what exists."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import tomllib
from datetime import date, timedelta
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
TRACKED = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split("\n")
TEXTS = {
    name: (ROOT / name).read_text(encoding="utf-8")
    for name in TRACKED
    if Path(name).suffix in (".md", ".yml", ".yaml", ".txt", ".py", ".ipynb", ".toml", "")
    and (ROOT / name).is_file()
    and not name.startswith((".git/", "docs/evidence/", "LICENSE"))
}


def test_an_extra_that_is_asked_for_exists():
    known = PROJECT["project"]["optional-dependencies"].keys()
    asked = {
        (name, extra.strip())
        for name, text in TEXTS.items()
        for extras in re.findall(r"(?:als-methionine|[\"' ]\.|\n\.|\.whl)\[([a-z, ]+)\]", text)
        for extra in extras.split(",")
    }
    assert {name for name, _ in asked} >= {"Containerfile", "binder/requirements.txt", "docs/cluster.md", "Makefile"}
    assert {(name, extra) for name, extra in asked if extra not in known} == set()


def test_what_a_workflow_runs_exists():
    workflows = {name: text for name, text in TEXTS.items() if name.startswith(".github/workflows/")}
    targets = set(re.findall(r"^([a-z-]+):", TEXTS["Makefile"], flags=re.MULTILINE))
    for name, text in workflows.items():
        lines = re.findall(r"^\s*(?:- )?(?:run: )?((?:make|bash|python|sudo) .*)$", text, flags=re.MULTILINE)
        for line in lines:
            assert set(re.findall(r"\bmake ([a-z-]+)", line)) <= targets, (name, line)
            assert all((ROOT / path).is_file() for path in re.findall(r"\.ci/[\w.]+", line)), (name, line)
        assert "uses:" in text
        # an action is pinned to a commit, never to a name that may move
        assert all(re.search(r"@[0-9a-f]{40} # v", use) for use in re.findall(r"uses: (.*)", text)), name


def test_what_the_container_copies_is_what_the_wheel_is_built_from():
    copied = [
        line.split()[1:-1]
        for line in TEXTS["Containerfile"].splitlines()
        if line.startswith("COPY") and "--" not in line
    ]
    copied = {name for names in copied for name in names}
    hatch = PROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]
    needed = {"pyproject.toml", PROJECT["project"]["readme"], *hatch["packages"], *hatch["force-include"]}
    licences = {name.split("/")[0] for name in PROJECT["project"]["license-files"]}
    assert needed | licences <= copied
    assert all((ROOT / name).exists() for name in copied)


def test_the_lowest_versions_are_those_that_the_suite_was_run_with_not_long_ago():
    spec = importlib.util.spec_from_file_location("lowest", ROOT / "benchmarks" / "lowest.py")
    lowest = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(lowest)
    text = lowest.PAGE.read_text(encoding="utf-8")
    first, second = text.split("| tests |")
    rows = [tuple(cells) for cells in re.findall(r"^\| (\S+) \| (\S+) \| (\S+) \|$", first, flags=re.MULTILINE)]
    assert rows == list(lowest.bounds()), "pyproject.toml asks for other versions: nox --session lowest"
    day = date.fromisoformat(re.search(r"^(\S+), Python", text, flags=re.MULTILINE)[1])
    show = ["git", "log", "-1", "--format=%cs"]
    newest = subprocess.run(show, cwd=ROOT, capture_output=True, text=True, check=True).stdout.strip()
    assert date.fromisoformat(newest) - day < timedelta(days=180), "half a year old: nox --session lowest"
    ran = {place: int(count) for place, count in re.findall(r"^\| (\S+\.py) \| (\d+) \| \d+ \|$", second, re.MULTILINE)}
    left = re.search(r"Not run: tests marked slow(.*)\.$", text, flags=re.MULTILINE)[1].split(", ")[1:]
    assert not ran.keys() & {*left}
    assert sum(ran.values()) == int(re.search(r"(\d+) tests passed", text)[1]) > 100
