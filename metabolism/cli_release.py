"""Commands around a release: export, fingerprint, compare, evidence."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

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


def _export(arguments: argparse.Namespace, load_model: LoadModel) -> int:
    from metabolism.exporters import export

    path = export(
        load_model(arguments), arguments.path, arguments.format, regimen=arguments.regimen, until=arguments.until,
        start=arguments.start, force=arguments.force,
    )  # fmt: skip
    print(f"{arguments.format} written to {path}")
    return 0
