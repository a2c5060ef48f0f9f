from . import mmrm
from .analysis import analyse, ancova, mixed_model, slopes
from .design import JETALS_RUN_IN, Arm, Design, RunIn, read_design
from .effects import OWN_BASELINE, Scenario, direct_maximum, scenario_maximum, scenarios, with_scenario
from .patients import (
    HOURS_PER_MONTH,
    HOURS_PER_WEEK,
    PATIENT_COLUMNS,
    alsfrs_r,
    balance,
    candidates,
    effective_size,
    motor_units,
    plausibility,
    rate_score,
)
from .pool import Pool, bodies, make_pool
from .power import closed_form, figures, power_table
from .replicates import replicate
from .screening import observe, randomise, screen, select
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
    "direct_maximum",
    "effective_size",
    "figures",
    "make_pool",
    "mixed_model",
    "mmrm",
    "motor_units",
    "observe",
    "plausibility",
    "power_table",
    "randomise",
    "rate_score",
    "read_design",
    "replicate",
    "scenario_maximum",
    "scenarios",
    "screen",
    "select",
    "simulate_trial",
    "slopes",
    "with_scenario",
]
