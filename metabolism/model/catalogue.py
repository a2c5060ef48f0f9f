"""What there is in a model, as tables to look through: behind the properties of `Model`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from metabolism.errors import UsageError
from metabolism.model.annotations import read_annotations
from metabolism.model.parameters import ParameterTable
from metabolism.sbml import Equations, read_formulas
from metabolism.units import label

if TYPE_CHECKING:
    import pandas as pd


def titles(table: ParameterTable) -> dict[str, str]:
    """Return what each id stands for, where a table says so."""
    named = {key: row["name"] for key, row in read_annotations().items() if row["name"]}
    return {p.id: p.name for p in table.values()} | named


def parameters(table: ParameterTable, values: Mapping[str, float]) -> pd.DataFrame:
    """Return every number at its value in a model, with unit, bounds and source."""
    import pandas as pd

    rows = [
        (p.id, p.name, values.get(p.id, p.value), label(p.unit), p.lower, p.upper, p.kind, p.source, p.confidence)
        for p in table.values()
    ]
    columns = ["id", "name", "value", "unit", "lower", "upper", "kind", "source", "confidence"]
    return pd.DataFrame(rows, columns=columns).set_index("id")


def outputs(system: Equations, table: ParameterTable) -> pd.DataFrame:
    """Return everything that can be asked of a run."""
    import pandas as pd

    names, formulas = titles(table), read_formulas(system.sbml)
    rows = [
        (n, names.get(n, ""), label(system.units[n]), "state" if n in system.states else "rule")
        for n in [*system.states, *system.computed]
    ]
    frame = pd.DataFrame(rows, columns=["id", "name", "unit", "kind"]).set_index("id")
    frame.loc[[n for n in system.computed if formulas[n].stoichiometry], "kind"] = "reaction"
    return frame


def search(text: str, frames: Iterable[pd.DataFrame], notes: Mapping[str, str]) -> pd.DataFrame:
    """Return the rows that hold every word of a text, in their cells or notes, capitals aside.

    Raises
    ------
    UsageError
        If there is none.
    """
    import pandas as pd

    table = pd.concat(list(frames))
    table = table[~table.index.duplicated()].fillna({"source": ""})
    whole = [f"{row.Index} {' '.join(map(str, row[1:]))} {notes.get(str(row.Index), '')}" for row in table.itertuples()]
    words = text.casefold().split()
    table = table[[all(word in line.casefold() for word in words) for line in whole]]
    if table.empty:
        raise UsageError(f"nothing in the model has '{text}' in it; try fewer words.")
    return table[["name", "value", "unit", "kind", "source"]]
