"""What a slower loss of motor units does to trial endpoints: points at a visit, and hazard ratios over years.

Decline follows by the closed form of `metabolism.trials.pool`: a mean reduction E of the loss rate over a time T leaves
``N exp(-k (1 - E) T)`` motor units. Hazard ratios are those a Cox regression tends to in a large trial, so nothing here
depends on a draw of deaths.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from metabolism.model import Model
from metabolism.trials import HOURS_PER_MONTH, HOURS_PER_WEEK, alsfrs_r, large_sample_log_hr, mortality, read_design
from metabolism.types import Array

if TYPE_CHECKING:
    import pandas as pd
    from scipy.interpolate import RegularGridInterpolator


#: Nodes of the response surfaces: constant and limited reduction of the loss rate, limit [months].
_E = np.array([-0.15, 0.0, 0.2, 0.4, 0.65, 0.9])

_LIMITS = {
    "early": np.array([4.0, 6, 8, 9, 10, 11, 12, 13, 14, 15, 18, 22, 28, 36]),
    "waning": np.array([0.25, 1, 2, 4, 8, 16, 64]),
}


class Response:
    """From a reduction of the loss rate to points at a visit and to hazard ratios, by interpolation on a grid.

    Attributes
    ----------
    placebo : dict of visit to float
        Mean change without treatment and without rating noise [points].
    covariance : ndarray, shape (visits, visits)
        Of one untreated patient's rated changes from baseline [points^2].
    slope : float
        Rise of the log hazard per lost 48 points.
    """

    def __init__(self, model: Model, jetals: pd.DataFrame, e0761: pd.DataFrame, visits: Sequence[float] = (4, 16, 24)):
        """Prepare the grid for visits [weeks] from patients at randomisation (`metabolism.trials.select`).

        Their ``onset_months`` are those at the start of a 12-week observation.
        """
        from scipy.interpolate import RegularGridInterpolator

        values = model.values
        self.slope = values["MN_h_slope"]
        score_map = values["MN_gamma"], values["MN_n50"]
        wait = 12 * HOURS_PER_WEEK / HOURS_PER_MONTH
        start, k, onset = (jetals[c].to_numpy() for c in ("motor_units", "MN_k", "onset_months"))
        onset = onset + wait
        long_k, long_onset = (e0761[c].to_numpy() for c in ("MN_k", "onset_months"))
        sick = {str(c): e0761[c].to_numpy() for c in e0761}
        early = long_onset <= np.quantile(long_onset, read_design("e0761").early_share or 1.0)
        long_onset = long_onset + wait
        grid = np.arange(0, 182 * HOURS_PER_WEEK, 4 * HOURS_PER_WEEK)

        def score(first: Array, rate: Array, kept: Array, time: Array) -> Array:
            return alsfrs_r(first[:, None] * np.exp(-rate[:, None] * kept * time), *score_map)

        def hazard(kept: Array) -> Array:
            return mortality(sick, long_k[:, None] * kept * grid, grid, values)

        control = hazard(np.ones((len(long_k), 1)))
        moments = np.array(visits) * HOURS_PER_WEEK
        untreated = score(start, k, np.ones((len(k), 1)), moments).mean(axis=0)
        first = alsfrs_r(start, *score_map)
        self.placebo = dict(zip(map(str, visits), (untreated - first.mean()).tolist(), strict=True))
        true = score(start, k, np.ones((len(k), 1)), moments) - first[:, None]
        noise = model.table["COHORT_rater_sd"].value ** 2
        self.covariance = np.atleast_2d(np.cov(true.T)) + noise * (1 + np.eye(len(visits)))
        self._points: dict[str, RegularGridInterpolator] = {}
        self._log_hr: dict[str, RegularGridInterpolator] = {}
        at_visits = {e: score(start, k, np.full((len(k), 1), 1 - e), moments) for e in _totals()}
        at_hazard = {e: hazard(np.full((len(long_k), 1), 1 - e)) for e in _totals()}
        for kind, limits in _LIMITS.items():
            shape = (len(_E), len(_E), len(limits))
            points, ratios = np.empty((*shape, len(visits))), np.empty((*shape, 2))
            for (a, b, c), _ in np.ndenumerate(np.empty(shape)):
                if kind == "early":
                    whole, part = float(_E[a]), _total(float(_E[a]), float(_E[b]))
                    seen = np.where(onset[:, None] <= limits[c], at_visits[part], at_visits[whole])
                    treated = np.where(long_onset[:, None] <= limits[c], at_hazard[part], at_hazard[whole])
                else:
                    seen = score(start, k, _waned(a, b, moments, float(limits[c])), moments)
                    treated = hazard(_waned(a, b, grid, float(limits[c])))
                points[a, b, c] = seen.mean(axis=0) - untreated
                ratios[a, b, c] = large_sample_log_hr(control, treated), large_sample_log_hr(control, treated, early)
            axes = (_E, _E, np.log(limits))
            self._points[kind] = RegularGridInterpolator(axes, points)
            self._log_hr[kind] = RegularGridInterpolator(axes, ratios)
        self.visits = [str(v) for v in visits]

    def _at(
        self, table: Mapping[str, RegularGridInterpolator], constant: Array, limited: Array, kind: str, limit: Array
    ) -> Array:
        edges = (_E[[0, -1]], _E[[0, -1]], np.log(_LIMITS[kind][[0, -1]]))
        place = [np.clip(v, *edge) for v, edge in zip((constant, limited, np.log(limit)), edges, strict=True)]
        return np.asarray(table[kind](np.stack(place, axis=1)))

    def points(self, visit: str, constant: Array, limited: Array, kind: str, limit: Array) -> Array:
        """Difference of ALSFRS-R change from placebo at a visit [points]; see `predictions`."""
        return np.asarray(self._at(self._points, constant, limited, kind, limit)[:, self.visits.index(visit)])

    def log_hr(self, constant: Array, limited: Array, kind: str, limit: Array) -> tuple[Array, Array]:
        """Log hazard ratios over 182 weeks: all patients, and those nearest to onset (``early_share`` of E0761)."""
        ratios = self._at(self._log_hr, constant, limited, kind, limit)
        return ratios[:, 0], ratios[:, 1]


def _total(constant: float, limited: float) -> float:
    return float(1 - (1 - constant) * (1 - limited))


def _totals() -> list[float]:
    return sorted({float(e) for e in _E} | {_total(float(a), float(b)) for a in _E for b in _E})


def _waned(a: int, b: int, time: Array, half_life: float) -> Array:
    """Mean relative loss rate up to each time, for a limited effect that wears off, shape (1, times)."""
    decayed = np.log(2) / half_life * np.maximum(time, 1e-9) / HOURS_PER_MONTH
    return np.asarray((1 - _E[a]) * (1 - _E[b] * (1 - np.exp(-decayed)) / decayed))[None, :]
