"""The linter: small named checks of model, numbers, sources and data, used by `metabolism check` and the tests.

Each check returns a list of problems, one line each; an empty list means it passes.
"""

import re
import tomllib
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path

from metabolism.cases import MEMORY, read_cases
from metabolism.data import models_dir, read_data, source, sources
from metabolism.dosing import enzymes, substances
from metabolism.engines import generate_ahead
from metabolism.errors import ExtraMissing, MetabolismError
from metabolism.fit import fit_problems
from metabolism.model import (
    Model,
    ParameterTable,
    bibliography,
    build_is_kept,
    build_sbml,
    equations,
    load,
    messages,
    model_settings,
    parameter_table,
    positions,
    read_annotations,
    read_set,
    reference_problems,
    set_names,
    stale_rows,
    untraceable,
)
from metabolism.report.annotated import (
    coverage_problems,
    description_problems,
    row_problems,
    source_annotation_problems,
)
from metabolism.sbml import RESIDUAL
from metabolism.simulation import steady_state
from metabolism.trials import scenarios


@dataclass(frozen=True)
class Check:
    """A named expectation and the function that lists its violations."""

    name: str
    expectation: str
    problems: Callable[[], list[str]]

    def outcome(self) -> tuple[list[str], str]:
        """Return the violations, and why it could not be looked for any: an extra that is not installed."""
        try:
            return self.problems(), ""
        except ExtraMissing as error:
            return [], str(error)


def checks() -> list[Check]:
    """Return all checks in order."""
    said = tomllib.loads((Path(__file__).parent / "templates" / "checks.toml").read_text(encoding="utf-8"))
    return [Check(name, expectation, _PROBLEMS[name]) for name, expectation in said.items()]


def build_path() -> str:
    """File name of the committed SBML build."""
    return f"{model_settings()['id']}.xml"


def build_problems() -> list[str]:
    """List what is stale of the committed build."""
    stale = [] if build_is_kept() else ["models/build/*.sha256 is stale: every start builds the model anew"]
    path = models_dir() / "build" / build_path()
    if not path.is_file() or path.read_text(encoding="utf-8") != build_sbml(parameter_table()):
        stale.append(f"models/build/{path.name} is missing or stale")
    if not generate_ahead(equations(load())):
        stale.append("the vector code generated ahead is stale: every first start generates it anew")
    return stale


def symbol_problems() -> list[str]:
    """List symbols of the equations without a row, and rows without a symbol."""
    system, rows = equations(load()), parameter_table().symbols.keys()
    symbols = {*system.parameters, *system.states}
    bare = [f"'{s}' has no row" for s in sorted(symbols - rows)]
    return bare + [f"'{r}' is no symbol" for r in sorted(rows - symbols)]


def bound_problems() -> list[str]:
    """List nominal values outside their bounds."""
    rows = [p for p in parameter_table().values() if not p.lower <= p.value <= p.upper]
    return [f"{p.id} = {p.value} is outside {p.lower} to {p.upper}" for p in rows]


def source_problems(table: ParameterTable, keys: set[str]) -> list[str]:
    """List rows without a usable source."""
    problems = []
    for p in table.values():
        problems += [f"{p.id}: source '{k}' is not in references.bib" for k in p.keys if k not in keys]
        if not p.source:
            problems.append(f"{p.id} has no source")
        if p.source == "assumed" and not p.note and not p.derivation:
            problems.append(f"{p.id} is assumed without a note")
        if p.source == "derived" and not p.derivation:
            problems.append(f"{p.id} is derived without a derivation")
        if p.keys and not p.locator:
            problems.append(f"{p.id} cites {p.source} without a locator")
    return problems


