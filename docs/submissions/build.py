"""What is sent to the places where the field looks, one folder each: python docs/submissions/build.py [FOLDER]

Everything comes from the exports of the package and the tables of the repository. READMEs and small tables are kept
here and tested to be current; models and archives are written beside them (``.gitignore``) on the day of submission.
"""

import json
import re
import shutil
import sys
from functools import partial
from pathlib import Path

import pandas as pd

from metabolism.data import read_data
from metabolism.exports import export
from metabolism.model import Model, bibliography, load, model_settings
from metabolism.simulation import simulate

HERE = Path(__file__).resolve().parent
REGIMEN, UNTIL = "50 mg im every 3.5 d x 4", "2 weeks"

#: Our words for what was measured, and PK-DB's measurement type, substance and the unit it is read in.
MEASURED = (
    (r"\bCmax\b", "cmax"),
    (r"^tmax", "tmax"),
    (r"\bAUC0-inf\b", "auc_inf"),
    (r"\bAUC\b(?!.*ratio)", "auc_end"),
    (r"t1/2", "thalf"),
    (r"^Vss|\bVd\b", "vd"),
)
SUBSTANCES = {"MeCbl": "methylcobalamin", "OHCbl": "hydroxocobalamin", "CNCbl": "cyanocobalamin", "B12": "vitamin b12"}
ROUTES = {"IM": "im", "IV": "iv", "SC": "sc", "oral": "oral", "nasal": "nasal", "intrathecal": "intrathecal"}
COLUMNS = (
    "study reference group_count intervention route dose dose_unit substance label measurement_type value sd unit "
    "source_row"
)


def pull_request(repository: str, put: str) -> str:
    """Return the commands that offer files to a repository, as typed in the folder; `put` has {there} for its clone."""
    there = repository.partition("/")[2]
    return (
        f"`gh repo fork {repository} --clone`, `{put.format(there=there)}`, then in `{there}`: `git switch -c "
        "als_methionine`, `git add --all`, `git commit`, `gh pr create`."
    )


def biomodels(folder: Path, model: Model) -> dict[str, str]:
    """SBML without doses, the curve a curator is to reproduce, and the questions of the curated-model check."""
    export(model, folder / "als_methionine.xml", "sbml", force=True)
    export(model, folder / "als_methionine_l2v4.xml", "sbml-l2v4", force=True)
    run = simulate(model, REGIMEN, UNTIL, outputs=["cbl_plasma", "hcy_plasma"], times=range(0, 337, 12))
    curve = pd.DataFrame({"time_h": run.data["time"], **{k: run[k] for k in run.outputs}})
    curve.to_csv(folder / "curve.csv", index=False, float_format="%.5g")
    units = ", ".join(f"{k} in {run[k].attrs.get('units', '')}" for k in run.outputs)
    return {
        "Send": "`als_methionine.xml` (Level 3 Version 2; Level 2 Version 4 beside it) at "
        "https://www.ebi.ac.uk/biomodels/model-submission, with an account of EMBL-EBI.",
        "Commands": "none: the form asks for the file, a name and the licence; it takes the archive of "
        "`../combine-archive` as further file.",
        "To reproduce": f"`curve.csv`: {REGIMEN}, {UNTIL}; {units}. The COMBINE archive of the neighbouring "
        "folder holds the same run as SED-ML with a figure.",
        "Checklist": "libsbml has no message (tested); units are complete; species, reactions and parameters carry "
        "MIRIAM annotations and SBO terms (`metabolism check`); the model is in the public domain, CC0 "
        "1.0 (`models/LICENSE`).",
        "Missing": "A publication: the model would be listed as non-curated until a paper or preprint has an "
        "identifier.",
    }


def petab_benchmark(folder: Path, model: Model) -> dict[str, str]:
    """PEtab problems of versions 1 and 2 in the layout of the benchmark collection (its CONTRIBUTING.md)."""
    problem = folder / "als_methionine"
    shutil.rmtree(problem, ignore_errors=True)
    export(model, problem / "v1", "petab")
    (problem / "v1" / "v2").rename(problem / "v2")
    (problem / "resources").mkdir()
    (problem / "v1" / "README.txt").rename(problem / "resources" / "README.txt")
    return {
        "Send": "`als_methionine/` as a pull request to https://github.com/Benchmarking-Initiative/"
        "Benchmark-Models-PEtab, named after the first author and year once there is a publication.",
        "Commands": pull_request(
            "Benchmarking-Initiative/Benchmark-Models-PEtab",
            "cp -r als_methionine {there}/problems/AUTHOR_JOURNALYEAR",
        )
        + " Before the pull request, in the clone: an issue with the name of the problem, and its overview by "
        "`pip install -e src/python && bmp-create-overview --update`.",
        "Checklist": "`petablint` passes both versions (tested); observables are published group means with their "
        "spread.",
        "Missing": "The collection asks for a published model, whose name the model and its id then bear, for "
        "`simulations.tsv` at the nominal parameters, and for the experience of the fit; ours is in "
        "`models/fits/cobalamin2/report.md`.",
    }


