from .events import Dose, Hold
from .formulary import measured_as, substance, substances
from .regimen import Regimen, named, plan, read_population
from .schedule import Schedule
from .tables import read_events
from .words import Target, enzymes, read_match

__all__ = [
    "Dose",
    "Hold",
    "Regimen",
    "Schedule",
    "Target",
    "enzymes",
    "measured_as",
    "named",
    "plan",
    "read_events",
    "read_match",
    "read_population",
    "substance",
    "substances",
]
