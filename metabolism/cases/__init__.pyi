from .board import Board, Case, Verdict, qualify
from .peers import run_peers
from .predictions import Predictions, arms_of, predict
from .render import MEMORY, board_figure, board_markdown, board_text, peer_markdown, peer_text
from .rows import InvalidCase, Row, read_cases

__all__ = [
    "MEMORY",
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
    "peer_markdown",
    "peer_text",
    "predict",
    "qualify",
    "read_cases",
    "run_peers",
]
