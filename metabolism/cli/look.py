"""The commands to look around with: list, show, run, new, report, explore, doctor, completion."""

import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path

from metabolism.cli.shared import Arguments, chosen_model, leave_out, print_list, progress_bar, working
from metabolism.errors import InvalidValue, UnknownName, UsageError

#: A list: heads, and rows of as many texts, the id first.
Listing = tuple[tuple[str, ...], Sequence[tuple[str, ...]]]


def _experiments() -> Listing:
    from metabolism.report import experiment_names, get_experiment

    return ("experiment", "question"), [(e.id, e.question) for e in map(get_experiment, experiment_names())]


def _sets() -> Listing:
    from metabolism.model import read_set, set_names

    rows = []
    for chosen in map(read_set, set_names()):
        changes = ", ".join(f"{r['parameterId']} = {r['value']} {r['unit']}" for r in chosen.rows)
        sources = ", ".join(sorted({key for r in chosen.rows for key in r["source"].split(";")}))
        rows.append((chosen.name, changes.replace(" dimensionless", "") or "(the reference)", sources))
    return ("set", "values", "sources"), rows


def _parameters() -> Listing:
    from metabolism.model import Parameter, parameter_table
    from metabolism.units import label

    def row(p: Parameter) -> tuple[str, ...]:
        grade = p.confidence and f"grade {p.confidence}"
        return p.id, f"{p.value:.6g} {label(p.unit)}".strip(), p.name, p.source.replace(";", ", "), grade

    return ("parameter", "value", "what it is", "source", "grade"), [*map(row, parameter_table().values())]


def _outputs() -> Listing:
    from metabolism.model import equations, load, titles
    from metabolism.units import label, output_unit

    system, named = equations(load()), titles(load().table)
    return ("output", "unit", "what it is"), [
        (n, label(output_unit(n, system.units[n])) or "-", named.get(n, "")) for n in [*system.states, *system.computed]
    ]


def _substances() -> Listing:
    from metabolism.dosing import substances

    return ("substance", "molar mass", "routes"), [
        (s.name, f"{s.molar_mass:g} g/mol", ", ".join([*s.routes, *["steady"] * bool(s.steady)]) or "measured only")
        for s in substances().values()
    ]


def _scenarios() -> Listing:
    from metabolism.trials import scenarios

    return ("scenario", "total effect", "title", "source"), [
        (s.id, "-" if s.effect is None else f"{100 * s.effect:.3g} %", s.title, s.source) for s in scenarios().values()
    ]


#: What ``list`` can show.
LISTS: dict[str, Callable[[], Listing]] = {
    "experiments": _experiments,
    "sets": _sets,
    "parameters": _parameters,
    "outputs": _outputs,
    "substances": _substances,
    "scenarios": _scenarios,
}


def _list(arguments: Arguments) -> int:
    if arguments.what not in LISTS:
        raise UnknownName("list", arguments.what, LISTS)
    head, rows = LISTS[arguments.what]()
    words = [w.casefold() for w in arguments.words]
    rows = [r for r in rows if all(w in " ".join(r).casefold() for w in words)]
    arguments.payload = [dict(zip(("id", *head[1:]), row, strict=True)) for row in rows]
    if not rows:
        raise UsageError(f"none of the {arguments.what} has '{' '.join(arguments.words)}' in it; try fewer words.")
    print_list(rows)
    return 0


def _show(arguments: Arguments) -> int:
    from metabolism.model import describe

    text = describe(chosen_model(arguments), arguments.id)
    arguments.payload = {"id": arguments.id, "text": text}
    print(text)
    return 0


def _run(arguments: Arguments) -> int:
    from metabolism.report import known_gaps, number, read_run, run
    from metabolism.units import label

    with progress_bar() as progress:
        options = {k: getattr(arguments, k) for k in ("out", "quick", "seed", "workers", "engine", "regimen")}
        outcome, folder = run(arguments.name, chosen_model(arguments), progress=progress, **options)
    print(f"{outcome.answer}\n")
    written = read_run(folder, known_gaps())
    for claim in written["claims"]:
        said = "remembered (not seen printed)" if claim["remembered"] else "published"
        found, told, low, high = (number(claim[k]) for k in ("predicted", "published", "low", "high"))
        print(
            f"{claim['verdict']:<15}  {claim['statement']}: model {found}, {said} {told} {label(claim['unit'])} "
            f"(band {low} to {high})"
        )
    arguments.payload = written["manifest"] | {"folder": str(folder)}
    print(f"\nreport: {folder / 'report.html'}")
    return 0


def _new(arguments: Arguments) -> int:
    from metabolism.report import new_experiment

    path = new_experiment(arguments.name, Path(arguments.out))
    arguments.payload = {"experiment": str(path)}
    print(f"experiment written to {path}; run it with `metabolism run {path}`")
    return 0


def _report(arguments: Arguments) -> int:
    from metabolism.model import load
    from metabolism.report import experiment_names, get_experiment, known_gaps, resting_map, write_index

    model, words = load(), ("A person with ALS at rest, untreated", "the healthy reference at rest")
    drawing = resting_map(model.with_set("als_patient"), model, *words)
    questions = {name: get_experiment(name).question for name in experiment_names()}
    path = write_index(Path(arguments.out), questions, known_gaps(), [drawing])
    arguments.payload = {"report": str(path)}
    print(f"report: {path}")
    return 0


def _explore(arguments: Arguments) -> int:
    from metabolism.explorer import build_page, exposure_warning, page, serve
    from metabolism.files import check_target

    if arguments.build is not None:
        leave_out(arguments, "--build writes a file and serves nothing", "port", "host")
        check_target(arguments.build, force=True)
        with working("building the page"):
            path = build_page(arguments.build)
        arguments.payload = {"page": str(path), "bytes": path.stat().st_size}
        print(f"page: {path} ({path.stat().st_size / 1e3:.0f} kB; opens in any browser, offline)")
        return 0
    if not 0 <= arguments.port <= 65535:
        raise InvalidValue(f"--port {arguments.port} must lie between 0 and 65535.")
    warning = exposure_warning(arguments.host)
    if warning:
        print(f"metabolism: {warning}", file=sys.stderr)
    with working("building the page"):
        page()
    serve(arguments.host, arguments.port, show=not arguments.no_browser)
    return 0


def _doctor(arguments: Arguments) -> int:
    from metabolism.cli.doctor import examine

    with working("examining the installation"):
        findings = examine(Path(arguments.out), arguments.solvers)
    arguments.payload = [asdict(f) for f in findings]
    for finding in findings:
        print(f"{finding.state:<5} {finding.subject:<18} {finding.text}")
        if finding.remedy:
            print(f"{'':<24} remedy: {finding.remedy}")
    broken = sum(f.state == "FAIL" for f in findings)
    print(f"\n{broken} of {len(findings)} checks failed." if broken else "\nThe installation is sound.")
    return 1 if broken else 0


_SHELLS = ("bash", "zsh", "fish")


def _completion(arguments: Arguments) -> int:
    if arguments.shell not in _SHELLS:
        raise UnknownName("shell", arguments.shell, _SHELLS)
    from argcomplete.shell_integration import shellcode

    print(shellcode(["metabolism"], shell=arguments.shell))
    return 0


#: What carries out each command of this file.
ACTIONS = {
    "list": _list,
    "show": _show,
    "run": _run,
    "new": _new,
    "report": _report,
    "explore": _explore,
    "doctor": _doctor,
    "completion": _completion,
}
