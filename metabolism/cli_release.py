"""Commands around a release: export, fingerprint, compare, evidence."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from metabolism.errors import OutputError, UsageError

if TYPE_CHECKING:
    from metabolism.model import Model

    LoadModel = Callable[[argparse.Namespace], Model]
    AddModelOptions = Callable[[argparse.ArgumentParser], None]


def register(commands: Any, model_options: AddModelOptions, load_model: LoadModel) -> None:
    """Add the subparsers of this module; each carries the function that runs it as ``action``.

    Parameters
    ----------
    commands : argparse subparsers
    model_options : callable
        Adds ``--set`` and ``--param``.
    load_model : callable
        Gives the model these options describe.
    """
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
    model_options(exporting)
    exporting.set_defaults(action=lambda arguments: _export(arguments, load_model))

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
    model_options(printing)
    printing.set_defaults(action=lambda arguments: _fingerprint(arguments, load_model))

    comparing = commands.add_parser("compare", help="print the fingerprint of a foreign SBML file beside ours")
    comparing.add_argument("file")
    comparing.add_argument("--until", default="2 weeks", help="end of the run that executes events (2 weeks)")
    _limits(comparing)
    model_options(comparing)
    comparing.set_defaults(action=lambda arguments: _compare(arguments, load_model))

    proving = commands.add_parser("evidence", help="what supports the model, by the headings of M15, V&V40 and others")
    proving.add_argument("--out", metavar="PATH", help="write a .md or .html file instead of printing Markdown")
    proving.add_argument("--force", action="store_true", help="overwrite an existing file")
    proving.set_defaults(action=_evidence)


def _limits(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--seconds", type=int, default=300, help="time limit of reading a file (300)")
    parser.add_argument("--megabytes", type=int, default=4000, help="memory limit of reading a file (4000)")


def _export(arguments: argparse.Namespace, load_model: LoadModel) -> int:
    from metabolism.exporters import export

    path = export(
        load_model(arguments), arguments.path, arguments.format, regimen=arguments.regimen, until=arguments.until,
        start=arguments.start, force=arguments.force,
    )  # fmt: skip
    print(f"{arguments.format} written to {path}")
    return 0


def _fingerprint(arguments: argparse.Namespace, load_model: LoadModel) -> int:
    from metabolism.compare import file_fingerprint, side_by_side
    from metabolism.fingerprint import REGIMEN, differences, model_fingerprint, read_fingerprint
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
        document = model_fingerprint(load_model(arguments), arguments.regimen or REGIMEN, until)
    arguments.payload = document
    print(side_by_side(document))
    return 1 if document["problem"] else 0


def _compare(arguments: argparse.Namespace, load_model: LoadModel) -> int:
    from metabolism.compare import file_fingerprint, side_by_side
    from metabolism.fingerprint import model_fingerprint
    from metabolism.units import magnitude

    until = magnitude(arguments.until, "h", "until")
    theirs = file_fingerprint(arguments.file, until, seconds=arguments.seconds, megabytes=arguments.megabytes)
    ours = model_fingerprint(load_model(arguments))
    arguments.payload = {"ours": ours, "theirs": theirs}
    print(side_by_side(ours, theirs))
    return 0


def _evidence(arguments: argparse.Namespace) -> int:
    from metabolism.evidence import evidence_text
    from metabolism.result import write_text

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
