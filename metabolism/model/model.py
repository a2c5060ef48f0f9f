"""The model as a value: one structure, one set of numbers, and changed copies of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from metabolism.errors import SetConflict, UnknownName
from metabolism.model import catalogue
from metabolism.model.build import built_sbml, model_settings
from metabolism.model.parameters import Parameter, ParameterTable, check_value, parameter_table, read_set
from metabolism.model.sources import citations
from metabolism.sbml import Equations, KineticModel, read_equations
from metabolism.types import Array, in_brief
from metabolism.units import label

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Model(KineticModel):
    """An immutable model: one structure (SBML text) and one set of values.

    Attributes
    ----------
    id : str
        Model id.
    sbml : str
        The flat SBML L3V2 document at nominal values, without doses.
    values : mapping of str to float
        Every parameter, compartment size and initial value [units of the parameter table].
    changed : mapping of str to float
        The values that differ from nominal, by user or by set.
    sets : tuple of str
        Names of the parameter sets applied.
    """

    id: str
    sbml: str = field(repr=False)
    table: ParameterTable = field(repr=False)
    not_at_rest: tuple[str, ...] = field(repr=False)
    changed: Mapping[str, float] = field(default_factory=lambda: MappingProxyType({}))
    sets: tuple[str, ...] = ()
    set_ids: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}), repr=False)

    def __repr__(self) -> str:
        changed = ", ".join(f"{name} = {value:g}" for name, value in [*self.changed.items()][:8])
        more = f" and {len(self.changed) - 8} more" if len(self.changed) > 8 else ""
        sets = f"sets {', '.join(self.sets)}" if self.sets else ""
        return in_brief(self, self.id, sets, changed + more or "as shipped")

    def __reduce__(self) -> tuple[Any, ...]:
        # read-only views do not pickle; a worker gets plain copies and makes its own views
        parts = (self.id, self.sbml, self.table, self.not_at_rest, dict(self.changed), self.sets, dict(self.set_ids))
        return _restore, parts

    @property
    def values(self) -> dict[str, float]:
        """Nominal values with all changes applied [table units]."""
        return {**{k: p.value for k, p in self.table.symbols.items()}, **self.changed}

    def least(self, name: str) -> float:
        return min(self.table[name].lower, 0.0) if name in self.table else 0.0

    def __getitem__(self, name: str) -> Parameter:
        """Return the row of a number, at its value in this model."""
        row = self.table[name]
        return replace(row, value=self.changed.get(name, row.value))

    def _ipython_key_completions_(self) -> list[str]:
        return list(self.table)

    @property
    def parameters(self) -> pd.DataFrame:
        """Every number of the table, at its value in this model: name, unit, bounds, source; by id."""
        return catalogue.parameters(self.table, self.values)

    @property
    def species(self) -> pd.DataFrame:
        """Every state at its initial value in this model, as in `parameters`."""
        return self.parameters.loc[list(equations(self).states)]

    @property
    def outputs(self) -> pd.DataFrame:
        """Everything that can be asked of a run, by id: states, rules and reactions."""
        return catalogue.outputs(equations(self), self.table)

    def search(self, text: str) -> pd.DataFrame:
        """Return all that has every word of a text in its id, name, source or note.

        Raises
        ------
        UsageError
            If nothing has.

        Examples
        --------
        >>> "hcy_plasma" in load().search("homocysteine").index
        True
        """
        notes = {p.id: f"{p.locator} {p.note}" for p in self.table.values()}
        return catalogue.search(text, (self.parameters, self.outputs), notes)

    def diff(self, other: Model | None = None) -> pd.DataFrame:
        """Return the numbers in which this model differs from another, by default from the nominal one.

        Returns
        -------
        DataFrame
            ``this``, ``other`` and ``unit``, by id.

        Examples
        --------
        >>> load().with_values(GFR_rel=0.5).diff()["this"].to_dict()
        {'GFR_rel': 0.5}
        """
        import pandas as pd

        own, others = self.values, (other or replace(self, changed={})).values
        names = [n for n in own if own[n] != others.get(n)]
        rows = [(own[n], others.get(n), label(self.table[n].unit)) for n in names]
        return pd.DataFrame(rows, index=pd.Index(names, name="id"), columns=["this", "other", "unit"])

    def citations(self, *names: str) -> dict[str, str]:
        """Return the works that some numbers rest on, or all of them, by BibTeX key.

        Examples
        --------
        >>> list(load().citations("HCY_GUT_ka", "MS_liver_Km_hcy"))
        ['Guttormsen1993', 'Reed2008']
        """
        return citations(key for name in names or self.table for key in self.table[name].keys)

    @property
    def scale(self) -> Array:
        """Physiological size of each state, in solver order [state unit]."""
        return np.array([self.table[s].scale for s in equations(self).states])

    def title(self, name: str) -> str:
        """Name of a quantity for people; its id where it has none."""
        return self.table[name].name if name in self.table else name

    def with_set(self, name: str) -> Model:
        """Return a new model with a named parameter set applied.

        Raises
        ------
        SetConflict
            If a set applied before changes the same parameter.

        Examples
        --------
        >>> patient = load().with_set("als_patient")
        >>> patient.sets, load().sets
        (('als_patient',), ())
        """
        overrides = read_set(name)
        for key in overrides.values:
            if key in self.changed:
                other = self.set_ids.get(key, "a value given before")
                raise SetConflict(
                    f"set '{name}' and {other} both change '{key}'; apply one of them, or give '{key}' last as a value."
                )
        return replace(
            self,
            changed=MappingProxyType({**self.changed, **overrides.values}),
            sets=(*self.sets, name),
            set_ids=MappingProxyType({**self.set_ids, **dict.fromkeys(overrides.values, f"set '{name}'")}),
        )

    def with_values(self, values: Mapping[str, Any] | None = None, **named: Any) -> Self:
        """Return a new model with some values changed.

        Parameters
        ----------
        values, **named
            Parameter id to value: a number in the table's unit, or text with a unit (``"1.5 uM"``). One outside its
            bounds is remarked on, a share above its bound refused; limiting cases go as ``patients=`` of a run.

        Raises
        ------
        UnknownName, UnitMismatch, InvalidValue
        """
        given = {**(values or {}), **named}
        known = self.table.symbols
        checked: dict[str, float] = {}
        for key, value in given.items():
            if key not in known:
                raise UnknownName("parameter", key, known, "List them with `metabolism list parameters`.")
            checked[key] = check_value(self.table[key], value)
        return replace(self, changed=MappingProxyType({**self.changed, **checked}))

    def _repr_html_(self) -> str:
        system, changed = equations(self), self.diff()
        head = f"{self.id}{''.join(f' + {name}' for name in self.sets)}: {len(system.states)} states, "
        head += f"{len(system.computed)} rules and reactions, {len(system.parameters)} constants"
        return f"<p>{head}</p>{changed.to_html(float_format='{:.4g}'.format) if len(changed) else ''}"


def _restore(*parts: Any) -> Model:
    key, sbml, table, held, changed, sets, set_ids = parts
    return Model(key, sbml, table, held, MappingProxyType(changed), sets, MappingProxyType(set_ids))


@cache
def load(name: str = "als_methionine") -> Model:
    """Load the model: fragments and table to a checked, immutable `Model`.

    Raises
    ------
    UnknownName
        If there is no model of that name.
    ModelError
        If the files do not make a model.

    Examples
    --------
    >>> load().table["hcy_plasma"].unit, load() is load()
    ('uM', True)
    """
    settings = model_settings()
    if name != settings["id"]:
        raise UnknownName("model", name, [settings["id"]])
    table = parameter_table()
    return Model(name, built_sbml(table), table, tuple(settings["not_at_rest"]))


def equations(model: KineticModel) -> Equations:
    """Return the equations of a model (read once per structure).

    >>> "hcy_plasma" in equations(load()).states
    True
    """
    return read_equations(model.sbml)
