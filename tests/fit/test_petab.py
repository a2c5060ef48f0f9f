"""A fit in PEtab: its own linter takes it, and its tables alone give what the fit predicts."""

import re
import subprocess
import sys
from math import log as ln

import numpy as np
import pandas as pd
import pytest

import metabolism as mb
from metabolism.cases import predict
from metabolism.errors import InvalidValue
from metabolism.fit import Objective, read_definition, write_fit_petab

TABLES = ("conditions", "measurements", "observables", "parameters")


@pytest.fixture(scope="module")
def objective():
    return Objective(mb.load(), read_definition("onecarbon3"))


@pytest.fixture(scope="module")
def problem(objective, tmp_path_factory):
    folder = tmp_path_factory.mktemp("petab") / "fit"
    return folder, write_fit_petab(objective, folder)


def table(folder, name):
    return pd.read_csv(folder / f"{name}.tsv", sep="\t").set_index(f"{name.removesuffix('s')}Id")


@pytest.mark.parametrize("version", ["", "v2"])
def test_the_linter_takes_it(problem, version):
    place = problem[0] / version / "problem.yaml"
    command = [sys.executable, "-W", "ignore", "-m", "petab.petablint", str(place)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_version_2_says_the_same_of_every_measurement(problem):
    folder = problem[0]
    first, second = ({n: pd.read_csv(f / f"{n}.tsv", sep="\t") for n in TABLES} for f in (folder, folder / "v2"))
    periods = pd.read_csv(folder / "v2" / "experiments.tsv", sep="\t")
    assert (folder / "model.xml").read_bytes() == (folder / "v2" / "model.xml").read_bytes()
    old, new = (tables["conditions"] for tables in (first, second))
    wide = old.set_index("conditionId")
    long = new.pivot(index="conditionId", columns="targetId", values="targetValue")
    pd.testing.assert_frame_equal(long, wide.loc[long.index, long.columns], check_names=False, check_like=True)
    assert set(wide.index) == set(long.index)
    pairs = zip(*(tables["measurements"].itertuples() for tables in (first, second)), strict=True)
    noise = {"lin": "normal", "log": "log-normal"}
    seen = [tables["observables"].set_index("observableId") for tables in (first, second)]
    for before, after in pairs:
        course = periods[periods["experimentId"] == after.experimentId]
        assert list(course["time"]) == [-np.inf, 0]
        assert list(course["conditionId"]) == [before.preequilibrationConditionId, before.simulationConditionId]
        same = ("observableId", "time", "measurement", "noiseParameters", "datasetId")
        assert [getattr(after, n) for n in same] == [getattr(before, n) for n in same]
        ours, theirs = (table.loc[before.observableId] for table in seen)
        assert theirs["noiseDistribution"] == noise[ours["observableTransformation"]]
        assert theirs["observableFormula"] == ours["observableFormula"]
    assert set(seen[1]["noiseDistribution"]) == {"normal", "log-normal"}
    one, two = (tables["parameters"].set_index("parameterId") for tables in (first, second))
    assert list(two["priorParameters"]) == list(one["objectivePriorParameters"])
    assert set(one["parameterScale"]) == {"log"}
    assert set(two["priorDistribution"]) == {"log-normal"}
    assert (two["nominalValue"] == one["nominalValue"]).all()


def test_every_row_and_parameter_is_in_it_or_left_out_with_a_reason(objective, problem):
    folder, left = problem
    rows = {row.id: row for row in objective.rows}
    measured = pd.read_csv(folder / "measurements.tsv", sep="\t").set_index("datasetId")
    estimated = table(folder, "parameters")
    assert {f"row {name}" for name in rows} == {f"row {n}" for n in measured.index} | {
        n for n in left if n[:4] == "row "
    }
    assert not set(measured.index) & {n.removeprefix("row ") for n in left}
    assert set(objective.names) == set(estimated.index) | {n.split()[1] for n in left if n.startswith("parameter ")}
    text = (folder / "README.txt").read_text(encoding="utf-8")
    assert all(f"  {name}: {reason}" in text for name, reason in left.items())
    assert "compares arms" in left["row C09a"]
    assert "doses" in left["row C08a"]
    assert left["row C15a"].startswith("N2O_inspired changes")
    assert left["parameter N2O_inactivation_k"] == "moves none of these rows"
    # published values, with the noise the fit gives them
    assert measured.loc["C01a", "measurement"] == rows["C01a"].observed
    half = (rows["C01a"].high - rows["C01a"].low) / 2
    assert measured.loc["C01a", "noiseParameters"] == pytest.approx(half / objective.definition.band_sd)
    prior = [float(v) for v in estimated.loc["CBS_Km_hcy", "objectivePriorParameters"].split(";")]
    place = objective.names.index("CBS_Km_hcy")
    assert prior == [objective.centre[place], objective.sd[place]]


@pytest.mark.slow
@pytest.mark.parametrize("moved", [{}, {"CBS_Km_hcy": 1.3, "ref_BHMT": 0.8, "FOLATE_UPTAKE_tissue_Km": 1.2}])
def test_its_tables_alone_give_what_the_fit_predicts_and_the_same_cost(objective, problem, moved):
    import roadrunner

    folder, names = problem[0], ("conditions", "observables", "parameters")
    conditions, observables, parameters = (table(folder, name) for name in names)
    measurements = pd.read_csv(folder / "measurements.tsv", sep="\t")
    values = {n: v * moved.get(n, 1.0) for n, v in parameters["nominalValue"].items()}
    x = np.log([values.get(n, objective.model.table[n].value) for n in objective.names])
    rows = [row for row in objective.rows if row.id in set(measurements["datasetId"])]
    predicted = predict(objective.model, rows, objective.columns(x[None]), rtol=1e-9).values[:, 0]
    ours = dict(zip((row.id for row in rows), predicted, strict=True))

    runner = roadrunner.RoadRunner(str(folder / "model.xml"))
    runner.integrator.setValue("relative_tolerance", 1e-10)
    states = len(runner.model.getFloatingSpeciesIds()) + runner.model.getNumRateRules()
    # the list form: a scalar is derived again from the state at every call, and is zero where that is
    runner.integrator.setValue("absolute_tolerance", [1e-14] * states)
    runner.integrator.setValue("maximum_num_steps", 200_000)
    species = set(runner.model.getFloatingSpeciesIds())

    def place(name):
        return f"[{name}]" if name in species else name

    misfits = {}
    for keys, some in measurements.groupby(["preequilibrationConditionId", "simulationConditionId"]):
        runner.resetToOrigin()
        for name, value in values.items():
            runner.setValue(name, value)
        for key, end in zip(keys, (4e6, None), strict=True):
            for name, value in conditions.loc[key].items():
                runner.setValue(place(name), value)
            if end:
                runner.simulate(0, end, 2)
        before = 0.0
        for _, row in some.sort_values("time").iterrows():
            if row["time"] > before:
                runner.simulate(before, row["time"], 2)
                before = row["time"]
            observable = observables.loc[row["observableId"]]
            known = {n: runner.getValue(place(n)) for n in re.findall(r"[A-Za-z]\w+", observable["observableFormula"])}
            got, turn = eval(observable["observableFormula"], {}, known), ln
            assert got == pytest.approx(ours[row["datasetId"]], rel=1e-7), row["datasetId"]
            if observable["observableTransformation"] == "lin":
                turn = float
            misfits[row["datasetId"]] = (turn(got) - turn(row["measurement"])) / row["noiseParameters"]
    # the misfits are the residuals of the fit
    own = objective.data_residuals(np.array([[ours.get(row.id, np.nan)] for row in objective.rows]))[0]
    for place_of, row in enumerate(objective.rows):
        if row.id in misfits:
            assert misfits[row.id] == pytest.approx(own[place_of], rel=1e-5, abs=1e-5), row.id


def test_a_fit_of_which_nothing_can_be_said_is_refused(objective, tmp_path, monkeypatch):
    monkeypatch.setattr(objective, "rows", [row for row in objective.rows if len(row.arms) > 1])
    with pytest.raises(InvalidValue, match="no row of fit 'onecarbon3'"):
        write_fit_petab(objective, tmp_path / "x")
    assert not (tmp_path / "x").exists()
