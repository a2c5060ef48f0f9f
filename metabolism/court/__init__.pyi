from .facts import Facts, Score, information, posterior, resample, score
from .mechanisms import MECHANISMS, PARTS, REGIMENS, Priors, draw, exposures, predictions
from .response import Response

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
    "posterior",
    "predictions",
    "resample",
    "score",
]
