from .formats import FORMATS, export
from .petab import write_petab
from .sbml import model_fingerprint, sbml_text

__all__ = ["FORMATS", "export", "model_fingerprint", "sbml_text", "write_petab"]
