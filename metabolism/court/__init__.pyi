from .delayed import delayed_start, expected_and_observed
from .facts import Facts, Score, information, posterior, resample, score
from .judgement import (
    FAMILIES,
    MENU,
    WEIGHTS,
    Hearing,
    calibration,
    deeper,
    doubts,
    elasticity_needed,
    exposure_table,
    family,
    menu,
    prior_weights,
)
from .mechanisms import MECHANISMS, PARTS, REGIMENS, Exposures, Priors, draw, exposures, predictions
from .plots import doubt_figure, fact_figure
from .response import Response

__all__ = [
    "FAMILIES",
    "MECHANISMS",
    "MENU",
    "PARTS",
    "REGIMENS",
    "WEIGHTS",
    "Exposures",
    "Facts",
    "Hearing",
    "Priors",
    "Response",
    "Score",
    "calibration",
    "deeper",
    "delayed_start",
    "doubt_figure",
    "doubts",
    "draw",
    "elasticity_needed",
    "expected_and_observed",
    "exposure_table",
    "exposures",
    "fact_figure",
    "family",
    "information",
    "menu",
    "posterior",
    "predictions",
    "prior_weights",
    "resample",
    "score",
]
