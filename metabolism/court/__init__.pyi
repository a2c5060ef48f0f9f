from .facts import Facts, Score, information, posterior, resample, score
from .mechanisms import MECHANISMS, PARTS, REGIMENS, Priors, draw, exposures, predictions
from .response import Response, large_sample_log_hr

__all__ = [
    "MECHANISMS",
    "PARTS",
    "REGIMENS",
    "Facts",
    "Priors",
    "Response",
    "Score",
    "draw",
    "exposures",
    "information",
    "large_sample_log_hr",
    "posterior",
    "predictions",
    "resample",
    "score",
]