def grade_problems(name: str, cited: str, grade: str, lost: Collection[str]) -> list[str]:
    """List what is wrong with the grade of one row.

    Parameters
    ----------
    name : str
        The row, for the message.
    cited : str
        Its source: BibTeX keys separated by ``;``, ``assumed``, ``derived`` or ``fit:<id>``.
    grade : str
        A, B, C, D, or nothing for a row that is wholly assumed.
    lost : collection of str
        Keys that cannot be traced.
    """
    basis = [k for k in cited.split(";") if not k.startswith("fit:")]
    if grade not in ("", *"ABCD"):
        return [f"{name} has confidence '{grade}', not A-D"]
    if not grade and basis != ["assumed"]:
        return [f"{name} has no confidence; only a row whose source is 'assumed' may have none"]
    if grade not in ("", "D") and all(k == "assumed" or k in lost for k in basis):
        return [f"{name} is graded {grade} but rests on {cited} alone, which cannot be traced; grade it D"]
    return []


def fragments_problems() -> list[str]:
    """List what is wrong with the Antimony fragments."""
    texts = {n: (models_dir() / f"{n}.ant").read_text(encoding="utf-8") for n in model_settings()["fragments"]}
    return [problem for name, text in texts.items() for problem in fragment_problems(name, text)]


def fragment_problems(name: str, text: str) -> list[str]:
    """List what is wrong with one Antimony fragment."""
    problems = []
    if len(text.splitlines()) > 120:
        problems.append(f"{name}.ant is longer than 120 lines")
    code = "\n".join(line.split("//")[0] for line in text.splitlines())
    for match in re.finditer(r"(?<![\w.])\d+(?:\.\d+)?(?![\w.])(?!\s*dimensionless)", code):
        problems.append(f"{name}.ant has the bare number {match.group()}; put it in parameters.csv")
    header = dict(re.findall(r"^// (needs|gives): (.*)$", text, flags=re.M))
    if set(header) != {"needs", "gives"}:
        return [*problems, f"{name}.ant needs the header lines '// needs:' and '// gives:'"]
    needs, gives = (set(re.findall(r"\w+", header[k])) for k in ("needs", "gives"))
    words = set(re.findall(r"[A-Za-z_]\w*", code))
    declared = set(re.findall(r"^\s*(\w+)\s*:=", code, flags=re.M)) | set(
        re.findall(r"^\s*(\w+)'\s*=", code, flags=re.M)
    )
    for line in re.findall(r"species ([^;]+);", code):
        declared |= set(re.findall(r"(\w+) in \w+", line))
    problems += [f"{name}.ant gives '{x}' but does not define it" for x in sorted(gives - declared)]
    problems += [f"{name}.ant defines '{x}' but does not list it under gives" for x in sorted(declared - gives)]
    problems += [f"{name}.ant needs '{x}' but does not use it" for x in sorted(needs - words)]
    return problems


def resting_problems(model: Model) -> list[str]:
    """List what is wrong with the resting state of a model's own initial values."""
    import numpy as np

    system = equations(model)
    x, p = system.vectors(model.values)
    scale = model.scale
    rates = np.abs(system.f(x, p)) / np.maximum(np.abs(x), 1e-3 * scale)
    problems = [
        f"'{s}' moves at {r:.1e} of its size per hour"
        for s, r in zip(system.states, rates, strict=True)
        if r > RESIDUAL and s not in model.not_at_rest
    ]
    state = steady_state(model)
    if not state.stable:
        problems.append("an eigenvalue of the Jacobian is not negative")
    if not 8 <= state.values["hcy_plasma"] <= 12:
        problems.append(f"tHcy is {state.values['hcy_plasma']:.2f} uM, outside 8-12")
    return problems


def set_problems() -> list[str]:
    """List sets and effect scenarios that cannot be read, or cite what is not there."""
    problems, keys = [], set(bibliography())
    for name in set_names():
        try:
            rows = read_set(name).rows
        except MetabolismError as error:
            problems.append(f"set {name}: {error}")
            continue
        problems += [
            f"set {name}: source '{k}' is not in references.bib"
            for r in rows
            for k in r["source"].split(";")
            if k not in keys
        ]
    for scenario in scenarios().values():
        problems += [
            f"scenario {scenario.id}: source '{k}' unknown" for k in scenario.source.split(";") if k not in keys
        ]
    return problems


