from .events import add_parameter
from .formats import FORMATS, export
from .petab import RESTING, add_state, resting_document, second_version, write_petab, write_problem
from .sbml import model_fingerprint, sbml_text

__all__ = [
    "FORMATS",
    "RESTING",
    "add_parameter",
    "add_state",
    "export",
    "model_fingerprint",
    "resting_document",
    "sbml_text",
    "second_version",
    "write_petab",
    "write_problem",
]
