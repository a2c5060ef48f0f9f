from . import mmrm
from .analysis import analyse, ancova, mixed_model, slopes, survival
from .boundaries import closed_test, crossing, efficacy_bounds, futility_bounds
from .calendar import Conduct, Verdict, conduct
from .decline import proportional
from .design import ANALYSES, Design
from .disease import (
    HOURS_PER_MONTH,
    HOURS_PER_WEEK,
    alsfrs_r,
    hazards,
    large_sample_log_hr,
    mortality,
    motor_units,
    points_gained,
    rate_score,
    vital_capacity,
)
from .effects import OWN_BASELINE, Scenario, direct_maximum, scenario_maximum, scenarios, with_scenario
from .imputation import impute
from .joint import bayes_rate, joint_rate
from .markers import DOMAINS, domain_scores, kings_stage, linear_score, tilts, trial_markers
from .pairs import net_benefit, win_ratio
from .patients import (
    BODY,
    DISEASE,
    PATIENT_COLUMNS,
    PLAUSIBLE,
    SPREAD,
    Generator,
    candidates,
    normals,
    plausibility,
    sobol_numbers,
)
from .plots import course_figure, kaplan_meier, stops_figure
from .pool import POOL_RTOL, STEP, Pool, bodies, make_pool
from .power import CHOICES, closed_form, figures, power_table, wilson
from .prognosis import Marker, Risk, risk_profile
from .reading import read_design
from .replicates import replicate
from .screening import observe, observed_columns, randomise, screen, select
from .sections import JETALS_RUN_IN, Accrual, Arm, Enrichment, Looks, RunIn, Withdrawal
from .tables import balance, course, difference_row, effective_size, interval, percent, reweighted, subgroups, wide
from .trial import Trial, simulate_trial

__all__ = [
    "ANALYSES",
    "BODY",
    "CHOICES",
    "DISEASE",
    "DOMAINS",
    "HOURS_PER_MONTH",
    "HOURS_PER_WEEK",
    "JETALS_RUN_IN",
    "OWN_BASELINE",
    "PATIENT_COLUMNS",
    "PLAUSIBLE",
    "POOL_RTOL",
    "SPREAD",
    "STEP",
    "Accrual",
    "Arm",
    "Conduct",
    "Design",
    "Enrichment",
    "Generator",
    "Looks",
    "Marker",
    "Pool",
    "Risk",
    "RunIn",
    "Scenario",
    "Trial",
    "Verdict",
    "Withdrawal",
    "alsfrs_r",
    "analyse",
    "ancova",
    "balance",
    "bayes_rate",
    "bodies",
    "candidates",
    "closed_form",
    "closed_test",
    "conduct",
    "course",
    "course_figure",
    "crossing",
    "difference_row",
    "direct_maximum",
    "domain_scores",
    "effective_size",
    "efficacy_bounds",
    "figures",
    "futility_bounds",
    "hazards",
    "impute",
    "interval",
    "joint_rate",
    "kaplan_meier",
    "kings_stage",
    "large_sample_log_hr",
    "linear_score",
    "make_pool",
    "mixed_model",
    "mmrm",
    "mortality",
    "motor_units",
    "net_benefit",
    "normals",
    "observe",
    "observed_columns",
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
    "risk_profile",
    "scenario_maximum",
    "scenarios",
    "screen",
    "select",
    "simulate_trial",
    "slopes",
    "sobol_numbers",
    "stops_figure",
    "subgroups",
    "survival",
    "tilts",
    "trial_markers",
    "vital_capacity",
    "wide",
    "wilson",
    "win_ratio",
    "with_scenario",
]
