"""Fisher information: what the data of an experiment, done or planned, tell about each parameter."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from metabolism.errors import InvalidValue
from metabolism.model import Model
from metabolism.sensitivity.identifiability import IDENTIFIED, NOT, WEAKLY
from metabolism.simulation import sensitivities
from metabolism.types import Array

if TYPE_CHECKING:
    import pandas as pd

#: Standard error of the logarithm above which a parameter is only weakly identified: a factor of e either way
#: covers 95 %.
WEAK = 0.5

#: Eigenvalue of the scaled information, relative to the largest, below which a direction is not informed.
FLAT = 1e-10


@dataclass(frozen=True, eq=False)
class Information:
    """Fisher information of the logarithms of some parameters.

    Attributes
    ----------
    matrix : ndarray, shape (parameters, parameters)
    """

    parameters: tuple[str, ...]
    matrix: Array

    @property
    def spectrum(self) -> tuple[Array, Array]:
        """Eigenvalues, largest first, and eigenvectors as columns."""
        values, vectors = np.linalg.eigh(self.matrix)
        return np.maximum(values[::-1], 0.0), vectors[:, ::-1]

    @property
    def rank(self) -> int:
        """Number of directions that the data inform."""
        values, _ = self.spectrum
        return int((values > FLAT * values[0]).sum()) if values[0] > 0 else 0

    @property
    def standard_errors(self) -> Array:
        """Standard errors of the logarithms; infinite along directions without information."""
        values, vectors = self.spectrum
        informed = np.arange(len(values)) < self.rank
        blind = (np.abs(vectors[:, ~informed]) > 1e-6).any(axis=1)
        variance = (vectors[:, informed] ** 2 / values[informed]).sum(axis=1)
        return np.where(blind, np.inf, np.sqrt(variance))

    def frame(self) -> pd.DataFrame:
        """Return one row per parameter: standard error of its logarithm, and verdict."""
        import pandas as pd

        errors = self.standard_errors
        verdicts = [NOT if not np.isfinite(e) else WEAKLY if e > WEAK else IDENTIFIED for e in errors]
        columns = {"parameter": list(self.parameters), "SE of ln": errors, "verdict": verdicts}
        return pd.DataFrame(columns)


def information(jacobian: Array, parameters: Sequence[str]) -> Information:
    """Return the Fisher information from a Jacobian of residuals.

    Parameters
    ----------
    jacobian : ndarray, shape (residuals, parameters)
        d residual / d ln parameter, residuals in standard deviations; leave out the rows of priors to see what the
        data alone say.
    parameters : sequence of str

    Examples
    --------
    Four observations that a parameter moves by one standard deviation each give it a standard error of a half.

    >>> information(np.ones((4, 1)), ["k"]).standard_errors
    array([0.5])
    """
    matrix = np.asarray(jacobian, dtype=float)
    if matrix.ndim != 2 or matrix.shape[1] != len(parameters):
        raise InvalidValue(f"the Jacobian must have shape (residuals, {len(parameters)}), not {matrix.shape}.")
    if not np.isfinite(matrix).all():
        raise InvalidValue("the Jacobian has values that are not finite.")
    return Information(tuple(parameters), matrix.T @ matrix)


def expected_information(
    model: Model,
    parameters: Sequence[str],
    observed: Mapping[str, tuple[Sequence[float], float]],
    regimen: Any = None,
    *,
    relative: bool = False,
    own_baseline: Mapping[str, str] | None = None,
) -> Information:
    """Return what a planned experiment would tell, from exact sensitivities of the coupled model.

    Parameters
    ----------
    observed : mapping of str to (times, standard deviation)
        Output to observation times [h] and the error of one observation [unit of the output; fraction if `relative`].
    model, parameters, regimen, own_baseline
        As in `metabolism.sensitivities`.
    relative : bool
        Whether the error is a fraction of the output.

    Raises
    ------
    UnknownName, InvalidValue
    """
    rows, present = [], np.array([model.values[n] for n in parameters])
    for output, (times, sd) in observed.items():
        if not sd > 0:
            raise InvalidValue(f"the error of '{output}' must be above 0, not {sd}.")
        options: dict[str, Any] = {"outputs": [output], "times": times, "own_baseline": own_baseline, "rtol": 1e-8}
        curve = sensitivities(model, parameters, regimen, float(max(times)), **options)
        slope = curve[f"d_{output}"].transpose("time", "parameter").values * present
        rows.append(slope / (sd * curve[output].values[:, None] if relative else sd))
    return information(np.concatenate(rows), parameters)
