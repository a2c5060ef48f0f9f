"""The command line: list, run, simulate, show, export, design, check."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from metabolism import cli_design, cli_fit, cli_help, cli_output, cli_qualify, cli_release, cli_sweep
from metabolism.errors import InvalidValue, MetabolismError, OutputError, UnknownName, UsageError

if TYPE_CHECKING:
    from metabolism.model import Model

EXAMPLES = """examples:
  metabolism run jetals                      the main experiment, with its report
  metabolism simulate --regimen "50 mg im every 3.5 d x 32" --until "16 weeks" --csv out.csv
  metabolism simulate --set b12_deficient --regimen "1 mg hydroxocobalamin im weekly x 8"
  metabolism show MS_liver                   equation, values and sources of one reaction
  metabolism export sbml als.xml --regimen "50 mg im every 3.5 d x 32"
  metabolism compare model.xml               a foreign SBML file beside ours
  metabolism qualify                         every study case: observed, simulated, pass or fail
  metabolism scan --grid GFR_rel=0.3:1:8 --regimen "50 mg im" --store results/gfr
  metabolism sensitivity sobol --regimen "50 mg im every 3.5 d x 32" --endpoint hcy_change --n 64
  metabolism check                           every check of model, numbers and data
"""


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{message}. See '{self.prog} --help'.")


def _parser() -> argparse.ArgumentParser:
    from metabolism import __version__
    from metabolism.cli_surfaces import add_commands

    parser = _Parser(
        prog="metabolism",
        description="Methionine-homocysteine cycle, methylcobalamin and ALSFRS-R: simulate, run experiments, export.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"als-methionine {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", parser_class=_Parser)

    listing = commands.add_parser("list", help="list experiments, sets, parameters, outputs, substances, scenarios")
    listing.add_argument("what", nargs="?", default="experiments", help=", ".join(_LISTS))

    running = commands.add_parser("run", help="run an experiment and write its report")
    running.add_argument("name")
    running.add_argument("--quick", action="store_true", help="same code path on a smaller cohort")
    running.add_argument("--out", default="results", help="folder for results (default: results)")
    running.add_argument("--seed", type=int, default=1, help="random seed (default: 1)")
    running.add_argument("--workers", type=int, default=os.cpu_count() or 1, help="processes (default: all cores)")
    running.add_argument("--engine", default="auto", help="auto (fast for many patients), roadrunner, scipy or fast")
    _model_options(running)

    simulating = commands.add_parser("simulate", help="simulate one patient")
    simulating.add_argument("--regimen", help='e.g. "50 mg im every 3.5 d x 32"')
    simulating.add_argument("--until", default="16 weeks", help="end of the run (default: 16 weeks)")
    simulating.add_argument("--output", action="append", metavar="ID", help="what to report; may be repeated")
    simulating.add_argument("--uncertainty", type=int, metavar="N", help="90 %% band from N draws of the parameters")
    simulating.add_argument("--csv", metavar="FILE", help="write all time points here")
    simulating.add_argument("--engine", default="auto", help="auto, roadrunner, scipy or fast")
    _model_options(simulating)

    showing = commands.add_parser("show", help="explain any reaction, species, derived quantity or parameter")
    showing.add_argument("id")
    _model_options(showing)

    add_commands(commands)
    fitting = commands.add_parser("fit", help="calibrate: fit, profiles, posterior draws, report")
    cli_fit.options(fitting)
    _model_options(fitting)

    qualifying = commands.add_parser("qualify", help="run the study cases and judge the model against them")
    cli_qualify.options(qualifying)
    _model_options(qualifying)
    designing = commands.add_parser(
        "design", help="power, assurance and overstatement of a trial design", epilog=cli_design.EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    cli_design.options(designing)
    _model_options(designing)

    scanning = commands.add_parser("scan", help="run a grid, table, cohort or posterior draws into a resumable store")
    cli_sweep.scan_options(scanning)
    _model_options(scanning)

    sensing = commands.add_parser("sensitivity", help="which inputs drive an endpoint: local, one at a time, global")
    cli_sweep.sensitivity_options(sensing)
    _model_options(sensing)

    checking = commands.add_parser("check", help="check model, numbers, sources and data")
    checking.add_argument("--rewrite", action="store_true", help="write derived values and the SBML build afresh first")
    cli_release.register(commands, _model_options, _model)
    cli_help.finish(parser, commands)
    return parser


def _model_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--set", action="append", default=[], metavar="NAME", dest="sets", help="apply a parameter set; may be repeated"
    )
    parser.add_argument(
        "--param",
        action="append",
        default=[],
        metavar="ID=VALUE",
        help="change one value, with or without unit; may be repeated",
    )


def _model(arguments: argparse.Namespace) -> Model:
    from metabolism.model import load

    model = load()
    for name in arguments.sets:
        model = model.with_set(name)
    for text in arguments.param:
        key, separator, value = text.partition("=")
        if not separator or not value.strip():
            raise UsageError(f"--param '{text}' must read ID=VALUE, e.g. --param GFR_rel=0.5.")
        try:
            number: float | str = float(value)
        except ValueError:
            number = value
        model = model.with_values({key.strip(): number})
    return model


def _list_experiments() -> list[tuple[str, str]]:
    from metabolism.registry import experiment_names, get_experiment

    return [(e.id, e.question) for e in map(get_experiment, experiment_names())]


def _list_sets() -> list[tuple[str, str]]:
    from metabolism.parameters import read_set, set_names

    return [(n, ", ".join(read_set(n).values) or "(the reference)") for n in set_names()]


def _list_parameters() -> list[tuple[str, str]]:
    from metabolism.parameters import parameter_table

    return [(p.id, f"{p.value:.6g} {p.unit}  {p.name}") for p in parameter_table().values()]


def _list_outputs() -> list[tuple[str, str]]:
    from metabolism.equations import equations
    from metabolism.model import load

    system = equations(load())
    return [(n, system.units[n]) for n in [*system.states, *system.computed]]


def _list_substances() -> list[tuple[str, str]]:
    from metabolism.substances import substances

    return [(s.name, f"{s.molar_mass:g} g/mol; {', '.join(s.routes)}") for s in substances().values()]


def _list_scenarios() -> list[tuple[str, str]]:
    from metabolism.effects import scenarios

    return [(s.id, s.title) for s in scenarios().values()]


_LISTS: dict[str, Callable[[], list[tuple[str, str]]]] = {
    "experiments": _list_experiments,
    "sets": _list_sets,
    "parameters": _list_parameters,
    "outputs": _list_outputs,
    "substances": _list_substances,
    "scenarios": _list_scenarios,
}


def _do_list(arguments: argparse.Namespace) -> int:
    if arguments.what not in _LISTS:
        raise UnknownName("list", arguments.what, _LISTS)
    rows = _LISTS[arguments.what]()
    arguments.payload = [{"id": name, "text": text} for name, text in rows]
    width = max(len(name) for name, _ in rows)
    for name, text in rows:
        print(f"{name:<{width}}  {text}")
    return 0


def _do_run(arguments: argparse.Namespace) -> int:
    from metabolism.registry import known_gaps, run
    from metabolism.report import number, read_manifest, verdict

    if arguments.workers < 1:
        raise InvalidValue(f"--workers {arguments.workers} must be at least 1.")
    if arguments.seed < 0:
        raise InvalidValue(f"--seed {arguments.seed} must be 0 or more.")
    with _progress() as progress:
        outcome, folder = run(
            arguments.name, _model(arguments), out=arguments.out, quick=arguments.quick, seed=arguments.seed,
            workers=arguments.workers, progress=progress, engine=arguments.engine,
        )  # fmt: skip
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


def _do_simulate(arguments: argparse.Namespace) -> int:
    from metabolism.result import write_atomically
    from metabolism.simulation import simulate
    from metabolism.units import label

    result = simulate(
        _model(arguments), arguments.regimen, arguments.until, outputs=arguments.output, engine=arguments.engine,
        uncertainty=arguments.uncertainty, workers=os.cpu_count() or 1,
    )  # fmt: skip
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
    arguments.payload = {"columns": {c: frame[c].to_numpy() for c in frame.columns}, "units": {"time": "h", **units},
                         "ledger_umol": result.ledger.to_dict("index"), "manifest": result.manifest}  # fmt: skip
    for target, line in result.ledger.iterrows():
        print(f"dose ledger: {target} asked {line['asked']:.9g} umol, delivered {line['delivered']:.9g} umol")
    return 0


def _do_show(arguments: argparse.Namespace) -> int:
    from metabolism.describe import describe

    print(describe(_model(arguments), arguments.id))
    return 0


def _do_check(arguments: argparse.Namespace) -> int:
    from metabolism.checks import build_path, checks
    from metabolism.model import load
    from metabolism.parameters import models_dir
    from metabolism.reference_state import rewrite_table
    from metabolism.result import write_text

    if arguments.rewrite:
        print(f"{rewrite_table()} derived values rewritten")
        load.cache_clear()
        write_text(models_dir() / "build" / build_path(), load().sbml)
    failed = 0
    arguments.payload = []
    for check in checks():
        problems = check.problems()
        arguments.payload.append({"check": check.name, "expectation": check.expectation, "problems": problems})
        failed += bool(problems)
        print(f"{'FAIL' if problems else 'ok  '}  {check.name}: {check.expectation}")
        for problem in problems[:10]:
            print(f"        {problem}")
        if len(problems) > 10:
            print(f"        ... and {len(problems) - 10} more")
    return 1 if failed else 0


def _do_fit(arguments: argparse.Namespace) -> int:
    return cli_fit.run(arguments, _model(arguments), _progress)


def _do_qualify(arguments: argparse.Namespace) -> int:
    return cli_qualify.run(arguments, _model(arguments), _progress)


def _do_design(arguments: argparse.Namespace) -> int:
    return cli_design.run(arguments, _model(arguments), _progress)


_COMMANDS = {
    "list": _do_list,
    "run": _do_run,
    "simulate": _do_simulate,
    "show": _do_show,
    "fit": _do_fit,
    "qualify": _do_qualify,
    "scan": lambda arguments: cli_sweep.scan(arguments, _model(arguments)),
    "sensitivity": lambda arguments: cli_sweep.sensitivity(arguments, _model(arguments)),
    "check": _do_check,
    "design": _do_design,
}


@contextmanager
def _progress() -> Iterator[Callable[[str, int], Callable[[int], None]]]:
    """A progress bar on stderr, silent when stderr is not a terminal."""
    if not sys.stderr.isatty():
        from metabolism.registry import silent

        yield silent
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:

        def begin(label: str, total: int) -> Callable[[int], None]:
            task = bar.add_task(label, total=total)
            return lambda done: bar.advance(task, done)

        yield begin


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit code: 0 done, 1 failed, 2 wrong usage, 130 interrupted."""
    parser = _parser()
    try:
        arguments = parser.parse_args(argv)
        if arguments.command is None:
            print(cli_help.GREETING)
            return 0
        return cli_output.carry_out(getattr(arguments, "action", None) or _COMMANDS[arguments.command], arguments)
    except MetabolismError as error:
        print(f"metabolism: {' '.join(str(error).split())}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("metabolism: interrupted; nothing half-written was kept.", file=sys.stderr)
        return 130
    except BrokenPipeError:
        # the reader (head, less) closed the pipe: not an error of ours
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:
        where = f" '{Path(error.filename)}'" if error.filename else ""
        print(f"metabolism: {OutputError(f'{error.strerror or error}{where}')}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
