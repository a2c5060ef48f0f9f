"""Model text to SBML: joins the Antimony fragments with the table of numbers into one flat, annotated document.

This is the only module that touches antimony and the `.ant` files.
"""

import hashlib
import tomllib
from pathlib import Path
from typing import Any

from metabolism.data import models_dir
from metabolism.errors import ModelError, needs
from metabolism.files import write_text
from metabolism.model.annotations import annotate
from metabolism.model.parameters import ParameterTable


def model_settings() -> dict[str, Any]:
    """Return the contents of ``models/model.toml``."""
    with (models_dir() / "model.toml").open("rb") as handle:
        return tomllib.load(handle)


def antimony_text(table: ParameterTable) -> str:
    """Return the joined Antimony text: units, fragments, then every value with its unit."""
    settings = model_settings()
    root = models_dir()
    parts = [f"model {settings['id']}", (root / "units.ant").read_text(encoding="utf-8")]
    parts += [(root / f"{name}.ant").read_text(encoding="utf-8") for name in settings["fragments"]]
    parts += [f"{p.id} = {p.value!r}; {p.id} has {p.unit};" for p in table.symbols.values()]
    return "\n".join([*parts, "end", ""])


def build_sbml(table: ParameterTable) -> str:
    """Build the flat SBML L3V2 document with display names, SBO terms and annotations.

    Raises
    ------
    ModelError
        For any message of libAntimony, or a symbol without a value.
    """
    return annotate(sbml_from_antimony(antimony_text(table)), table, model_settings())


def _stamp() -> str:
    """Digest of everything the built document follows from: texts, numbers, names and the references they cite."""
    root, settings = models_dir(), model_settings()
    names = ["model.toml", "units.ant", "parameters.csv", "annotations.csv", "references.bib"]
    names += [f"{fragment}.ant" for fragment in settings["fragments"]]
    return hashlib.sha256(b"\0".join((root / name).read_bytes() for name in names)).hexdigest()


def _kept() -> str | None:
    path = models_dir() / "build" / f"{model_settings()['id']}.xml"
    try:
        text, stamp = path.read_text(encoding="utf-8"), path.with_suffix(".sha256").read_text(encoding="utf-8")
    except OSError:
        return None
    return text if stamp.split() == [_stamp(), hashlib.sha256(text.encode()).hexdigest()] else None


def build_is_kept() -> bool:
    """Whether the document that was kept was made from the files as they are."""
    return _kept() is not None


def built_sbml(table: ParameterTable) -> str:
    """Return the built document: the one that was kept, if it was made from the files as they are, or a new one."""
    return _kept() or build_sbml(table)


def write_build(table: ParameterTable) -> Path:
    """Write the built document and what it was made from, so that later starts need not build it."""
    text = build_sbml(table)
    path = write_text(models_dir() / "build" / f"{model_settings()['id']}.xml", text)
    write_text(path.with_suffix(".sha256"), f"{_stamp()}\n{hashlib.sha256(text.encode()).hexdigest()}\n")
    return path


def sbml_from_antimony(text: str) -> str:
    """Translate Antimony to SBML; any message of libAntimony is an error (it keeps global state, cleared here).

    >>> 'id="decay"' in sbml_from_antimony("model decay; S = 10; k = 0.5; J: S -> ; k*S; end")
    True
    """
    with needs("referee", "Antimony text"):
        import antimony

    antimony.clearPreviousLoads()
    status = antimony.loadAntimonyString(text)
    try:
        message = antimony.getLastError()
    except UnicodeDecodeError:
        # it cuts a name of other letters in the middle of one
        strange = next((c for c in text if ord(c) > 127), "")
        message = f"a name has the character '{strange}'; names are letters from a to z, digits and _."
    if status < 0 or message:
        raise ModelError(f"the model text is not valid Antimony: {message}")
    sbml: str = antimony.getSBMLString(antimony.getMainModuleName())
    antimony.clearPreviousLoads()
    return sbml


def antimony_from_sbml(sbml: str) -> str:
    """Translate SBML back to Antimony."""
    with needs("referee", "Antimony text"):
        import antimony

    antimony.clearPreviousLoads()
    if antimony.loadSBMLString(sbml) < 0:
        raise ModelError(f"this SBML cannot be written as Antimony: {antimony.getLastError()}")
    text: str = antimony.getAntimonyString(antimony.getMainModuleName())
    antimony.clearPreviousLoads()
    return text


def messages(sbml: str) -> list[str]:
    """Return every message of libsbml with all checks on, units and modelling practice included."""
    import libsbml

    document = libsbml.readSBMLFromString(sbml)
    for name in ("GENERAL", "IDENTIFIER", "UNITS", "MATHML", "SBO"):
        document.setConsistencyChecks(getattr(libsbml, f"LIBSBML_CAT_{name}_CONSISTENCY"), True)
    document.setConsistencyChecks(libsbml.LIBSBML_CAT_OVERDETERMINED_MODEL, True)
    document.setConsistencyChecks(libsbml.LIBSBML_CAT_MODELING_PRACTICE, True)
    document.checkConsistency()
    errors = [document.getError(i) for i in range(document.getNumErrors())]
    return [f"{e.getErrorId()} line {e.getLine()}: {' '.join(e.getMessage().split())}" for e in errors]
