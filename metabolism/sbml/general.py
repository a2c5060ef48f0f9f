"""Anybody's SBML ready to run: its equations, and where each member starts."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np

from metabolism.errors import InvalidValue, UnknownName
from metabolism.sbml.equations import Equations, read_equations
from metabolism.sbml.reading import read_document
from metabolism.sbml.trees import Values
from metabolism.types import Array


def general_equations(source: str | Mapping[str, Any]) -> Equations:
    """Return the equations of an SBML text, or of what `read_document` found in one.

    Unlike `read_equations`, which reads flat documents, this covers the core of SBML Level 2 and 3: see `read_document`
    for what is refused. A file from elsewhere belongs in the sandbox first.
    """
    reading = read_document(source) if isinstance(source, str) else source
    return read_equations(json.dumps(reading))


def start_values(
    system: Equations, members: int = 1, given: Mapping[str, float | Array] | None = None, time: float = 0.0
) -> tuple[Array, Array]:
    """Parameters and initial states of some members, with what the document computes at the start.

    Parameters
    ----------
    system : Equations
        As from `general_equations`.
    members : int
    given : mapping of str to float or ndarray, shape (members,)
        Values of parameters and initial values of states in place of those of the document; what initial assignments
        make of them follows.
    time : float
        Time at the start [time unit of the file].

    Returns
    -------
    parameters : ndarray, shape (members, parameters)
    initial : ndarray, shape (members, states)

    Raises
    ------
    UnknownName, InvalidValue
        For a name that is no state or parameter, and a value that is no number.
    """
    known: dict[str, Array] = {}
    names = {*system.states, *system.parameters}
    for name, value in (given or {}).items():
        if name not in names:
            raise UnknownName("parameter or state", name, names)
        known[name] = np.broadcast_to(np.asarray(value, dtype=float), (members,))
        if not np.isfinite(known[name]).all():
            raise InvalidValue(f"'{name}' is given a value that is no finite number.")
    assert system.reading is not None, "equations of a flat document carry no values"
    values = Values(system.reading, known, np.full(members, time), first=True)
    return tuple(  # type: ignore[return-value]
        np.stack([np.broadcast_to(values[n], (members,)) for n in group], axis=1) if group else np.zeros((members, 0))
        for group in (system.parameters, system.states)
    )
