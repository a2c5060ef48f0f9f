"""The command `metabolism qualify`: options, the printed board, the exit code."""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import Any

from metabolism.cli.shared import add_model_options, chosen_model, progress_bar
from metabolism.errors import InvalidValue


def add_commands(commands: Any) -> None:
    """Add the subcommand, which carries the function that runs it as ``action``."""
    parser = commands.add_parser("qualify", help="run the study cases and judge the model against them")
    parser.add_argument(
        "--cases", action="append", metavar="FILE", help="case file; may be repeated (default: all shipped)"
    )
    parser.add_argument("--markdown", metavar="FOLDER", help="write pages for the documentation here")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1, help="threads (default: all cores)")
    parser.add_argument(
        "--uncertainty", type=int, metavar="N", help="add 90 %% intervals from N draws of the parameters"
    )
    parser.add_argument("--peers", nargs="+", metavar="FILE|ID", help="run published SBML models beside ours")
    add_model_options(parser)
    parser.set_defaults(action=_qualify)


def _qualify(arguments: argparse.Namespace) -> int:
    """Run the board and print it; return 0 if every must-pass case passes, else 1."""
    from metabolism.cases import arms_of, board_markdown, board_text, peer_markdown, peer_text, qualify, read_cases
    from metabolism.files import write_atomically, write_text

    if arguments.workers < 1:
        raise InvalidValue(f"--workers {arguments.workers} must be at least 1.")
    model = chosen_model(arguments)
    rows = read_cases(model, arguments.cases)
    drawn = None
    if arguments.uncertainty is not None:
        from metabolism.model import draws

        drawn = draws(model, arguments.uncertainty)
    with progress_bar() as begin:
        tick = begin("arms simulated", len(arms_of(rows)) * (2 if drawn is not None else 1))
        board = qualify(model, rows, draws=drawn, workers=arguments.workers, progress=tick)
    print(board_text(board))
    data, pages = board.as_json(), {"qualification.md": board_markdown(board)}
    if arguments.peers:
        from metabolism.cases import run_peers

        peers = run_peers(model, rows, arguments.peers)
        print(f"\n{peer_text(peers, board)}")
        data["peers"] = [p.as_json() for p in peers]
        pages["published_models.md"] = peer_markdown(peers, board)
    arguments.payload = data
    if arguments.markdown:
        from metabolism.cases import board_figure

        folder = Path(arguments.markdown)
        for name, text in pages.items():
            print(f"page written to {write_text(folder / name, text)}")
        figure = board_figure(board)
        write_atomically(folder / "qualification.png", lambda part: figure.savefig(part, format="png", dpi=110))
    return 0 if board.passed else 1


def add_fit(commands: Any) -> None:
    """Add the subcommand, which carries the function that runs it as ``action``."""
    parser = commands.add_parser("fit", help="calibrate: fit, profiles, posterior draws, report")
    parser.add_argument(
        "--definition", default="onecarbon3", metavar="FIT", help="a fit of models/fits or a file (default: onecarbon3)"
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
    from metabolism.fit import Objective, adopt, least_squares, profiles, read_definition, relaxed, sample, write_fit

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
            objective,
            fit,
            definition.draws,
            arguments.proposals,
            definition.seed,
            begin("posterior", arguments.proposals),
            folder,
        )
    write_fit(folder, objective, fit, found, drawn, free)
    print((folder / "report.md").read_text(encoding="utf-8"))
    print(f"tables and draws: {folder}")
    if arguments.adopt:
        print(f"{adopt(folder)} values adopted; now run `make generated` and `metabolism qualify`.")
    return 0
