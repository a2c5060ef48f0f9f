"""The linter: small named checks of model, numbers, sources and data, used by `metabolism check` and the tests.

Each check returns a list of problems, one line each; an empty list means it passes.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass

from metabolism.cases import MEMORY, read_cases
from metabolism.data import models_dir, read_data, source, sources
from metabolism.dosing import enzymes, substances
from metabolism.engines import generate_ahead
from metabolism.errors import MetabolismError
from metabolism.fit import fit_problems
from metabolism.model import (
    COLLECTIONS,
    DISEASE_TERM,
    QUALIFIERS,
    REGISTRY,
    Model,
    ParameterTable,
    bibliography,
    build_is_kept,
    build_sbml,
    equations,
    identifiers,
    load,
    messages,
    model_settings,
    parameter_table,
    publication_ids,
    read_annotations,
    read_set,
    reference_problems,
    set_names,
    stale_rows,
    untraceable,
)
from metabolism.report.fluxmap import layout_problems
from metabolism.sbml import RESIDUAL
from metabolism.simulation import steady_state
from metabolism.trials import scenarios


@dataclass(frozen=True)
class Check:
    """A named expectation and the function that lists its violations."""

    name: str
    expectation: str
    problems: Callable[[], list[str]]


_CHECKS: list[Check] = []


def _check(expectation: str) -> Callable[[Callable[[], list[str]]], Callable[[], list[str]]]:
    def register(function: Callable[[], list[str]]) -> Callable[[], list[str]]:
        _CHECKS.append(Check(function.__name__.removeprefix("_").replace("_", "-"), expectation, function))
        return function

    return register


def checks() -> list[Check]:
    """Return all checks in order."""
    return list(_CHECKS)


def build_path() -> str:
    """File name of the committed SBML build."""
    return f"{model_settings()['id']}.xml"


@_check("libsbml, with every check on, has nothing to say about the built SBML")
def _sbml_is_clean() -> list[str]:
    return messages(load().sbml)


@_check("the committed build is what the model files give today (remedy: make generated)")
def _build_is_current() -> list[str]:
    stale = [] if build_is_kept() else ["models/build/*.sha256 is stale: every start builds the model anew"]
    path = models_dir() / "build" / build_path()
    if not path.is_file() or path.read_text(encoding="utf-8") != build_sbml(parameter_table()):
        stale.append(f"models/build/{path.name} is missing or stale")
    if not generate_ahead(equations(load())):
        stale.append("the vector code generated ahead is stale: every first start generates it anew")
    return stale


@_check("every symbol of the equations has exactly one row in parameters.csv, and every row a symbol")
def _symbols_have_rows() -> list[str]:
    system, table = equations(load()), parameter_table()
    symbols = {*system.parameters, *system.states}
    rows = table.symbols.keys()
    return [f"'{s}' has no row" for s in sorted(symbols - rows)] + [
        f"'{r}' is no symbol" for r in sorted(rows - symbols)
    ]


@_check("nominal values lie within their bounds")
def _values_within_bounds() -> list[str]:
    return [
        f"{p.id} = {p.value} is outside {p.lower} to {p.upper}"
        for p in parameter_table().values()
        if not p.lower <= p.value <= p.upper
    ]


@_check("every number has a source that resolves; assumed values say why, derived ones how")
def _numbers_have_sources() -> list[str]:
    return source_problems(parameter_table(), set(bibliography()))


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


@_check("every reference has a DOI, PMID or address, or is marked as not traceable")
def _references_can_be_traced() -> list[str]:
    return reference_problems(bibliography())


@_check("grades A-C stand only where a traceable source measured something; what is assumed has D or none")
def _grades_are_earned() -> list[str]:
    lost = untraceable()
    rows = parameter_table().values()
    return [problem for p in rows for problem in grade_problems(p.id, p.source, p.confidence, lost)]


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


@_check("every value that cites a fit is what the fit gave (remedy: metabolism fit --adopt)")
def _fits_are_current() -> list[str]:
    return fit_problems()


@_check("every derived value is what its formula gives (remedy: make generated)")
def _derivations_are_current() -> list[str]:
    return stale_rows(parameter_table())


@_check("fragments hold structure, not numbers, and declare what they need and give")
def _fragments_are_tidy() -> list[str]:
    problems = []
    for name in model_settings()["fragments"]:
        text = (models_dir() / f"{name}.ant").read_text(encoding="utf-8")
        problems += fragment_problems(name, text)
    return problems


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


@_check("the reference state rests (scaled rates below 1e-9 /h), is stable, and has tHcy 8-12 uM")
def _reference_rests() -> list[str]:
    return resting_problems(load())


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


@_check("parameter sets and effect scenarios can be read and cite sources that resolve")
def _sets_are_sound() -> list[str]:
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


@_check("every substance has a dose target in the model and a source for its molar mass")
def _substances_have_targets() -> list[str]:
    states, keys = equations(load()).states, set(bibliography())
    problems = []
    for s in substances().values():
        problems += [f"{s.name}: target '{t}' is no species" for t in s.targets if t not in states]
        if s.source not in keys:
            problems.append(f"{s.name}: source '{s.source}' is not in references.bib")
    return problems


@_check("every data file matches its checksum and cites sources that resolve")
def _data_files_are_intact() -> list[str]:
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


@_check("every study case can be read, and those of the homocysteine table have its rows and acceptance bands")
def _cases_are_as_published() -> list[str]:
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


@_check("every enzyme of enzymes.csv scales capacities that exist")
def _enzymes_have_capacities() -> list[str]:
    known = set(equations(load()).parameters)
    return [f"{name}: '{p}' is no parameter" for name, own in enzymes().items() for p in own if p not in known]


@_check("every reaction and state has a place on the flux map, and every route there is what its reaction does")
def _flux_map_is_complete() -> list[str]:
    return layout_problems(load())


@_check("every element has a name, a unit, an SBO term and, if it is a thing or a process, an identifier")
def _annotations_are_complete() -> list[str]:
    return coverage_problems(load().sbml)


@_check("every identifier is well formed and says how it was verified")
def _identifiers_are_verified() -> list[str]:
    return row_problems(read_annotations())


@_check("every parameter with a published source carries its DOI or PMID in the SBML")
def _parameters_carry_their_sources() -> list[str]:
    return source_annotation_problems(load().sbml, parameter_table())


@_check("the SBML states its title, limits of use, licence, creators, dates, taxon, disease and units")
def _model_is_described() -> list[str]:
    return description_problems(load().sbml)


def row_problems(rows: Mapping[str, Mapping[str, str]]) -> list[str]:
    """List malformed or unverified identifiers of annotations.csv."""
    problems = []
    for key, row in rows.items():
        for qualifier, uri in identifiers(row):
            collection, _, local = uri.partition("/")
            if qualifier not in QUALIFIERS:
                problems.append(f"'{key}': '{qualifier}' is no qualifier used here ({', '.join(sorted(QUALIFIERS))})")
            if collection not in COLLECTIONS:
                problems.append(f"'{key}': no collection '{collection}'; known are {', '.join(sorted(COLLECTIONS))}")
            elif not re.fullmatch(COLLECTIONS[collection], local):
                problems.append(f"'{key}': '{local}' is no identifier of {collection} ({COLLECTIONS[collection]})")
            elif local not in re.split(r"[\s,;]+", row["verified"]):
                problems.append(f"'{key}': the column 'verified' does not say how {local} was checked")
    return problems


def coverage_problems(sbml: str) -> list[str]:
    """List elements of an SBML document without name, unit, SBO term or, where one is due, an identifier.

    Compartments, species and reactions need an identifier; rules and parameters a term that fits their kind.
    """
    import libsbml

    document = libsbml.readSBMLFromString(sbml)
    model = document.getModel()
    ruled = {rule.getVariable() for rule in model.getListOfRules()}
    problems = []
    groups = {
        "compartment": model.getListOfCompartments(),
        "species": model.getListOfSpecies(),
        "reaction": model.getListOfReactions(),
        "parameter": model.getListOfParameters(),
    }
    for kind, elements in groups.items():
        for element in elements:
            key = element.getId()
            table = "annotations.csv" if kind != "parameter" or key in ruled else "parameters.csv"
            what = f"{kind} '{key}'"
            if not element.getName():
                problems.append(f"{what} has no display name; give it one in {table}")
            if not element.isSetSBOTerm():
                problems.append(f"{what} has no SBO term; give it one in {table}")
            if kind in ("parameter", "compartment") and not element.isSetUnits():
                problems.append(f"{what} has no unit")
            if kind in ("compartment", "species", "reaction") and not element.getNumCVTerms():
                problems.append(f"{what} has no identifier; add one to annotations.csv, e.g. 'is chebi/CHEBI:17588'")
    return problems


def description_problems(sbml: str) -> list[str]:
    """List what is missing from the description of the model itself: limits, licence, creators, dates, taxon."""
    import libsbml

    document = libsbml.readSBMLFromString(sbml)
    model = document.getModel()
    notes, history = model.getNotesString(), model.getModelHistory()
    resources = {t.getResourceURI(i) for t in model.getCVTerms() or [] for i in range(t.getNumResources())}
    wanted = {
        "a title": bool(model.getName()),
        "the limits of use in its notes": "Limits of use" in notes,
        "a licence in its notes": "Licence" in notes,
        "a licence among its resources": any("licenses" in r or "publicdomain" in r for r in resources),
        "a creator": history is not None and history.getNumCreators() > 0,
        "a creation date": history is not None and history.isSetCreatedDate(),
        "a taxon": any("taxonomy/" in r for r in resources),
        "a disease": any(DISEASE_TERM in r for r in resources),
        "units of substance, time, volume and extent": all(
            getattr(model, f"isSet{q}Units")() for q in ("Substance", "Time", "Volume", "Extent")
        ),
    }
    return [f"the model has no {what.removeprefix('a ')}" for what, there in wanted.items() if not there]


def source_annotation_problems(sbml: str, table: ParameterTable) -> list[str]:
    """List parameters whose published source, where it has a DOI or PMID, is not written into the SBML."""
    import libsbml

    document = libsbml.readSBMLFromString(sbml)
    model = document.getModel()
    publications, problems = publication_ids(), []
    for p in table.values():
        element = model.getParameter(p.id)
        if element is None:
            continue
        carried = {t.getResourceURI(i) for t in element.getCVTerms() or [] for i in range(t.getNumResources())}
        problems += [
            f"parameter '{p.id}' does not carry its source {k} ({publications[k]})"
            for k in p.keys
            if k in publications and REGISTRY + publications[k] not in carried
        ]
    return problems
