from .compare import file_fingerprint, side_by_side
from .control import Control, control_at
from .equations import Equations, Expressions, Reaction, read_equations
from .fingerprint import REGIMEN, UNTIL, differences, read_fingerprint, sbml_fingerprint
from .foreign import checked_text, flatten
from .referee import replay
from .resting import RESIDUAL, Linear, rest, search
from .sandbox import in_sandbox, serve

__all__ = [
    "REGIMEN",
    "RESIDUAL",
    "UNTIL",
    "Control",
    "Equations",
    "Expressions",
    "Linear",
    "Reaction",
    "checked_text",
    "control_at",
    "differences",
    "file_fingerprint",
    "flatten",
    "in_sandbox",
    "read_equations",
    "read_fingerprint",
    "replay",
    "rest",
    "sbml_fingerprint",
    "search",
    "serve",
    "side_by_side",
]
