"""What is said outside the package - container, notebook, cluster, workflows, pages - names what exists."""

from __future__ import annotations

import importlib.util
import json
import re
import subprocess
import sys
import tomllib
from datetime import date, timedelta
from importlib.metadata import PackageNotFoundError, metadata, packages_distributions, requires, version
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

from metabolism.errors import ExtraMissing, needs

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


def test_a_release_starts_what_deploys_its_site():
    """A release that a workflow made starts no other workflow, unless it is asked to by name."""
    begun = re.findall(r"gh workflow run (\S+)", TEXTS[".github/workflows/release.yml"])
    assert begun == ["docs.yml"]
    assert "workflow_dispatch" in TEXTS[".github/workflows/docs.yml"]
    assert "gh release download" in TEXTS[".github/workflows/docs.yml"]


def test_workers_started_as_the_pages_say_have_one_thread_each():
    """With ``--nworkers auto`` Dask chooses the threads, whatever ``--nthreads`` says."""
    from distributed.cli.dask_worker import main

    known = {option for parameter in main.params for option in parameter.opts}
    lines = re.findall(r"^dask worker (.*)$", TEXTS["docs/cluster.md"], flags=re.MULTILINE)
    compose = re.findall(r'\["dask", "worker", (.*)\]', TEXTS["compose.yaml"])
    assert len(lines) == len(compose) == 1
    for words in (lines[0].split(), json.loads(f"[{compose[0]}]")):
        assert {w for w in words if w.startswith("--")} <= known
        assert words[words.index("--nthreads") + 1] == "1"
        assert "auto" not in words


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


#: Python versions that the package says it was tested with, the oldest first.
PYTHONS = [c.rpartition(" ")[2] for c in PROJECT["project"]["classifiers"] if "Python :: 3." in c]
#: The next one: tried by hosted checks, said in docs/start.md.
NEXT = f"3.{int(PYTHONS[-1].partition('.')[2]) + 1}"


def test_every_page_names_the_same_python_versions():
    assert PROJECT["project"]["requires-python"] == f">={PYTHONS[0]}"
    span = f"Python {PYTHONS[0]} to {PYTHONS[-1]}"
    assert span in TEXTS["README.md"]
    assert f"With {span}" in TEXTS["docs/start.md"]
    assert f"Python {NEXT}" in TEXTS["docs/start.md"]
    doctor = (ROOT / "metabolism/cli/doctor.py").read_text(encoding="utf-8")
    assert f"PYTHON = (({PYTHONS[0]}), ({PYTHONS[-1]}))".replace("3.", "3, ") in doctor
    nox = re.search(r"python=(\[.*\])\)\ndef tests", TEXTS["noxfile.py"])[1]
    assert json.loads(nox) == [*PYTHONS, NEXT]
    # nox stops at a version that is no range
    assert SpecifierSet(re.search(r'needs_version = "(.*)"', TEXTS["noxfile.py"])[1])
    workflows = "".join(text for name, text in TEXTS.items() if name.startswith(".github/workflows/"))
    asked = {v for line in re.findall(r"python(?:-version)?: (.*\d.*)", workflows) for v in re.findall(r"3\.\d+", line)}
    assert {PYTHONS[0], NEXT} <= asked <= {*PYTHONS, NEXT}
    for name in ("Containerfile", "binder/runtime.txt"):
        assert set(re.findall(r"python[:-](3\.\d+)", TEXTS[name])) <= {*PYTHONS}, name
        assert "3." in TEXTS[name], name


def pins():
    return [line.split("==") for line in TEXTS["constraints.txt"].splitlines() if "==" in line]


def test_what_is_pinned_runs_on_the_oldest_python_of_all():
    """Debian 12 has Python 3.11.2; a pin that needs 3.11.5 stops `make run` there."""
    lowest, wrong, seen = f"{PYTHONS[0]}.0", [], 0
    for name, pin in pins():
        try:
            known = version(name) == pin
        except PackageNotFoundError:
            continue
        asked = metadata(name).get("Requires-Python")
        seen += known
        if known and asked and lowest not in SpecifierSet(asked):
            wrong.append(f"{name} {pin} needs Python {asked}")
    assert seen > 100
    assert wrong == []


def test_all_of_it_installs_on_linux_for_arm_without_what_is_not_built_for_it(monkeypatch):
    arm, extras = {"sys_platform": "linux", "platform_machine": "aarch64"}, PROJECT["project"]["optional-dependencies"]
    lines = [w for group in (*extras.values(), *PROJECT["dependency-groups"].values()) for w in group if w == str(w)]
    asked = [Requirement(line) for line in lines]
    left = {need.name for need in asked if need.marker and not need.marker.evaluate(arm)}
    assert left == {"antimony", "libroadrunner", "python-libcombine", "tellurium"}
    monkeypatch.setattr(sys, "platform", "linux")
    for machine, word in (("aarch64", "not built for Linux on ARM"), ("x86_64", r"als-methionine\[referee\]")):
        monkeypatch.setattr("os.uname", lambda machine=machine: type("Name", (), {"machine": machine}))
        with pytest.raises(ExtraMissing, match=word), needs("referee", "this"):
            raise ModuleNotFoundError("none", name="roadrunner")


def brought(names):
    """Names of distributions with all that they need in turn, as installed here."""
    todo, found = list(names), set()
    while todo:
        need = todo.pop()
        name = re.sub(r"[-_.]+", "-", need.name).lower()
        if name in found and not need.extras:
            continue
        found.add(name)
        try:
            lines = requires(need.name) or []
        except PackageNotFoundError:
            continue
        for further in map(Requirement, lines):
            if not further.marker or any(further.marker.evaluate({"extra": e}) for e in need.extras or {""}):
                todo.append(further)
    return found


def test_the_notebook_server_brings_what_the_notebooks_import():
    lines = [x for x in TEXTS["binder/requirements.txt"].splitlines() if not x.startswith("--")]
    have = brought(Requirement(x.replace(".[", "als-methionine[")) for x in lines)
    homes = packages_distributions()
    for path in sorted((ROOT / "docs/notebooks").glob("*.ipynb")):
        cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
        code = "\n".join("".join(c["source"]) for c in cells if c["cell_type"] == "code")
        # also what a cell starts in another process
        asked = set(re.findall(r"^(?:import|from) (\w+)", code, flags=re.MULTILINE)) - sys.stdlib_module_names
        assert asked >= {"metabolism"}
        for module in asked - {"metabolism"}:
            assert {d.lower().replace("_", "-") for d in homes[module]} & have, f"{path.name}: {module}"
