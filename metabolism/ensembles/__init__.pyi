from .members import Ensemble, ensemble
from .reading import described, read_model

__all__ = ["Ensemble", "described", "ensemble", "read_model"]
