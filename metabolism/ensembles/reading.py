"""A file or a text to a model: checked, read and compiled in a process with limits of time and memory."""

from __future__ import annotations

import logging
import os
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from metabolism.engines import kernel
from metabolism.errors import ModelError, UnknownName
from metabolism.model import sbml_from_antimony
from metabolism.sbml import (
    MEGABYTES,
    SECONDS,
    Equations,
    FileModel,
    checked_text,
    general_equations,
    in_sandbox,
    read_document,
    single,
)
from metabolism.simulation import Endpoint

_log = logging.getLogger("metabolism")

#: A wait that is announced by a warning [s of CPU], and the longest file that is looked into for it [bytes].
LONG, LARGEST = 5.0, 5 * 10**7

#: How units are written: base units of SBML, and powers of ten as prefixes.
_BASE = {"mole": "mol", "litre": "L", "liter": "L", "second": "s", "metre": "m", "gram": "g", "dimensionless": ""}
_PREFIX = {-15: "f", -12: "p", -9: "n", -6: "u", -3: "m", 0: "", 3: "k", 6: "M"}
_CLOCK = {60.0: "min", 3600.0: "h", 86400.0: "d"}


def read_model(
    source: str | Path,
    *,
    asked: Mapping[str, Sequence[str]] | None = None,
    seconds: int = SECONDS,
    megabytes: int = MEGABYTES,
) -> FileModel:
    """Read SBML or Antimony, from a file or a text, in a process of its own, and compile it there.

    Parameters
    ----------
    source : str or Path
        Path of a file, or the text itself.
    asked : mapping, optional
        What will be asked for, ``parameters``, ``outputs`` and ``endpoints``: looked up before anything is compiled.
    seconds, megabytes : int
        Limits of the process.

    Raises
    ------
    ModelError
        If it is broken, hostile or not covered, or needs more than the limits.
    """
    text = str(source).removeprefix("\ufeff")
    if isinstance(source, Path) or ("\n" not in text and ";" not in text and "<" not in text):
        document = _read(text, text, asked, seconds, megabytes)
    else:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / ("text.xml" if text.lstrip().startswith("<") else "text.ant")
            path.write_text(text, encoding="utf-8", errors="replace")
            document = _read(str(path), "the text", asked, seconds, megabytes)
    return FileModel(**{**document, "remarks": tuple(document["remarks"])})


def _read(
    path: str, name: str, asked: Mapping[str, Sequence[str]] | None, seconds: int, megabytes: int
) -> dict[str, Any]:
    # Python writes warnings to stderr unless told otherwise: whoever waits long is told before
    seconds_new = compile_time(path)
    level = logging.WARNING if seconds_new > LONG else logging.INFO
    _log.log(level, "reading %s, and compiling it if it is new (about %.0f s of CPU)", name, seconds_new)
    try:
        found: dict[str, Any] = in_sandbox(
            "metabolism.ensembles:described", path, {"asked": {**(asked or {})}}, seconds=seconds, megabytes=megabytes
        )
    except ModelError as error:
        raise ModelError(str(error).replace(f"'{path}'", name if name == "the text" else f"'{path}'")) from None
    return found


def compile_time(path: str | Path) -> float:
    """Expect the CPU time until a new file can run [s], from the number of its species or reactions.

    It follows ``docs/evidence/compile_times.csv`` within a factor of two; a file whose rates are simple takes less.
    """
    try:
        # nothing but a file, and none that the reader will refuse for its size
        text = Path(path).read_text("utf-8", "replace") if 0 < os.path.getsize(path) < LARGEST else ""
    except OSError:
        text = ""
    size = max(text.count("<species "), text.count("<reaction ") / 2, text.count("->") / 2)
    return float(1 + 0.03 * size + 2e-4 * size**2)


def described(path: str, asked: Mapping[str, Sequence[str]]) -> dict[str, Any]:
    """Read and compile a file in this process: the fields of a `FileModel` as plain data."""
    import libsbml

    if Path(path).suffix in (".xml", ".sbml"):
        text = single(checked_text(path))
    else:
        try:
            text = sbml_from_antimony(Path(path).read_text("utf-8-sig"))
        except (OSError, UnicodeDecodeError) as error:
            raise ModelError(f"'{path}' cannot be read: {getattr(error, 'strerror', None) or error}.") from None
    reading = read_document(text)
    system = general_equations(reading)
    _look_up(system, asked)
    kernel(system)
    content = libsbml.readSBMLFromString(text).getModel()
    elements = [e for e in content.getListOfAllElements() if e.isSetIdAttribute()]
    return {
        "id": content.getId() or Path(path).stem,
        "sbml": system.sbml,
        "source": text,
        "own_units": _units(content),
        "names": {e.getIdAttribute(): e.getName() for e in elements if e.getName()},
        "time_unit": _declared(content, "time"),
        "amount_unit": _declared(content, "substance"),
        "remarks": [*reading["remarks"], *_assumed(content)],
    }


