from . import plots
from .factors import Factor, Factors, choose, distribution, from_cohort, vary
from .fisher import expected_information, information
from .identifiability import disease, pharmacokinetics
from .local import control, curves, reference_control, slopes, tornado
from .methods import METHODS
from .overall import Indices, delta, efast, indices, morris, of_function, pawn, prcc, sobol
from .plots import tornado_figure

__all__ = [
    "METHODS",
    "Factor",
    "Factors",
    "Indices",
    "choose",
    "control",
    "curves",
    "delta",
    "disease",
    "distribution",
    "efast",
    "expected_information",
    "from_cohort",
    "indices",
    "information",
    "morris",
    "of_function",
    "pawn",
    "pharmacokinetics",
    "plots",
    "prcc",
    "reference_control",
    "slopes",
    "sobol",
    "tornado",
    "tornado_figure",
    "vary",
]
