"""Subcommands for what people look at: report, explore."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from metabolism.errors import InvalidValue


def add_commands(commands: Any) -> None:
    """Register the subcommands; each carries the function that runs it as ``run``."""
    raw = argparse.RawDescriptionHelpFormatter
    reporting = commands.add_parser(
        "report", help="one page over the newest run of every experiment", formatter_class=raw,
        epilog="examples:\n  metabolism report\n  metabolism report --out results",
    )  # fmt: skip
    reporting.add_argument("--out", default="results", help="folder of results (default: results)")
    reporting.set_defaults(run=_report)

    exploring = commands.add_parser(
        "explore", help="open the model as a web page on this machine", formatter_class=raw,
        epilog="examples:\n  metabolism explore\n  metabolism explore --port 8080",
    )  # fmt: skip
    exploring.add_argument(
        "--port", type=int, default=8000, help="port to listen on, 0 for any free one (default: 8000)"
    )
    exploring.add_argument("--host", default="127.0.0.1", help="address to listen on (default: this machine only)")
    exploring.set_defaults(run=_explore)


def _report(arguments: argparse.Namespace) -> int:
    from metabolism.fluxmap import resting_map
    from metabolism.model import load
    from metabolism.registry import experiment_names, get_experiment, known_gaps
    from metabolism.report import write_index

    model = load()
    drawing = resting_map(
        model.with_set("als_patient"), model, "A person with ALS at rest, untreated", "the healthy reference at rest"
    )
    questions = {name: get_experiment(name).question for name in experiment_names()}
    print(f"report: {write_index(Path(arguments.out), questions, known_gaps(), [drawing])}")
    return 0


def _explore(arguments: argparse.Namespace) -> int:
    from metabolism.explorer_app import exposure_warning, serve

    if not 0 <= arguments.port <= 65535:
        raise InvalidValue(f"--port {arguments.port} must lie between 0 and 65535.")
    warning = exposure_warning(arguments.host)
    if warning:
        print(f"metabolism: {warning}", file=sys.stderr)
    serve(arguments.host, arguments.port)
    return 0
