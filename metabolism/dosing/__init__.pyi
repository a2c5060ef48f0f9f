from .events import Dose, Exposure, Hold
from .formulary import measured_as, substance, substances
from .regimen import Regimen, Treatment, plan, read_population, read_treatment
from .words import Target, enzymes, read_match

__all__ = [
    "Dose",
    "Exposure",
    "Hold",
    "Regimen",
    "Target",
    "Treatment",
    "enzymes",
    "measured_as",
    "plan",
    "read_match",
    "read_population",
    "read_treatment",
    "substance",
    "substances",
]
