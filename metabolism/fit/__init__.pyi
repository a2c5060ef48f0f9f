from .adoption import adopt, fit_problems, write_fit
from .objective import Definition, Fit, Objective, least_squares, read_definition, relaxed, shipped_fits
from .posterior import Profile, Sample, profile, profiles, sample

__all__ = [
    "Definition",
    "Fit",
    "Objective",
    "Profile",
    "Sample",
    "adopt",
    "fit_problems",
    "least_squares",
    "profile",
    "profiles",
    "read_definition",
    "relaxed",
    "sample",
    "shipped_fits",
    "write_fit",
]
