"""Study cases: the shipped tables, the grammar of interventions, the documentation, and every refusal."""

from __future__ import annotations

import csv
import io
import json
import math
import re
from pathlib import Path

import jsonschema
import pytest

from metabolism.cases import predict
from metabolism.cases.cells import SPLITS
from metabolism.cases.metrics import METRICS
from metabolism.cases.people import read_match, read_population
from metabolism.cases.rows import COLUMNS, InvalidCase, read_cases, shipped
from metabolism.data import experiments_dir, read_data
from metabolism.dosing import Hold, Regimen, enzymes
from metabolism.errors import InvalidRegimen, InvalidValue, MetabolismError, UnitMismatch, UnknownName
from metabolism.model import equations

DOCS = Path(__file__).resolve().parents[2] / "docs" / "cases.md"
GOOD = {
    "case": "M01",
    "row": "M01a",
    "study": "mine",
    "source": "HLT2005",
    "population": "",
    "match": "",
    "interventions": "0.4 mg/d folic acid",
    "against": "",
    "reading": "12 weeks",
    "observable": "hcy_plasma",
    "unit": "%",
    "metric": "percent_change",
    "observed": "-20",
    "low": "-25",
    "high": "-14",
    "role": "check",
    "must_pass": "no",
    "note": "",
}


