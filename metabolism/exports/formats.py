"""Exports: one door to every file format, written whole or not at all and never over another file by accident."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from operator import methodcaller
from pathlib import Path

from metabolism.dosing import Regimen
from metabolism.errors import UnknownName, UsageError, needs
from metabolism.exports.omex import archive_parts, parameters_csv, write_archive
from metabolism.exports.page import model_report
from metabolism.exports.petab import write_petab
from metabolism.exports.population import mrgsolve_text, nonmem_text, rxode2_text
from metabolism.exports.sbml import LEVELS, sbml_text
from metabolism.files import check_target, complete_folder, write_atomically, write_text
from metabolism.model import Model, antimony_from_sbml


@dataclass(frozen=True)
class _Request:
    model: Model
    regimen: Regimen | str | None
    until: float | str
    start: str

    @property
    def parts(self) -> tuple[Model, Regimen | str | None, float | str, str]:
        return self.model, self.regimen, self.until, self.start

    def sbml(self, format: str = "sbml", drawing: bool = True) -> str:
        return sbml_text(*self.parts[:2], until=self.until, start=self.start, format=format, drawing=drawing)


def _code(language: str) -> Callable[[_Request], str]:
    def render(request: _Request) -> str:
        with needs("exports", f"the format '{language}'"):
            from sbmlode import OdeSystem
        with tempfile.TemporaryDirectory() as folder:
            # the name of the file is printed in the code: always the same, so that exports are byte-stable
            source = Path(folder) / f"{request.model.id}.xml"
            source.write_text(request.sbml(drawing=False), encoding="utf-8")
            text: str = OdeSystem.from_sbml(source).render(language)
        return text

    return render


#: Formats that are one text file, by the function that gives the text.
_TEXTS: dict[str, Callable[[_Request], str]] = {
    **{name: methodcaller("sbml", name) for name in LEVELS},
    "antimony": lambda request: antimony_from_sbml(request.sbml(drawing=False)),
    **{name: _code(name) for name in ("julia", "latex", "markdown")},
    "mrgsolve": lambda request: mrgsolve_text(*request.parts),
    "rxode2": lambda request: rxode2_text(*request.parts),
    "nonmem": lambda request: nonmem_text(*request.parts),
    "report": lambda request: model_report(request.model),
    "parameters": lambda request: parameters_csv(request.model),
}

#: What each format is, in the words of the help text.
FORMATS = {
    "sbml": "SBML Level 3 Version 2, doses as events",
    "sbml-plain": "SBML for simple readers (Myokit, SBMLtoODEjax, PySCeS, sbmltoodepy)",
    "sbml-l3v1": "SBML Level 3 Version 1",
    "sbml-l2v4": "SBML Level 2 Version 4",
    "antimony": "Antimony",
    "omex": "COMBINE archive: SBML, SED-ML, curves, parameters, figure, licence",
    "petab": "folder with PEtab problems of the published single doses (v1) and repeated doses (v2)",
    "mrgsolve": "mrgsolve model file, doses in $ENV",
    "rxode2": "rxode2 model function in the form of nlmixr2lib, doses as a data frame",
    "nonmem": "CSV data set of the doses (AMT in umol), compartments numbered as in mrgsolve and rxode2",
    "julia": "stand-alone Julia (OrdinaryDiffEq)",
    "latex": "equations as LaTeX",
    "markdown": "equations as Markdown",
    "report": "model report as HTML: equations, parameters with sources, limits",
    "parameters": "CSV of all parameters with units and sources",
}


def export(
    model: Model,
    path: str | Path,
    format: str = "sbml",
    *,
    regimen: Regimen | str | None = None,
    until: float | str = "16 weeks",
    start: str = "rest",
    force: bool = False,
) -> Path:
    """Write the model for other tools; the file (or folder, for PEtab) appears complete or not at all.

    Parameters
    ----------
    path : str or Path
    format : str
        A key of `FORMATS`: sbml, sbml-plain, sbml-l3v1, sbml-l2v4, antimony, omex, petab, mrgsolve, rxode2, nonmem,
        julia, latex, markdown, report or parameters.
    regimen : Regimen or str, optional
        Doses and changes of parameters, written as events. PEtab and parameters take none.
    until : float or str
        End of the dosing horizon and of the packaged time course [h or text]; doses after it are refused.
    start : {"rest", "initial"}
        Initial values: the resting state of this model, or the table's.
    force : bool
        Overwrite an existing file.

    Raises
    ------
    UnknownName
        For an unknown format.
    UsageError
        If the format cannot hold a regimen.
    OutputError
        If the file exists and `force` is not given, cannot be written, or a library of the extra is missing.
    """
    if format not in FORMATS:
        raise UnknownName("export format", format, FORMATS)
    if start not in ("rest", "initial"):
        raise UsageError(f"start = '{start}' must be 'rest' or 'initial'.")
    if regimen and format in ("petab", "parameters", "report"):
        raise UsageError(f"the format '{format}' holds no regimen; leave it out, or use sbml or omex.")
    target = Path(path) if format == "petab" else check_target(path, force)
    request = _Request(model, regimen, until, start)
    if format == "petab":
        with complete_folder(target, replace=force) as folder:
            write_petab(model, folder)
        return target
    if format == "omex":
        if start != "rest":
            raise UsageError("an archive holds the curves of simulate(), which start at rest; leave start out.")
        parts = archive_parts(model, regimen, until)
        return write_atomically(target, lambda part: write_archive(part, parts))
    return write_text(target, _TEXTS[format](request))
