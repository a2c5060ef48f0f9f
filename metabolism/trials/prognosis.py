"""What a screening visit can say about the course: risk scores of survival, and neurofilament light as a marker.

The marker observes the loss rate and causes nothing: ``ln NfL = mean + elasticity x ln(rate) + noise``. Treatment moves
it by what it does to the rate, seen over a trailing window.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from metabolism.trials.limits import refuse, within
from metabolism.types import Array


@dataclass(frozen=True)
class Risk:
    """A linear predictor of survival as a limit of entry (column ``risk_profile``), higher for a worse course.

    The form is that of Westeneng 2018 (doi:10.1016/S1474-4422(18)30089-9); the defaults are the TRICALS risk profile of
    trials (Willemse 2022, doi:10.1186/s13063-022-06906-5), as in the code of one of its authors
    (github.com/rpavaneijk/Precision-ALS, "ENCALS risk modelling.R"). What virtual patients do not have counts as
    absent: definite ALS by El Escorial (+0.238) and frontotemporal dementia (+0.415).

    Attributes
    ----------
    slope, delay, age, fvc, bulbar : float
        Coefficients of the transformed points lost per month, diagnostic delay, age at onset, vital capacity, onset.
    diagnosed : float
        Diagnosis lies at this share of the time from onset to screening, which the patients do not tell (assumed).
    """

    slope: float = -1.839
    delay: float = -2.376
    age: float = -0.264
    fvc: float = 0.474
    bulbar: float = 0.271
    diagnosed: float = 0.6

    def __post_init__(self) -> None:
        coefficients = dict.fromkeys(("slope", "delay", "age", "fvc", "bulbar"), "[-100, 100]")
        within(self, coefficients | {"diagnosed": "(0, 1]"}, "risk: ")


def risk_profile(risk: Risk, people: Mapping[str, Any]) -> Array:
    """Risk profile of patients at screening.

    Parameters
    ----------
    risk : Risk
    people : mapping
        ``entry_rating`` [points], ``onset_months``, ``age`` [years], ``fvc`` [% predicted], ``onset`` (region), each of
        shape (patients,).

    Returns
    -------
    ndarray, shape (patients,)

    Examples
    --------
    >>> import numpy as np
    >>> one = {"entry_rating": 42.0, "onset_months": 12.0, "age": 61.0, "fvc": 90.0, "onset": "bulbar"}
    >>> round(float(risk_profile(Risk(), {k: np.array([v]) for k, v in one.items()})[0]), 3)
    -3.83
    """
    months = np.maximum(np.asarray(people["onset_months"], dtype=float), 0.1)
    lost = np.maximum((48 - people["entry_rating"]) / months, 0.0)
    delay, volume = risk.diagnosed * months / 10, np.asarray(people["fvc"], dtype=float) / 100
    return np.asarray(
        risk.slope * (lost + 0.1) ** -0.5
        + risk.delay * (delay**-0.5 + np.log(delay))
        + risk.age * ((people["age"] - months / 12) / 100) ** -2.0
        + risk.fvc * (1 / volume + volume**-0.5)
        + risk.bulbar * (people["onset"] == "bulbar")
    )


@dataclass(frozen=True)
class Marker:
    """Neurofilament light in blood as an observation of the loss rate.

    Attributes
    ----------
    correlation : float
        Between one baseline ln NfL and the logarithm of the loss rate; 0.67: that of Witzel 2021 with the later slope.
    elasticity : float
        Change of ln NfL per change of the ln loss rate, between patients and under treatment (assumed).
    within_sd : float
        SD of ln NfL between visits of one patient (assumed).
    lag_weeks : float
        NfL shows the mean rate over so many weeks before the sample (assumed).
    median : float
        NfL at the median loss rate [pg/mL] (assumed; assays differ).
    """

    correlation: float = 0.67
    elasticity: float = 0.67
    within_sd: float = 0.2
    lag_weeks: float = 12.0
    median: float = 65.0

    def __post_init__(self) -> None:
        limits = {"correlation": "(0, 1)", "elasticity": "(0, 10]", "within_sd": "(0, 3]"}
        within(self, limits | {"lag_weeks": "(0, 104] weeks", "median": "(0, 100000] pg/mL"}, "marker: ")

    def baseline(self, rate: Array, median: float, sd: float, rng: np.random.Generator) -> dict[str, Array]:
        """Levels of patients before treatment: ``ln_nfl_mean``, and ``ln_nfl`` and ``nfl`` [pg/mL] as measured.

        Parameters
        ----------
        rate : ndarray, shape (patients,)
            Loss rates [1/h].
        median, sd : float
            Median of the rates, and SD of their logarithms.
        """
        noise = (self.elasticity * sd) ** 2 * (self.correlation**-2 - 1) - self.within_sd**2
        refuse(
            noise < 0,
            f"a marker with within_sd {self.within_sd:g} cannot correlate {self.correlation:g} with rates whose ln has "
            f"an SD of {sd:.2f} at an elasticity of {self.elasticity:g}; lower within_sd or the correlation.",
        )
        mean = np.log(self.median) + self.elasticity * np.log(rate / median)
        mean = mean + np.sqrt(noise) * rng.standard_normal(len(rate))
        measured = mean + self.within_sd * rng.standard_normal(len(rate))
        return {"ln_nfl_mean": mean, "ln_nfl": measured, "nfl": np.exp(measured)}

    def course(self, mean: Array, relative: Array, rng: np.random.Generator) -> Array:
        """Measured ln NfL at visits, shape (patients, visits), from the loss rate relative to that before treatment."""
        level = mean[:, None] + self.elasticity * np.log(np.maximum(relative, 1e-3))
        return np.asarray(level + self.within_sd * rng.standard_normal(level.shape))


def at_screening(
    risk: Risk | None,
    marker: Marker | None,
    drawn: Mapping[str, Any],
    crowd: Mapping[str, Any],
    body: NDArray[np.int64],
    cohort: Mapping[str, float],
    rng: np.random.Generator,
) -> dict[str, Array]:
    """Columns of candidates beside what is always observed: ``pre_slope`` [points/month], risk profile and marker.

    Parameters
    ----------
    risk, marker : optional
        What a design asks for.
    drawn : mapping of str to ndarray, shape (candidates,)
        Their diseases.
    crowd, body : mapping of str to ndarray, shape (bodies,), and ndarray of int, shape (candidates,)
        Columns of all bodies, and which one each candidate has.
    cohort : mapping
        Distributions of the loss rate (``k_median``, ``k_after``, ``k_omega``, ``k_tau``).
    rng : numpy Generator
        Used for a marker only.
    """
    months = np.maximum(drawn["onset_months"], 0.1)
    columns = {"pre_slope": np.asarray((48 - drawn["entry_rating"]) / months)}
    if risk is not None:
        bodies = {k: crowd[k][body] for k in ("age", "fvc", "onset")}
        columns["risk_profile"] = risk_profile(risk, {**bodies, **drawn})
    if marker is not None:
        spread = float(np.hypot(cohort["k_omega"], cohort["k_tau"]))
        columns |= marker.baseline(drawn["MN_k"], cohort["k_median"] * cohort["k_after"], spread, rng)
    return columns
