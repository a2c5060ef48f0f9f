from . import endpoints
from .endpoints import METRICS, NAMED, Endpoint, Metric, Reading, area, half_life, lambda_z, nca, peak, time_of_peak
from .files import agreement
from .rest import Patients, SteadyState, rest_patients, steady_state
from .result import Result
from .run import endpoints_of, sensitivities, simulate, steady_states
from .study import ATOL_FRACTION, DEFAULT_OUTPUTS, Study, code_versions, make_study, verify_doses

__all__ = [
    "ATOL_FRACTION",
    "DEFAULT_OUTPUTS",
    "METRICS",
    "NAMED",
    "Endpoint",
    "Metric",
    "Patients",
    "Reading",
    "Result",
    "SteadyState",
    "Study",
    "agreement",
    "area",
    "code_versions",
    "endpoints",
    "endpoints_of",
    "half_life",
    "lambda_z",
    "make_study",
    "nca",
    "peak",
    "rest_patients",
    "sensitivities",
    "simulate",
    "steady_state",
    "steady_states",
    "time_of_peak",
    "verify_doses",
]
