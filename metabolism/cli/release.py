"""The commands around a release: check, export, fingerprint, compare, evidence."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from metabolism.cli.shared import add_model_options, chosen_model
from metabolism.errors import OutputError, UsageError


def add_commands(commands: Any) -> None:
    """Add the subcommands of this module; each carries the function that runs it as ``action``."""
    checking = commands.add_parser("check", help="check model, numbers, sources and data")
    checking.add_argument("--rewrite", action="store_true", help="write derived values and the SBML build afresh first")
    checking.set_defaults(action=_check)

    exporting = commands.add_parser("export", help="write the model for other tools: SBML, OMEX, PEtab, code, report")
    exporting.add_argument(
        "format",
        help="sbml, sbml-l3v1, sbml-l2v4, antimony, omex, petab, python, julia, r, latex, markdown, report, parameters",
    )
    exporting.add_argument("path", help="the file to write (a folder for petab)")
    exporting.add_argument("--regimen", help='doses written as events, e.g. "50 mg im every 3.5 d x 32"')
    exporting.add_argument("--until", default="16 weeks", help="end of dosing and of the packaged curves (16 weeks)")
    exporting.add_argument("--start", default="rest", help="initial values: rest (default) or initial (the table's)")
    exporting.add_argument("--force", action="store_true", help="overwrite an existing file")
    add_model_options(exporting)
    exporting.set_defaults(action=_export)

    printing = commands.add_parser(
        "fingerprint", help="resting state, fluxes, control coefficients, event ledger as JSON"
    )
    printing.add_argument("file", nargs="?", help="an SBML file; our own model by default")
    printing.add_argument(
        "--regimen", help="doses whose ledger is recorded (our model only; four 50 mg doses by default)"
    )
    printing.add_argument("--until", default="2 weeks", help="end of the run that executes events (2 weeks)")
    printing.add_argument("--compare", nargs=2, metavar=("A", "B"), help="report where two written fingerprints differ")
    printing.add_argument("--rtol", type=float, default=1e-6, help="largest accepted relative difference (1e-6)")
    printing.add_argument("--force", action="store_true", help="overwrite an existing file")
    _limits(printing)
    add_model_options(printing)
    printing.set_defaults(action=_fingerprint)

    comparing = commands.add_parser("compare", help="print the fingerprint of a foreign SBML file beside ours")
    comparing.add_argument("file")
    comparing.add_argument("--until", default="2 weeks", help="end of the run that executes events (2 weeks)")
    _limits(comparing)
    add_model_options(comparing)
    comparing.set_defaults(action=_compare)

    proving = commands.add_parser("evidence", help="what supports the model, by the headings of M15, V&V40 and others")
    proving.add_argument("--out", metavar="PATH", help="write a .md or .html file instead of printing Markdown")
    proving.add_argument("--force", action="store_true", help="overwrite an existing file")
    proving.set_defaults(action=_evidence)


def _limits(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--seconds", type=int, default=300, help="time limit of reading a file (300)")
    parser.add_argument("--megabytes", type=int, default=4000, help="memory limit of reading a file (4000)")


def _check(arguments: argparse.Namespace) -> int:
    from metabolism.data import models_dir
    from metabolism.files import write_text
    from metabolism.model import load, rewrite_table
    from metabolism.report import build_path, checks

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


def _export(arguments: argparse.Namespace) -> int:
    from metabolism.exports import export

    path = export(
        chosen_model(arguments),
        arguments.path,
        arguments.format,
        regimen=arguments.regimen,
        until=arguments.until,
        start=arguments.start,
        force=arguments.force,
    )
    print(f"{arguments.format} written to {path}")
    return 0


def _fingerprint(arguments: argparse.Namespace) -> int:
    from metabolism.exports import model_fingerprint
    from metabolism.sbml import REGIMEN, differences, file_fingerprint, read_fingerprint, side_by_side
    from metabolism.units import magnitude

    if arguments.compare:
        first, second = (read_fingerprint(path) for path in arguments.compare)
        found = differences(first, second, arguments.rtol)
        arguments.payload = {"differences": found, "rtol": arguments.rtol}
        print("\n".join(found) if found else f"identical to a relative difference of {arguments.rtol:g}")
        return 1 if found else 0
    if arguments.json not in (None, "-"):
        _free(arguments.json, arguments.force)
    until = magnitude(arguments.until, "h", "until")
    if arguments.file:
        if arguments.sets or arguments.param or arguments.regimen:
            raise UsageError("--set, --param and --regimen change our own model; leave them out with a file.")
        document = file_fingerprint(arguments.file, until, seconds=arguments.seconds, megabytes=arguments.megabytes)
    else:
        document = model_fingerprint(chosen_model(arguments), arguments.regimen or REGIMEN, until)
    arguments.payload = document
    print(side_by_side(document))
    return 1 if document["problem"] else 0


def _compare(arguments: argparse.Namespace) -> int:
    from metabolism.exports import model_fingerprint
    from metabolism.sbml import file_fingerprint, side_by_side
    from metabolism.units import magnitude

    until = magnitude(arguments.until, "h", "until")
    theirs = file_fingerprint(arguments.file, until, seconds=arguments.seconds, megabytes=arguments.megabytes)
    ours = model_fingerprint(chosen_model(arguments))
    arguments.payload = {"ours": ours, "theirs": theirs}
    print(side_by_side(ours, theirs))
    return 0


def _evidence(arguments: argparse.Namespace) -> int:
    from metabolism.files import write_text
    from metabolism.report import evidence_text

    target = _free(arguments.out, arguments.force)
    if target is None:
        print(evidence_text())
        return 0
    formats = {".md": "markdown", ".html": "html"}
    if target.suffix not in formats:
        raise UsageError(f"'{target}' must end in .md or .html.")
    print(f"evidence written to {write_text(target, evidence_text(formats[target.suffix], target.parent))}")
    return 0


def _free(path: str | None, force: bool) -> Path | None:
    if path is None:
        return None
    if Path(path).exists() and not force:
        raise OutputError(f"'{path}' exists; give --force to overwrite it.")
    return Path(path)
