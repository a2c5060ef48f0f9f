"""The fit of the disease to placebo arms: its machinery on known truths, and that what was adopted is what it gives."""

from __future__ import annotations

import dataclasses
import tomllib

import numpy as np
import pytest

import metabolism as mb
from metabolism.data import models_dir
from metabolism.errors import InvalidValue, ModelError, UsageError
from metabolism.fit import ARMS_TABLES, ArmsObjective, arms_fits, fit_arms, read_arms, write_arms
from metabolism.fit.adoption import fit_problems


@pytest.fixture(scope="module")
def objective():
    return ArmsObjective(mb.load(), dataclasses.replace(read_arms("prognosis1"), candidates=1024))


def test_definitions_are_read_and_wrong_ones_refused(tmp_path):
    assert arms_fits() == ["disease2", "prognosis1"]
    for name in arms_fits():
        assert tomllib.loads((models_dir() / "fits" / name / "arms.toml").read_text())["id"] == name
    with pytest.raises(UsageError, match=r"no fit 'diseas2'\. Did you mean 'disease2'"):
        read_arms("diseas2")
    with pytest.raises(UsageError, match="'onecarbon3' is no fit to placebo arms of trials; such fits: disease2"):
        read_arms("onecarbon3")
    wrong, right = tmp_path / "arms.toml", (models_dir() / "fits" / "disease2" / "arms.toml").read_text()
    for old, new, words in (
        ('id = "disease2"', 'id = "../x"', "write letters, digits"),
        ("candidates = 32768", "candidates = '9'", "write a whole number from 2"),
        ("seed = 1", "seed = -1", "write a whole number from 0"),
        ("seed = 1", "sed = 1", "'seed' is missing"),
        ('data = "disease/placebo_arms', 'data = "disease/placebo', "write a table such as disease/placebo_arms"),
        ('"MN_gamma", ', '"MN_gamma", "MN_gamma", ', "each once"),
        ("between_trials =", "between_trials = 3 #", "write the id of a parameter"),
    ):
        wrong.write_text(right.replace(old, new, 1))
        assert wrong.read_text() != right
        with pytest.raises(ModelError, match=words):
            read_arms(wrong)


def test_a_table_without_placebo_arms_is_refused():
    with pytest.raises(InvalidValue, match="'jetals/jetals' holds no placebo arms"):
        ArmsObjective(mb.load(), dataclasses.replace(read_arms("prognosis1"), candidates=64, data="jetals/jetals"))


def test_numbers_made_by_the_model_are_found_again(objective, tmp_path):
    """Targets predicted at moved values, from elsewhere: the fit comes back to them, without the trials' help."""
    truth = np.log([objective.model.table[n].value for n in objective.names])
    truth = truth + np.where(np.array(objective.names) == "MN_vc_rate", 0.3, 0.0)
    objective.rows["value"] = objective.predict(truth, {})
    fit = fit_arms(objective, rounds=5)
    at = list(objective.names).index("MN_vc_rate")
    assert fit.x[at] == pytest.approx(truth[at], abs=2 * np.sqrt(fit.covariance[at, at]))
    assert (fit.rows.loc[fit.rows["use"] == "fit", "residual"] ** 2).sum() < 3
    folder = write_arms(tmp_path / "one", objective, fit)
    assert sorted(p.name for p in folder.iterdir()) == sorted(ARMS_TABLES)
    assert "fitted and checked apart" in (folder / "report.md").read_text()


def test_a_trial_that_is_faster_moves_its_own_effect():
    objective = ArmsObjective(mb.load(), dataclasses.replace(read_arms("disease2"), candidates=2048))
    x = np.log([objective.model.table[n].value for n in objective.names])
    slow, fast = objective.predict(x, {}), objective.predict(x, {"CENTAUR": 0.3})
    moved = objective.rows.loc[slow != fast, "trial"].unique().tolist()
    assert moved == ["CENTAUR"]
    slope = (objective.rows["id"] == "centaur.slope").to_numpy()
    assert fast[slope][0] < slow[slope][0]


def test_what_was_adopted_is_what_the_fits_gave():
    assert fit_problems() == []
