from . import mmrm
from .analysis import analyse, ancova, mixed_model, slopes
from .design import JETALS_RUN_IN, Arm, Design, RunIn, read_design
from .disease import (
    HOURS_PER_MONTH,
    HOURS_PER_WEEK,
    alsfrs_r,
    hazards,
    large_sample_log_hr,
    motor_units,
    points_gained,
    rate_score,
)
from .effects import OWN_BASELINE, Scenario, direct_maximum, scenario_maximum, scenarios, with_scenario
from .patients import PATIENT_COLUMNS, balance, candidates, effective_size, plausibility
from .plots import course_figure, kaplan_meier
from .pool import Pool, bodies, make_pool
from .power import closed_form, figures, power_table, wilson
from .replicates import replicate
from .screening import observe, randomise, screen, select
from .tables import course, difference_row, interval, percent, reweighted, subgroups, wide
from .trial import Trial, simulate_trial

__all__ = [
    "HOURS_PER_MONTH",
    "HOURS_PER_WEEK",
    "JETALS_RUN_IN",
    "OWN_BASELINE",
    "PATIENT_COLUMNS",
    "Arm",
    "Design",
    "Pool",
    "RunIn",
    "Scenario",
    "Trial",
    "alsfrs_r",
    "analyse",
    "ancova",
    "balance",
    "bodies",
    "candidates",
    "closed_form",
    "course",
    "course_figure",
    "difference_row",
    "direct_maximum",
    "effective_size",
    "figures",
    "hazards",
    "interval",
    "kaplan_meier",
    "large_sample_log_hr",
    "make_pool",
    "mixed_model",
    "mmrm",
    "motor_units",
    "observe",
    "percent",
    "plausibility",
    "points_gained",
    "power_table",
    "randomise",
    "rate_score",
    "read_design",
    "replicate",
    "reweighted",
    "scenario_maximum",
    "scenarios",
    "screen",
    "select",
    "simulate_trial",
    "slopes",
    "subgroups",
    "wide",
    "wilson",
    "with_scenario",
]