def write(path, *rows, columns=COLUMNS):
    with path.open("w", newline="", encoding="utf-8") as handle:
        writer = csv.DictWriter(handle, columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    return path


def treatment(model, text, weight=70.0):
    return Regimen.parse(text, weight)


@pytest.fixture(scope="module")
def rows(model):
    return read_cases(model)


def test_the_homocysteine_cases_are_the_published_table_row_by_row_with_its_bands(rows):
    table = read_data("literature/homocysteine")
    own = {r.id: r for r in rows if r.file == "homocysteine.csv"}
    assert list(own) == list(table["id"])
    for _, published in table.iterrows():
        row = own[published["id"]]
        assert row.case == published["case"]
        assert (row.low, row.high) == (float(published["accept_low"]), float(published["accept_high"]))
        assert row.sources == tuple(s for s in published["reference"].split(";") if s in row.sources)
        assert math.isfinite(row.observed)


def test_label_values_of_25_and_50_mg_have_bands_of_20_percent_and_match_the_published_table(rows):
    table = read_data("literature/pharmacokinetics")
    label = table[table["study"] == "Rozebalamin label 16.1.1"]
    published = {(float(r["dose"]), r["analyte"]): float(r["value"]) for _, r in label.iterrows()}
    found = {r.id: r for r in rows}
    names = {"P01a": "plasma MeCbl Cmax", "P01b": "AUC0-inf", "P01c": "t1/2", "P03a": "tmax (median)"}
    names |= {"P02a": "plasma MeCbl Cmax", "P02b": "AUC0-inf", "P02c": "t1/2", "P03b": "tmax (median)"}
    for key, analyte in names.items():
        row, value = found[key], published[float(found[key].text["interventions"].split()[0]), analyte]
        assert row.observed == value
        assert (row.low, row.high) == pytest.approx((0.8 * value, 1.2 * value))


def test_all_shipped_rows_obey_the_json_schema_and_the_schema_knows_every_column_and_metric(rows):
    schema = json.loads((experiments_dir() / "cases" / "schema.json").read_text(encoding="utf-8"))
    assert tuple(schema["properties"]) == COLUMNS
    assert schema["properties"]["metric"]["enum"] == list(METRICS)
    validator = jsonschema.Draft202012Validator(schema)
    assert len(rows) > 100
    for row in rows:
        assert list(validator.iter_errors(dict(row.text))) == []
    for change in ({"low": "nan"}, {"source": ""}, {"metric": "slope"}, {"role": "fit"}, {"match": "12 uM"}):
        assert list(validator.iter_errors(GOOD | change)), change


def test_the_first_nine_cases_and_the_b12_deficient_state_must_pass(rows):
    must = {r.case for r in rows if r.must_pass and r.file == "homocysteine.csv"}
    assert must == {*(f"C{i:02d}" for i in range(1, 10)), "C12"}
    # S09 is how the published table wants C09c represented; the others belong to studies that are fitted
    assert {r.case for r in rows if r.file == "supplementary.csv" and r.must_pass} == {"S09"}
    fitted = {r.case for r in rows if r.file == "supplementary.csv" and r.role != "check"}
    assert fitted == {"S09", "S15", "S19", "S28", "S29"}


def test_every_row_a_fit_may_use_says_its_split_and_since_when(rows):
    assert all(r.split in SPLITS and r.fixed for r in rows if r.role == "calibration")


def test_every_enzyme_scales_capacities_that_exist(model):
    known = equations(model).parameters
    for name, parameters in enzymes().items():
        assert set(parameters) <= set(known), name
        holds = treatment(model, f"enzyme {name.lower()} x 0.5 lifelong").holds
        assert [h.parameter for h in holds] == list(parameters)
        assert {(h.how, h.value, h.start) for h in holds} == {("x", 0.5, -math.inf)}


def test_a_supply_is_the_molar_daily_dose_per_hour(model):
    (hold,) = treatment(model, "0.4 mg/d folic acid from 1 d for 2 weeks").holds
    assert hold == Hold("FOLATE_DIET_rate", "+", hold.value, 24.0, 24.0 + 336.0)
    assert hold.value == pytest.approx(0.4e3 / 441.40 / 24)
    (hold,) = treatment(model, "100 mg/kg/d betaine until 0 h", weight=50).holds
    assert hold.value == pytest.approx(100e3 * 50 / 117.15 / 24)
    assert (hold.start, hold.end) == (-math.inf, 0.0)
    (hold,) = treatment(model, "fortification 140 ug/day folic acid lifelong").holds
    assert hold.value == pytest.approx(140 / 441.40 / 24)
    # a gram of phosphatidylcholine carries less choline than a gram of choline
    lecithin, choline = (treatment(model, f"1 g/d {s}").holds[0].value for s in ("lecithin", "choline"))
    assert lecithin / choline == pytest.approx(104.17 / 758.06)


def test_doses_per_kg_and_for_a_time_become_a_regimen(model):
    regimen = treatment(model, "100 mg/kg methionine oral", weight=62)
    assert (regimen.start, regimen.total("methionine")) == (0.0, pytest.approx(100e3 * 62 / 149.21))
    regimen = treatment(model, "3 g betaine oral twice daily from -1 weeks for 6 weeks")
    assert (regimen.start, len(regimen.doses), regimen.doses[-1].time) == (-168.0, 84, 83 * 12 - 168.0)


def test_a_set_held_for_a_while_and_gas_and_inputs_are_holds(model):
    holds = treatment(
        model, "fasting from -12 h for 36 h; nitrous oxide 60 % for 5 h; GFR_rel x 0.25; MET_DIET_rate = 24 mmol/d"
    ).holds
    found = {(h.parameter, h.how): h for h in holds}
    assert found["MET_DIET_rate", "="].value == pytest.approx(1000.0)
    assert {h.origin for h in holds if h.end == 24.0} == {"fasting"}
    assert found["N2O_inspired", "="] == Hold("N2O_inspired", "=", 0.6, 0.0, 5.0)
    assert found["GFR_rel", "x"] == Hold("GFR_rel", "x", 0.25, 0.0, math.inf)
    assert treatment(model, "none") == Regimen()


def test_a_population_is_for_life_and_has_a_weight(model):
    found, weight = read_population("set als_patient; GFR_rel = 0.5; weight = 62 kg")
    assert weight == 62.0
    assert {h.start for h in found.holds} == {-math.inf}
    assert found.holds[-1] == Hold("GFR_rel", "=", 0.5, -math.inf, math.inf)


@pytest.mark.parametrize(
    ("text", "error", "words"),
    [
        ("0.4 mg/d folate acid", UnknownName, "Did you mean"),
        ("1 mg/d cyanocobalamin", InvalidRegimen, "give doses, e.g. '1 mg cyanocobalamin oral daily x 84'"),
        ("0.4 mL/d folic acid", UnitMismatch, "mass or an amount per day"),
        ("-1 mg/d folic acid", InvalidValue, "not negative"),
        ("enzyme CBSS x 0.5", UnknownName, "Did you mean 'CBS'"),
        ("set fastng", UnknownName, "Did you mean 'fasting'"),
        ("nitrous oxide 130 %", InvalidValue, "between 0 and 1"),
        ("GFR_rell x 0.5", UnknownName, "Did you mean 'GFR_rel'"),
        ("MET_DIET_rate = 5 uM", UnitMismatch, "not in umol/h"),
        ("50 mg im lifelong", InvalidRegimen, "cannot go on for life"),
        ("3 g betaine oral daily x 4 for 4 d", InvalidRegimen, "keep one of 'x' and 'for'"),
        ("fasting for 0 h", InvalidValue, "above 0"),
        ("give them folate", InvalidRegimen, "cannot read 'give them folate'"),
    ],
)
def test_an_intervention_that_cannot_be_read_says_what_to_write(model, text, error, words):
    with pytest.raises(error, match=re.escape(words)):
        treatment(model, text)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("hcy_plasma 12 uM by FOLATE_DIET_rate", "cannot read the baseline"),
        ("hcy_plasm = 12 uM by FOLATE_DIET_rate", "Did you mean 'hcy_plasma'"),
        ("hcy_plasma = 12 uM by FOLATE_DIET", "Did you mean 'FOLATE_DIET_rate'"),
        ("hcy_plasma = 12 mg by FOLATE_DIET_rate", "not in uM"),
        ("hcy_plasma = 0 uM by FOLATE_DIET_rate", "above 0"),
        (
            "hcy_plasma = 12 uM by FOLATE_DIET_rate; folate_plasma = 9 nM by FOLATE_DIET_rate",
            "'FOLATE_DIET_rate' twice",
        ),
    ],
)
def test_a_baseline_that_cannot_be_read_says_what_to_write(model, text, words):
    system = equations(model)
    with pytest.raises(MetabolismError, match=re.escape(words)):
        read_match(text, system.units, system.parameters)


