from .compare import file_fingerprint, side_by_side
from .control import Control, control_at
from .equations import Equations, Expressions, Reaction, read_equations
from .fingerprint import REGIMEN, UNTIL, differences, read_fingerprint, sbml_fingerprint
from .foreign import flatten
from .referee import replay
from .resting import RESIDUAL, RUNAWAY, rest

__all__ = [
    "REGIMEN",
    "RESIDUAL",
    "RUNAWAY",
    "UNTIL",
    "Control",
    "Equations",
    "Expressions",
    "Reaction",
    "control_at",
    "differences",
    "file_fingerprint",
    "flatten",
    "read_equations",
    "read_fingerprint",
    "replay",
    "rest",
    "sbml_fingerprint",
    "side_by_side",
]
