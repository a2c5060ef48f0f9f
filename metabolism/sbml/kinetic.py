"""A kinetic model as a value: the text of a document, one set of numbers, and changed copies of it.

`KineticModel` is all that simulation, sweeps and sensitivity know of a model. Ours adds a table of sources to it;
`FileModel` is one that was read from a file, with the file's own names, units and initial values.
"""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any, Self

import numpy as np

from metabolism.errors import InvalidValue, UnknownName
from metabolism.sbml.equations import read_equations
from metabolism.types import Array

#: A state that starts empty counts as this share of the median of its kind, so that its tolerance has a size.
EMPTY = 1e-3


class KineticModel(ABC):
    """One structure and one set of values; what every verb of the house accepts as a model.

    Attributes
    ----------
    id : str
    sbml : str
        The flat SBML document at nominal values, without doses.
    changed : mapping of str to float
        The values that differ from nominal.
    sets : tuple of str
        Names of the parameter sets applied.
    not_at_rest : tuple of str
        States that never come to rest.
    bounded : bool
        Whether no value may be negative, and resting states do not depend on where the search for them begins.
    start : {"rest", "initial"}
        Where a run begins unless told otherwise.
    lists : str
        How a user lists its ``parameters`` or ``outputs``.
    time_unit, amount_unit : str
        What time and doses are given in; empty where a file does not say.
    """

    id: str
    sbml: str
    changed: Mapping[str, float]
    not_at_rest: tuple[str, ...]
    sets: tuple[str, ...] = ()
    bounded: bool = True
    start: str = "rest"
    lists: str = "List them with `metabolism list {}`."
    time_unit: str = "h"
    amount_unit: str = "umol"

    def least(self, name: str) -> float:
        """Smallest value that a parameter or state can have."""
        return 0.0 if self.bounded else -np.inf

    @property
    @abstractmethod
    def values(self) -> dict[str, float]:
        """Nominal values with all changes applied [model units]."""

    @property
    def units(self) -> Mapping[str, str]:
        """Unit of every state, parameter, rule and reaction."""
        return read_equations(self.sbml).units

    @property
    @abstractmethod
    def scale(self) -> Array:
        """Size of each state, in solver order [state unit]."""

    @property
    def resting(self) -> tuple[str, ...]:
        """States that come to rest, in solver order; the others accumulate or are lost."""
        return tuple(s for s in read_equations(self.sbml).states if s not in self.not_at_rest)

    @property
    def structure_hash(self) -> str:
        """SHA-256 of the SBML text at nominal values: the same for every patient."""
        return hashlib.sha256(self.sbml.encode()).hexdigest()

    @property
    def parameter_hash(self) -> str:
        """SHA-256 of all values of this model."""
        text = "\n".join(f"{k}={v!r}" for k, v in sorted(self.values.items()))
        return hashlib.sha256(text.encode()).hexdigest()

    def title(self, name: str) -> str:
        """Name of a quantity for people; its id where it has none."""
        return name

    @abstractmethod
    def with_values(self, values: Mapping[str, Any] | None = None, **named: Any) -> Self:
        """Return a new model with some values changed."""

    def starts(self, given: Mapping[str, Array], members: int) -> tuple[Array, Array]:
        """Return parameters and initial states of some members, where `given` has values of their own.

        Returns
        -------
        parameters : ndarray, shape (members, parameters)
        initial : ndarray, shape (members, states)
        """
        system = read_equations(self.sbml)
        initial, parameters = (np.tile(vector, (members, 1)) for vector in system.vectors(self.values))
        for name, values in given.items():
            here = name in system.parameters
            array, names = (parameters, system.parameters) if here else (initial, system.states)
            array[:, names.index(name)] = values
        return parameters, initial


@dataclass(frozen=True)
class FileModel(KineticModel):
    """A model from a file, in the file's own units.

    Attributes
    ----------
    sbml : str
        What `read_document` found, as JSON.
    source : str
        The SBML text itself, for those who read it otherwise.
    own_units : mapping of str to str
        Units by id as far as the file declares them.
    names : mapping of str to str
        What the file calls its elements for people.
    remarks : tuple of str
        What was read otherwise than it stands, or is not stated.
    size : tuple of float, optional
        Largest size of each state over a run [state unit].
    """

    id: str
    sbml: str = field(repr=False)
    source: str = field(repr=False)
    own_units: Mapping[str, str] = field(repr=False)
    names: Mapping[str, str] = field(default_factory=dict, repr=False)
    time_unit: str = ""
    amount_unit: str = ""
    remarks: tuple[str, ...] = field(default=(), repr=False)
    changed: Mapping[str, float] = field(default_factory=lambda: MappingProxyType({}))
    size: tuple[float, ...] | None = field(default=None, repr=False)
    bounded = False
    start = "initial"
    lists = "`metabolism ensemble FILE` lists them, as printing the ensemble does."

    def __reduce__(self) -> tuple[Any, ...]:
        # read-only views do not pickle; a worker gets plain copies
        rest = (dict(self.names), self.time_unit, self.amount_unit, self.remarks, dict(self.changed), self.size)
        return FileModel, (self.id, self.sbml, self.source, dict(self.own_units), *rest)

    @property
    def not_at_rest(self) -> tuple[str, ...]:  # type: ignore[override]
        clock = read_equations(self.sbml).time
        return () if clock is None else (clock,)

    @property
    def values(self) -> dict[str, float]:
        system = read_equations(self.sbml)
        parameters, initial = self.starts({}, 1)
        return dict(
            zip((*system.parameters, *system.states), [*parameters[0].tolist(), *initial[0].tolist()], strict=True)
        )

    @property
    def units(self) -> Mapping[str, str]:
        return self.own_units

    @property
    def scale(self) -> Array:
        if self.size is not None:
            return np.array(self.size)
        states = read_equations(self.sbml).states
        values = self.values
        size = np.abs([values[s] for s in states])
        kinds = np.array([self.units.get(s, "") for s in states])
        for i in np.flatnonzero(size == 0):
            alike = size[(kinds == kinds[i]) & (size > 0)]
            size[i] = EMPTY * np.median(alike) if len(alike) else EMPTY
        return size

    def title(self, name: str) -> str:
        return self.names.get(name) or name

    def starts(self, given: Mapping[str, Array], members: int) -> tuple[Array, Array]:
        """Parameters and initial states; what the file computes at the start follows the values of each member."""
        # with it wakes sympy, which a run of our own model does without
        from metabolism.sbml.general import start_values

        return start_values(read_equations(self.sbml), members, {**self.changed, **given})

    def with_values(self, values: Mapping[str, Any] | None = None, **named: Any) -> Self:
        """Return a new model with some values changed [units of the file].

        Raises
        ------
        UnknownName, InvalidValue
        """
        given, known = {**(values or {}), **named}, self.values
        for key, value in given.items():
            if key not in known:
                raise UnknownName("parameter or state", key, known)
            if not isinstance(value, (int, float)) or not np.isfinite(value):
                raise InvalidValue(f"{key} = {value!r} is not a finite number.")
        return replace(self, changed=MappingProxyType({**self.changed, **{k: float(v) for k, v in given.items()}}))
