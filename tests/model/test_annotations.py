"""What every symbol of the model means: a name, an SBO term and identifiers, in the table and in the SBML."""

from __future__ import annotations

import csv
import re
from functools import cache
from typing import Any

import libsbml
import pytest

from metabolism.data import models_dir
from metabolism.model.annotations import COLLECTIONS, PARAMETER_SBO, read_annotations
from metabolism.model.build import messages
from metabolism.model.model import load
from metabolism.model.parameters import MODEL_KINDS, parameter_table
from metabolism.model.sources import bibliography, publication_ids
from metabolism.report import coverage_problems, description_problems, row_problems, source_annotation_problems

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


def test_every_identifier_is_well_formed_and_says_how_it_was_verified():
    assert row_problems(read_annotations()) == []


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ({"identifiers": "isA chebi/CHEBI:17588", "verified": "CHEBI:17588"}, "no qualifier"),
        ({"identifiers": "is kegg/C00155", "verified": "C00155"}, "no collection 'kegg'"),
        ({"identifiers": "is chebi/17588", "verified": "17588"}, "no identifier of chebi"),
        ({"identifiers": "is chebi/CHEBI:17588", "verified": ""}, "does not say how"),
    ],
)
def test_a_malformed_or_unverified_identifier_is_reported_in_words(row, words):
    (problem,) = row_problems({"hcy_plasma": row})
    assert words in problem
    assert "hcy_plasma" in problem


def broken(change):
    """Return the SBML after a change to its model."""
    copy = libsbml.readSBMLFromString(load().sbml)
    change(copy.getModel())
    return libsbml.writeSBMLToString(copy)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda m: m.getSpecies("hcy_plasma").unsetSBOTerm(), "species 'hcy_plasma' has no SBO term"),
        (lambda m: m.getSpecies("hcy_plasma").unsetCVTerms(), "species 'hcy_plasma' has no identifier"),
        (lambda m: m.getReaction("MS_liver").unsetCVTerms(), "reaction 'MS_liver' has no identifier"),
        (lambda m: m.getCompartment("liver").unsetName(), "compartment 'liver' has no display name"),
        (lambda m: m.getParameter("GFR_rel").unsetSBOTerm(), "give it one in parameters.csv"),
        (lambda m: m.getParameter("GFR_rel").unsetUnits(), "parameter 'GFR_rel' has no unit"),
    ],
)
def test_what_an_element_lacks_is_said_in_words(change, words):
    assert any(words in problem for problem in coverage_problems(broken(change)))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda m: m.unsetNotes(), "limits of use"),
        (lambda m: m.unsetModelHistory(), "creator"),
        (lambda m: m.unsetCVTerms(), "licence"),
        (lambda m: m.unsetExtentUnits(), "extent"),
    ],
)
def test_what_the_description_of_the_model_lacks_is_said_in_words(change, words):
    assert any(words in problem for problem in description_problems(broken(change)))


def test_a_parameter_without_its_publication_is_reported():
    cited = next(p for p in parameter_table().values() if p.kind == "Km" and p.source == "Reed2008")
    found = source_annotation_problems(broken(lambda m: m.getParameter(cited.id).unsetCVTerms()), parameter_table())
    assert found == [f"parameter '{cited.id}' does not carry its source Reed2008 (doi/10.1186/1742-4682-5-8)"]


def test_publication_identifiers_are_those_of_the_bibliography():
    want = {
        key: f"doi/{entry.fields['doi']}" if "doi" in entry.fields else f"pubmed/{entry.fields['pmid']}"
        for key, entry in bibliography().items()
        if {"doi", "pmid"} & {*entry.fields}
    }
    assert publication_ids() == want


def test_every_kind_of_parameter_has_one_sbo_term_of_the_parameter_branch():
    assert {*PARAMETER_SBO} == {*MODEL_KINDS} - {"volume"}
    assert all(libsbml.SBO.isQuantitativeParameter(int(term.removeprefix("SBO:"))) for term in PARAMETER_SBO.values())


@pytest.mark.parametrize(
    "wrong", ["chebi/16643", "ec-code/2.5.1.6.1", "go/0015889", "uberon/UBERON:2107", "uniprot/MAT1A"]
)
def test_a_malformed_identifier_would_be_found(wrong):
    collection, _, local = wrong.partition("/")
    assert not re.fullmatch(COLLECTIONS[collection], local)


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
        found = carried(element)
        assert {pair for pair in found if pair[0] != "isDescribedBy"} == identifiers(row), key


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
