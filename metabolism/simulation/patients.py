"""The table of patients: one column per parameter or state, checked before anything runs."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from metabolism.errors import InvalidValue, UnknownName
from metabolism.model import equations
from metabolism.sbml import FileModel, KineticModel
from metabolism.tables import check_head, column
from metabolism.types import Array

if TYPE_CHECKING:
    import pandas as pd

    Columns = Mapping[str, ArrayLike] | pd.DataFrame


def patient_table(patients: Columns, model: KineticModel, resting: Collection[str]) -> dict[str, Array]:
    """Return the columns that are inputs as arrays of one length; anything else is refused.

    Raises
    ------
    UnknownName, InvalidValue
    """
    system = equations(model)
    known = {*system.parameters, *system.states} - {system.time}
    names = [str(c) for c in patients]
    if not isinstance(patients, Mapping):
        # members of a file have no other data: what is none of its ids is a slip, and named below
        names = names if isinstance(model, FileModel) else check_head(names, known, "the table of patients", more=True)
    given: Any = patients
    table: dict[str, Array] = {}
    for name in names:
        if name not in known:
            raise UnknownName("parameter or state", name, known, "Columns of `patients` are ids of these.")
        if name in resting:
            raise InvalidValue(
                f"patients['{name}'] would be lost: that state comes to rest before the run; use start='initial'."
            )
        table[name] = column(given[name], name)
        least = model.least(name)
        if not (np.isfinite(table[name]) & (table[name] >= least)).all():
            low = f"below {least:g} or " if least > -np.inf else ""
            raise InvalidValue(f"patients['{name}'] has values that are {low}not finite.")
    if not table:
        raise InvalidValue("patients has no column that is a parameter of the model.")
    lengths = {len(c) for c in table.values()}
    if lengths != {max(lengths)} or lengths == {0}:
        raise InvalidValue(f"the columns of `patients` {'differ in length' if any(lengths) else 'have no rows'}.")
    return table
