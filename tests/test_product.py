"""The product: documentation is true, the package imports lightly, the files a newcomer needs exist."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import metabolism as mb
from metabolism.cli import build_parser, main
from metabolism.model import COLUMNS, set_names

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "metabolism"
HEAVY = {
    "numpy",
    "scipy",
    "pandas",
    "xarray",
    "sympy",
    "pint",
    "matplotlib",
    "tellurium",
    "roadrunner",
    "antimony",
    "libsbml",
}


def fresh(code):
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def test_importing_the_package_imports_nothing_heavy():
    loaded = fresh("import sys, metabolism; print(*{m.split('.')[0] for m in sys.modules})")
    assert loaded & HEAVY == set()


def test_simulating_never_imports_tellurium_or_matplotlib():
    code = (
        "import sys, metabolism as mb; mb.simulate(mb.load(), None, 1); print(*{m.split('.')[0] for m in sys.modules})"
    )
    assert fresh(code) & {"tellurium", "matplotlib"} == set()


def test_public_names_exist_and_match_the_api_page():
    page = (ROOT / "docs/api.md").read_text(encoding="utf-8")
    for name in mb.__all__:
        assert getattr(mb, name).__doc__, name
        assert re.search(rf"`{name}\b", page), f"docs/api.md does not mention {name}"
    modules = {p.stem for p in (ROOT / "metabolism").glob("*.py")}
    assert not modules & set(mb.__all__)


def test_old_paths_lead_to_the_rooms_they_were_moved_to_with_a_word(recwarn):
    from metabolism.simulation import endpoints_of
    from metabolism.trials import mixed_model, mmrm, read_design

    with pytest.warns(DeprecationWarning, match=r"metabolism\.design is now in the room metabolism\.trials"):
        design = importlib.import_module("metabolism.design")
    assert design.read_design is read_design is mb.design.read_design
    assert mb.mmrm.fit is mmrm.fit
    assert mb.analysis.mmrm is mixed_model
    assert importlib.import_module("metabolism.ensembles").endpoints_of is endpoints_of
    with pytest.raises(AttributeError, match=r"'nothing' of metabolism\.design is not in the room"):
        design.nothing  # noqa: B018
    with pytest.raises(ModuleNotFoundError):
        importlib.import_module("metabolism.nowhere")
    # every file of the first layout leads to a room that is there, and hides no file of today
    for old, room in mb._MOVED.items():
        assert importlib.util.find_spec(f"metabolism.{room}"), old
        assert not [*PACKAGE.glob(old), *PACKAGE.glob(f"{old}.py")], old


def test_every_public_docstring_is_there():
    import importlib
    import inspect

    missing = []
    for path in (ROOT / "metabolism").rglob("[!_]*.py"):
        name = ".".join(path.relative_to(ROOT).with_suffix("").parts)
        module = importlib.import_module(name)
        if not module.__doc__:
            missing.append(name)
        for key, value in vars(module).items():
            own = getattr(value, "__module__", None) == name
            if (
                own
                and not key.startswith("_")
                and (inspect.isfunction(value) or inspect.isclass(value))
                and not value.__doc__
            ):
                missing.append(f"{name}.{key}")
    assert missing == []


def not_ignored(folder: Path) -> list[str]:
    """Names of what commands of a page left in a folder, which git would list if they stood in a clone."""
    left = [f"{p.name}/" if p.is_dir() else p.name for p in folder.iterdir()]
    asked = subprocess.run(["git", "check-ignore", *left], cwd=ROOT, capture_output=True, text=True, check=False)
    return sorted({*left} - {*asked.stdout.split()})


@pytest.mark.parametrize("page", ["README.md", "experiments/README.md"])
def test_python_blocks_of_the_documentation_run(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    text = (ROOT / page).read_text(encoding="utf-8")
    blocks = re.findall(r"```python\n(.*?)```", text, flags=re.S)
    assert blocks
    scope: dict[str, object] = {}
    for block in blocks:
        exec(compile(block, page, "exec"), scope)
    if "run" in scope:
        from metabolism.progress import silent
        from metabolism.report import Context

        regimen = re.search(r'regimen="(.+)"', text)
        context = Context(
            mb.load(), quick=True, seed=1, workers=1, progress=silent, regimen=regimen[1] if regimen else ""
        )
        assert scope["run"](context).claims  # type: ignore[operator]
    assert not_ignored(tmp_path) == []


def test_shell_commands_of_the_readme_run(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    lines = [line for block in re.findall(r"```sh\n(.*?)```", text, flags=re.S) for line in block.splitlines()]
    commands = [line.split("#")[0].strip() for line in lines if line.startswith("metabolism ")]
    assert len(commands) >= 5
    import shlex

    for command in commands:
        assert main(shlex.split(command)[1:]) == 0, command
    capsys.readouterr()
    assert not_ignored(tmp_path) == [], "a newcomer's clone is to stay clean: .gitignore"


def test_every_command_has_help_and_every_make_target_of_the_readme_exists():
    for name in (
        "list",
        "run",
        "simulate",
        "show",
        "export",
        "scan",
        "sensitivity",
        "fit",
        "qualify",
        "design",
        "fingerprint",
        "compare",
        "evidence",
        "report",
        "explore",
        "doctor",
        "check",
    ):
        assert name in build_parser().format_help()
    targets = set(re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(encoding="utf-8"), flags=re.M))
    text = "".join(
        p.read_text(encoding="utf-8")
        for p in [ROOT / "README.md", *(ROOT / "models").glob("*.md"), *(ROOT / "docs").rglob("*.md")]
    )
    assert set(re.findall(r"`make (\w+)`", text)) | {"run", "test"} <= targets


def test_links_between_documents_resolve():
    for page in [
        ROOT / "README.md",
        *(ROOT / "docs").rglob("*.md"),
        *(ROOT / "models").glob("*.md"),
        *(ROOT / "experiments").glob("*.md"),
    ]:
        for link in re.findall(r"\]\(([^)#]+)\)", page.read_text(encoding="utf-8")):
            # generated pages exist only in a built site, whose links test_site.py follows
            if not link.startswith("http") and "_generated" not in f"{page}{link}":
                assert (page.parent / link).exists(), f"{page.name}: {link}"


def test_the_models_page_names_every_set_and_column():
    page = (ROOT / "models/README.md").read_text(encoding="utf-8")
    for name in set_names():
        assert f"`{name}`" in page
    assert {"source", "locator", "confidence", "derivation"} <= set(COLUMNS)


def test_declared_versions_agree():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    settings = tomllib.loads((ROOT / "models/model.toml").read_text(encoding="utf-8"))
    citation = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    assert project["version"] == settings["version"] == mb.__version__
    assert f"version: {project['version']}" in citation
    for name in ("codemeta.json", ".zenodo.json"):
        said = json.loads((ROOT / name).read_text(encoding="utf-8"))
        assert said["version"] == project["version"]
        assert set(said["keywords"]) == set(project["keywords"])
    assert f"## {project['version']}" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


def test_constraints_pin_every_dependency_without_naming_an_index():
    pins = (ROOT / "constraints.txt").read_text(encoding="utf-8")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    groups = [*project["project"]["optional-dependencies"].values(), *project["dependency-groups"].values()]
    wanted = [w for group in (project["project"]["dependencies"], *groups) for w in group if isinstance(w, str)]
    pinned = {line.split("==")[0].lower().replace("_", "-") for line in pins.splitlines() if "==" in line}
    for requirement in wanted:
        name = re.split(r"[>=<\[ ]", requirement)[0].lower()
        assert name in {*pinned, "als-methionine"}, name
    assert "http" not in pins


def test_the_core_needs_no_referee():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    core = {re.split(r"[>=<\[ ]", need)[0] for need in project["dependencies"]}
    assert core.isdisjoint({"tellurium", "libroadrunner", "antimony"})
    code = (
        "import sys; sys.modules['antimony'] = sys.modules['roadrunner'] = None; import metabolism as mb;"
        "print(len(mb.simulate(mb.load(), '1 mg im', 24).curves['time']) > 10)"
    )
    assert fresh(code) == {"True"}


def test_a_home_that_cannot_be_written_is_no_obstacle(tmp_path):
    (tmp_path / "file").write_text("a file where a folder is wanted")
    environment = {**os.environ, "HOME": str(tmp_path / "file"), "XDG_CACHE_HOME": str(tmp_path / "file" / "cache")}
    command = [
        sys.executable,
        "-m",
        "metabolism",
        "simulate",
        "--regimen",
        "50 mg im",
        "--until",
        "2 d",
        "--output",
        "cbl_plasma",
    ]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, cwd=tmp_path, check=False)
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr


def test_what_a_notebook_shows_of_an_object_is_a_line_and_not_its_contents(model):
    """A reader met thousands of characters of arrays and tables where a name and a few numbers were wanted."""
    from metabolism import sensitivity

    text = "model m; S1 = 1; k1 = 0.5; k2 = 0.1; J: S1 -> ; (k1+k2)*S1; end"
    ens = mb.ensemble(text)
    vary = {"k1": "lognormal(0.5, 0.2)", "k2": "lognormal(0.1, 0.2)"}
    indices = ens.sobol(vary, until=2, endpoints=["final(S1)"], n=32)
    shown = {
        "als_methionine; as shipped": model,
        "GFR_rel = 0.5": model.with_values(GFR_rel=0.5),
        "values at rest": mb.steady_state(model),
        "1 states, 3 parameters": ens,
        "final(S1): k1 0.9": indices,
        "processes at rest": sensitivity.control(model),
    }
    for words, what in shown.items():
        assert words in repr(what)
        assert len(repr(what)) < 500