@pytest.mark.parametrize(
    ("change", "column", "words"),
    [
        ({"source": ""}, "source", "give a BibTeX key, DOI, PMID or address"),
        ({"source": "HLT2055"}, "source", "Did you mean 'HLT2005'"),
        ({"observable": "hcy_plasm"}, "observable", "Did you mean 'hcy_plasma'"),
        ({"observable": "hcy_plasma + met_gut"}, "observable", "different units"),
        ({"unit": "uM"}, "unit", "does not fit: this number is in %"),
        ({"unit": "parsnips"}, "unit", "cannot be read"),
        ({"unit": "mg/L", "metric": "value", "observable": "serine_liver"}, "unit", "this number is in uM"),
        ({"unit": "fold"}, "unit", "'fold' cannot be read; this number is in %"),
        ({"observable": "sam_plasma / sah_plasma", "metric": "value", "unit": "uM"}, "unit", "is in dimensionless"),
        ({"observable": "sam_plasma / sah_plasma / met_plasma"}, "observable", "more than one '/'"),
        ({"observable": "sam_plasma /"}, "observable", "an output is missing"),
        ({"reading": "12 weeks fasting for 12"}, "reading", "write '12 h', '12 d' or '12 weeks'"),
        ({"population": "hcy_plasma = 12 uM"}, "population", "in column 'match'"),
        ({"population": "GFR_rel = 40"}, "population", "bounds of 0.02 to 3 than can be meant"),
        ({"interventions": "GFR_rel x 1e9"}, "interventions", "than can be meant"),
        ({"interventions": "GFR_rel = 1.6 every 56 h"}, "interventions", "for 4 h every 56 h x 36"),
        ({"interventions": "300 mg nicotinamide oral"}, "interventions", "write a steady supply: '1 g/d nicotinamide'"),
        ({"unit": "% of dose", "metric": "value"}, "unit", "needs an amount such as cbl_urine"),
        ({"metric": "percent_chang"}, "metric", "Did you mean 'percent_change'"),
        ({"metric": "ratio", "unit": "dimensionless"}, "against", "compares with one other arm, and 0 given"),
        ({"metric": "ordering", "unit": "dimensionless"}, "against", "at least one other arm"),
        ({"against": "none"}, "against", "compares with no other arm, and 1 given"),
        ({"reading": "0 h to 24 h"}, "reading", "reads single times"),
        ({"reading": "12 kg"}, "reading", "not in h"),
        ({"reading": "-3 h"}, "reading", "before time 0"),
        ({"metric": "peak", "unit": "uM"}, "reading", "reads a window"),
        ({"metric": "peak", "unit": "uM", "reading": "24 h to 3 h"}, "reading", "end after it begins"),
        ({"low": "nan"}, "low", "'nan' is not allowed"),
        ({"high": "many"}, "high", "cannot be read as one number"),
        ({"observed": "inf"}, "observed", "not allowed"),
        ({"low": ""}, "low", "is empty"),
        ({"low": "3"}, "low", "upside down"),
        ({"role": "fit"}, "role", "write calibration or check"),
        ({"must_pass": "perhaps"}, "must_pass", "write yes or no"),
        ({"population": "set alss_patient"}, "population", "Did you mean 'als_patient'"),
        ({"population": "50 mg im"}, "population", "is a dose, and a population is for life"),
        ({"population": "GFR_rel = 0.5 until 0 h"}, "population", "move it to interventions"),
        ({"population": "weight = 3 g"}, "population", "between 1 and 500 kg"),
        ({"match": "hcy_plasma = 12 by FOLATE_DIET_rate"}, "match", "cannot read the baseline"),
        ({"interventions": "0.4 g/d sugar"}, "interventions", "no substance 'sugar'"),
        ({"interventions": "set als_patient"}, "interventions", "say it under 'population'"),
        ({"reading": "1,5 h"}, "reading", "cannot read the time '1'; write a number and its unit"),
        ({"reading": "12"}, "reading", "cannot read the time '12'"),
        ({"reading": "9**9**9 h"}, "reading", "cannot read the time"),
        ({"reading": "12 weeks fasting"}, "reading", "at 0 h arm 1 has not fasted; nearest is a fast of 8 h"),
        (
            {"reading": "12 weeks fasting for 3 h"},
            "reading",
            "at 0 h arm 1 has fasted for 3 h; nearest is a fast of 8 h",
        ),
        (
            {"mixture": "0.5 none | 0.4 set mthfr_677tt"},
            "mixture",
            "sum to 0.9, not to one, or one is 0; the nearest that do are 0.556 + 0.444",
        ),
        ({"mixture": "0 none | 1 set mthfr_677tt"}, "mixture", "or one is 0"),
        ({"mixture": "none | set mthfr_677tt"}, "mixture", "write a share and who it is"),
        ({"mixture": "0.5 weight = 60 kg | 0.5 none"}, "mixture", "put it into 'population'"),
        ({"mixture": "spread FOLATE_DIET_rate 0-fold"}, "mixture", "lies above 1"),
        ({"mixture": "spread FOLATE_DIET 2-fold"}, "mixture", "Did you mean 'FOLATE_DIET_rate'"),
        (
            {"match": "cbl_plasma = 300 pM by CBL_DIET_rate", "mixture": "1 cbl_plasma = 200 pM by CBL_DIET_rate"},
            "mixture",
            "by an input of its own",
        ),
        ({"match": "serine_liver = 12 mg/L by CBL_DIET_rate"}, "match", "not in uM"),
        ({"split": "training 2026-11-29"}, "split", "write fit, cross-validation, check, check in view"),
        ({"split": "check"}, "split", "is no split"),
        ({"split": "check 29.11.2026"}, "split", "write year-month-day"),
        ({"split": "fit 2026-11-29"}, "split", "has rows of role calibration, and this one says check"),
    ],
)
def test_a_bad_row_is_refused_with_file_line_row_column_and_remedy(model, tmp_path, change, column, words):
    path = write(tmp_path / "mine.csv", GOOD, GOOD | {"row": "M01b"} | change)
    with pytest.raises(InvalidCase) as caught:
        read_cases(model, [path])
    text = str(caught.value)
    assert f"mine.csv line 3 (row M01b), column '{column}'" in text
    assert words in text
    assert caught.value.exit_code == 2


