from .adoption import adopt, fit_problems, write_fit
from .arms import ARMS_TABLES, ArmsFit, fit_arms, write_arms
from .definition import Definition, read_definition, shipped_fits
from .left_out import LeftOut, leave_out
from .moments import Arms, ArmsObjective, arms_fits, read_arms
from .objective import Fit, Objective, least_squares, relaxed
from .petab import petab_fits, write_fit_petab
from .posterior import Profile, Sample, profile, profiles, sample

__all__ = [
    "ARMS_TABLES",
    "Arms",
    "ArmsFit",
    "ArmsObjective",
    "Definition",
    "Fit",
    "LeftOut",
    "Objective",
    "Profile",
    "Sample",
    "adopt",
    "arms_fits",
    "fit_arms",
    "fit_problems",
    "least_squares",
    "leave_out",
    "petab_fits",
    "profile",
    "profiles",
    "read_arms",
    "read_definition",
    "relaxed",
    "sample",
    "shipped_fits",
    "write_arms",
    "write_fit",
    "write_fit_petab",
]
