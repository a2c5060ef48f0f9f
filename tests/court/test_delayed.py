"""A delayed start: closed forms of what stays behind, what is made up, and what wanes."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from metabolism.court import MECHANISMS, delayed_start
from metabolism.court.delayed import _NEEDED
from metabolism.data import read_data
from metabolism.errors import InvalidValue
from metabolism.model import citations, load
from metabolism.trials import HOURS_PER_MONTH, HOURS_PER_WEEK, alsfrs_r

MONTH = HOURS_PER_MONTH / HOURS_PER_WEEK
PEOPLE = pd.DataFrame({"motor_units": [0.6, 0.4], "MN_k": [1e-4, 6e-5], "onset_months": [3.0, 20.0]})


def heard(**values):
    """One draw, the same for every mechanism."""
    one = {key: np.array([values.get(key, 6.0 if key == "limit" else 0.0)]) for key in _NEEDED}
    return SimpleNamespace(
        predicted=dict.fromkeys(MECHANISMS, one),
        scores=dict.fromkeys(MECHANISMS, SimpleNamespace(weights=np.array([1.0]))),
    )


def difference(weeks, **values):
    return delayed_start(heard(**values), load(), PEOPLE, weeks, count=1)


def points(weeks_of_loss):
    model = load()
    left = PEOPLE["motor_units"] * np.exp(-PEOPLE["MN_k"] * HOURS_PER_WEEK * weeks_of_loss)
    return np.asarray(alsfrs_r(left.to_numpy(), model.values["MN_gamma"], model.values["MN_n50"]))


def test_without_an_effect_and_with_a_gain_of_function_the_delay_is_made_up():
    for name in ("no effect", "symptomatic"):
        assert difference([32, 104])[name] == pytest.approx(np.zeros((1, 2)), abs=1e-12)


def test_a_lasting_reduction_keeps_what_the_delay_lost():
    found = difference([32, 68], constant_16=0.3, constant_steady=0.4)["plasma"]
    for i, week in enumerate((32, 68)):
        early = 0.7 * 16 + 0.6 * (week - 16)
        late = 16 + 0.7 * 16 + 0.6 * (week - 32)
        assert found[0, i] == pytest.approx((points(early) - points(late)).mean(), rel=1e-12)


def test_an_effect_that_hardly_wanes_is_a_lasting_one_and_one_that_is_gone_leaves_what_it_saved_made_up():
    lasting = difference([68], constant_16=0.4, constant_steady=0.4)["plasma"]
    slow = difference([68], limited_16=0.4, limited_steady=0.4, limit=1e6)["waning"]
    assert slow == pytest.approx(lasting, rel=1e-5)
    # both arms have had the whole of it by then
    gone = difference([104], limited_16=0.4, limited_steady=0.4, limit=0.5)["waning"]
    assert abs(gone[0, 0]) < 1e-6


def test_an_early_only_effect_leaves_out_who_starts_too_late():
    # the first patient is 3 + 2.76 months from onset at randomisation, and 3.68 later when the delay ends
    limit = 3.0 + 12 / MONTH + 1.0
    found = difference([68], limited_16=0.4, limited_steady=0.4, limit=limit)["early"]
    treated = points(0.6 * 68)[0] - points(68)[0]
    assert found[0, 0] == pytest.approx(treated / 2, rel=1e-12)


def test_a_visit_before_both_arms_are_past_the_build_up_is_refused():
    with pytest.raises(InvalidValue, match="twice the delay"):
        difference([24])


def test_every_row_of_the_living_evidence_is_dated_and_points_to_facts_and_works_that_exist():
    rows, facts = read_data("evidence/methylcobalamin").astype(object).fillna(""), set(read_data("court/facts")["id"])
    assert {"trial", "safety", "mechanism", "status"} <= set(rows["kind"])
    assert rows["found"].str.contains("not published").sum() == 1
    for row in rows.itertuples():
        assert re.fullmatch(r"20\d\d-\d\d-\d\d", row.checked)
        assert set(filter(None, row.facts.split(";"))) <= facts
        keys = [key for key in row.source.split(";") if not key.startswith("https://")]
        assert set(citations(keys)) == set(keys)
    # safety of a kind that must not be missing
    assert rows["what"].str.contains("anaphylaxis|white cell").sum() == 2


PREDICTIONS = Path(__file__).parents[2] / "docs" / "evidence" / "predictions"


def test_a_written_prediction_is_never_changed():
    lines = (PREDICTIONS / "SHA256SUMS").read_text(encoding="utf-8").splitlines()
    sums = dict(reversed(line.split("  ")) for line in lines)
    assert set(sums) == {path.name for path in PREDICTIONS.glob("*.json")}
    assert sums
    for name, digest in sums.items():
        assert hashlib.sha256((PREDICTIONS / name).read_bytes()).hexdigest() == digest
        record = json.loads((PREDICTIONS / name).read_text(encoding="utf-8"))
        assert name.startswith(record["written"])
        assert {"rule", "rows", "columns", "parameter_hash", "commit before"} <= set(record)
        assert len(record["rows"]) > 50