def test_a_study_is_in_one_split_over_all_files_and_every_row_says_so_with_its_day(model, tmp_path):
    first = write(tmp_path / "one.csv", GOOD | {"split": "check in view 2026-11-29"})
    other = GOOD | {"case": "M02", "row": "M02a", "study": "another group", "source": "HLT2005;HLT1998"}
    second = write(tmp_path / "two.csv", other | {"split": "check 2026-11-28"})
    (row,) = read_cases(model, [first])
    assert (row.split, row.fixed, row.publication) == ("check in view", "2026-11-29", "HLT2005")
    with pytest.raises(
        InvalidCase, match=re.escape("the study 'HLT2005' is 'check' here and 'check in view' in one.csv")
    ):
        read_cases(model, [first, second])
    # files that say nothing of a split, such as those of the first schema, are not judged
    write(tmp_path / "two.csv", other | {"role": "calibration"})
    assert len(read_cases(model, [first, second])) == 2


def test_a_mass_in_a_baseline_or_a_unit_is_an_amount_by_the_molar_mass_of_what_is_measured(model, tmp_path):
    path = write(
        tmp_path / "mine.csv",
        GOOD | {"match": "cbl_plasma = 200 pg/mL by CBL_DIET_rate; hcy_plasma = 1.5 mg/L by HCY_CLEARANCE_CL"},
        GOOD
        | {
            "row": "M01b",
            "match": "cbl_plasma = 0.2 ug/L by CBL_DIET_rate; folate_plasma = 6 ng/mL by FOLATE_DIET_rate",
        },
        GOOD | {"row": "M01c", "metric": "value", "unit": "ng/mL", "observable": "folate_plasma"},
    )
    first, second, third = read_cases(model, [path])
    assert [t.value for t in first.arms[0].targets] == pytest.approx([0.2 / 1344.38, 1500 / 135.18])
    assert [t.value for t in second.arms[0].targets] == pytest.approx([0.2 / 1344.38, 6 / 441.40])
    assert third.factor == pytest.approx(441.40)


