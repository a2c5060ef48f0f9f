from . import endpoints
from .curves import area_of
from .endpoints import (
    NAMED,
    Endpoint,
    area,
    half_life,
    half_life_of,
    lambda_z,
    nca,
    peak,
    terminal_slope,
    time_of_peak,
)
from .files import agreement
from .ledger import verify_doses
from .observed import Overlay, overlay
from .rest import Patients, SteadyState, rest_patients, steady_state
from .result import Result
from .run import endpoints_of, sensitivities, simulate, steady_states
from .study import ATOL_FRACTION, DEFAULT_OUTPUTS, Study, code_versions, make_study
from .views import Shown, clock, shown

__all__ = [
    "ATOL_FRACTION",
    "DEFAULT_OUTPUTS",
    "NAMED",
    "Endpoint",
    "Overlay",
    "Patients",
    "Result",
    "Shown",
    "SteadyState",
    "Study",
    "agreement",
    "area",
    "area_of",
    "clock",
    "code_versions",
    "endpoints",
    "endpoints_of",
    "half_life",
    "half_life_of",
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
    "terminal_slope",
    "time_of_peak",
    "verify_doses",
]