def translated(folder: Path, model: Model, format: str, name: str, repository: str, put: str) -> dict[str, str]:
    """A model file in a language of pharmacometrics."""
    export(model, folder / name, format, regimen=REGIMEN, until=UNTIL, force=True)
    return {
        "Send": f"a pull request to https://github.com/{repository}.",
        "Commands": pull_request(repository, f"cp {name} {{there}}/{put}"),
        "Checklist": "Rates are compared number by number with ours by the tests of the export.",
    }


def pkdb(folder: Path, _: Model) -> dict[str, str]:
    """Pharmacokinetic rows of the literature tables in the words of PK-DB; what has no word there is counted."""
    table = read_data("literature/pharmacokinetics")
    rows = [row for entry in table.to_dict("records") if (row := pkdb_row(entry))]
    pd.DataFrame(rows, columns=COLUMNS.split()).to_csv(folder / "outputs.tsv", sep="\t", index=False)
    keys = sorted({key for row in rows for key in row["reference"].split(";")} & bibliography().keys())
    studies = [{"sid": key, "name": key, "reference": key} for key in keys]
    (folder / "studies.json").write_text(json.dumps(studies, indent=1) + "\n", encoding="utf-8")
    return {
        "Send": "`outputs.tsv` and `studies.json` to the curators of https://pk-db.com (an account with rights to "
        "curate).",
        "Commands": "none: they take files by mail or as an issue of https://github.com/matthiaskoenig/pkdb.",
        "Checklist": f"{len(rows)} of {len(table)} rows are pharmacokinetic parameters of people by one route with a "
        "number and a source that was seen; the others stay in `experiments/data/literature`. A count or a spread that "
        "is not a plain number is left empty, never guessed.",
        "Missing": "PK-DB wants groups with their characteristics and the time courses read off figures; we hold "
        "neither.",
    }


def pkdb_row(entry: dict[str, object]) -> dict[str, object] | None:
    """Translate one row, or None where PK-DB has no word for it or nobody has seen its source."""
    cell = {key: "" if pd.isna(value) else str(value) for key, value in entry.items()}  # type: ignore[call-overload]
    kind = next((word for pattern, word in MEASURED if re.search(pattern, cell["analyte"])), None)
    if not kind or "ratio" in cell["analyte"] or "rabbit" in cell["analyte"] or "[mem]" in cell["evidence"]:
        return None
    value, route = pd.to_numeric(cell["value"], errors="coerce"), ROUTES.get(cell["route"])
    if pd.isna(value) or route is None:
        return None
    spread = re.fullmatch(r"SD ([\d.]+)", cell["spread"])
    words = (cell["study"], cell["reference"], cell["n"] if cell["n"].isdigit() else "", cell["regimen"], route)
    substance = next((name for word, name in SUBSTANCES.items() if word in cell["analyte"]), "")
    numbers = (cell["analyte"], kind, value, spread.group(1) if spread else "", cell["unit"], cell["id"])
    return dict(zip(COLUMNS.split(), (*words, cell["dose"], cell["unit_dose"], substance, *numbers), strict=True))


def combine_archive(folder: Path, model: Model) -> dict[str, str]:
    """One archive with model, experiment, curves and figure."""
    export(model, folder / "als_methionine.omex", "omex", regimen=REGIMEN, until=UNTIL, force=True)
    return {
        "Send": "`als_methionine.omex` at https://run.biosimulations.org (simulator tellurium or COPASI), and with the "
        "submission to BioModels.",
        "Commands": "none: the form there takes the file, without an account.",
        "Checklist": "libcombine reads it, its manifest names every file, and its SED-ML gives the packaged curves in "
        "tellurium (tested).",
    }


PLACES = {
    "biomodels": ("BioModels", biomodels),
    "petab-benchmark": ("PEtab benchmark collection", petab_benchmark),
    "nlmixr2lib": (
        "nlmixr2lib",
        partial(
            translated,
            **{"format": "rxode2", "name": "als_methionine.R", "repository": "nlmixr2/nlmixr2lib"},
            put="inst/modeldb/endogenous/",
        ),
    ),
    "mrgsolve": (
        "mrgsolve model library",
        partial(
            translated,
            **{"format": "mrgsolve", "name": "als_methionine.mod", "repository": "metrumresearchgroup/mrgsolve"},
            put="inst/models/als_methionine.cpp && echo als_methionine >> {there}/inst/models/MODLIST",
        ),
    ),
    "pkdb": ("PK-DB", pkdb),
    "combine-archive": ("COMBINE archive", combine_archive),
}


def build(target: Path) -> None:
    """Write every folder."""
    model, settings = load(), model_settings()
    for name, (title, write) in PLACES.items():
        folder = target / name
        folder.mkdir(parents=True, exist_ok=True)
        sections = "\n\n".join(f"**{head}.** {text}" for head, text in write(folder, model).items())
        page = (
            f"# {title}\n\n{settings['title']}, version {settings['version']}. {settings['limits']}\n\n{sections}\n\n"
        )
        page += (
            "Written by `python docs/submissions/build.py`, which also writes the files that are too large to be kept: "
            "run it first. Nothing has been sent: that takes a person with an account.\n"
        )
        (folder / "README.md").write_text(page, encoding="utf-8")


if __name__ == "__main__":
    build(Path(sys.argv[1]) if len(sys.argv) > 1 else HERE)
