from . import endpoints
from .endpoints import METRICS, NAMED, Endpoint, Metric, Reading, area, half_life, lambda_z, nca, peak, time_of_peak
from .observed import Overlay, overlay
from .rest import Patients, SteadyState, rest_patients, steady_state
from .result import Result
from .run import endpoints_of, sensitivities, simulate, steady_states
from .study import ATOL_FRACTION, DEFAULT_OUTPUTS, Study, code_versions, make_study, verify_doses
from .views import Shown, clock, shown

__all__ = [
    "ATOL_FRACTION",
    "DEFAULT_OUTPUTS",
    "METRICS",
    "NAMED",
    "Endpoint",
    "Metric",
    "Overlay",
    "Patients",
    "Reading",
    "Result",
    "Shown",
    "SteadyState",
    "Study",
    "area",
    "clock",
    "code_versions",
    "endpoints",
    "endpoints_of",
    "half_life",
    "lambda_z",
    "make_study",
    "nca",
    "overlay",
    "peak",
    "rest_patients",
    "sensitivities",
    "shown",
    "simulate",
    "steady_state",
    "steady_states",
    "time_of_peak",
    "verify_doses",
]
