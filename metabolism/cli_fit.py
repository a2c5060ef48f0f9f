"""The command `metabolism fit`: calibrate, profile, sample, report, adopt."""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import Any

from metabolism.cli_common import add_model_options, chosen_model, progress_bar
from metabolism.errors import InvalidValue


def add_commands(commands: Any) -> None:
    """Add the subcommand, which carries the function that runs it as ``action``."""
    parser = commands.add_parser("fit", help="calibrate: fit, profiles, posterior draws, report")
    parser.add_argument(
        "--definition", default="onecarbon2", metavar="FIT", help="a fit of models/fits or a file (default: onecarbon2)"
    )
    parser.add_argument(
        "--out", type=Path, default=Path("results/fit"), help="folder; a fit that stopped goes on there"
    )
    parser.add_argument("--starts", type=int, help="number of starts (default: the definition's)")
    parser.add_argument("--proposals", type=int, default=2000, help="candidates for the posterior (default: 2000)")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1, help="threads (default: all cores)")
    parser.add_argument("--adopt", action="store_true", help="write the fitted values into models/")
    add_model_options(parser)
    parser.set_defaults(action=_fit)


def _fit(arguments: argparse.Namespace) -> int:
    """Fit, write the folder, and print the report; return 0."""
    from metabolism.calibration import adopt, write_fit
    from metabolism.fit import Objective, least_squares, read_definition, relaxed
    from metabolism.posterior import profiles, sample

    for name, least in (("starts", 1), ("proposals", 100), ("workers", 1)):
        value = getattr(arguments, name)
        if value is not None and value < least:
            raise InvalidValue(f"--{name} {value} must be at least {least}.")
    definition = read_definition(arguments.definition)
    objective = Objective(chosen_model(arguments), definition, arguments.workers)
    folder = arguments.out / definition.id
    with progress_bar() as begin:
        fit = least_squares(objective, folder / "starts", begin, arguments.starts)
        free = relaxed(objective, fit)
        found = profiles(objective, fit, tick=begin("profiles", 4))
        drawn = sample(
            objective, fit, definition.draws, arguments.proposals, definition.seed,
            begin("posterior", arguments.proposals), folder,
        )  # fmt: skip
    write_fit(folder, objective, fit, found, drawn, free)
    print((folder / "report.md").read_text(encoding="utf-8"))
    print(f"tables and draws: {folder}")
    if arguments.adopt:
        print(f"{adopt(folder)} values adopted; now run `make generated` and `metabolism qualify`.")
    return 0
