"""What is prepared for other places is current, and each community's own checker accepts it where it is installed."""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pandas as pd
import pytest

from metabolism.data import read_data
from metabolism.model import equations, load

HOME = Path(__file__).resolve().parents[2] / "docs" / "submissions"
SMALL = (".md", ".tsv", ".json")


@pytest.fixture(scope="module")
def script():
    spec = importlib.util.spec_from_file_location("submissions", HOME / "build.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def built(script, tmp_path_factory):
    folder = tmp_path_factory.mktemp("submissions")
    script.build(folder)
    return folder


def test_what_is_kept_is_what_the_script_writes(built, script):
    for name in script.PLACES:
        fresh = {p.name: p.read_text(encoding="utf-8") for p in (built / name).iterdir() if p.suffix in SMALL}
        kept = {p.name: p.read_text(encoding="utf-8") for p in (HOME / name).iterdir() if p.suffix in SMALL}
        assert kept == fresh, f"{name}: python docs/submissions/build.py"
        assert "Nothing has been sent" in kept["README.md"]
    columns = pd.read_csv(HOME / "biomodels" / "curve.csv"), pd.read_csv(built / "biomodels" / "curve.csv")
    pd.testing.assert_frame_equal(*columns, rtol=1e-3)


def test_libsbml_has_no_message_on_what_goes_to_biomodels(built):
    import libsbml

    files = sorted((built / "biomodels").glob("*.xml"))
    assert len(files) == 2
    for path in files:
        document = libsbml.readSBMLFromFile(str(path))
        document.checkConsistency()
        assert [document.getError(i).getMessage() for i in range(document.getNumErrors())] == []


def test_the_benchmark_problem_lies_as_the_collection_asks(built):
    """Its CONTRIBUTING.md: problems/ID/v1, v2, resources, and how the files of version 1 are called."""
    problem = built / "petab-benchmark" / "als_methionine"
    assert {p.name for p in problem.iterdir()} == {"v1", "v2", "resources"}
    tables = {f"{name}.tsv" for name in ("conditions", "measurements", "observables", "parameters")}
    assert {p.name for p in (problem / "v1").iterdir()} == tables | {"problem.yaml", "model.xml", "visualizations.tsv"}
    assert {p.name for p in (problem / "v2").iterdir()} == tables | {"problem.yaml", "model.xml", "experiments.tsv"}


@pytest.mark.parametrize("version", ["v1", "v2"])
def test_petablint_accepts_the_problems(built, version):
    lint = Path(sys.executable).with_name("petablint")
    lint = lint if lint.exists() else shutil.which("petablint")
    assert lint, "petablint comes with the developers' group"
    problem = built / "petab-benchmark" / "als_methionine" / version / "problem.yaml"
    done = subprocess.run([lint, problem], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_r_reads_the_model_of_nlmixr2lib_and_its_doses(built):
    """The parser of R itself; what the library wants of a model: words about it, numbers, equations."""
    if shutil.which("Rscript") is None:
        pytest.skip("R is not installed")
    code = """
      found <- new.env(); source(commandArgs(TRUE)[1], local = found)
      lines <- as.list(body(found$als_methionine))[-1]
      words <- sapply(lines, function(x) as.character(if (x[[1]] == "<-") x[[2]] else x[[1]]))
      stopifnot(identical(words, c("description", "reference", "units", "ini", "model")))
      rows <- found$als_methionine_doses
      stopifnot(all(c("ID", "TIME", "AMT", "EVID", "CMT") %in% names(rows)), nrow(rows) > 0)
      cat(length(lines[[5]][[2]]) - 1)
    """
    path = built / "nlmixr2lib" / "als_methionine.R"
    done = subprocess.run(["Rscript", "-e", code, path], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    # one line of the model for each state at least, and its start
    assert int(done.stdout) > 2 * len(equations(load()).states)


def test_libcombine_reads_the_archive_and_finds_every_file(built):
    import libcombine

    path = built / "combine-archive" / "als_methionine.omex"
    archive = libcombine.CombineArchive()
    assert archive.initializeFromArchive(str(path))
    listed = {archive.getEntry(i).getLocation().removeprefix("./") for i in range(archive.getNumEntries())}
    described = not archive.getMetadataForLocation(".").isEmpty()
    archive.cleanUp()
    # the manifest and the metadata are read, not listed
    held = set(zipfile.ZipFile(path).namelist()) - {"manifest.xml", "metadata.rdf"}
    assert held == listed - {".", "manifest.xml", "metadata.rdf", ""}
    assert described


def test_rows_for_pkdb_are_rows_of_ours_with_a_seen_source():
    rows = pd.read_csv(HOME / "pkdb" / "outputs.tsv", sep="\t")
    ours = read_data("literature/pharmacokinetics").set_index("id").loc[rows["source_row"]]
    assert rows["source_row"].is_unique
    assert len(rows) > 30
    assert (rows["value"].to_numpy() == pd.to_numeric(ours["value"]).to_numpy()).all()
    assert (rows["unit"].to_numpy() == ours["unit"].to_numpy()).all()
    assert set(rows["measurement_type"]) == {"cmax", "tmax", "auc_inf", "auc_end", "thalf", "vd"}
    assert not ours["evidence"].str.contains(r"\[mem\]").any()
    assert not ours["analyte"].str.contains("ratio|rabbit").any()


@pytest.mark.parametrize(
    ("change", "kept"),
    [({}, True), ({"evidence": "[mem]"}, False), ({"value": "about 3"}, False), ({"route": "IV / IM"}, False)],
)
def test_a_row_without_a_word_in_pkdb_is_left_out(script, change, kept):
    entry = read_data("literature/pharmacokinetics").to_dict("records")[0] | change
    assert (script.pkdb_row(entry) is not None) == kept


def test_no_file_that_is_kept_is_large():
    large = [p for p in HOME.rglob("*") if p.suffix in (*SMALL, ".csv", ".py") and p.stat().st_size > 100_000]
    assert large == []
