"""Small SBML documents for tests: from Antimony, and changed through libsbml."""

import libsbml

from metabolism.model import sbml_from_antimony


def model(body):
    """Return the SBML of a model in Antimony."""
    return sbml_from_antimony(f"model m\n{body}\nend")


def changed(text, change):
    """Return a document after a change of its model."""
    document = libsbml.readSBMLFromString(text)
    change(document.getModel())
    return libsbml.writeSBMLToString(document)
