"""The commands that hold the model against published numbers: qualify and fit."""

from pathlib import Path

from metabolism.cli.shared import Arguments, chosen_model, leave_out, progress_bar
from metabolism.errors import OutputError


def _qualify(arguments: Arguments) -> int:
    """Run the board and print it; return 0 if every must-pass case passes, else 1."""
    from metabolism import cases
    from metabolism.files import write_atomically, write_text
    from metabolism.model import draws

    folder = Path(arguments.markdown) if arguments.markdown else None
    if folder is not None and not folder.is_dir():
        raise OutputError(f"cannot write pages: there is no folder '{folder}'.")
    model = chosen_model(arguments)
    rows = cases.read_cases(model, arguments.cases)
    drawn = None if arguments.uncertainty is None else draws(model, arguments.uncertainty)
    with progress_bar() as begin:
        tick = begin("arms simulated", len(cases.arms_of(rows)) * (2 if drawn is not None else 1))
        board = cases.qualify(model, rows, draws=drawn, workers=arguments.workers, tick=tick)
    print(cases.board_text(board))
    data, pages = board.as_json(), {"qualification.md": cases.board_markdown(board)}
    if arguments.peers:
        peers = cases.run_peers(model, rows, arguments.peers)
        print(f"\n{cases.peer_text(peers, board)}")
        data["peers"] = [p.as_json() for p in peers]
        pages["published_models.md"] = cases.peer_markdown(peers, board)
    arguments.payload = data
    if folder is not None:
        for name, text in pages.items():
            print(f"page written to {write_text(folder / name, text)}")
        figure = cases.board_figure(board)
        write_atomically(folder / "qualification.png", lambda part: figure.savefig(part, format="png", dpi=110))
    return 0 if board.passed else 1


def _fit(arguments: Arguments) -> int:
    """Fit, write the folder, and print the report; return 0."""
    from metabolism import fit

    if arguments.definition in fit.arms_fits() or arguments.definition.endswith("arms.toml"):
        leave_out(arguments, "a fit of placebo arms takes none of these", "starts", "proposals", "workers")
        return _fit_arms(arguments)
    definition = fit.read_definition(arguments.definition)
    objective = fit.Objective(chosen_model(arguments), definition, arguments.workers)
    folder = Path(arguments.out) / definition.id
    with progress_bar() as begin:
        best = fit.least_squares(objective, folder / "starts", begin, arguments.starts)
        free = fit.relaxed(objective, best)
        walls = fit.profiles(objective, best, tick=begin("profiles", 5))
        tick = begin("posterior", arguments.proposals)
        work = definition.draws, arguments.proposals, definition.seed, tick, folder / "rounds"
        drawn = fit.sample(objective, best, *work)
        left = fit.leave_out(objective, free, folder / "left_out", begin)
    fit.write_fit(folder, objective, best, walls, drawn, left, free)
    arguments.payload = {"folder": str(folder), "report": (folder / "report.md").read_text(encoding="utf-8")}
    print(arguments.payload["report"])
    print(f"tables and draws: {folder}")
    if arguments.adopt:
        print(f"{fit.adopt(folder)} values adopted; now run `make generated` and `metabolism qualify`.")
    return 0


def _fit_arms(arguments: Arguments) -> int:
    """Fit the disease of virtual patients to placebo arms, write the folder, and print the report; return 0."""
    from metabolism.fit import ARMS_TABLES, ArmsObjective, adopt, fit_arms, read_arms, write_arms

    objective = ArmsObjective(chosen_model(arguments), read_arms(arguments.definition))
    with progress_bar() as begin:
        fit = fit_arms(objective, begin)
    folder = write_arms(Path(arguments.out) / objective.definition.id, objective, fit)
    arguments.payload = {"folder": str(folder), "report": (folder / "report.md").read_text(encoding="utf-8")}
    print(arguments.payload["report"])
    if arguments.adopt:
        print(f"{adopt(folder, ARMS_TABLES)} values adopted; now run `make generated`.")
    return 0


#: What carries out each command of this file.
ACTIONS = {"qualify": _qualify, "fit": _fit}
