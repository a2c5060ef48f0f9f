from . import trees
from .compare import file_fingerprint, side_by_side
from .control import Control, control_at
from .equations import Equations, read_equations
from .fingerprint import REGIMEN, UNTIL, differences, read_fingerprint, sbml_fingerprint
from .flat import Expressions, Formula, Reaction, read_formulas
from .foreign import checked_text, flatten, single
from .general import general_equations, start_values
from .kinetic import FileModel, KineticModel
from .reading import read_document
from .referee import replay
from .resting import RESIDUAL, RUNAWAY, rest, search
from .sandbox import MEGABYTES, SECONDS, in_sandbox, serve

__all__ = [
    "MEGABYTES",
    "REGIMEN",
    "RESIDUAL",
    "RUNAWAY",
    "SECONDS",
    "UNTIL",
    "Control",
    "Equations",
    "Expressions",
    "FileModel",
    "Formula",
    "KineticModel",
    "Reaction",
    "checked_text",
    "control_at",
    "differences",
    "file_fingerprint",
    "flatten",
    "general_equations",
    "in_sandbox",
    "read_document",
    "read_equations",
    "read_fingerprint",
    "read_formulas",
    "replay",
    "rest",
    "sbml_fingerprint",
    "search",
    "serve",
    "side_by_side",
    "single",
    "start_values",
    "trees",
]
