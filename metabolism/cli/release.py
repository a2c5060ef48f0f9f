"""The commands around a release: check, export, fingerprint, compare, evidence."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from metabolism.cli.shared import Arguments, chosen_model, in_force, leave_out, progress_bar, working
from metabolism.errors import InvalidValue, UsageError
from metabolism.files import check_target, write_text

if TYPE_CHECKING:
    from metabolism.model import Model


def _check(arguments: Arguments) -> int:
    from metabolism.engines import generate_ahead
    from metabolism.model import equations, load, parameter_table, rewrite_table, write_build
    from metabolism.report import checks

    if arguments.rewrite:
        print(f"{rewrite_table()} derived values rewritten")
        load.cache_clear()
        write_build(parameter_table())
        generate_ahead(equations(load()), write=True)
    failed = 0
    arguments.payload = []
    for check in checks():
        problems, undone = check.outcome()
        told = {"check": check.name, "expectation": check.expectation, "problems": problems}
        arguments.payload.append(told | ({"not_done": undone} if undone else {}))
        failed += bool(problems)
        print(f"{'FAIL' if problems else '--  ' if undone else 'ok  '}  {check.name}: {undone or check.expectation}")
        for problem in problems[:10]:
            print(f"        {problem}")
        if len(problems) > 10:
            print(f"        ... and {len(problems) - 10} more")
    return 1 if failed else 0


def _export(arguments: Arguments) -> int:
    from metabolism.exports import export

    model = chosen_model(arguments)
    if arguments.plain:
        if arguments.format != "sbml":
            raise UsageError(f"--plain is a way to write sbml, not {arguments.format}.")
        arguments.format = "sbml-plain"
    if arguments.definition:
        return _export_fit(arguments, model)
    if arguments.format in ("petab", "parameters", "report"):
        leave_out(arguments, f"{arguments.format} has no course of its own", "until", "start")
    with working(f"writing {arguments.format}"):
        options = {k: getattr(arguments, k) for k in ("regimen", "until", "start", "force")}
        path = export(model, arguments.path, arguments.format, **options)
    arguments.payload = {"path": str(path), "format": arguments.format, "scenario": arguments.scenario}
    print(f"{arguments.format} written to {path}")
    print(f"scenario: {in_force(arguments, model)}")
    return 0


def _export_fit(arguments: Arguments, model: Model) -> int:
    """Write a fit as a PEtab problem, and say what PEtab cannot."""
    from metabolism.files import complete_folder
    from metabolism.fit import Objective, arms_fits, petab_fits, read_definition, write_fit_petab

    if arguments.format != "petab":
        raise UsageError(f"--definition goes with petab, not {arguments.format}: leave it out.")
    leave_out(arguments, "a fit takes doses and times from its rows, and comes to rest", "regimen", "until", "start")
    if arguments.definition in arms_fits():
        raise UsageError(
            f"'{arguments.definition}' fits virtual patients to arms of trials, and PEtab simulates one patient; "
            f"it can express rows of {', '.join(petab_fits(model))}."
        )
    objective = Objective(model, read_definition(arguments.definition))
    with working("writing petab"), complete_folder(arguments.path, replace=arguments.force) as folder:
        left = write_fit_petab(objective, folder)
    arguments.payload = {"path": arguments.path, "format": "petab", "left_out": left}
    print(
        f"petab written to {arguments.path}; {len(left)} rows and parameters are left out, with reasons in README.txt"
    )
    print(f"scenario: {in_force(arguments, model)}")
    return 0


def _fingerprint(arguments: Arguments) -> int:
    from metabolism.exports import model_fingerprint
    from metabolism.sbml import REGIMEN as DOSES
    from metabolism.sbml import differences, file_fingerprint, read_fingerprint, side_by_side
    from metabolism.units import magnitude

    if not 0 < arguments.rtol < 1:
        raise InvalidValue(f"--rtol {arguments.rtol:g} must lie between 0 and 1.")
    if arguments.compare:
        others = ("regimen", "until", "seconds", "megabytes", "sets", "param", "scenario")
        leave_out(arguments, "--compare takes two written fingerprints and nothing else", *others)
        if arguments.file:
            raise UsageError(f"--compare takes two written fingerprints; leave '{arguments.file}' out.")
        first, second = (read_fingerprint(path) for path in arguments.compare)
        lines = differences(first, second, arguments.rtol)
        arguments.payload = {"differences": lines, "rtol": arguments.rtol}
        print("\n".join(lines) if lines else f"identical to a relative difference of {arguments.rtol:g}")
        return 1 if lines else 0
    leave_out(arguments, "--rtol belongs to --compare", "rtol")
    until = magnitude(arguments.until, "h", "until")
    with working("reading the kinetics"):
        if arguments.file:
            if arguments.sets or arguments.param or arguments.regimen or arguments.scenario:
                raise UsageError("--set, --param, --scenario and --regimen change our own model, not a file.")
            document = file_fingerprint(arguments.file, until, seconds=arguments.seconds, megabytes=arguments.megabytes)
        else:
            document = model_fingerprint(chosen_model(arguments), arguments.regimen or DOSES, until)
    arguments.payload = document
    print(side_by_side(document))
    return 1 if document["problem"] else 0


def _compare(arguments: Arguments) -> int:
    from metabolism.exports import model_fingerprint
    from metabolism.sbml import file_fingerprint, side_by_side
    from metabolism.units import magnitude

    until = magnitude(arguments.until, "h", "until")
    with working("reading the kinetics"):
        theirs = file_fingerprint(arguments.file, until, seconds=arguments.seconds, megabytes=arguments.megabytes)
        ours = model_fingerprint(chosen_model(arguments))
    arguments.payload = {"ours": ours, "theirs": theirs}
    print(side_by_side(ours, theirs))
    return 0


def _pack(arguments: Arguments) -> int:
    from metabolism.cli.doctor import examine
    from metabolism.report import write_pack

    files = {key: value and Path(value) for key, value in (("against", arguments.against), ("junit", arguments.junit))}
    findings = [asdict(finding) for finding in examine(Path(arguments.pack).parent)]
    with progress_bar() as begin:
        pack = write_pack(Path(arguments.pack), findings, force=arguments.force, progress=begin, **files)
    arguments.payload = pack
    for part, sound in pack["verdict"].items():
        print(f"{'--  ' if sound is None else 'ok  ' if sound else 'FAIL'}  {part}")
    print(f"validation pack written to {arguments.pack}; begin with pack.html")
    return 1 if False in pack["verdict"].values() else 0


def _evidence(arguments: Arguments) -> int:
    from metabolism.report import evidence_text, model_card

    if arguments.pack:
        if arguments.card or arguments.out:
            raise UsageError("--pack writes a folder of its own; leave --card and --out out.")
        return _pack(arguments)
    if arguments.against or arguments.junit:
        raise UsageError("--against and --junit belong to a validation pack; add --pack DIR.")
    if arguments.out is None:
        arguments.payload = {"markdown": model_card() if arguments.card else evidence_text()}
        print(arguments.payload["markdown"])
        return 0
    target = check_target(arguments.out, arguments.force)
    formats = {".md": "markdown"} | ({} if arguments.card else {".html": "html"})
    if target.suffix not in formats:
        raise UsageError(f"'{target}' must end in {' or '.join(formats)}.")
    text = model_card() if arguments.card else evidence_text(formats[target.suffix], target.parent)
    arguments.payload = {"path": str(write_text(target, text))}
    print(f"{'model card' if arguments.card else 'evidence'} written to {target}")
    return 0


#: What carries out each command of this file.
ACTIONS = {"check": _check, "export": _export, "fingerprint": _fingerprint, "compare": _compare, "evidence": _evidence}
