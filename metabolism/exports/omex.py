"""COMBINE archives: the model, a SED-ML experiment, its curves, the parameter table, a figure, licence and metadata.

The archive is made of parts that do not depend on the clock, zipped in one order with one date, so that the same
inputs give the same bytes. Only uniform time courses are used, which every SED-ML tool can run. Manifest and SED-ML are
written as text: in one process the Python bindings of libsedml and libcombine break those of libsbml (elements become
None). The tests read the archive back with both libraries, in a process of their own.
"""

from __future__ import annotations

import csv
import io
import re
import zipfile
from collections.abc import Iterable, Mapping
from dataclasses import astuple
from pathlib import Path
from typing import TYPE_CHECKING, Any
from xml.sax.saxutils import escape, quoteattr

from metabolism.data import models_dir
from metabolism.dosing import Regimen
from metabolism.exports.sbml import described, from_zero, sbml_text
from metabolism.model import COLUMNS, Model, model_settings, titles
from metabolism.plotting import style
from metabolism.simulation import DEFAULT_OUTPUTS, simulate
from metabolism.units import label

if TYPE_CHECKING:
    from metabolism.simulation import Result


#: Output intervals of the packaged time course: every 2 h over 16 weeks, so that no peak after a dose is skipped.
STEPS = 1344

_RTOL, _ATOL = 1e-9, 1e-14

_SBML_NS = "http://www.sbml.org/sbml/level3/version2/core"

_DATE = (2026, 1, 1, 0, 0, 0)

_SPECIFICATIONS = "http://identifiers.org/combine.specifications/"

_MEDIA = "http://purl.org/NET/mediatypes/"

#: Format of each part by the end of its name.
_FORMATS = {
    "xml": _SPECIFICATIONS + "sbml.level-3.version-2",
    "sedml": _SPECIFICATIONS + "sed-ml.level-1.version-4",
    "rdf": _SPECIFICATIONS + "omex-metadata",
    "csv": _MEDIA + "text/csv",
    "png": _MEDIA + "image/png",
    "html": _MEDIA + "text/html",
    "LICENSE": _MEDIA + "text/plain",
}


def archive_parts(model: Model, regimen: Regimen | str | None, until: float | str) -> dict[str, bytes]:
    """Return the files of the archive by location, manifest excluded.

    Parameters
    ----------
    until : float or str
        End of the time course [h or text].
    """
    import numpy as np

    schedule, end = from_zero(regimen, until)
    times = np.linspace(0.0, end, STEPS + 1)
    result = simulate(model, schedule, end, times=times, rtol=1e-10)
    # without pandas, which takes longer to wake than all the rest of the archive to make
    given = result.doses
    ledger = _csv(["target", "asked", "delivered"], [[*given], *zip(*given.values(), strict=True)])
    heads = [f"{n} [{label(result.units[n]) or '-'}]" for n in result.outputs]
    curves = _csv(["time [h]", *heads], [result.curves[n] for n in ("time", *result.outputs)])
    return {
        f"{model.id}.xml": sbml_text(model, regimen, until=until).encode(),
        "simulation.sedml": sedml_text(model, end).encode(),
        "data/curves.csv": curves.encode(),
        "data/dose_ledger.csv": ledger.encode(),
        "data/parameters.csv": parameters_csv(model).encode(),
        "figures/curves.png": _figure(simulate(model, schedule, end)),
        "LICENSE": (models_dir() / "LICENSE").read_bytes(),
        "metadata.rdf": _metadata(described(model, regimen, until)).encode(),
    }


def write_archive(path: Path, parts: dict[str, bytes]) -> None:
    """Write a COMBINE archive: one zip with a manifest, in fixed order and with fixed dates.

    Parameters
    ----------
    path : Path
        The archive to write.
    parts : dict of str to bytes
        Files by location.
    """
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as bundle:
        for location, content in {"manifest.xml": _manifest(parts).encode(), **parts}.items():
            entry = zipfile.ZipInfo(location, _DATE)
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.external_attr = 0o644 << 16
            bundle.writestr(entry, content)


def _manifest(parts: Iterable[str]) -> str:
    entries = [(".", _SPECIFICATIONS + "omex"), ("./manifest.xml", _SPECIFICATIONS + "omex-manifest")]
    entries += [(f"./{location}", _FORMATS[location.rsplit(".", 1)[-1]]) for location in parts]
    lines = []
    for location, kind in entries:
        master = ' master="true"' if location.endswith(".sedml") else ""
        lines.append(f'  <content location="{location}" format="{kind}"{master}/>')
    head = '<?xml version="1.0" encoding="UTF-8"?>'
    return "\n".join([head, f'<omexManifest xmlns="{_SPECIFICATIONS}omex-manifest">', *lines, "</omexManifest>", ""])


