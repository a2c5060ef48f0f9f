"""What the elements of the SBML mean: names, SBO terms, identifiers, sources, authors, limits; and lints of all that.

Identifiers of compartments, species, reactions and rules stand in ``models/annotations.csv``. Parameters are
annotated by kind, in one mapping, and carry the publications of ``models/parameters.csv``.
"""

from collections.abc import Mapping
from typing import Any
from xml.sax.saxutils import escape

from metabolism.data import models_dir
from metabolism.errors import ModelError
from metabolism.model.parameters import MODEL_KINDS, ParameterTable
from metabolism.model.sources import publication_ids
from metabolism.tables import read_table

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

#: Relations of an element to an identifier, as biomodels.net defines them.
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

#: Amyotrophic lateral sclerosis in the Mondo ontology.
DISEASE_TERM = "mondo/MONDO:0004976"

#: Where ``collection/ID`` resolves.
REGISTRY = "http://identifiers.org/"


def read_annotations() -> dict[str, dict[str, str]]:
    """Return ``models/annotations.csv`` by element id: name, SBO term, qualifier and identifiers."""
    rows = read_table(models_dir() / "annotations.csv", ("id", "name", "sbo", "identifiers", "verified"))
    return {row["id"]: row for row in rows}


def annotate(sbml: str, table: ParameterTable, settings: Mapping[str, Any]) -> str:
    """Write names, SBO terms, identifiers, sources, notes and history into the SBML that Antimony writes.

    `settings` is ``models/model.toml``. A row of a table that is no symbol of the equations is a ModelError.
    """
    import libsbml

    document = libsbml.readSBMLFromString(sbml)
    model = document.getModel()
    model.setName(settings["title"])
    model.setNotes(_notes(settings))
    model.setMetaId(f"meta_{settings['id']}")
    write_identity(model, settings)
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
    """Return the pairs of qualifier and ``collection/ID`` of one row of annotations.csv.

    >>> identifiers({"identifiers": "is chebi/CHEBI:17588; isVersionOf go/GO:0008705"})
    [('is', 'chebi/CHEBI:17588'), ('isVersionOf', 'go/GO:0008705')]
    """
    pairs = [text.strip().partition(" ") for text in row.get("identifiers", "").split(";") if text.strip()]
    return [(qualifier, uri) for qualifier, _, uri in pairs]


def _identify(element: Any, pairs: list[tuple[str, str]]) -> None:
    import libsbml

    for qualifier, uri in pairs:
        if not element.isSetMetaId():
            element.setMetaId(f"meta_{element.getId()}")
        term = libsbml.CVTerm(libsbml.BIOLOGICAL_QUALIFIER)
        term.setBiologicalQualifierType(qualifier)
        term.addResource(REGISTRY + uri)
        element.addCVTerm(term)


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
    for qualifier, uri in (("hasTaxon", f"taxonomy/{settings['taxon']}"), ("hasProperty", DISEASE_TERM)):
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
