"""Exports: the files stand alone, doses included, in tools that know nothing of this package."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import zipfile
from functools import cache

import numpy as np
import pandas as pd
import pytest
from scipy.integrate import simpson

import metabolism as mb
from metabolism.dosing import substance
from metabolism.errors import InvalidValue, ModelError, OutputError, SolverFailed, UnknownName, UsageError
from metabolism.exports.formats import FORMATS
from metabolism.exports.omex import STEPS, parameters_csv
from metabolism.exports.petab import targets
from metabolism.exports.sbml import LEVELS, sbml_text
from metabolism.files import commit
from metabolism.model import antimony_from_sbml, messages, sbml_from_antimony
from metabolism.sbml import replay
from tests.conftest import JETALS
from tests.other_tools import ROOT, run_in

OUTPUTS = [
    "hcy_plasma",
    "met_plasma",
    "mma_plasma",
    "folate_plasma",
    "cbl_plasma",
    "cbl_free",
    "holo_tc",
    "cbl_csf",
    "motor_units",
    "alsfrs_r",
    "cbl_urine",
]
MIXED = "0.5 mg iv daily x 3 + 5 mg iv over 2 h from 5 d + 50 mg im from 6 d"
END = 2688.0
#: Steps of two output grids: one that meets doses, one that misses nearly all of them.
GRIDS = [64, 53]


@cache
def patient():
    return mb.load().with_set("als_patient").with_values(MN_Emax=0.5)


@cache
def wanted(regimen, until, steps):
    times = np.linspace(0.0, until, steps + 1)
    return mb.simulate(patient(), regimen, until, times=times, outputs=OUTPUTS, rtol=1e-10)


def agrees(frame, regimen, until, steps, limit=1e-6, outputs=OUTPUTS):
    """Assert that every output is within a millionth of its largest value."""
    want = wanted(regimen, until, steps)
    assert len(frame) == steps + 1
    gaps = {o: float(np.abs(frame[o].values - want[o].values).max() / np.abs(want[o].values).max()) for o in outputs}
    assert max(gaps.values()) < limit, gaps


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """The main export in every level, with 32 doses."""
    folder = tmp_path_factory.mktemp("exports")
    return {f: mb.export(patient(), folder / f"{f}.xml", f, regimen=JETALS) for f in LEVELS}


@pytest.mark.parametrize("format", LEVELS)
@pytest.mark.parametrize("regimen", [None, JETALS, MIXED])
def test_exported_sbml_has_no_message_in_any_level(format, regimen):
    text = sbml_text(patient(), regimen, format=format)
    assert messages(text) == []
    level, version = LEVELS[format]
    assert f'level="{level}" version="{version}"' in text


@pytest.mark.parametrize("tool", ["roadrunner", "copasi", "tellurium"])
def test_the_file_alone_gives_the_same_curves_on_two_grids_in(tool, files):
    frames = run_in(tool, files["sbml"], END, GRIDS, [*OUTPUTS, "dose_1_due"])
    for frame, steps in zip(frames, GRIDS, strict=True):
        agrees(frame, JETALS, END, steps)
        # the next dose would be the 33rd: all 32 were delivered
        assert frame["dose_1_due"].iloc[-1] == 32 * 84


@pytest.mark.slow
@pytest.mark.parametrize(("steps", "shown"), [(GRIDS[0], GRIDS[0] + 1), (GRIDS[1], 12)])
def test_the_file_alone_gives_the_same_curves_in_the_referee(steps, shown, files):
    # the second grid is followed through its first weeks only: the referee is slow, and the grid is what differs
    times = np.linspace(0, END, steps + 1)[:shown]
    found = replay(files["sbml"].read_text(encoding="utf-8"), times, OUTPUTS, rtol=1e-8)
    want = wanted(JETALS, END, steps)
    for i, output in enumerate(OUTPUTS):
        gap = np.abs(found.values[:, i] - want[output].values[:shown]).max()
        assert gap < 1e-6 * np.abs(want[output].values).max(), output
    doses = [f for f in found.firings if f.event == "DOSE_1"]
    due = [84.0 * i for i in range(32) if 84.0 * i <= times[-1]]
    np.testing.assert_allclose([f.time for f in doses], due, rtol=1e-13)
    asked = float(wanted(JETALS, END, steps).data["asked"].sum())
    assert sum(f.changes["depot_im"] for f in doses) == pytest.approx(asked * len(due) / 32, rel=1e-9)


@pytest.mark.parametrize("tool", ["roadrunner", "copasi"])
def test_boluses_infusions_and_their_ends_survive_in(tool, tmp_path):
    # a grid that meets no dose: at a bolus into plasma tools differ in whether they report before or after
    path = mb.export(patient(), tmp_path / "mixed.xml", regimen=MIXED, until=170.0)
    agrees(run_in(tool, path, 170.0, [37], OUTPUTS)[0], MIXED, 170.0, 37)


def test_the_referee_runs_boluses_infusions_and_their_ends():
    found = replay(sbml_text(patient(), MIXED, until=170.0), np.linspace(0, 170.0, 38), OUTPUTS, rtol=1e-8)
    agrees(pd.DataFrame(found.values, columns=OUTPUTS), MIXED, 170.0, 37)


def test_the_referee_refuses_what_it_does_not_cover():
    text = "model m\nspecies a in v; compartment v = 1; a = 1; k = 1; R: a -> ; k*a; E: at 1 after a > 2: a = 1;\nend"
    with pytest.raises(ModelError, match="delay"):
        replay(sbml_from_antimony(text), [0, 1], ["a"])
    endless = "model m\na = 1; b = 1; b' = 1; E: at a > 0, t0=false: a = -1; F: at a < 0, t0=false: a = 1;\nend"
    with pytest.raises(ModelError, match="without end"):
        replay(sbml_from_antimony(endless), [0, 1], ["a"])
    with pytest.raises(UnknownName, match="output"):
        replay(sbml_from_antimony(endless), [0, 1], ["c"])


@pytest.mark.parametrize("format", ["sbml-l3v1", "sbml-l2v4"])
def test_older_levels_give_the_same_curves(format, files):
    agrees(run_in("roadrunner", files[format], END, [53], OUTPUTS)[0], JETALS, END, 53)


def test_level_2_keeps_the_dose_at_time_zero_and_infusions_from_the_start(tmp_path):
    regimen = "0.5 mg iv daily x 2 + 2 mg iv over 5 h + 25 mg im"
    path = mb.export(patient(), tmp_path / "old.xml", "sbml-l2v4", regimen=regimen, until=60.0)
    agrees(run_in("copasi", path, 60.0, [37], OUTPUTS)[0], regimen, 60.0, 37)


def test_the_antimony_export_runs_in_tellurium(tmp_path):
    path = mb.export(patient(), tmp_path / "als.ant", "antimony", regimen=JETALS)
    agrees(run_in("antimony", path, END, [53], OUTPUTS)[0], JETALS, END, 53)


@pytest.mark.amici
def test_amici_imports_the_file_and_gives_the_same_curves(files, tmp_path):
    amici = pytest.importorskip("amici", reason="AMICI is not installed (it is compiled from source): not executed")
    importer = amici.SbmlImporter(str(files["sbml"]))
    importer.sbml2amici("als", str(tmp_path / "als"), verbose=False)
    built = amici.import_model_module("als", str(tmp_path / "als")).getModel()
    built.setTimepoints(np.linspace(0, END, 54))
    solver = built.getSolver()
    solver.setRelativeTolerance(1e-10)
    solver.setAbsoluteTolerance(1e-16)
    solver.setMaxSteps(1_000_000)
    data = amici.runAmiciSimulation(built, solver)
    frame = pd.DataFrame(np.asarray(data["x"]), columns=list(built.getStateIds()))
    agrees(frame, JETALS, END, 53, outputs=["hcy_plasma", "met_plasma", "mma_plasma"])


def test_an_export_starts_at_the_rest_of_its_own_values(model):
    import libsbml

    document = libsbml.readSBMLFromString(sbml_text(model.with_set("b12_deficient")))
    rest = mb.steady_state(model.with_set("b12_deficient")).values["hcy_plasma"]
    assert document.getModel().getSpecies("hcy_plasma").getInitialConcentration() == pytest.approx(rest, rel=1e-12)


def test_the_round_trip_through_antimony_keeps_the_file_clean():
    text = sbml_text(patient(), JETALS, drawing=False)
    assert messages(sbml_from_antimony(antimony_from_sbml(text))) == []


# --- every intervention


INTERVENTIONS = [
    "fasting from -12 h for 36 h; 100 mg/kg methionine oral",
    "set mthfr_677tt lifelong; 65 umol/kg homocysteine oral",
    "enzyme CBS x 0.02 lifelong; 1 mg/d folic acid until 0 h",
    "nitrous oxide 60 % for 5 h; 0.5 mg iv q6h x 2",
    "5 mg/d folic acid from -1 d for 2 d; MET_DIET_rate x 0.25 from 1 h for 9 h",
    "5 mg iv over 2 h; GFR_rel = 0.1 lifelong",
]


@pytest.mark.parametrize(
    ("text", "format"),
    [
        (text, format) if i + j == 1 else pytest.param(text, format, marks=pytest.mark.slow)
        for i, text in enumerate(INTERVENTIONS)
        for j, format in enumerate(("sbml", "sbml-l2v4"))
    ],
)
def test_the_file_of_every_intervention_replayed_alone_gives_our_curves(model, text, format):
    outputs = ["hcy_plasma", "met_plasma", "cbl_plasma", "folate_plasma"]
    begin = mb.Regimen.parse(text).start
    times = np.array([0.5, 7.3, 20.1, 29.9])
    ours = mb.simulate(model, text, "30 h", outputs=outputs, times=times + begin, rtol=1e-10)
    found = replay(sbml_text(model, text, until="30 h", format=format), np.append(0.0, times), outputs, rtol=1e-9)
    for i, name in enumerate(outputs):
        assert found.values[1:, i] == pytest.approx(ours[name].values, rel=1e-6), name


def test_a_file_says_what_it_holds(model):
    import libsbml

    patient = model.with_set("b12_deficient").with_values(GFR_rel=0.6)
    text = "50 mg im every 3.5 d x 32; fasting from -12 h for 36 h; 5 mg iv over 2 h from 1 d"
    content = libsbml.readSBMLFromString(sbml_text(patient, text)).getModel()
    notes = " ".join(content.getNotesString().split())
    for words in (
        "Parameter sets: b12_deficient",
        "GFR_rel = 0.6 dimensionless",
        "Regimen: 50 mg im every 3.5 d x 32; 5 mg iv over 2 h from 1 d; fasting from -12 h for 36 h",
        "Run: 0 to 2700 h (time 0 of this file is -12 h of the regimen), from the resting state",
        f"Parameter hash: {patient.parameter_hash}",
        f"Model hash: {patient.structure_hash}",
        "als-methionine 0.",
        f", commit {commit()}",
    ):
        assert words in notes, words
    assert "Bounds 4.1 to 410.0" in content.getParameter("MAT1_Km").getNotesString()
    assert "grade B" in content.getParameter("MAT1_Km").getNotesString()
    terms = [content.getCVTerm(i) for i in range(content.getNumCVTerms())]
    resources = [term.getResourceURI(i) for term in terms for i in range(term.getNumResources())]
    assert not [r for r in resources if "creativecommons" in r]
    assert "http://identifiers.org/mamo/MAMO_0000046" in resources
    assert re.search(r"<dcterms:license [^>]*creativecommons.org/publicdomain/zero", content.getAnnotationString())
    assert content.getSBOTermID() == "SBO:0000293"
    names = [e.getName() for e in content.getListOfEvents()]
    assert "50 mg methylcobalamin im, 32 times" in names
    assert "5 mg methylcobalamin iv over 2 h" in names
    assert "fasting from -12 h for 36 h" in names
    assert all(names)
    hours = [u for d in content.getListOfUnitDefinitions() for u in d.getListOfUnits() if u.isSecond()]
    assert {(u.getScale(), u.getMultiplier()) for u in hours} == {(0, 3600.0)}
    amounts = {s.getCompartment() for s in content.getListOfSpecies() if s.getHasOnlySubstanceUnits()}
    assert [content.getCompartment(c).getSize() for c in amounts] == [1.0]


def test_the_plain_file_holds_nothing_that_simple_readers_cannot_follow(model):
    import libsbml

    text = sbml_text(patient(), MIXED, format="sbml-plain")
    content = libsbml.readSBMLFromString(text).getModel()
    reactions = {r.getId() for r in content.getListOfReactions()}
    waiting = [rule.getMath() for rule in content.getListOfRules()]
    while waiting:
        node = waiting.pop()
        waiting += [node.getChild(i) for i in range(node.getNumChildren())]
        assert node.getName() not in reactions
    assert "<cn" not in text
    assert all(p.isSetValue() and np.isfinite(p.getValue()) for p in content.getListOfParameters())
    assert all(s.isSetInitialAmount() for s in content.getListOfSpecies())
    ruled = [rule.getVariable() for rule in content.getListOfRules() if rule.isAssignment()]
    for i, rule in enumerate(content.getListOfRules()):
        names = libsbml.formulaToL3String(rule.getMath())
        assert not {*re.findall(r"\w+", names)} & {*ruled[i:]} or not rule.isAssignment(), rule.getVariable()
    # what was put in their place has the value of the whole file
    rest = mb.steady_state(patient()).values
    for name in ("transmethylation", "cbl_plasma", "alsfrs_r"):
        assert content.getParameter(name).getValue() == pytest.approx(rest[name], rel=1e-10), name
    place = content.getSpecies("hcy_plasma").getCompartment()
    amount = content.getSpecies("hcy_plasma").getInitialAmount()
    assert amount / content.getCompartment(place).getSize() == pytest.approx(rest["hcy_plasma"], rel=1e-10)
    # and it is the same model: at a place far from rest, after doses
    times = np.array([30.3, 61.0, 99.0])
    found = replay(sbml_text(patient(), CODE_REGIMEN, format="sbml-plain"), np.append(0.0, times), OUTPUTS, rtol=1e-8)
    want = mb.simulate(patient(), CODE_REGIMEN, 99.0, outputs=OUTPUTS, times=times, rtol=1e-9)
    for i, name in enumerate(OUTPUTS):
        assert found.values[1:, i] == pytest.approx(want[name].values, rel=1e-6), name


def test_the_network_draws_from_the_file_and_is_grouped_by_pathway(model):
    import libsbml

    from metabolism.model import positions

    text = sbml_text(model)
    content = libsbml.readSBMLFromString(text).getModel()
    drawing, plan = content.getPlugin("layout").getLayout(0), positions.layout()
    species = {drawing.getSpeciesGlyph(i).getSpeciesId() for i in range(drawing.getNumSpeciesGlyphs())}
    assert species == {s.getId() for s in content.getListOfSpecies()}
    glyphs = [drawing.getReactionGlyph(i) for i in range(drawing.getNumReactionGlyphs())]
    assert {g.getReactionId() for g in glyphs} == {r.getId() for r in content.getListOfReactions()}
    for glyph in glyphs:
        reaction = content.getReaction(glyph.getReactionId())
        sides = {"substrate": reaction.getListOfReactants(), "product": reaction.getListOfProducts()}
        for i in range(glyph.getNumSpeciesReferenceGlyphs()):
            part = glyph.getSpeciesReferenceGlyph(i)
            known = {s.getSpecies() for s in sides[part.getRoleString()]}
            assert part.getSpeciesGlyphId().removeprefix("glyph_") in known, reaction.getId()
            # a product ends where the arrow of the flux map ends
            if part.getRoleString() == "product":
                end = part.getCurve().getCurveSegment(part.getCurve().getNumCurveSegments() - 1).getEnd()
                tips = [positions.course(plan, path)[-1] for path in plan.routes[reaction.getId()].paths]
                assert any(np.allclose((end.getXOffset(), end.getYOffset()), tip, atol=0.051) for tip in tips)
    groups = content.getPlugin("groups")
    members = [m.getIdRef() for i in range(groups.getNumGroups()) for m in groups.getGroup(i).getListOfMembers()]
    assert sorted(members) == sorted(r.getId() for r in content.getListOfReactions())
    assert messages(text) == []
    assert "layout" not in sbml_text(model, format="sbml-plain").split("<model")[0]
    assert "glyph" not in antimony_from_sbml(sbml_text(model, drawing=False))


def test_plain_is_asked_for_at_the_command_line_too(tmp_path, capsys):
    from metabolism.cli import main

    assert main(["export", "sbml", str(tmp_path / "a.xml"), "--plain", "--regimen", "50 mg im"]) == 0
    assert "<cn" not in (tmp_path / "a.xml").read_text(encoding="utf-8")
    assert main(["export", "omex", str(tmp_path / "a.omex"), "--plain"]) != 0
    assert "--plain" in capsys.readouterr().err


# --- the archive


@pytest.fixture(scope="module")
def archive(tmp_path_factory):
    return mb.export(patient(), tmp_path_factory.mktemp("omex") / "als.omex", "omex", regimen=JETALS)


def test_the_archive_holds_what_its_manifest_says_and_one_master(archive):
    code = (
        "import sys, libcombine, libsedml\n"
        "bundle = libcombine.CombineArchive()\n"
        "assert bundle.initializeFromArchive(sys.argv[1])\n"
        "for i in range(bundle.getNumEntries()):\n"
        "    entry = bundle.getEntry(i)\n"
        "    print(entry.getLocation(), entry.getFormat(), entry.getMaster())\n"
        "text = bundle.extractEntryToString('./simulation.sedml') or bundle.extractEntryToString('simulation.sedml')\n"
        "document = libsedml.readSedMLFromString(text)\n"
        "errors = document.getErrorLog()\n"
        "print('about', bundle.getMetadataForLocation('.').getDescription())\n"
        "print('sedml', document.getLevel(), document.getVersion(), errors.getNumErrors())\n"
    )
    done = subprocess.run([sys.executable, "-c", code, str(archive)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    rows = [line.split() for line in done.stdout.splitlines()]
    assert rows.pop() == ["sedml", "1", "4", "0"]
    # libcombine reads the metadata for what it is, and does not list it among the contents
    assert " ".join(rows.pop()).endswith("not for patient care.")
    listed = {location.removeprefix("./"): kind for location, kind, _ in rows}
    with zipfile.ZipFile(archive) as bundle:
        assert bundle.testzip() is None
        inside = set(bundle.namelist())
    assert inside - {"manifest.xml", "metadata.rdf"} == listed.keys() - {"manifest.xml", "."}
    assert [location for location, _, master in rows if master == "True"] == ["./simulation.sedml"]
    assert listed["als_methionine.xml"].endswith("sbml.level-3.version-2")
    assert {"LICENSE", "metadata.rdf", "data/curves.csv", "data/parameters.csv", "figures/curves.png"} <= inside


@pytest.mark.slow
def test_the_sedml_of_the_archive_runs_in_tellurium_and_gives_the_packaged_curves(archive, tmp_path):
    code = (
        "import sys, warnings; warnings.simplefilter('ignore')\n"
        "import matplotlib; matplotlib.use('Agg')\n"
        "import tellurium as te\n"
        "te.executeCombineArchive(sys.argv[1], createOutputs=True, saveOutputs=False, plottingEngine='matplotlib')\n"
        "te.getLastReport().to_csv(sys.argv[2], index=False)\n"
    )
    out = tmp_path / "report.csv"
    done = subprocess.run(
        [sys.executable, "-c", code, str(archive), str(out)], capture_output=True, text=True, cwd=tmp_path, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    got = pd.read_csv(out)
    with zipfile.ZipFile(archive) as bundle, bundle.open("data/curves.csv") as handle:
        packaged = pd.read_csv(handle).rename(columns=lambda c: c.split(" [")[0])
    assert set(packaged) == set(got)
    assert len(packaged) == len(got) == STEPS + 1
    gaps = {c: float((got[c] - packaged[c]).abs().max() / packaged[c].abs().max()) for c in packaged}
    assert max(gaps.values()) < 1e-6, gaps


# --- PEtab


@pytest.fixture(scope="module")
def petab_folder(tmp_path_factory):
    return mb.export(mb.load(), tmp_path_factory.mktemp("petab") / "problem", "petab")


def test_petablint_passes_both_versions(petab_folder):
    for options in ([], ["v2"]):
        yaml = petab_folder.joinpath(*options, "problem.yaml")
        done = subprocess.run(
            [sys.executable, "-W", "ignore", "-m", "petab.petablint", str(yaml)],
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr


def test_the_measurements_are_published_values_with_published_spread(petab_folder):
    table = pd.read_csv(petab_folder / "measurements.tsv", sep="\t")
    data = pd.read_csv(ROOT / "experiments/data/literature/pharmacokinetics.csv")
    published = set(pd.to_numeric(data["value"], errors="coerce"))
    assert set(table["measurement"]) <= published
    assert (table["noiseParameters"] > 0).all()
    repeated = pd.read_csv(petab_folder / "v2" / "experiments.tsv", sep="\t")
    assert list(repeated.loc[repeated["experimentId"] == "iv_0p5mg_daily", "time"]) == [-np.inf, 0, 0, 24, 48]
    # nothing is estimated that moves no measurement: not what is swallowed, injected elsewhere, or in the CSF
    estimated = set(pd.read_csv(petab_folder / "parameters.tsv", sep="\t")["parameterId"])
    assert {"IM_ka", "CBL_Q", "HC_k"} <= estimated
    assert [p for p in estimated if p.startswith(("SC_", "OHCBL_", "CBL_GUT", "CSF", "CNS", "EFFECT"))] == []


MOVED = {"HOLOTC_UPTAKE_k": 3.0}


def predictions(model):
    """Return every measurement beside what `simulate` gives [ng/mL, ng h/mL], with its share of the log-likelihood."""
    rest, mass = mb.steady_state(model).values, substance("methylcobalamin").molar_mass
    rows, runs = [], {}
    for target in targets():
        if target.regimen not in runs:
            wanted = [t.time for t in targets() if t.regimen == target.regimen]
            # dense after the dose, so that the quadrature of the area is exact to a millionth
            grid = np.unique([0.0, *np.geomspace(1e-4, 144.0, 4001), *wanted])
            options = {"outputs": ["cbl_free", "cbl_plasma"], "times": grid, "rtol": 1e-10}
            runs[target.regimen] = mb.simulate(model, target.regimen, 145, **options)
        analyte = "cbl_free" if target.observable.startswith("free") else "cbl_plasma"
        curve, base = runs[target.regimen][analyte], rest[analyte]
        if target.observable.endswith("area"):
            inside = curve.sel(time=slice(0, target.time))
            value = float(simpson(inside.values - base, x=inside["time"].values))
        else:
            value = float(curve.sel(time=target.time)) - (base if target.observable.endswith("rise") else 0.0)
        misfit = (target.value - value * mass) / target.error
        likely = -0.5 * (np.log(2 * np.pi * target.error**2) + misfit**2)
        version = 2 if " x " in target.regimen else 1
        rows.append((target.experiment, target.observable, target.time, value * mass, version, likely))
    return pd.DataFrame(rows, columns=["experiment", "observable", "time", "simulation", "version", "log_likelihood"])


@pytest.mark.slow
def test_pypesto_with_roadrunner_gives_our_likelihood_when_a_parameter_moves(petab_folder):
    # libRoadRunner's Newton search cannot begin where a state is 0, as every depot is
    code = (
        "import sys, warnings; warnings.simplefilter('ignore')\n"
        "import numpy as np, petab.v1 as petab, pypesto.petab, roadrunner\n"
        "from pypesto.objective.roadrunner.utils import SolverOptions\n"
        "choose = roadrunner.RoadRunner.setSteadyStateSolver\n"
        "roadrunner.RoadRunner.setSteadyStateSolver = lambda self, name: choose(self, 'nleq2')\n"
        "problem = petab.Problem.from_yaml(sys.argv[1])\n"
        "importer = pypesto.petab.PetabImporter(problem, simulator_type='roadrunner', rr=roadrunner.RoadRunner())\n"
        "objective = importer.create_objective_creator(simulator_type='roadrunner').create_objective()\n"
        "objective.solver_options = SolverOptions(relative_tolerance=1e-10, absolute_tolerance=1e-14)\n"
        "x = np.array(problem.x_nominal_scaled)\n"
        "x[problem.x_ids.index(sys.argv[2])] += np.log10(float(sys.argv[3]))\n"
        "print(repr(float(objective(x))))\n"
    )
    ((name, factor),) = MOVED.items()
    arguments = [str(petab_folder / "problem.yaml"), name, str(factor)]
    done = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    model = mb.load()
    ours = predictions(model.with_values({name: factor * model.values[name]}))
    want = -ours.loc[ours["version"] == 1, "log_likelihood"].sum()
    assert float(done.stdout.split()[-1]) == pytest.approx(want, rel=2e-5)


@pytest.mark.slow
def test_periods_carried_out_by_their_tables_alone_give_what_we_predict(petab_folder):
    """The second version in libRoadRunner with a parameter moved: long at rest, then the doses."""
    import roadrunner

    names = ("conditions", "experiments", "observables", "measurements")
    conditions, experiments, observables, measured = (
        pd.read_csv(petab_folder / "v2" / f"{name}.tsv", sep="\t") for name in names
    )
    formulas, model = observables.set_index("observableId")["observableFormula"], mb.load()
    moved = {name: factor * model.values[name] for name, factor in MOVED.items()}
    runner = roadrunner.RoadRunner(str(petab_folder / "v2" / "model.xml"))
    runner.integrator.relative_tolerance, runner.integrator.absolute_tolerance = 1e-9, 1e-14
    species = set(runner.model.getFloatingSpeciesIds())

    def place(name):
        return f"[{name}]" if name in species else name

    def value(formula):
        return eval(formula, {}, {n: runner.getValue(place(n)) for n in re.findall(r"[a-z]\w+", formula)})

    ours = predictions(model.with_values(moved)).set_index(["experiment", "observable", "time"])["simulation"]
    for experiment, periods in experiments.groupby("experimentId"):
        runner.resetToOrigin()
        for name, number in moved.items():
            runner.setValue(name, number)
        rows, before = measured[measured["experimentId"] == experiment], -np.inf
        for time in sorted({*periods["time"], *rows["time"]}):
            if 0 <= before < time:
                runner.simulate(before, time, 2)
            for condition in periods.loc[periods["time"] == time, "conditionId"]:
                for _, row in conditions[conditions["conditionId"] == condition].iterrows():
                    runner.setValue(place(row["targetId"]), value(row["targetValue"]))
            if time == -np.inf:
                # its search for a steady state would set back the states that are parameters with a rate
                runner.simulate(0, 1e7, 2)
            for observable in rows.loc[rows["time"] == time, "observableId"]:
                wanted = ours.pop((experiment, observable.removeprefix("observed_"), time))
                assert value(formulas[observable]) == pytest.approx(wanted, rel=1e-7), (experiment, observable, time)
            before = time
    assert ours.empty
    # the resting state has moved with the parameter
    assert runner.getValue("cbl_free_at_rest") != pytest.approx(model.values["cbl_free"], rel=1e-3)


# --- generated code


CODE_UNTIL, CODE_STEPS = 96.0, 24
CODE_REGIMEN = "50 mg im every 42 h x 2"


@pytest.mark.slow
def test_the_generated_julia_runs_on_its_own_and_agrees(tmp_path):
    if not shutil.which("julia"):
        pytest.skip("no Julia here: the generated Julia code is not executed")
    path = mb.export(patient(), tmp_path / "als.jl", "julia", regimen=CODE_REGIMEN, until=CODE_UNTIL)
    code = (
        f'include("{path.name}"); using DelimitedFiles; table = Als_methionine.simulate({CODE_UNTIL}; '
        f"points={CODE_STEPS + 1}); "
        "open(\"out.csv\", \"w\") do io; writedlm(io, [names(table)], ','); writedlm(io, Matrix(table), ','); end"
    )
    subprocess.run(["julia", "-e", code], cwd=tmp_path, check=True, timeout=900)
    agrees(pd.read_csv(tmp_path / "out.csv"), CODE_REGIMEN, CODE_UNTIL, CODE_STEPS, limit=1e-5)


@pytest.mark.parametrize(
    ("format", "words"),
    [
        ("latex", ["\\documentclass", "MS", "end{document}"]),
        ("markdown", ["MS_liver", "hcy_plasma", "GFR_rel"]),
        ("julia", ["module Als_methionine", "DOSE_1"]),
    ],
)
def test_listings_name_every_part(format, words, tmp_path):
    text = mb.export(patient(), tmp_path / "listing", format, regimen="50 mg im").read_text(encoding="utf-8")
    for word in words:
        assert word in text


def test_the_model_report_gives_equations_values_sources_and_limits(tmp_path):
    from metabolism.model import equations

    page = mb.export(patient(), tmp_path / "model.html", "report").read_text(encoding="utf-8")
    system = equations(patient())
    for name in (*system.states, *system.reactions, *system.rules, *system.parameters):
        assert f"<code>{name}</code>" in page
    assert page.count("<math") >= len(system.reactions) + len(system.rules) + len(system.rate_rules)
    assert "not for patient care" in page
    assert "doi:10.1186/1742-4682-5-8" in page
    assert "Changed from the reference" in page
    assert "http" not in page.split("</style>")[0]


def test_the_parameter_table_carries_own_values_and_sources(model):
    import io

    table = pd.read_csv(io.StringIO(parameters_csv(model.with_values(GFR_rel=0.5)))).set_index("parameterId")
    assert table.loc["GFR_rel", "value"] == 0.5
    assert table.loc["GFR_rel", "nominalValue"] == 1.0
    assert table["source"].notna().all()
    assert list(table.index) == list(model.table)


# --- the door


def test_exports_are_byte_stable_and_never_overwrite_silently(tmp_path):
    for format in FORMATS:
        options = {} if format in ("petab", "parameters", "report") else {"regimen": "50 mg im", "until": 24.0}
        one, two = (mb.export(patient(), tmp_path / f"{format}{i}", format, **options) for i in (1, 2))
        if one.is_dir():
            names = sorted(p.relative_to(one) for p in one.rglob("*") if p.is_file())
            assert names == sorted(p.relative_to(two) for p in two.rglob("*") if p.is_file())
            assert all((one / n).read_bytes() == (two / n).read_bytes() for n in names)
        else:
            assert one.read_bytes() == two.read_bytes(), format
        before = one.stat().st_mtime_ns
        with pytest.raises(OutputError, match="--force"):
            mb.export(patient(), one, format, **options)
        assert one.stat().st_mtime_ns == before
    mb.export(patient(), tmp_path / "sbml1", force=True)
    assert not [p for p in tmp_path.iterdir() if p.name.startswith(".")]


def test_a_foreign_folder_is_never_replaced(tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("years of work")
    with pytest.raises(OutputError, match=r"thesis\.txt.*move it away"):
        mb.export(patient(), tmp_path / "mine", "petab", force=True)
    assert (tmp_path / "mine" / "thesis.txt").is_file()


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        ({"format": "sbmll"}, UnknownName, "Did you mean 'sbml'"),
        ({"format": "petab", "regimen": "50 mg im"}, UsageError, "holds no regimen"),
        ({"format": "sbml", "start": "tomorrow"}, UsageError, "must be 'rest' or 'initial'"),
        ({"format": "omex", "start": "initial"}, UsageError, "start at rest"),
    ],
)
def test_a_request_that_cannot_be_met_is_refused_before_anything_is_written(tmp_path, arguments, error, words):
    with pytest.raises(error, match=words):
        mb.export(patient(), tmp_path / "x", **arguments)
    assert list(tmp_path.iterdir()) == []


def test_a_failed_export_leaves_nothing_behind(tmp_path, monkeypatch):
    import metabolism.exports.formats as module

    def fail(*_):
        raise SolverFailed("no rest")

    monkeypatch.setattr(module, "write_petab", fail)
    with pytest.raises(SolverFailed):
        mb.export(patient(), tmp_path / "x", "petab")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("format", ["sbml", "omex", "antimony", "mrgsolve", "nonmem"])
def test_a_run_that_ends_before_it_begins_is_not_written(format, tmp_path):
    with pytest.raises(InvalidValue, match="until = -1 d must be after 0 h"):
        mb.export(mb.load(), tmp_path / "out", format, regimen=JETALS, until="-1 d")
    assert not [*tmp_path.iterdir()]
