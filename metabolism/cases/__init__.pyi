from .board import Board, Case, Verdict, known_misfits, qualify
from .intervals import (
    QUANTILE,
    class_of,
    from_scale,
    left_out_score,
    residual_sds,
    scale_of,
    score,
    sd_for,
    to_scale,
)
from .peers import run_peers
from .predictions import Predictions, arms_of, predict, run_arm
from .render import MEMORY, board_figure, board_markdown, board_text, peer_markdown, peer_text
from .rows import InvalidCase, Row, read_cases

__all__ = [
    "MEMORY",
    "QUANTILE",
    "Board",
    "Case",
    "InvalidCase",
    "Predictions",
    "Row",
    "Verdict",
    "arms_of",
    "board_figure",
    "board_markdown",
    "board_text",
    "class_of",
    "from_scale",
    "known_misfits",
    "left_out_score",
    "peer_markdown",
    "peer_text",
    "predict",
    "qualify",
    "read_cases",
    "residual_sds",
    "run_arm",
    "run_peers",
    "scale_of",
    "score",
    "sd_for",
    "to_scale",
]
