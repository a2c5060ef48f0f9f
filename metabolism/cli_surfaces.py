"""The commands for what people look at: report, explore; and for a good start: doctor, completion."""

from __future__ import annotations

import argparse
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

from metabolism.errors import InvalidValue, UnknownName

SHELLS = ("bash", "zsh", "fish")


def add_commands(commands: Any) -> None:
    """Add the subcommands of this module; each carries the function that runs it as ``action``."""
    reporting = commands.add_parser("report", help="one page over the newest run of every experiment")
    reporting.add_argument("--out", default="results", help="folder of results (default: results)")
    reporting.set_defaults(action=_report)

    exploring = commands.add_parser("explore", help="open the model as a web page on this machine")
    exploring.add_argument("--port", type=int, default=8000, help="port, 0 for any free one (default: 8000)")
    exploring.add_argument("--host", default="127.0.0.1", help="address to listen on (default: this machine only)")
    exploring.set_defaults(action=_explore)

    examining = commands.add_parser("doctor", help="check the installation and say the remedy")
    examining.add_argument("--out", default="results", help="folder that results would go to (default: results)")
    examining.set_defaults(action=_doctor)

    completing = commands.add_parser("completion", help="print the script that completes commands and names")
    completing.add_argument("shell", metavar="{bash,zsh,fish}")
    completing.set_defaults(action=_completion)


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
    path = write_index(Path(arguments.out), questions, known_gaps(), [drawing])
    arguments.payload = {"report": str(path)}
    print(f"report: {path}")
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


def _doctor(arguments: argparse.Namespace) -> int:
    from metabolism.doctor import examine

    found = examine(Path(arguments.out))
    arguments.payload = [asdict(f) for f in found]
    for finding in found:
        print(f"{finding.state:<5} {finding.subject:<18} {finding.text}")
        if finding.remedy:
            print(f"{'':<24} remedy: {finding.remedy}")
    broken = sum(f.state == "FAIL" for f in found)
    print(f"\n{broken} of {len(found)} checks failed." if broken else "\nThe installation is sound.")
    return 1 if broken else 0


def _completion(arguments: argparse.Namespace) -> int:
    if arguments.shell not in SHELLS:
        raise UnknownName("shell", arguments.shell, SHELLS)
    from argcomplete.shell_integration import shellcode

    print(shellcode(["metabolism"], shell=arguments.shell))
    return 0
