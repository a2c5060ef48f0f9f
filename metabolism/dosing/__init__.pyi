from .events import Dose, Hold
from .formulary import measured_as, substance, substances
from .regimen import Regimen
from .schedule import named, plan
from .species import Schedule
from .tables import read_events
from .words import WEIGHT, enzymes

__all__ = [
    "WEIGHT",
    "Dose",
    "Hold",
    "Regimen",
    "Schedule",
    "enzymes",
    "measured_as",
    "named",
    "plan",
    "read_events",
    "substance",
    "substances",
]