def sedml_text(model: Model, end: float) -> str:
    """Return SED-ML Level 1 Version 4: one uniform time course, a report and two plots of the default outputs.

    Parameters
    ----------
    end : float
        End of the time course [h].
    """
    named = titles(model.table)
    names = ("time", *DEFAULT_OUTPUTS)
    generators = "".join(_data_generator(model, name, named.get(name, name)) for name in names)
    columns = "".join(
        f'      <dataSet id="column_{name}" label="{name}" dataReference="data_{name}"/>\n' for name in names
    )
    plots = "".join(
        f"""    <plot2D id="plot_{name}" name={quoteattr(named.get(name, name))}>
      <listOfCurves>
        <curve id="curve_{name}" logX="false" logY="false" xDataReference="data_time" yDataReference="data_{name}"/>
      </listOfCurves>
    </plot2D>
"""
        for name in ("hcy_plasma", "cbl_plasma")
    )
    return f"""<?xml version="1.0" encoding="UTF-8"?>
<sedML xmlns="http://sed-ml.org/sed-ml/level1/version4" xmlns:sbml="{_SBML_NS}" level="1" version="4">
  <listOfModels>
    <model id="model" language="urn:sedml:language:sbml.level-3.version-2" source="{model.id}.xml"/>
  </listOfModels>
  <listOfSimulations>
    <uniformTimeCourse id="course" initialTime="0" outputStartTime="0" outputEndTime="{end!r}" numberOfSteps="{STEPS}">
      <algorithm kisaoID="KISAO:0000019">
        <listOfAlgorithmParameters>
          <algorithmParameter kisaoID="KISAO:0000209" value="{_RTOL!r}"/>
          <algorithmParameter kisaoID="KISAO:0000211" value="{_ATOL!r}"/>
        </listOfAlgorithmParameters>
      </algorithm>
    </uniformTimeCourse>
  </listOfSimulations>
  <listOfTasks>
    <task id="task" modelReference="model" simulationReference="course"/>
  </listOfTasks>
  <listOfDataGenerators>
{generators}  </listOfDataGenerators>
  <listOfOutputs>
    <report id="report" name="default outputs">
      <listOfDataSets>
{columns}      </listOfDataSets>
    </report>
{plots}  </listOfOutputs>
</sedML>
"""


def _data_generator(model: Model, name: str, title: str) -> str:
    if name == "time":
        # a target or a model reference on time is what tools stumble over
        where = 'symbol="urn:sedml:symbol:time"'
    else:
        species = re.search(rf'<species [^>]*\bid="{name}"', model.sbml)
        element = "listOfSpecies/sbml:species" if species else "listOfParameters/sbml:parameter"
        where = f"target=\"/sbml:sbml/sbml:model/sbml:{element}[@id='{name}']\""
    return f"""    <dataGenerator id="data_{name}" name={quoteattr(title)}>
      <math xmlns="http://www.w3.org/1998/Math/MathML">
        <ci> variable_{name} </ci>
      </math>
      <listOfVariables>
        <variable id="variable_{name}" {where} taskReference="task"/>
      </listOfVariables>
    </dataGenerator>
"""


def parameters_csv(model: Model) -> str:
    """Return all parameters at the model's own values, with units, sources, and the nominal value of changed ones."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(["parameterId", "parameterName", "value", *COLUMNS[2:]])
    values = {**{p.id: p.value for p in model.table.values()}, **model.changed}
    for p in model.table.values():
        row = [int(v) if isinstance(v, bool) else v for v in astuple(p)[2:]]
        writer.writerow([p.id, p.name, repr(values[p.id]), *row])
    return stream.getvalue()


def _csv(heads: list[str], columns: Iterable[Iterable[Any]]) -> str:
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(heads)
    for row in zip(*columns, strict=True):
        writer.writerow([value if isinstance(value, str) else f"{value:.10g}" for value in row])
    return stream.getvalue()


def _figure(result: Result) -> bytes:
    stream = io.BytesIO()
    figure = result.plot(("hcy_plasma", "cbl_plasma", "mma_plasma", "alsfrs_r"))
    with style():
        figure.savefig(stream, format="png", metadata={"Software": None})
    return stream.getvalue()


def _metadata(described: Mapping[str, str]) -> str:
    settings = model_settings()
    what = " ".join(f"{key}: {value}." for key, value in described.items())
    people = "".join(
        f"<dcterms:creator><rdf:Description><foaf:name>{escape(c['given'] + ' ' + c['family'])}</foaf:name>"
        "</rdf:Description></dcterms:creator>"
        for c in settings["creators"]
    )
    return f"""<?xml version="1.0" encoding="UTF-8"?>
<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#" xmlns:dcterms="http://purl.org/dc/terms/"
  xmlns:foaf="http://xmlns.com/foaf/0.1/" xmlns:bqbiol="http://biomodels.net/biology-qualifiers/">
  <rdf:Description rdf:about=".">
    <dcterms:title>{escape(settings["title"])}</dcterms:title>
    <dcterms:description>{escape(what)} {escape(settings["limits"])}</dcterms:description>
    {people}
    <dcterms:created><rdf:Description><dcterms:W3CDTF>{settings["created"]}</dcterms:W3CDTF></rdf:Description></dcterms:created>
    <dcterms:license rdf:resource={quoteattr(settings["licence_url"])}/>
    <bqbiol:hasTaxon rdf:resource="http://identifiers.org/taxonomy/{settings["taxon"]}"/>
  </rdf:Description>
</rdf:RDF>
"""
