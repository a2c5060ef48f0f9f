"""What every symbol of the model means: a name, an SBO term and identifiers, in the table and in the SBML."""

from __future__ import annotations

import csv
import re
from functools import cache
from typing import Any

import libsbml
import pytest

from metabolism.model import load, messages, read_annotations
from metabolism.parameters import models_dir, parameter_table

QUALIFIERS = {"is", "isVersionOf", "hasVersion", "isPartOf", "hasPart", "occursIn", "isPropertyOf"}
COLLECTIONS = {
    "chebi": r"CHEBI:\d+",
    "ec-code": r"\d(\.\d{1,3}){0,3}",
    "go": r"GO:\d{7}",
    "rhea": r"\d{5}",
    "uberon": r"UBERON:\d{7}",
    "uniprot": r"[OPQ]\d[A-Z0-9]{3}\d|[A-NR-Z]\d([A-Z][A-Z0-9]{2}\d){1,2}",
}
KINDS = ["compartment", "species", "reaction", "rule target"]


@cache
def document() -> Any:
    return libsbml.readSBMLFromString(load().sbml)


def ids(kind: str) -> list[str]:
    model = document().getModel()
    if kind == "rule target":
        return [rule.getVariable() for rule in model.getListOfRules()]
    plural = {"compartment": "Compartments", "species": "Species", "reaction": "Reactions"}[kind]
    return [element.getId() for element in getattr(model, f"getListOf{plural}")()]


def identifiers(row: dict[str, str]) -> set[tuple[str, str]]:
    """Return the pairs of qualifier and 'collection/ID' of one row."""
    pairs = [text.strip().split(" ", 1) for text in row["identifiers"].split(";") if text.strip()]
    return {(qualifier, uri) for qualifier, uri in pairs}


def carried(element: Any) -> set[tuple[str, str]]:
    """Return the pairs of qualifier and 'collection/ID' that one SBML element carries."""
    found = set()
    for term in element.getCVTerms() or []:
        qualifier = libsbml.BiolQualifierType_toString(term.getBiologicalQualifierType())
        for i in range(term.getNumResources()):
            found.add((qualifier, term.getResourceURI(i).removeprefix("http://identifiers.org/")))
    return found


@pytest.mark.parametrize("kind", KINDS)
def test_every_element_has_a_row_with_an_sbo_term(kind):
    table = read_annotations()
    elements = ids(kind)
    assert elements
    assert [key for key in elements if not re.fullmatch(r"SBO:\d{7}", table.get(key, {}).get("sbo", ""))] == []


@pytest.mark.parametrize("kind", ["compartment", "species", "reaction"])
def test_every_element_has_at_least_one_identifier(kind):
    table = read_annotations()
    assert [key for key in ids(kind) if not identifiers(table[key])] == []


def test_every_element_has_exactly_one_source_of_its_name():
    named = parameter_table()
    wrong = [key for key, row in read_annotations().items() if bool(row["name"]) == (key in named)]
    assert wrong == []


@pytest.mark.parametrize("kind", KINDS)
def test_every_element_has_a_name_in_the_sbml(kind):
    model = document().getModel()
    assert [key for key in ids(kind) if not model.getElementBySId(key).getName()] == []


def test_no_two_reactions_share_a_name():
    names = [reaction.getName() for reaction in document().getModel().getListOfReactions()]
    assert len(names) == len(set(names))


def test_every_identifier_is_well_formed():
    wrong = []
    for key, row in read_annotations().items():
        for qualifier, uri in identifiers(row):
            collection, _, local = uri.partition("/")
            if qualifier not in QUALIFIERS or not re.fullmatch(COLLECTIONS.get(collection, r"(?!)"), local):
                wrong.append((key, qualifier, uri))
    assert wrong == []


@pytest.mark.parametrize(
    "wrong", ["chebi/16643", "ec-code/2.5.1.6.1", "go/0015889", "uberon/UBERON:2107", "uniprot/MAT1A"]
)
def test_a_malformed_identifier_would_be_found(wrong):
    collection, _, local = wrong.partition("/")
    assert not re.fullmatch(COLLECTIONS[collection], local)


def test_every_identifier_says_how_it_was_verified():
    with (models_dir() / "annotations.csv").open(newline="", encoding="utf-8") as handle:
        rows = list(csv.DictReader(handle))
    missing = [
        (row["id"], uri)
        for row in rows
        for _, uri in identifiers(row)
        if uri.partition("/")[2] not in re.split(r"[\s,;]+", row["verified"])
    ]
    assert missing == []


def test_there_is_no_row_for_an_unknown_id_and_none_twice():
    with (models_dir() / "annotations.csv").open(newline="", encoding="utf-8") as handle:
        keys = [row["id"] for row in csv.DictReader(handle)]
    model = document().getModel()
    assert [key for key in keys if model.getElementBySId(key) is None] == []
    assert len(keys) == len(set(keys))


def test_libsbml_has_nothing_to_say_about_the_annotated_model():
    assert messages(load().sbml) == []


def test_an_sbo_term_of_another_branch_would_be_reported_by_libsbml():
    text = load().sbml
    assert 'sboTerm="SBO:0000185"' in text
    found = messages(text.replace('sboTerm="SBO:0000185"', 'sboTerm="SBO:0000247"', 1))
    assert any("SBO" in line for line in found)


def test_every_annotated_element_carries_its_sbo_term_and_its_identifiers_in_the_sbml():
    model = document().getModel()
    for key, row in read_annotations().items():
        element = model.getElementBySId(key)
        assert element.getSBOTermID() == row["sbo"], key
        assert carried(element) == identifiers(row), key


def test_the_identifiers_survive_a_round_trip_through_sbml_text():
    again = libsbml.readSBMLFromString(libsbml.writeSBMLToString(document())).getModel()
    assert carried(again.getElementBySId("MS_liver")) == identifiers(read_annotations()["MS_liver"])


@pytest.mark.parametrize(
    ("reaction", "uri"),
    [
        ("MS_liver", "uniprot/Q99707"),
        ("MTHFR_liver", "uniprot/P42898"),
        ("CBS_liver", "ec-code/4.2.1.22"),
        ("AHCY_liver", "ec-code/3.13.2.1"),
        ("TC_CAPTURE", "uniprot/P20062"),
        ("HC_CAPTURE", "uniprot/P20061"),
    ],
)
def test_a_reaction_names_its_protein(reaction, uri):
    assert uri in {found for _, found in carried(document().getModel().getElementBySId(reaction))}


def test_liver_and_the_other_tissues_name_their_own_methionine_adenosyltransferase():
    table = read_annotations()
    assert ("hasPart", "uniprot/Q00266") in identifiers(table["MAT1_liver"])
    assert ("hasPart", "uniprot/P31153") in identifiers(table["MAT_tissue"])