def _look_up(system: Equations, asked: Mapping[str, Sequence[str]]) -> None:
    """Refuse names that the file does not have."""
    constants, outputs = {*system.states, *system.parameters}, (*system.states, *system.computed)
    endpoints = [Endpoint.parse(text, outputs) for text in asked.get("endpoints", ())]
    wanted = [*asked.get("outputs", ()), *(output for endpoint in endpoints for output in endpoint.outputs)]
    for kind, names, known in (
        ("parameter or state", asked.get("parameters", ()), constants),
        ("output", wanted, constants | {*outputs}),
    ):
        for name in names:
            if name not in known:
                raise UnknownName(kind, name, known - {system.time}, FileModel.lists)


def _assumed(content: Any) -> list[str]:
    """Say what Level 2 takes where a file says nothing."""
    said = content.getUnitDefinition("time") is not None
    return [] if content.getLevel() > 2 or said else ["its unit of time is not stated: s, as Level 2 takes then"]


def _declared(content: Any, quantity: str) -> str:
    """Unit of time or substance of the whole model; empty where nothing says it."""
    import libsbml

    level = content.getLevel()
    name = getattr(content, f"get{quantity.title()}Units")() if level > 2 else quantity
    definition = content.getUnitDefinition(name)
    if definition is not None:
        return _written(definition)
    if level > 2 or libsbml.UnitKind_forName(name) != libsbml.UNIT_KIND_INVALID:
        return _BASE.get(name, name)
    # what Level 2 takes where a file says nothing
    return {"time": "s", "substance": "mol"}[quantity]


def _units(content: Any) -> dict[str, str]:
    """Unit of every quantity as far as it follows from what the file declares."""
    units: dict[str, str] = {}

    def note(key: str, source: Any) -> None:
        known = source is not None and not getattr(source, "containsUndeclaredUnits", lambda: False)()
        definition = source.getDerivedUnitDefinition() if known else None
        units[key] = _written(definition) if definition is not None and definition.getNumUnits() else ""

    for group in (content.getListOfSpecies(), content.getListOfParameters(), content.getListOfCompartments()):
        for element in group:
            note(element.getId(), element)
    for reaction in content.getListOfReactions():
        law = reaction.getKineticLaw()
        note(reaction.getId(), law)
        for own in (*law.getListOfParameters(), *law.getListOfLocalParameters()) if law is not None else ():
            note(f"{reaction.getId()}_{own.getId()}", own)
    return units


def _written(definition: Any) -> str:
    """Write a unit definition as people do: ``nmol/L``, ``1/min``."""
    import libsbml

    definition = definition.clone()
    parts: tuple[list[str], list[str]] = ([], [])
    for i in range(definition.getNumUnits()):
        unit = definition.getUnit(i)
        kind = libsbml.UnitKind_toString(unit.getKind())
        if not unit.getExponentAsDouble() or (kind == "dimensionless" and unit.getMultiplier() == 1):
            continue
        scale, multiplier = unit.getScale(), unit.getMultiplier()
        while multiplier and not multiplier % 1000 and kind != "second":
            scale, multiplier = scale + 3, multiplier / 1000
        factor = multiplier * 10.0**scale
        if kind == "second" and (factor in _CLOCK or round(factor) in _CLOCK):
            name = _CLOCK[round(factor)]
        else:
            base = _BASE.get(kind, kind)
            name = f"{_PREFIX[scale]}{base}" if multiplier == 1 and scale in _PREFIX else f"{factor:g} {base}".strip()
        power = unit.getExponentAsDouble()
        parts[power < 0].append(name if abs(power) == 1 else f"{name}^{abs(power):g}")
    over, under = parts
    if not over and not under:
        return "dimensionless"
    return "/".join(["*".join(over) or "1", *under])


def member_sbml(model: FileModel) -> str:
    """Return the SBML text of a file with the changed values of a model in it.

    What the file computes at the start for a changed value is left out of it. Local parameters keep their place.

    Raises
    ------
    ModelError
        If a changed value has no place of its own in the file.
    """
    import libsbml

    document = libsbml.readSBMLFromString(model.source)
    content = document.getModel()
    for key, value in model.changed.items():
        content.removeInitialAssignment(key)
        species, place = content.getSpecies(key), content.getCompartment(key) or content.getParameter(key)
        if species is not None:
            whole = species.getHasOnlySubstanceUnits()
            species.unsetInitialAmount(), species.unsetInitialConcentration()
            (species.setInitialAmount if whole else species.setInitialConcentration)(value)
        elif place is not None:
            (place.setSize if hasattr(place, "setSize") else place.setValue)(value)
        elif own := next(
            (
                p
                for r in content.getListOfReactions()
                if r.getKineticLaw() is not None
                for p in (*r.getKineticLaw().getListOfParameters(), *r.getKineticLaw().getListOfLocalParameters())
                if f"{r.getId()}_{p.getId()}" == key
            ),
            None,
        ):
            own.setValue(value)
        else:
            raise ModelError(f"'{key}' has no place of its own in the file, so that a changed value cannot be written.")
    text: str = libsbml.writeSBMLToString(document)
    return text
