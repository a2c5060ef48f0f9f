"""The house: rooms are entered by their doors, and a door offers nothing that is not explained."""

import ast
import collections
import cProfile
import functools
import importlib
import importlib.util
import inspect
import os
import re
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

import metabolism as mb
from metabolism.cli import main

ROOT = Path(__file__).resolve().parent.parent
ROOMS = sorted(p.parent.name for p in (ROOT / "metabolism").glob("*/__init__.py"))


def imports(path):
    """Every ``from metabolism.<room>... import names`` of a file, wherever it stands."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("metabolism."):
            yield node.module.split(".")[1:], [alias.name for alias in node.names]
        elif isinstance(node, ast.Import):
            for alias in node.names:
                if alias.name.startswith("metabolism."):
                    yield alias.name.split(".")[1:], ["*"]


def own_room(path):
    parts = path.relative_to(ROOT).parts
    return parts[1] if parts[0] in ("metabolism", "tests") and len(parts) > 2 else None


def files():
    for folder in ("metabolism", "experiments", "tests", "docs"):
        yield from (p for p in sorted((ROOT / folder).rglob("*.py")) if "_build" not in p.parts)


def test_the_rooms_are_those_of_the_contract():
    assert {"model", "sbml", "engines", "dosing", "simulation", "sweep", "cases", "trials", "sensitivity", "fit"} <= {
        *ROOMS
    }
    assert {"court", "exports", "report", "explorer", "cli"} <= {*ROOMS}


def test_nobody_enters_a_room_but_by_its_door():
    wrong = []
    for path in files():
        for module, names in imports(path):
            if module[0] not in ROOMS or module[0] == own_room(path):
                continue
            if len(module) > 1:
                wrong.append(f"{path.relative_to(ROOT)}: metabolism.{'.'.join(module)}")
            else:
                door = importlib.import_module(f"metabolism.{module[0]}")
                wrong += [
                    f"{path.relative_to(ROOT)}: {n} is not at the door of {module[0]}"
                    for n in names
                    if n not in door.__all__
                ]
    assert wrong == []


@pytest.mark.parametrize("room", ROOMS)
def test_a_door_says_what_the_room_answers_and_offers_only_what_is_explained(room):
    door = importlib.import_module(f"metabolism.{room}")
    assert 20 <= len(door.__doc__.strip().splitlines()) <= 40
    sources = [p.read_text(encoding="utf-8") for p in (ROOT / "metabolism" / room).rglob("*.py")]
    for name in door.__all__:
        thing = getattr(door, name)
        assert not name.startswith("_")
        line = re.compile(rf"^#:.*\n(?:\w+, )*{name}\b.* = ", re.MULTILINE)
        explained = (callable(thing) or inspect.ismodule(thing)) and inspect.getdoc(thing)
        assert explained or any(map(line.search, sources)), f"{room}.{name} has neither a docstring nor a '#:' line"


@pytest.mark.parametrize("room", ROOMS)
def test_no_file_bears_the_name_of_something_the_door_offers(room):
    door = importlib.import_module(f"metabolism.{room}")
    stems = {p.stem for p in (ROOT / "metabolism" / room).glob("*.py")}
    assert {n for n in door.__all__ if n in stems and not inspect.ismodule(getattr(door, n))} == set()


PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
#: Tools that are run and not imported, what one of them needs without saying so, and stubs for the type checker.
RUN = {"import-linter", "mypy", "pytest-xdist", "ruff", "six", "pandas-stubs", "scipy-stubs"}


@functools.cache
def modules_of():
    """The modules that each installed distribution brings, by its name in small letters."""
    modules = {}
    for module, distributions in packages_distributions().items():
        for distribution in distributions:
            modules.setdefault(distribution.lower().replace("_", "-"), set()).add(module)
    return modules


@functools.cache
def written(*folders):
    paths = (p for folder in folders for p in sorted((ROOT / folder).rglob("*.py")) if "_build" not in p.parts)
    return "\n".join(p.read_text(encoding="utf-8") for p in paths)


def is_imported(name, text):
    words = "|".join(re.escape(module) for module in modules_of().get(name, ()) if not module.startswith("_"))
    named = rf"""(?:\bimport |\bfrom |, |import_module\(f?["']|["'])(?:{words})\b"""
    return bool(words) and re.search(named, text) is not None


@pytest.mark.parametrize("group", ["", *PROJECT["project"]["optional-dependencies"], *PROJECT["dependency-groups"]])
def test_what_is_declared_is_imported(group):
    extras = {"": PROJECT["project"]["dependencies"], **PROJECT["project"]["optional-dependencies"]}
    text = written("metabolism", "experiments")
    if group not in extras:
        text = written("tests", "docs", "benchmarks")
    wanted = {
        re.split(r"[>=<\[ ]", w)[0].lower() for w in {**PROJECT["dependency-groups"], **extras}[group] if w == str(w)
    }
    assert {name for name in wanted - RUN - {"als-methionine"} if not is_imported(name, text)} == set()


def imported(node, within=frozenset()):
    """Modules of others that a syntax tree imports, with the extras that a `needs` around it names."""
    if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
        return
    if isinstance(node, ast.With):
        calls = [item.context_expr for item in node.items if isinstance(item.context_expr, ast.Call)]
        within |= {call.args[0].value for call in calls if ast.unparse(call.func) == "needs"}
    names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
    names += [node.module] if isinstance(node, ast.ImportFrom) and not node.level else []
    yield from ((name.partition(".")[0], within) for name in names)
    for child in ast.iter_child_nodes(node):
        yield from imported(child, within)


def test_what_is_imported_is_brought_by_the_core_or_asked_for_by_the_name_of_its_extra():
    """The developers' group holds much that a stranger's installation lacks."""

    def modules(lines):
        return {m for w in lines for m in modules_of().get(re.split(r"[>=<\[; ]", w)[0].lower(), {w})}

    extras = {name: modules(lines) for name, lines in PROJECT["project"]["optional-dependencies"].items()}
    # jinja2 is markupsafe's face
    core = modules(PROJECT["project"]["dependencies"]) | {"metabolism", "markupsafe", *sys.stdlib_module_names}
    seen, wrong = set(), []
    for path in [*(ROOT / "metabolism").rglob("*.py"), *(ROOT / "experiments").rglob("*.py")]:
        for module, within in imported(ast.parse(path.read_text(encoding="utf-8"))):
            seen |= within
            if module not in core.union(*(extras[e] for e in within)):
                wrong.append(f"{path.relative_to(ROOT)}: {module}")
    assert seen == extras.keys() - {"all"}
    assert wrong == []


def passed(call):
    """The rooms and ground files whose functions a call enters."""
    profile, home = cProfile.Profile(), f"{ROOT / 'metabolism'}{os.sep}"
    profile.runcall(call)
    codes = [entry.code for entry in profile.getstats() if not isinstance(entry.code, str)]
    files = [c.co_filename[len(home) :] for c in codes if c.co_filename.startswith(home) and c.co_name != "<module>"]
    return {Path(file).parts[0].removesuffix(".py") for file in files} - {"__init__", "errors", "types"}


JOURNEYS = {
    "A dose text": (["simulate", "--regimen", "50 mg im", "--until", "2 d", "--output", "cbl_plasma"], 10),
    "A parameter row": (["show", "MN_gamma"], 10),
    "A case row": (["qualify"], 12),
}


@pytest.mark.parametrize("journey", JOURNEYS)
def test_a_journey_passes_the_rooms_that_the_page_names(journey, capsys):
    arguments, most = JOURNEYS[journey]
    rooms = passed(lambda: main(arguments))
    page = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    told = next(part for part in page.split("\n\n") if part.startswith(f"**{journey}**"))
    assert {room for room in rooms & {*ROOMS} if f"`{room}`" not in told} == set()
    assert len(rooms) <= most
    assert capsys.readouterr().out


@functools.cache
def architecture_script():
    script = importlib.util.spec_from_file_location("architecture", ROOT / "docs" / "architecture.py")
    architecture = importlib.util.module_from_spec(script)
    script.loader.exec_module(architecture)
    return architecture


def test_no_room_outgrows_its_ceiling():
    architecture = architecture_script()
    ceilings, sizes = architecture.ceilings(), architecture.sizes()
    assert {*ROOMS, "ground", "all"} == ceilings.keys() == sizes.keys()
    grown = {room: (size, ceilings[room]) for room, size in sizes.items() if any(map(int.__gt__, size, ceilings[room]))}
    assert grown == {}, "say in docs/decisions/0008-rooms.md for what; python docs/architecture.py --sizes"


def test_no_file_is_longer_than_400_lines_unless_the_decision_says_why():
    decision = architecture_script().DECISION.read_text(encoding="utf-8")
    most = {name: int(lines) for name, lines in re.findall(r"^- `([\w/]+\.py)` \((\d+)\): ", decision, flags=re.M)}
    paths = {str(p.relative_to(ROOT / "metabolism")): p for p in (ROOT / "metabolism").rglob("*.py")}
    lines = {name: len(p.read_text(encoding="utf-8").splitlines()) for name, p in paths.items()}
    assert {name: n for name, n in lines.items() if n > most.get(name, 400)} == {}
    assert {name for name in most if lines.get(name, 0) <= 400} == set(), "these are short now: strike them out"
    experiments = [p.read_text(encoding="utf-8").splitlines() for p in (ROOT / "experiments").glob("*.py")]
    assert sum(map(len, experiments)) <= 1500


def test_the_drawing_of_the_rooms_is_that_of_the_code():
    architecture = architecture_script()
    drawn = architecture.TARGET.read_text(encoding="utf-8")
    assert drawn == architecture.drawing(), "python docs/architecture.py draws it afresh"
    assert {room for room in ROOMS if f">{room}</text>" not in drawn} == set()


#: What could be imported before there were rooms.
PATHS = {
    "metabolism.fit": "Definition Fit Objective least_squares read_definition relaxed shipped_fits",
    "metabolism.model": "Model antimony_from_sbml antimony_text build_sbml load messages model_settings",
    "metabolism.simulation": "simulate verify_doses",
    "metabolism.sweep": "scan",
    "metabolism.court": "Facts Score information posterior resample score",
    "metabolism.trials": "Arm Design Trial analyse candidates make_pool power_table read_design simulate_trial",
}
NAMESPACES = {
    "analysis": "analyse ancova cox log_rank responders survival",
    "design": "Arm Design parse_design read_design",
    "effects": "Scenario scenarios with_scenario",
    "endpoints": "area change half_life lambda_z mean nca peak percent_change time_of_peak",
    "factors": "Factor Factors choose from_cohort",
    "fisher_information": "Information expected_information information",
    "identifiability": "Structural Structure disease pharmacokinetics",
    "local_sensitivity": "curves reference_control slopes tornado",
    "mmrm": "fit",
    "patients": "alsfrs_r balance candidates effective_size motor_units plausibility",
    "plotting": "axis_label band intervals new_figure save_figure style",
    "population": "RunIn observe select",
    "power": "closed_form power_table",
    "profile_likelihood": "profile",
    "replicates": "replicate",
    "sensitivity": "Indices delta efast morris pawn prcc sobol",
    "sensitivity_plots": "bars convergence curve_map heat slope_map tornado",
    "slowing": "bodies slowing",
    "trial": "Pool Trial make_pool randomise screen simulate_trial",
}


@pytest.mark.parametrize("path", [*PATHS, *NAMESPACES])
def test_what_could_be_imported_before_there_were_rooms_still_can(path):
    module = importlib.import_module(path) if path in PATHS else getattr(mb, path)
    assert [n for n in (PATHS | NAMESPACES)[path].split() if not callable(getattr(module, n, None))] == []


def defined(path):
    """Names of the functions, classes and constants of a file that no decorator hands to somebody."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            names = [] if any(isinstance(d, ast.Call) for d in node.decorator_list) else [node.name]
        elif isinstance(node, (ast.Assign, ast.AnnAssign)) and node.col_offset == 0:
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            names = [target.id for target in targets if isinstance(target, ast.Name)]
        else:
            continue
        yield from (name for name in names if not name.startswith("__"))


def test_nothing_is_there_that_only_tests_use():
    words = collections.Counter(re.findall(r"\w+", written("metabolism", "experiments", "benchmarks", "docs")))
    pages = [*ROOT.glob("docs/**/*.ipynb"), *ROOT.glob("metabolism/*/__init__.pyi")]
    words.update(re.findall(r"\w+", " ".join(p.read_text(encoding="utf-8") for p in pages if "_build" not in p.parts)))
    reference = (ROOT / "docs" / "api.md").read_text(encoding="utf-8")
    there = collections.Counter(name for path in (ROOT / "metabolism").rglob("*.py") for name in defined(path))
    # methods that sympy, argparse, http.server, importlib and notebooks call by name, and those offered to users
    called = {"fdiff", "_eval_derivative", "_print_Symbol", "_check_value", "create_module", "do_GET", "log_message"}
    called |= {"_repr_html_", "_ipython_key_completions_", *re.findall(r"\.(\w+)\(", reference)}
    assert {name for name, count in there.items() if words[name] <= count} - called == set()