def test_shares_and_spreads_of_independent_groups_multiply(model, tmp_path):
    mixture = "75 % none | 25 % GFR_rel = 0.5; cbl_plasma = 200 pM by CBL_DIET_rate & spread FOLATE_DIET_rate 2-fold"
    (row,) = read_cases(
        model, [write(tmp_path / "mine.csv", GOOD | {"population": "GFR_rel = 0.9", "mixture": mixture})]
    )
    members = row.arms[0].members
    assert [m.share for m in members] == pytest.approx([w * s for w in (0.75, 0.25) for s in (1 / 6, 2 / 3, 1 / 6)])
    assert [len(m.targets) for m in members] == [0, 0, 0, 1, 1, 1]
    factors = [m.population.holds[-1].value for m in members]
    assert factors == pytest.approx(2 * [2 ** -(3**0.5), 1, 2 ** (3**0.5)])
    # the logarithm has mean 0 and the standard deviation stated
    logs = [math.log(f, 2) for f in factors]
    assert sum(m.share * x for m, x in zip(members, logs, strict=True)) == pytest.approx(0, abs=1e-12)
    assert sum(m.share * x * x for m, x in zip(members, logs, strict=True)) == pytest.approx(1)
    assert [h.value for h in members[-1].population.holds] == pytest.approx([0.9, 0.5, factors[-1]])


def test_all_problems_of_a_file_are_listed_at_once(model, tmp_path):
    path = write(tmp_path / "mine.csv", GOOD | {"unit": "kg", "role": "x"}, GOOD | {"low": "nan"})
    with pytest.raises(InvalidCase) as caught:
        read_cases(model, [path])
    text = str(caught.value)
    assert text.count("mine.csv line") == 5, "two problems of line 2, two of line 3 and the place of the first use"
    assert "'M01a' is already used in mine.csv line 2; give every row its own id" in text


