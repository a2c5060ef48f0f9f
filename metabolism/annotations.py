"""What the elements of the SBML mean: names, SBO terms, identifiers, sources, authors, limits; and lints of all that.

Identifiers of compartments, species, reactions and rules stand in ``models/annotations.csv``. Parameters are
annotated by kind, in one mapping, and carry the publications of ``models/parameters.csv``.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Mapping
from typing import Any
from xml.sax.saxutils import escape

from metabolism.errors import ModelError
from metabolism.parameters import MODEL_KINDS, ParameterTable, models_dir
from metabolism.provenance import publication_ids

#: SBO term of a parameter by its kind in parameters.csv.
PARAMETER_SBO = {
    "Vmax": "SBO:0000186",  # maximal velocity
    "Km": "SBO:0000027",  # Michaelis constant
    "Ki": "SBO:0000261",  # inhibitory constant
    "rate": "SBO:0000009",  # kinetic constant
    "clearance": "SBO:0000009",  # kinetic constant
    "exponent": "SBO:0000190",  # Hill coefficient
    "fraction": "SBO:0000381",  # biochemical coefficient
    "scale": "SBO:0000002",  # quantitative systems description parameter
    "input": "SBO:0000002",
    "initial": "SBO:0000002",
}
QUALIFIERS = frozenset({"is", "isVersionOf", "hasVersion", "isPartOf", "hasPart", "occursIn", "isPropertyOf"})
#: Identifier pattern of each collection used, as registered at identifiers.org.
COLLECTIONS = {
    "chebi": r"CHEBI:\d+",
    "ec-code": r"\d(\.\d{1,3}){0,3}",
    "go": r"GO:\d{7}",
    "rhea": r"\d{5}",
    "uberon": r"UBERON:\d{7}",
    "uniprot": r"[OPQ]\d[A-Z0-9]{3}\d|[A-NR-Z]\d([A-Z][A-Z0-9]{2}\d){1,2}",
}
_DISEASE = "mondo/MONDO:0004976"  # amyotrophic lateral sclerosis
_REGISTRY = "http://identifiers.org/"


def read_annotations() -> dict[str, dict[str, str]]:
    """Return ``models/annotations.csv`` by element id: name, SBO term, qualifier and identifiers."""
    with (models_dir() / "annotations.csv").open(newline="", encoding="utf-8") as handle:
        return {row["id"]: row for row in csv.DictReader(handle)}


def annotate(sbml: str, table: ParameterTable, settings: Mapping[str, Any]) -> str:
    """Write names, SBO terms, identifiers, sources, notes and history into a bare SBML document.

    Parameters
    ----------
    sbml : str
        SBML Level 3 as Antimony writes it.
    settings : mapping
        Contents of ``models/model.toml``.

    Raises
    ------
    ModelError
        For a row of a table that is no symbol of the equations.
    """
    import libsbml

    document = libsbml.readSBMLFromString(sbml)
    model = document.getModel()
    _describe_model(model, settings)
    publications = publication_ids()
    for p in table.values():
        element = model.getElementBySId(p.id)
        if element is None:
            if p.kind in MODEL_KINDS:
                raise ModelError(f"'{p.id}' has a row in parameters.csv but is no symbol of the equations.")
            continue
        element.setName(p.name)
        if element.getTypeCode() == libsbml.SBML_PARAMETER:
            element.setSBOTerm(PARAMETER_SBO[p.kind])
            _identify(element, [("isDescribedBy", publications[k]) for k in p.keys if k in publications])
    for key, row in read_annotations().items():
        element = model.getElementBySId(key)
        if element is None:
            raise ModelError(f"'{key}' has a row in annotations.csv but is no symbol of the equations.")
        if row["name"]:
            element.setName(row["name"])
        if row["sbo"]:
            element.setSBOTerm(row["sbo"])
        _identify(element, identifiers(row))
    text: str = libsbml.writeSBMLToString(document)
    return text


def identifiers(row: Mapping[str, str]) -> list[tuple[str, str]]:
    """Return the pairs of qualifier and ``collection/ID`` of one row of annotations.csv."""
    pairs = [text.strip().partition(" ") for text in row.get("identifiers", "").split(";") if text.strip()]
    return [(qualifier, uri) for qualifier, _, uri in pairs]


def _identify(element: Any, pairs: list[tuple[str, str]]) -> None:
    import libsbml

    for qualifier, uri in pairs:
        if not element.isSetMetaId():
            element.setMetaId(f"meta_{element.getId()}")
        term = libsbml.CVTerm(libsbml.BIOLOGICAL_QUALIFIER)
        term.setBiologicalQualifierType(qualifier)
        term.addResource(_REGISTRY + uri)
        element.addCVTerm(term)


def _describe_model(model: Any, settings: Mapping[str, Any]) -> None:
    model.setName(settings["title"])
    model.setNotes(_notes(settings))
    model.setMetaId(f"meta_{settings['id']}")
    write_identity(model, settings)


def write_identity(model: Any, settings: Mapping[str, Any]) -> None:
    """Write creators, dates, taxon, disease and licence; dates are fixed, so that the same model is the same file."""
    import libsbml

    history = libsbml.ModelHistory()
    for person in settings["creators"]:
        creator = libsbml.ModelCreator()
        creator.setFamilyName(person["family"])
        creator.setGivenName(person["given"])
        history.addCreator(creator)
    history.setCreatedDate(libsbml.Date(settings["created"]))
    history.setModifiedDate(libsbml.Date(settings.get("modified", settings["created"])))
    model.setModelHistory(history)
    for qualifier, uri in (("hasTaxon", f"taxonomy/{settings['taxon']}"), ("hasProperty", _DISEASE)):
        _identify(model, [(qualifier, uri)])
    licence = libsbml.CVTerm(libsbml.MODEL_QUALIFIER)
    licence.setModelQualifierType(libsbml.BQM_IS_DESCRIBED_BY)
    licence.addResource(settings["licence_url"])
    model.addCVTerm(licence)


def _notes(settings: Mapping[str, Any]) -> str:
    paragraphs = [
        f"{settings['title']}, version {settings['version']}.",
        f"Limits of use: {settings['limits']}",
        "Amounts are in micromole, volumes in litre, time in hours. Every parameter names its kind by an SBO term "
        "and, where it was published, its publication.",
        f"Licence: {settings['licence']} ({settings['licence_url']}).",
    ]
    text = "".join(f"<p>{escape(p)}</p>" for p in paragraphs)
    return f'<body xmlns="http://www.w3.org/1999/xhtml">{text}</body>'


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
        "a disease": any(_DISEASE in r for r in resources),
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
            if k in publications and _REGISTRY + publications[k] not in carried
        ]
    return problems
