from .adoption import adopt, fit_problems, write_fit
from .definition import Definition, read_definition, shipped_fits
from .left_out import LeftOut, leave_out
from .objective import Fit, Objective, least_squares, relaxed
from .posterior import Profile, Sample, profile, profiles, sample

__all__ = [
    "Definition",
    "Fit",
    "LeftOut",
    "Objective",
    "Profile",
    "Sample",
    "adopt",
    "fit_problems",
    "least_squares",
    "leave_out",
    "profile",
    "profiles",
    "read_definition",
    "relaxed",
    "sample",
    "shipped_fits",
    "write_fit",
]
