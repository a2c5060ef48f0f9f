"""Calibration: residuals from case rows and priors, multistart bounded least squares on log parameters.

A residual is the distance from the published value in units of the band: half a band stands for
``band_sd`` standard deviations. Positive quantities whose band spans more than a factor of three are compared
on a log scale. A row without a published value is compared with the middle of its band. Every candidate is
closed again (`metabolism.reference_state`), so each has its reference state at rest.
"""

from __future__ import annotations

import json
import math
import tomllib
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from metabolism.cases import Row, read_cases
from metabolism.engines import Array
from metabolism.errors import InvalidValue, MetabolismError, ModelError
from metabolism.literature import experiments_dir
from metabolism.model import Model
from metabolism.parameters import MODEL_KINDS, models_dir
from metabolism.predict import Predictions, predict
from metabolism.reference_state import closure
from metabolism.result import write_text

Progress = Callable[[str, int], Callable[[int], None]]
#: Step of the finite-difference Jacobian on the log scale; residuals are smooth to far below it.
STEP = 0.01
#: Residual of a row that could not be simulated [standard deviations].
FAILED = 6.0
#: A fitted value this near a bound, relative to the log range, counts as a bound hit.
NEAR = 0.01


@dataclass(frozen=True)
class Definition:
    """What to fit: see ``models/fit.toml``.

    Attributes
    ----------
    cases : tuple of str
        Case files of ``experiments/cases``.
    role : str
        Only rows of this role enter the residuals.
    parameters : tuple of str
        Rows of ``parameters.csv`` with a log-normal prior.
    band_sd : float
        Standard deviations that half an acceptance band stands for.
    """

    id: str
    title: str
    cases: tuple[str, ...]
    role: str
    starts: int
    seed: int
    draws: int
    band_sd: float
    parameters: tuple[str, ...]


def read_definition(path: Path | None = None) -> Definition:
    """Read a fit definition.

    Raises
    ------
    ModelError
        If an entry is missing, unknown or of the wrong kind.
    """
    file = path or models_dir() / "fit.toml"
    try:
        with file.open("rb") as handle:
            entries = tomllib.load(handle)
        entries["cases"], entries["parameters"] = tuple(entries["cases"]), tuple(entries["parameters"])
        return Definition(**entries)
    except (OSError, tomllib.TOMLDecodeError, KeyError, TypeError) as error:
        raise ModelError(f"'{file}' is no fit definition ({error}); copy models/fit.toml.") from None


class Objective:
    """Residuals of many candidates at once.

    Parameters
    ----------
    model : Model
    definition : Definition
    workers : int
        Threads.

    Attributes
    ----------
    centre, sd : ndarray, shape (parameters,)
        Log-normal priors: mean and standard deviation of the logarithm.
    low, high : ndarray, shape (parameters,)
        Bounds of the logarithm.
    rows : list of Row
    evaluations : int
        Candidates evaluated so far.
    """

    def __init__(self, model: Model, definition: Definition, workers: int = 1) -> None:
        self.model, self.definition, self.workers = model, definition, workers
        self.names = definition.parameters
        files = [experiments_dir() / "cases" / name for name in definition.cases]
        self.rows: list[Row] = [r for r in read_cases(model, files) if r.role == definition.role]
        if len(self.rows) <= len(self.names):
            raise InvalidValue(
                f"fit '{definition.id}' has {len(self.names)} parameters and {len(self.rows)} rows; fit fewer."
            )
        rows = [model.table[name] for name in self.names]
        for row in rows:
            if row.prior != "log-normal" or not row.lower > 0:
                raise InvalidValue(
                    f"'{row.id}' cannot be fitted: it needs a log-normal prior and a lower bound above 0."
                )
        priors = np.array([[float(x) for x in row.prior_parameters.split(";")] for row in rows])
        self.centre, self.sd = priors[:, 0], priors[:, 1]
        self.low, self.high = (np.log([getattr(row, side) for row in rows]) for side in ("lower", "upper"))
        self.evaluations = 0
        self._cached: tuple[bytes, Array] = (b"", np.empty(0))

    @cached_property
    def scales(self) -> list[tuple[bool, float, float]]:
        """Per row: whether it is compared on a log scale, the target and one standard deviation."""
        found = []
        for row in self.rows:
            wide = row.low > 0 and row.high / row.low >= 3
            turn = math.log if wide else float
            low, high = turn(row.low), turn(row.high)
            target = (
                turn(row.observed)
                if math.isfinite(row.observed) and (row.observed > 0 or not wide)
                else (low + high) / 2
            )
            found.append((wide, target, (high - low) / 2 / self.definition.band_sd))
        return found

    def columns(self, x: Array) -> dict[str, Array]:
        """Model values of candidates: shape (candidates, parameters) of logs -> one array per parameter or state."""
        closed, table = closure(self.model.table), self.model.table
        records = []
        for row in np.exp(x):
            given = dict(zip(self.names, row.tolist(), strict=True))
            values = {**given, **closed.values(given)}
            records.append({k: v for k, v in values.items() if table[k].kind in MODEL_KINDS})
        return {k: np.array([r[k] for r in records]) for k in records[0]}

    def predictions(self, x: Array) -> Predictions:
        """Predict every row for candidates of shape (candidates, parameters)."""
        self.evaluations += len(x)
        return predict(self.model, self.rows, self.columns(x), workers=self.workers, rtol=1e-6)

    def data_residuals(self, values: Array) -> Array:
        """Residuals of predicted values: (rows, candidates) -> (candidates, rows) [standard deviations]."""
        residuals = np.empty(values.T.shape)
        for i, (wide, target, sd) in enumerate(self.scales):
            with np.errstate(invalid="ignore", divide="ignore"):
                value = np.log(np.maximum(values[i], 1e-300)) if wide else values[i]
            residuals[:, i] = (value - target) / sd
        return np.clip(np.nan_to_num(residuals, nan=FAILED), -4 * FAILED, 4 * FAILED)

    def residuals(self, x: Array) -> Array:
        """All residuals, data then priors: (candidates, parameters) -> (candidates, rows + parameters)."""
        data = self.data_residuals(self.predictions(x).values)
        return np.hstack([data, (x - self.centre) / self.sd])

    def one(self, x: Array) -> Array:
        """Residuals of one candidate, remembered for the Jacobian that follows."""
        if self._cached[0] != x.tobytes():
            self._cached = (x.tobytes(), self.residuals(x[None])[0])
        return self._cached[1]

    def jacobian(self, x: Array) -> Array:
        """Forward-difference Jacobian, all columns in one batch: (residuals, parameters)."""
        steps = np.where(x + STEP <= self.high, STEP, -STEP)
        moved = self.residuals(x + np.diag(steps))
        return ((moved - self.one(x)) / steps[:, None]).T


