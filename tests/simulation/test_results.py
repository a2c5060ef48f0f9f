"""Results: labels, units, manifest, atomic files, no pickle."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
import xarray as xr

import metabolism as mb
from metabolism.errors import InvalidValue, OutputError, SolverFailed, UnknownName, UsageError
from metabolism.files import write_atomically


def test_a_result_carries_units_and_a_manifest(model):
    result = mb.simulate(model.with_set("als_patient"), "50 mg im", 48)
    assert result["hcy_plasma"].attrs["units"] == "uM"
    assert result.data["time"].attrs["units"] == "h"
    manifest = result.manifest
    assert manifest["model_hash"] == model.structure_hash
    assert manifest["parameter_hash"] == model.with_set("als_patient").parameter_hash != model.parameter_hash
    assert manifest["sets"] == ["als_patient"]
    assert manifest["engine"] == "fast"
    assert manifest["event_semantics"] == 2
    assert manifest["rtol"] == 1e-6
    assert "libroadrunner" in manifest["versions"]
    assert mb.Regimen.parse(manifest["regimen"]) == mb.Regimen.parse("50 mg im")


@pytest.mark.parametrize("many", [False, True])
@pytest.mark.parametrize("regimen", [None, "50 mg im"])
def test_a_saved_result_reloads_the_same_without_pickle(model, tmp_path, many, regimen):
    patients = {"GFR_rel": [0.5, 1.0]} if many else None
    result = mb.simulate(model, regimen, 24, patients=patients)
    path = result.save(tmp_path / "run.nc")
    assert mb.Result.load(path).data.identical(result.data)
    assert path.read_bytes()[:3] == b"CDF"
    assert [p.name for p in tmp_path.iterdir()] == ["run.nc"]


def test_a_tidy_table_has_one_row_per_time_and_patient(model):
    result = mb.simulate(model, None, 24, patients={"GFR_rel": [0.5, 1.0]}, times=[0, 12, 24], outputs=["hcy_plasma"])
    assert list(result.frame().columns) == ["patient", "time", "hcy_plasma"]
    assert len(result.frame()) == 6


def test_an_interrupted_write_leaves_nothing_behind(tmp_path):
    def stop(part):
        part.write_text("half")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_atomically(tmp_path / "x.txt", stop)
    assert list(tmp_path.iterdir()) == []


def test_unwritable_and_foreign_files_are_refused_in_words(tmp_path, model):
    result = mb.simulate(model, None, 1)
    with pytest.raises(OutputError, match="choose a writable folder"):
        result.save(tmp_path / "missing" / "x.nc")
    with pytest.raises(OutputError, match="cannot be read"):
        mb.Result.load(tmp_path / "none.nc")
    xr.Dataset({"a": ("x", [1.0])}).to_netcdf(tmp_path / "foreign.nc", engine="scipy")
    with pytest.raises(OutputError, match="no manifest"):
        mb.Result.load(tmp_path / "foreign.nc")


def test_asking_for_an_output_that_was_not_reported_names_the_remedy(model):
    with pytest.raises(UnknownName, match="outputs="):
        mb.simulate(model, None, 1, outputs=["hcy_plasma"])["cbl_plasma"]


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"outputs": ["hcy_plasm"]}, UnknownName, "Did you mean 'hcy_plasma'"),
        ({"until": -1}, InvalidValue, "after 0 h"),
        ({"add": [2000]}, InvalidValue, "between 0 and"),
        ({"until": "three weeks"}, Exception, "cannot be read"),
        ({"times": [0, 2000]}, InvalidValue, "between 0 and"),
        ({"times": [np.nan]}, InvalidValue, "finite"),
        ({"engine": "rodrunner"}, UnknownName, "roadrunner"),
        ({"rtol": 2}, InvalidValue, "rtol"),
        ({"start": "now"}, Exception, "'rest' or 'initial'"),
        ({"patients": {"GFR": [1]}}, UnknownName, "no parameter or state 'GFR'"),
        ({"patients": {"GFR_rel": [1, np.nan]}}, InvalidValue, "not finite"),
        ({"patients": {"GFR_rel": [1], "MN_k": [1e-5, 2e-5]}}, InvalidValue, "differ in length"),
        ({"patients": {"GFR_rel": [1]}, "own_baseline": {"MN_hcy": "hcy_plasma"}}, UnknownName, "MN_hcy_ref"),
        ({"dose_scale": [-1.0]}, InvalidValue, "missed dose"),
    ],
)
def test_a_wrong_request_is_refused_before_anything_runs(model, options, error, words):
    with pytest.raises(error, match=words):
        mb.simulate(model, "50 mg im", **{"until": 100, **options})


def test_a_number_is_no_regimen(model):
    with pytest.raises(UsageError, match="must be text such as '50 mg im"):
        mb.simulate(model, 50)


def test_an_exposure_of_an_unknown_parameter_is_refused(model):
    with pytest.raises(UnknownName, match="no parameter 'N2O'"):
        mb.simulate(model, mb.Regimen().expose("N2O", 1.0, 0, 4), 24)


def test_a_missed_dose_is_neither_asked_nor_delivered(model):
    full = mb.simulate(model, "50 mg im weekly x 4", "5 weeks")
    some = mb.simulate(
        model,
        "50 mg im weekly x 4",
        "5 weeks",
        patients={"GFR_rel": [1.0, 1.0]},
        dose_scale=[[1, 1, 1, 1], [1, 0, 0, 1]],
    )
    one = float(full.data["asked"].sum()) / 4
    np.testing.assert_allclose(some.data["asked"].values.ravel(), [4 * one, 2 * one])
    np.testing.assert_allclose(some.data["delivered"], some.data["asked"], rtol=1e-9)


def test_patients_start_at_their_own_rest_and_baseline(model):
    patients = {"FOLATE_DIET_rate": np.array([0.5, 1.0]) * model.values["FOLATE_DIET_rate"]}
    result = mb.simulate(
        model,
        None,
        500,
        patients=patients,
        own_baseline={"MN_hcy_ref": "hcy_plasma"},
        outputs=["hcy_plasma", "effect_hcy"],
    )
    np.testing.assert_allclose(result["hcy_plasma"].values[:, -1], result["hcy_plasma"].values[:, 0], rtol=1e-6)
    resting = mb.steady_states(model, patients, ["hcy_plasma"])["hcy_plasma"]
    assert resting[0] > resting[1] + 0.5
    np.testing.assert_allclose(result["hcy_plasma"].values[:, 0], resting, rtol=1e-9)
    np.testing.assert_allclose(result["effect_hcy"], 0, atol=1e-7)


def test_a_model_without_a_resting_state_says_so(model):
    broken = model.with_values(CYSTEINE_USE_k=0, CYSTEINE_EXPORT_k=0)
    with pytest.raises(SolverFailed, match="'cysteine_liver' runs away"):
        mb.simulate(broken, None, 24)


def test_the_manifest_is_plain_json(model):
    json.loads(mb.simulate(model, None, 1).data.attrs["manifest"])


@pytest.mark.parametrize("column", ["GFR_rl", " GFR_rel", "gfr_rel"])
def test_a_column_that_is_nearly_a_parameter_is_refused(model, column):
    people = pd.DataFrame({"MN_k": [1e-5, 2e-5], "age": [60, 70]})
    with pytest.raises(UsageError, match="GFR_rel"):
        mb.simulate(model, None, 1, patients=people.assign(**{column: 1.0}), times=[1])


def test_a_failed_patient_keeps_its_reason_also_in_a_file(model, tmp_path):
    broken = {"CYSTEINE_USE_k": [model.values["CYSTEINE_USE_k"], 0.0], "CYSTEINE_EXPORT_k": [1.0, 0.0]}
    result = mb.simulate(model, None, 24, patients=broken, times=[24])
    assert list(result.failures) == [1]
    assert "'cysteine_liver' runs away" in result.failures[1]
    assert mb.Result.load(result.save(tmp_path / "run.nc")).failures == result.failures
    frame = mb.endpoints_of(model, {"x": ("final", "hcy_plasma")}, None, 24, patients=broken)
    assert list(frame["reason"]) == ["", result.failures[1]]


def test_a_result_too_large_for_netcdf_3_is_saved_and_read_back(model, tmp_path, monkeypatch):
    monkeypatch.setattr("metabolism.simulation.result.CLASSIC", 0)
    result = mb.simulate(model, "1 mg im", 24, patients={"GFR_rel": [1.0, 0.5]}, outputs=["cbl_free"])
    path = result.save(tmp_path / "run.nc")
    assert path.read_bytes()[1:4] == b"HDF"
    loaded = mb.Result.load(path)
    assert loaded.manifest == result.manifest
    np.testing.assert_array_equal(loaded["cbl_free"].values, result["cbl_free"].values)


# h5netcdf stumbles over its own half-opened file
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("largest", [2**31, 0], ids=["netCDF 3", "netCDF 4"])
def test_no_flipped_bit_of_a_saved_result_gives_other_numbers(largest, model, tmp_path, monkeypatch):
    monkeypatch.setattr("metabolism.simulation.result.CLASSIC", largest)
    patients = {"GFR_rel": [1.0, 0.5]}
    result = mb.simulate(model, "1 mg im + 5 mg folic acid oral", 24, patients=patients, outputs=["cbl_free"])
    path = result.save(tmp_path / "run.nc")
    right, rng, refused = path.read_bytes(), np.random.default_rng(3), 0
    for _ in range(60):
        damaged = bytearray(right)
        damaged[rng.integers(len(right))] ^= 1 << int(rng.integers(8))
        path.write_bytes(damaged)
        try:
            loaded = mb.Result.load(path)
        except OutputError:
            refused += 1
        else:
            # no bit of it holds anything
            assert loaded.manifest == result.manifest
            assert loaded.data.equals(result.data)
    assert refused >= 30
    # what an earlier version wrote bears no checksum
    result.data.to_netcdf(path, engine="scipy")
    assert mb.Result.load(path).data.identical(result.data)


@pytest.mark.parametrize("engine", ["roadrunner", "scipy", "fast"])
def test_times_that_differ_by_rounding_are_one_time(model, engine):
    """3 x 26.4 h is 79.19999999999999 h or 79.2 h: the value asked for is the one after the dose, on every engine."""
    times = [i * 26.4 for i in range(1, 4)]
    one = mb.simulate(model, "1 mg iv every 1.1 d x 4", "5 d", outputs=["cbl_plasma"], times=times, engine=engine)
    many = mb.simulate(
        model, "1 mg iv every 26.4 h x 4", "5 d", outputs=["cbl_plasma"], times=[26.4, 52.8, 79.2], engine=engine
    )
    np.testing.assert_allclose(one["cbl_plasma"], many["cbl_plasma"], rtol=1e-6)
    before = one.data["cbl_plasma_pre_dose"].values[1:]
    assert (one["cbl_plasma"].values > before + 0.02).all()


def test_an_output_that_is_no_number_is_a_failure_with_its_reason(model):
    # after six years of this 1e-23 of the motor units is left, which is noise, and below zero at times
    gone = model.with_set("als_patient").with_values(MN_k=0.001)
    with pytest.raises(SolverFailed, match=r"'alsfrs_r' is not a number at t = [\d.]+ h: a state .* rounding of zero"):
        mb.simulate(gone, None, "6 years", outputs=["hcy_plasma", "alsfrs_r"])
    many = mb.simulate(gone, None, "6 years", outputs="alsfrs_r", patients={"MN_k": [1e-5, 1e-3]})
    assert list(many.failures) == [1]
    assert "'alsfrs_r' is not a number" in many.failures[1]
