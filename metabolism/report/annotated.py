"""Checks of what the SBML says of itself: names, units, terms, identifiers, sources, and the description."""

import re
from collections.abc import Mapping

from metabolism.model import (
    COLLECTIONS,
    DISEASE_TERM,
    QUALIFIERS,
    REGISTRY,
    ParameterTable,
    identifiers,
    publication_ids,
)


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
