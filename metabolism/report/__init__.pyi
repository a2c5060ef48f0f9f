from .annotated import coverage_problems, description_problems, row_problems, source_annotation_problems
from .claims import Claim, case_claims, tally
from .evidence import evidence_text, model_card
from .fluxmap import draw, geometry, mean_fluxes, resting_map
from .inspection import build_path, checks, fragment_problems, grade_problems, resting_problems, source_problems
from .pack import write_pack
from .pages import number, read_run, write_index
from .registry import (
    Context,
    Experiment,
    Outcome,
    experiment,
    experiment_names,
    get_experiment,
    known_gaps,
    new_experiment,
    run,
)

__all__ = [
    "Claim",
    "Context",
    "Experiment",
    "Outcome",
    "build_path",
    "case_claims",
    "checks",
    "coverage_problems",
    "description_problems",
    "draw",
    "evidence_text",
    "experiment",
    "experiment_names",
    "fragment_problems",
    "geometry",
    "get_experiment",
    "grade_problems",
    "known_gaps",
    "mean_fluxes",
    "model_card",
    "new_experiment",
    "number",
    "read_run",
    "resting_map",
    "resting_problems",
    "row_problems",
    "run",
    "source_annotation_problems",
    "source_problems",
    "tally",
    "write_index",
    "write_pack",
]