def substance_problems() -> list[str]:
    """List substances without a target in the model or a source."""
    system, keys = equations(load()), set(bibliography())
    problems = []
    for s in substances().values():
        problems += [f"{s.name}: target '{t}' is no species" for t in s.targets if t not in system.states]
        if s.steady and s.steady not in system.parameters:
            problems.append(f"{s.name}: '{s.steady}' of a steady supply is no parameter")
        if s.source not in keys:
            problems.append(f"{s.name}: source '{s.source}' is not in references.bib")
    return problems


def data_problems() -> list[str]:
    """List data files with another checksum, or a reference that is not there."""
    problems, keys = [], set(bibliography())
    for name in sources():
        try:
            source(name)
            table = read_data(name)
        except MetabolismError as error:
            problems.append(str(error))
            continue
        for cell in table["reference" if "reference" in table else "source"].astype(str).unique():
            problems += [
                f"{name}: reference '{k}' is not in references.bib" for k in cell.split(";") if k.strip() not in keys
            ]
    return problems


def case_problems() -> list[str]:
    """List cases that cannot be read, or differ from the homocysteine table."""
    try:
        rows = {r.id: r for r in read_cases(load())}
    except MetabolismError as error:
        return str(error).split(" | ")
    problems = []
    for _, published in read_data("literature/homocysteine").iterrows():
        own = rows.get(str(published["id"]))
        band = (float(published["accept_low"]), float(published["accept_high"]))
        if own is None or (own.low, own.high) != band:
            problems.append(f"row {published['id']} must be a case with the band {band[0]:g} to {band[1]:g}")
        elif MEMORY in published["evidence"] and MEMORY not in own.note:
            problems.append(f"row {published['id']} rests on a number from memory; its note must say '{MEMORY}'")
    return problems


def enzyme_problems() -> list[str]:
    """List capacities that enzymes.csv names and the model has not."""
    known = set(equations(load()).parameters)
    return [f"{name}: '{p}' is no parameter" for name, own in enzymes().items() for p in own if p not in known]


def grades_problems() -> list[str]:
    """List grades that their sources do not earn."""
    lost, rows = untraceable(), parameter_table().values()
    return [problem for p in rows for problem in grade_problems(p.id, p.source, p.confidence, lost)]


#: What lists the violations of each expectation of ``templates/checks.toml``.
_PROBLEMS: dict[str, Callable[[], list[str]]] = {
    "sbml-is-clean": lambda: messages(load().sbml),
    "build-is-current": build_problems,
    "symbols-have-rows": symbol_problems,
    "values-within-bounds": bound_problems,
    "numbers-have-sources": lambda: source_problems(parameter_table(), set(bibliography())),
    "references-can-be-traced": lambda: reference_problems(bibliography()),
    "grades-are-earned": grades_problems,
    "fits-are-current": fit_problems,
    "derivations-are-current": lambda: stale_rows(parameter_table()),
    "fragments-are-tidy": fragments_problems,
    "reference-rests": lambda: resting_problems(load()),
    "sets-are-sound": set_problems,
    "substances-have-targets": substance_problems,
    "data-files-are-intact": data_problems,
    "cases-are-as-published": case_problems,
    "enzymes-have-capacities": enzyme_problems,
    "flux-map-is-complete": lambda: positions.layout_problems(load()),
    "annotations-are-complete": lambda: coverage_problems(load().sbml),
    "identifiers-are-verified": lambda: row_problems(read_annotations()),
    "parameters-carry-their-sources": lambda: source_annotation_problems(load().sbml, parameter_table()),
    "model-is-described": lambda: description_problems(load().sbml),
}
