"""The commands around one run: list, run, simulate, show."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from metabolism.cli.shared import add_model_options, chosen_model, progress_bar
from metabolism.errors import InvalidValue, UnknownName


def add_commands(commands: Any) -> None:
    """Add the subcommands of this module; each carries the function that runs it as ``action``."""
    listing = commands.add_parser("list", help="list experiments, sets, parameters, outputs, substances, scenarios")
    listing.add_argument("what", nargs="?", default="experiments", help=", ".join(LISTS))
    listing.set_defaults(action=_list)

    running = commands.add_parser("run", help="run an experiment and write its report")
    running.add_argument("name")
    running.add_argument("--quick", action="store_true", help="same code path on a smaller cohort")
    running.add_argument("--out", default="results", help="folder for results (default: results)")
    running.add_argument("--seed", type=int, default=1, help="random seed (default: 1)")
    running.add_argument("--workers", type=int, default=os.cpu_count() or 1, help="processes (default: all cores)")
    running.add_argument("--engine", default="auto", help="auto (fast for many patients), roadrunner, scipy or fast")
    add_model_options(running)
    running.set_defaults(action=_run)

    simulating = commands.add_parser("simulate", help="simulate one patient")
    simulating.add_argument("--regimen", help='e.g. "50 mg im every 3.5 d x 32"')
    simulating.add_argument("--until", default="16 weeks", help="end of the run (default: 16 weeks)")
    simulating.add_argument("--output", action="append", metavar="ID", help="what to report; may be repeated")
    simulating.add_argument("--uncertainty", type=int, metavar="N", help="90 %% band from N draws of the parameters")
    simulating.add_argument("--csv", metavar="FILE", help="write all time points here")
    simulating.add_argument("--engine", default="auto", help="auto, roadrunner, scipy or fast")
    add_model_options(simulating)
    simulating.set_defaults(action=_simulate)

    showing = commands.add_parser("show", help="explain any reaction, species, derived quantity or parameter")
    showing.add_argument("id")
    add_model_options(showing)
    showing.set_defaults(action=_show)


def _list_experiments() -> list[tuple[str, str]]:
    from metabolism.report import experiment_names, get_experiment

    return [(e.id, e.question) for e in map(get_experiment, experiment_names())]


def _list_sets() -> list[tuple[str, str]]:
    from metabolism.model import read_set, set_names

    return [(n, ", ".join(read_set(n).values) or "(the reference)") for n in set_names()]


def _list_parameters() -> list[tuple[str, str]]:
    from metabolism.model import parameter_table

    return [(p.id, f"{p.value:.6g} {p.unit}  {p.name}") for p in parameter_table().values()]


def _list_outputs() -> list[tuple[str, str]]:
    from metabolism.model import equations, load

    system = equations(load())
    return [(n, system.units[n]) for n in [*system.states, *system.computed]]


def _list_substances() -> list[tuple[str, str]]:
    from metabolism.dosing import substances

    return [(s.name, f"{s.molar_mass:g} g/mol; {', '.join(s.routes)}") for s in substances().values()]


def _list_scenarios() -> list[tuple[str, str]]:
    from metabolism.trials import scenarios

    return [(s.id, s.title) for s in scenarios().values()]


#: What ``list`` can show.
LISTS: dict[str, Callable[[], list[tuple[str, str]]]] = {
    "experiments": _list_experiments,
    "sets": _list_sets,
    "parameters": _list_parameters,
    "outputs": _list_outputs,
    "substances": _list_substances,
    "scenarios": _list_scenarios,
}


def _list(arguments: argparse.Namespace) -> int:
    if arguments.what not in LISTS:
        raise UnknownName("list", arguments.what, LISTS)
    rows = LISTS[arguments.what]()
    arguments.payload = [{"id": name, "text": text} for name, text in rows]
    width = max(len(name) for name, _ in rows)
    for name, text in rows:
        print(f"{name:<{width}}  {text}")
    return 0


def _run(arguments: argparse.Namespace) -> int:
    from metabolism.report import known_gaps, number, read_manifest, run, verdict

    if arguments.workers < 1:
        raise InvalidValue(f"--workers {arguments.workers} must be at least 1.")
    if arguments.seed < 0:
        raise InvalidValue(f"--seed {arguments.seed} must be 0 or more.")
    with progress_bar() as progress:
        outcome, folder = run(
            arguments.name,
            chosen_model(arguments),
            out=arguments.out,
            quick=arguments.quick,
            seed=arguments.seed,
            workers=arguments.workers,
            progress=progress,
            engine=arguments.engine,
        )
    print(outcome.answer)
    gaps = known_gaps()
    print()
    for claim in outcome.claims:
        word, _ = verdict(arguments.name, claim, gaps)
        print(
            f"{word:<9}  {claim.statement}: predicted {number(claim.predicted)}, published {number(claim.published)} "
            f"{claim.unit} (band {number(claim.low)} to {number(claim.high)})"
        )
    arguments.payload = read_manifest(folder) | {"folder": str(folder)}
    print(f"\nreport: {folder / 'report.html'}")
    return 0


def _simulate(arguments: argparse.Namespace) -> int:
    from metabolism.files import write_atomically
    from metabolism.simulation import simulate
    from metabolism.units import label

    result = simulate(
        chosen_model(arguments),
        arguments.regimen,
        arguments.until,
        outputs=arguments.output,
        engine=arguments.engine,
        uncertainty=arguments.uncertainty,
        workers=os.cpu_count() or 1,
    )
    frame = result.frame() if arguments.uncertainty is None else result.bands()
    if arguments.csv:
        heads = {c: f"{c} [{result[c.split(' ')[0]].attrs['units']}]" for c in frame.columns if c != "time"}
        heads["time"] = "time [h]"
        write_atomically(arguments.csv, lambda part: frame.rename(columns=heads).to_csv(part, index=False))
        print(f"{len(frame)} time points written to {arguments.csv}")
    else:
        rows = frame.iloc[sorted({round(i * (len(frame) - 1) / 14) for i in range(15)})]
        names = [c for c in frame.columns if c != "time"]
        heads_ = ["time [h]", *(f"{c} [{label(result[c.split(' ')[0]].attrs['units']) or '-'}]" for c in names)]
        table = [heads_, *([f"{v:.5g}" for v in row] for row in rows.to_numpy())]
        widths = [max(len(r[i]) for r in table) for i in range(len(heads_))]
        for row in table:
            print("  ".join(cell.rjust(w) for cell, w in zip(row, widths, strict=True)))
    units = {name: result[name].attrs["units"] for name in result.outputs}
    arguments.payload = {
        "columns": {c: frame[c].to_numpy() for c in frame.columns},
        "units": {"time": "h", **units},
        "ledger_umol": result.ledger.to_dict("index"),
        "manifest": result.manifest,
    }
    for target, line in result.ledger.iterrows():
        print(f"dose ledger: {target} asked {line['asked']:.9g} umol, delivered {line['delivered']:.9g} umol")
    return 0


def _show(arguments: argparse.Namespace) -> int:
    from metabolism.model import describe

    print(describe(chosen_model(arguments), arguments.id))
    return 0


SHELLS = ("bash", "zsh", "fish")


def add_surfaces(commands: Any) -> None:
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
    from metabolism.model import load
    from metabolism.report import experiment_names, get_experiment, known_gaps, resting_map, write_index

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
    from metabolism.explorer import exposure_warning, serve

    if not 0 <= arguments.port <= 65535:
        raise InvalidValue(f"--port {arguments.port} must lie between 0 and 65535.")
    warning = exposure_warning(arguments.host)
    if warning:
        print(f"metabolism: {warning}", file=sys.stderr)
    serve(arguments.host, arguments.port)
    return 0


def _doctor(arguments: argparse.Namespace) -> int:
    from metabolism.cli.doctor import examine

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
