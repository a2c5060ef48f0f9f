"""Exports: the files stand alone, doses included, in tools that know nothing of this package."""

from __future__ import annotations

import numpy as np
import pytest

import metabolism as mb
from metabolism.errors import OutputError, UnknownName
from metabolism.exporters import sbml_text
from metabolism.model import messages
from tests.conftest import JETALS

OUTPUTS = ["hcy_plasma", "cbl_plasma", "mma_plasma", "alsfrs_r", "cbl_urine"]
TIMES = np.unique(np.concatenate([np.linspace(0, 2688, 337), np.arange(32) * 84 + 1.0]))


def run_file(runner, times):
    """Simulate an SBML file with its own events in libRoadRunner."""
    states = runner.model.getNumFloatingSpecies() + runner.model.getNumRateRules()
    runner.integrator.setValue("relative_tolerance", 1e-10)
    runner.integrator.setValue("absolute_tolerance", [1e-16] * states)
    runner.integrator.setValue("maximum_num_steps", 200_000)
    runner.timeCourseSelections = ["time", "[hcy_plasma]", "cbl_plasma", "[mma_plasma]", "alsfrs_r", "cbl_urine"]
    rows = np.array(runner.simulate(times=times.tolist()))
    # events add rows of their own: keep the last row of each time
    _, last = np.unique(rows[::-1, 0], return_index=True)
    rows = rows[::-1][last]
    return rows[np.isin(rows[:, 0], times)][:, 1:]


@pytest.mark.parametrize(
    "regimen", [None, JETALS, "0.5 mg iv daily x 3 + 5 mg iv over 2 h from 5 d + 50 mg im from 6 d"]
)
def test_exported_sbml_with_doses_has_no_message(model, regimen):
    assert messages(sbml_text(model.with_set("als_patient"), regimen)) == []


@pytest.mark.parametrize("regimen", [JETALS, "0.5 mg iv daily x 3 + 5 mg iv over 2 h from 5 d + 50 mg im + 50 mg im"])
def test_the_file_alone_gives_the_same_curves(model, regimen):
    import roadrunner

    patient = model.with_set("als_patient").with_values(MN_Emax=0.5)
    text = sbml_text(patient, regimen)
    got = run_file(roadrunner.RoadRunner(text), TIMES)
    want = mb.simulate(patient, regimen, times=TIMES, outputs=OUTPUTS, rtol=1e-10)
    assert got.shape == (len(TIMES), len(OUTPUTS))
    keep = ~np.isin(TIMES, want.data["dose_time"])
    for i, output in enumerate(OUTPUTS):
        np.testing.assert_allclose(
            got[keep, i], want[output].values[keep], rtol=0, atol=1e-6 * np.abs(want[output]).max(), err_msg=output
        )


@pytest.mark.slow
def test_tellurium_loads_the_antimony_export_and_agrees(model, tmp_path):
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # tellurium's own imports warn
        import tellurium

    path = mb.export(model, tmp_path / "als.ant", "antimony", regimen=JETALS)
    got = run_file(tellurium.loada(path.read_text(encoding="utf-8")), TIMES)
    want = mb.simulate(model, JETALS, times=TIMES, outputs=OUTPUTS, rtol=1e-10)
    keep = ~np.isin(TIMES, want.data["dose_time"])
    for i, output in enumerate(OUTPUTS):
        np.testing.assert_allclose(
            got[keep, i], want[output].values[keep], rtol=0, atol=1e-6 * np.abs(want[output]).max(), err_msg=output
        )


def test_an_export_starts_at_the_rest_of_its_own_values(model):
    import libsbml

    document = libsbml.readSBMLFromString(sbml_text(model.with_set("b12_deficient")))
    rest = mb.steady_state(model.with_set("b12_deficient")).values["hcy_plasma"]
    assert document.getModel().getSpecies("hcy_plasma").getInitialConcentration() == pytest.approx(rest, rel=1e-12)


def test_exports_are_byte_stable_and_never_overwrite_silently(model, tmp_path):
    one, two = (mb.export(model, tmp_path / f"{i}.xml", regimen=JETALS) for i in (1, 2))
    assert one.read_bytes() == two.read_bytes()
    with pytest.raises(OutputError, match="--force"):
        mb.export(model, one)
    mb.export(model, one, force=True)
    with pytest.raises(UnknownName, match="export format"):
        mb.export(model, tmp_path / "x", "sbmll")
