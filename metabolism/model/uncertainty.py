"""Draws of the fitted parameters, closed again so that the reference state of each draw rests."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from metabolism.data import models_dir
from metabolism.errors import InvalidValue, OutputError
from metabolism.model.model import Model
from metabolism.model.reference import closure

if TYPE_CHECKING:
    import pandas as pd

#: Each fit's posterior sample in ``models/fits/<id>``: one column per fitted parameter [table units], one row per draw.
FILE = "posterior.csv"


def posterior_sample() -> pd.DataFrame | None:
    """Return the samples of all adopted fits side by side, or None if there are none.

    Fits share no parameter and each holds the others' at their fitted values, so that their draws are independent.
    """
    import pandas as pd

    files = sorted((models_dir() / "fits").glob(f"*/{FILE}"))
    return pd.concat([pd.read_csv(file) for file in files], axis=1, join="inner") if files else None


def draws(model: Model, count: int) -> pd.DataFrame:
    """Return draws of every value of the model, evenly spaced through the posterior samples that ship.

    Parameters
    ----------
    model : Model
        Changed values of the model are kept in every draw.
    count : int
        Number of draws; at most as many as the sample holds.

    Returns
    -------
    DataFrame
        One row per draw, one column per parameter [table units]. States that come to rest are left out: each draw
        finds its own.

    Raises
    ------
    OutputError
        If no sample ships with the model.
    InvalidValue
        If the sample holds fewer draws.
    """
    import pandas as pd

    sample = posterior_sample()
    if sample is None:
        raise OutputError(f"there is no posterior sample models/fits/*/{FILE}; make one with `metabolism fit`.")
    if not 2 <= count <= len(sample):
        most = len(sample)
        raise InvalidValue(f"{count} draws cannot be taken: the sample holds {most}; ask for 2 to {most}.")
    chosen = sample.iloc[np.linspace(0, len(sample) - 1, count).round().astype(int)]
    closed = closure(model.table)
    kept = model.table.symbols.keys() - set(model.resting)
    records = []
    for _, row in chosen.iterrows():
        given = {str(k): float(v) for k, v in row.items() if k in model.table}
        values = {**given, **closed.values(given)}
        records.append({k: v for k, v in {**values, **model.changed}.items() if k in kept})
    return pd.DataFrame(records)
