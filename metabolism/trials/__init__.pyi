from . import mmrm
from .analysis import analyse, ancova, mixed_model, slopes, survival
from .decline import proportional
from .design import ANALYSES, JETALS_RUN_IN, Arm, Design, RunIn, read_design
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
from .imputation import impute
from .joint import bayes_rate, joint_rate
from .pairs import net_benefit, win_ratio
from .patients import (
    BODY,
    DISEASE,
    PATIENT_COLUMNS,
    PLAUSIBLE,
    SPREAD,
    Generator,
    balance,
    candidates,
    effective_size,
    normals,
    plausibility,
    sobol_numbers,
)
from .plots import course_figure, kaplan_meier
from .pool import POOL_RTOL, STEP, Pool, bodies, make_pool
from .power import closed_form, figures, power_table, wilson
from .replicates import replicate
from .screening import observe, randomise, screen, select
from .tables import course, difference_row, interval, percent, reweighted, subgroups, wide
from .trial import Trial, simulate_trial

__all__ = [
    "ANALYSES",
    "BODY",
    "DISEASE",
    "HOURS_PER_MONTH",
    "HOURS_PER_WEEK",
    "JETALS_RUN_IN",
    "OWN_BASELINE",
    "PATIENT_COLUMNS",
    "PLAUSIBLE",
    "POOL_RTOL",
    "SPREAD",
    "STEP",
    "Arm",
    "Design",
    "Generator",
    "Pool",
    "RunIn",
    "Scenario",
    "Trial",
    "alsfrs_r",
    "analyse",
    "ancova",
    "balance",
    "bayes_rate",
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
    "impute",
    "interval",
    "joint_rate",
    "kaplan_meier",
    "large_sample_log_hr",
    "make_pool",
    "mixed_model",
    "mmrm",
    "motor_units",
    "net_benefit",
    "normals",
    "observe",
    "percent",
    "plausibility",
    "points_gained",
    "power_table",
    "proportional",
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
    "sobol_numbers",
    "subgroups",
    "survival",
    "wide",
    "wilson",
    "win_ratio",
    "with_scenario",
]