def test_rows_of_a_case_must_agree_and_a_file_must_be_a_case_file(model, tmp_path):
    path = write(tmp_path / "mine.csv", GOOD, GOOD | {"row": "M01b", "must_pass": "yes"})
    with pytest.raises(InvalidCase, match="differ in role or must_pass"):
        read_cases(model, [path])
    for name, text, words in (
        ("gone.csv", None, "cannot be read"),
        ("empty.csv", "", "has no column"),
        ("heads.csv", ",".join(COLUMNS) + "\n", "no row to run"),
        ("twice.csv", ",".join((*COLUMNS, "low")) + "\n", "has the column 'low' twice"),
        ("typo.csv", ",".join(COLUMNS).replace("metric", "metrik") + "\n", "Did you mean 'metric'"),
        ("excel.csv", ";".join(COLUMNS) + "\n", "save the file with commas"),
        ("short.csv", ",".join(COLUMNS) + "\nM01,M01a\n", "fields under"),
        ("binary.csv", b"\xff\xfe\x00case", "utf-8"),
    ):
        path = tmp_path / name
        if text is not None:
            path.write_bytes(text if isinstance(text, bytes) else text.encode())
        with pytest.raises(InvalidCase, match=words):
            read_cases(model, [path])


def test_columns_that_may_be_left_out_may_be_left_out(model, tmp_path):
    needed = (
        "case",
        "row",
        "source",
        "interventions",
        "reading",
        "observable",
        "unit",
        "metric",
        "low",
        "high",
        "role",
    )
    path = write(tmp_path / "mine.csv", {k: GOOD[k] for k in needed}, columns=needed)
    (row,) = read_cases(model, [path])
    assert math.isnan(row.observed)
    assert not row.must_pass


def test_the_documentation_shows_every_column_metric_and_kind_of_intervention(model, tmp_path):
    text = DOCS.read_text(encoding="utf-8")
    blocks = re.findall(r"```csv\n(.*?)```", text, re.DOTALL)
    assert len(blocks) == 4
    used = set()
    for number, block in enumerate(blocks):
        path = tmp_path / f"{number}.csv"
        path.write_text(block, encoding="utf-8")
        assert set(next(csv.reader(io.StringIO(block)))) <= set(COLUMNS)
        used |= {r.text["metric"] for r in read_cases(model, [path])}
    assert used == set(METRICS)
    for name in (*COLUMNS, *METRICS, *SPLITS):
        assert f"`{name}`" in text, name
    mixtures = re.findall(r"^\| `(.+?)` \| ", text.split("## Mixtures")[1].split("## Fasting")[0], re.MULTILINE)
    assert len(mixtures) == 4
    for mixture in mixtures:
        path = write(tmp_path / "mixture.csv", GOOD | {"mixture": mixture.replace("\\|", "|")})
        (row,) = read_cases(model, [path])
        assert len(row.arms[0].members) > 1
    table = text.split("## Interventions")[1].split("## Metrics")[0]
    examples = re.findall(r"\| `([^`]+)` \|\n", table)
    assert len(examples) > 20
    for example in examples:
        found = treatment(model, example)
        assert found or example == "none", example


def test_case_files_are_shipped_and_named_in_the_documentation():
    text = DOCS.read_text(encoding="utf-8")
    assert {p.name for p in shipped()} >= {"homocysteine.csv", "pharmacokinetics.csv", "supplementary.csv"}
    for path in shipped():
        assert f"`experiments/cases/{path.name}`" in text, path.name


def test_a_ratio_of_outputs_and_masses_of_what_is_only_measured_are_read(model, tmp_path):
    asked = {
        ("sam_plasma / sah_plasma", "dimensionless"): ("sam_plasma", "sah_plasma", 1),
        ("sam_plasma / hcy_plasma", "%"): ("sam_plasma", "hcy_plasma", 100),
        ("mma_plasma", "ng/mL"): ("mma_plasma", None, 118.09),
        ("plp_plasma", "ng/mL"): ("plp_plasma", None, 247.14),
    }
    plain = {"metric": "value", "interventions": "", "match": "", "reading": "rest", "low": "0", "high": "inf"}
    rows = [
        GOOD | plain | {"row": f"M{i}", "observable": o, "unit": unit, "observed": ""}
        for i, (o, unit) in enumerate(asked)
    ]
    made = predict(model, read_cases(model, [write(tmp_path / "mine.csv", *rows)])).values[:, 0]
    start = model.values
    expected = [factor * start[above] / (start[below] if below else 1) for above, below, factor in asked.values()]
    assert made == pytest.approx(expected, rel=1e-6)
