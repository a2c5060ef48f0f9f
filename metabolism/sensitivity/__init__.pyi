from . import plots
from .factors import Factor, Factors, choose, from_cohort
from .fisher import expected_information, information
from .identifiability import disease
from .indices import METHODS_BY_NAME, Indices, delta, efast, morris, pawn, prcc, sobol
from .local import control, curves, reference_control, slopes, tornado
from .plots import tornado_figure

__all__ = [
    "METHODS_BY_NAME",
    "Factor",
    "Factors",
    "Indices",
    "choose",
    "control",
    "curves",
    "delta",
    "disease",
    "efast",
    "expected_information",
    "from_cohort",
    "information",
    "morris",
    "pawn",
    "plots",
    "prcc",
    "reference_control",
    "slopes",
    "sobol",
    "tornado",
    "tornado_figure",
]
