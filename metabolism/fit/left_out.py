"""Prediction that is one: every study predicted by a fit that has not seen it, with the residual this leaves.

A study's rows are taken out of the residuals, and the fit goes on from the whole optimum by a few steps of least
squares; its first Jacobian is that of the whole fit. The must-pass constraints are left out on both sides: they are
requirements that know every study, and no data. What is then missing between prediction and publication, beyond the
spread of the parameters, is the residual between studies (`metabolism.cases`). A study's own interval uses the residual
of the other studies.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from metabolism.cases import QUANTILE, class_of, from_scale, residual_sds, scale_of, sd_for, to_scale
from metabolism.files import Parts
from metabolism.fit.objective import Fit, Objective, minimise
from metabolism.progress import Progress, silent

if TYPE_CHECKING:
    import pandas as pd


#: A row whose value the fitted parameters move by less, on its scale, rests on none of them.
PUT_IN = 1e-3


@dataclass(frozen=True, eq=False)
class LeftOut:
    """How studies were predicted by fits that had not seen them.

    Attributes
    ----------
    rows : DataFrame
        One line per left-out row: published and predicted value, band, 90 % interval, and whether each holds.
    sds : DataFrame
        Class of rows, number of left-out rows, residual standard deviation on the scale of the metric.
    """

    rows: pd.DataFrame
    sds: pd.DataFrame


def leave_out(objective: Objective, fit: Fit, folder: Path, progress: Progress = silent, limit: int = 4) -> LeftOut:
    """Predict every cross-validated study by a fit without it; finished studies are kept and not repeated.

    Studies of the split ``fit`` stay in; where a file states no split, every study is left out once.

    Parameters
    ----------
    objective : Objective
    fit : Fit
        Of all rows, without the constraints (`relaxed`).
    folder : Path
        Holds one piece per study, which several processes may share; made if missing.
    progress : callable, optional
    limit : int
        Largest number of points tried without a study.

    Raises
    ------
    UsageError
        If the folder holds studies left out of another fit.
    """
    studies: dict[str, list[int]] = {}
    for i, row in enumerate(objective.rows):
        if row.split != "fit":
            studies.setdefault(row.publication, []).append(i)
    parts = Parts(folder, [objective.request, fit.x.tolist(), limit])
    tick = progress("left-out studies", len(studies))
    pieces: dict[str, dict[str, Any]] = {}
    for number, (study, rows) in enumerate(studies.items()):
        pieces[study] = parts.made(f"study_{number}", partial(_without, objective, fit, rows, limit))
        tick(1)
    return _judged(objective, studies, pieces)


def _without(objective: Objective, fit: Fit, rows: list[int], limit: int) -> dict[str, Any]:
    """Fit without some rows: their predicted values, what the parameters leave open, and the step still wanted [SE]."""
    seen = np.setdiff1d(np.arange(len(fit.residuals)), rows)
    x, _ = minimise(objective, fit.x, limit, seen, ftol=0.01)
    jacobian, residuals = objective.jacobian(x), objective.one(x)
    covariance = np.linalg.inv(jacobian[seen].T @ jacobian[seen])
    wanted = np.linalg.lstsq(jacobian[seen], -residuals[seen], rcond=None)[0]
    predicted = objective.predictions(x[None]).values[rows, 0]
    slopes = np.array([_slope(objective, i, v) * jacobian[i] for i, v in zip(rows, predicted, strict=True)])
    spread = np.sqrt(np.einsum("ij,jk,ik->i", slopes, covariance, slopes))
    step = float((np.abs(wanted) / np.sqrt(np.diag(covariance))).max())
    return {"x": x.tolist(), "predicted": predicted.tolist(), "spread": spread.tolist(), "step": step}


def _slope(objective: Objective, i: int, value: float) -> float:
    """Derivative of a row's value on its scale by its residual, at a value."""
    wide, _, sd = objective.scales[i]
    row, by_value = objective.rows[i], sd * (value if wide else 1.0)
    kind = scale_of(row)
    return by_value / (value if kind == "level" else 100 + value if kind == "percent" else (row.high - row.low) / 2)


def _judged(objective: Objective, studies: Mapping[str, list[int]], pieces: Mapping[str, Mapping[str, Any]]) -> LeftOut:
    import pandas as pd

    order = [(study, i) for study, rows in studies.items() for i in rows]
    rows = [objective.rows[i] for _, i in order]
    predicted, spread = (
        np.array([v for p in pieces.values() for v in p[key]], dtype=float) for key in ("predicted", "spread")
    )
    classes, names = [class_of(r) for r in rows], np.array([study for study, _ in order])
    scaled = np.array([float(to_scale(r, v)) for r, v in zip(rows, predicted, strict=True)])
    # a number that no fitted parameter moves was put in by hand: nothing is predicted, and nothing counted
    put_in = (spread < PUT_IN) & np.isfinite([r.high - r.low for r in rows])
    published = np.array([float(to_scale(r, np.nan if r.limit else r.observed)) for r in rows])
    published[put_in] = np.nan
    errors = published - scaled
    sds = np.full(len(rows), np.nan)
    for study in studies:
        own = names == study
        others = residual_sds(classes, np.where(own, np.nan, errors), spread)
        sds[own] = [sd_for(rows[k], others) for k in np.flatnonzero(own)]
    half = QUANTILE * np.sqrt(spread**2 + sds**2)
    low, high = (
        np.array([float(from_scale(r, v)) for r, v in zip(rows, scaled + sign * half, strict=True)]) for sign in (-1, 1)
    )
    covered = [
        str(bool(abs(e) <= h)) if np.isfinite(e) and np.isfinite(h) else "" for e, h in zip(errors, half, strict=True)
    ]
    said = [(r.id, r.observed, v, r.low, r.high, r.unit) for r, v in zip(rows, predicted, strict=True)]
    frame = pd.DataFrame(said, columns=["row", "observed", "predicted", "low", "high", "unit"])
    frame.insert(0, "study", names)
    frame["put_in"] = put_in
    frame["in_band"] = [bool(r.low <= v <= r.high) for r, v in zip(rows, predicted, strict=True)]
    judged: Any = {"class": classes, "sd_parameters": spread, "sd_residual": sds, "low90": low, "high90": high}
    frame = frame.assign(**judged, covered=covered, step_left=[pieces[study]["step"] for study in names])
    table = [(name, count, sd) for name, (count, sd) in sorted(residual_sds(classes, errors, spread).items())]
    return LeftOut(frame, pd.DataFrame(table, columns=["class", "rows", "sd"]))