@dataclass(eq=False)
class Fit:
    """The best of several starts.

    Attributes
    ----------
    x : ndarray, shape (parameters,)
        Logs of the fitted values.
    cost : float
        Half the sum of squared residuals.
    jacobian : ndarray, shape (residuals, parameters)
    starts : list of dict
        Cost, point and number of steps of each start.
    """

    definition: Definition
    x: Array
    cost: float
    residuals: Array
    jacobian: Array
    starts: list[dict[str, Any]] = field(default_factory=list)

    @property
    def covariance(self) -> Array:
        """Covariance of the log parameters: inverse of J'J, priors included (Laplace approximation)."""
        return np.asarray(np.linalg.inv(self.jacobian.T @ self.jacobian))

    @property
    def standard_errors(self) -> Array:
        """Standard errors of the log parameters."""
        return np.asarray(np.sqrt(np.diag(self.covariance)))

    @property
    def correlation(self) -> Array:
        """Correlation matrix of the log parameters."""
        return self.covariance / np.outer(self.standard_errors, self.standard_errors)


def least_squares(
    objective: Objective, folder: Path, progress: Progress | None = None, starts: int | None = None, limit: int = 25
) -> Fit:
    """Fit from several starts; finished starts are kept in `folder` and not repeated.

    The first start is the present table, the others are a scrambled Sobol sample of the priors (half their width).

    Parameters
    ----------
    folder : Path
        Holds ``start_<n>.json``; made if missing.
    limit : int
        Largest number of steps per start.

    Raises
    ------
    MetabolismError
        If the folder holds starts of another definition or another model.
    """
    from scipy.optimize import least_squares as minimise
    from scipy.stats import norm, qmc

    d = objective.definition
    count = starts or d.starts
    folder.mkdir(parents=True, exist_ok=True)
    key = {"definition": d.id, "parameters": list(d.parameters), "model": objective.model.structure_hash,
           "values": objective.model.parameter_hash, "rows": [r.id for r in objective.rows], "seed": d.seed}  # fmt: skip
    table = np.log([objective.model.table[n].value for n in d.parameters])
    uniform = qmc.Sobol(len(d.parameters), rng=np.random.default_rng(d.seed)).random_base2(6)
    spread = objective.centre + 0.5 * objective.sd * norm.ppf(np.clip(uniform, 1e-6, 1 - 1e-6))
    points = [np.clip(p, objective.low + 1e-9, objective.high - 1e-9) for p in [table, *spread[: count - 1]]]
    tick = progress(f"fit {d.id}", count) if progress else None
    found = []
    for number, point in enumerate(points):
        path = folder / f"start_{number}.json"
        if path.is_file():
            entry = json.loads(path.read_text(encoding="utf-8"))
            if entry["key"] != key:
                raise MetabolismError(
                    f"'{folder}' holds starts of another fit or model; give another folder or remove it."
                )
        else:
            solved = minimise(
                objective.one, point, jac=objective.jacobian, bounds=(objective.low, objective.high),
                x_scale=objective.sd, ftol=1e-4, xtol=1e-4, gtol=1e-6, max_nfev=limit,
            )  # fmt: skip
            entry = {"key": key, "cost": float(solved.cost), "x": solved.x.tolist(), "steps": int(solved.nfev),
                     "message": solved.message}  # fmt: skip
            write_text(path, json.dumps(entry) + "\n")
        found.append(entry)
        if tick:
            tick(1)
    best = min(found, key=lambda e: float(e["cost"]))
    x = np.array(best["x"])
    return Fit(d, x, best["cost"], objective.one(x), objective.jacobian(x), found)
