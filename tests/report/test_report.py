"""Reports: self-contained, complete, honest about change, and readable from the folders alone."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import pandas as pd
import pytest

import metabolism.report.registry as registry
from metabolism import Claim, Outcome
from metabolism.cli import main
from metabolism.errors import OutputError
from metabolism.plotting import new_figure
from metabolism.report.pages import _table, finished_runs, linked, number, previous_run, read_run, verdict, write_index

ANSWERS = {"value": 5.0, "rows": 3}


def _answer(ctx):
    value = ANSWERS["value"]
    table = pd.DataFrame(
        {"week": range(ANSWERS["rows"]), "change [points]": [value * i for i in range(ANSWERS["rows"])]}
    )
    return Outcome(
        answer=f"It is {value}.\nSecond <paragraph>.",
        claims=[
            Claim("inside", "A value inside its band", value, 5, 4, 6, "points", "Oki2022"),
            Claim("gap", "A value known to miss", 1.0, 5, 4, 6, "points", "Kaji2019", "stays"),
            Claim("miss", "A value that misses", float("nan"), 5, 4, 6, "points", "Oki2022"),
        ],
        tables={"z_first": table, "a_second": table.head(1)},
        cited=["Zoccolella2008"],
        notes=["Keep this in mind."],
    )


def _figures(outcome):
    figure, axes = new_figure()
    axes.plot([0, 1], [0, ANSWERS["value"]])
    axes.set_xlabel("time [weeks]")
    return {"1_line": figure, "2_drawing": '<svg class="fluxmap" viewBox="0 0 1 1"></svg>'}


@pytest.fixture
def runs(tmp_path, monkeypatch):
    """Two runs of one experiment, the second with another value."""
    chosen = registry.Experiment("toy", "A toy", "Does it work?", "Oki2022", _answer, _figures)
    monkeypatch.setattr(registry, "get_experiment", lambda name: chosen)
    monkeypatch.setattr(registry, "known_gaps", lambda: {"toy.gap": "because"})
    folders = []
    for value in (5.0, 7.0):
        monkeypatch.setitem(ANSWERS, "value", value)
        folders.append(registry.run("toy", out=tmp_path)[1])
    return tmp_path, *folders


class _Links(HTMLParser):
    def __init__(self):
        super().__init__()
        self.found, self.tags = [], []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.found += [v for k, v in attrs if k in ("src", "href", "srcset", "action")]


def parsed(path):
    reader = _Links()
    reader.feed(path.read_text(encoding="utf-8"))
    return reader


def test_a_report_asks_for_nothing_outside_itself(runs):
    out, _, second = runs
    index = write_index(out, {"toy": "Does it work?"}, {})
    for page in (second / "report.html", index):
        reader = parsed(page)
        inside = [link for link in reader.found if not link.startswith(("data:", "https://doi.org/10."))]
        anchors = [link for link in inside if link.startswith("#")]
        assert all(f'id="{link[1:]}"' in page.read_text(encoding="utf-8") for link in anchors), anchors
        # what else is linked lies in the folder of its run
        files = {(page.parent / link).resolve() for link in inside if link not in anchors}
        assert len(files) >= 3
        assert all(file.is_file() and second.resolve() in file.parents for file in files), files
        assert "script" not in reader.tags
        assert "link" not in reader.tags
        assert "@import" not in page.read_text(encoding="utf-8")
        assert "@media print" in page.read_text(encoding="utf-8")


def test_a_report_says_everything_of_its_run(runs):
    _, first, _ = runs
    text = (first / "report.html").read_text(encoding="utf-8")
    for words in (
        "Does it work?",
        "It is 5.0.",
        "Second &lt;paragraph&gt;.",
        "Keep this in mind.",
        "known gap",
        "because",
        ">fails<",
        ">holds<",
        "Zoccolella2008",
        "Kaji2019",
        "4 to 6",
        "change [points]",
        "figures/1_line.svg",
    ):
        assert words in text, words
    assert text.index("Z first") < text.index("A second")
    assert "Compared with the run" not in text


def test_differences_from_the_run_before_are_marked(runs):
    _, first, second = runs
    assert previous_run(second) == first
    assert previous_run(first) is None
    text = (second / "report.html").read_text(encoding="utf-8")
    assert "1 of 3 claims changed" in text
    assert "was 5 and the verdict was different" in text
    assert "same equations, values, data, seed and versions" in text
    assert "2 values changed" in text
    run = read_run(second, {}, first)
    assert [[c.before for c in row] for row in run["tables"][0]["rows"]] == [["", ""], ["", "5"], ["", "10"]]


def test_what_rounding_leaves_is_no_number():
    assert [number(x) for x in (-8.882e-16, 2e-15, 0.0, -4.63456)] == ["0", "2e−15", "0", "−4.635"]


def test_a_wide_table_stands_upright_or_is_cut_and_linked():
    wide = pd.DataFrame({f"c{i}": [f"a{i}", f"b{i}"] for i in range(12)})
    upright = _table("wide", wide, None)
    assert upright["columns"] == ["c0", "a0", "b0"]
    assert [cell.text for cell in upright["rows"][-1]] == ["c11", "a11", "b11"]
    long = _table("long", pd.concat([wide] * 10), None)
    assert (long["columns"], {len(row) for row in long["rows"]}) == ([f"c{i}" for i in range(8)], {8})
    assert long["note"] == "First 8 of 12 columns"


def test_a_table_of_another_shape_is_said_to_differ(runs, monkeypatch):
    out, _, second = runs
    monkeypatch.setitem(ANSWERS, "rows", 30)
    third = registry.run("toy", out=out)[1]
    run = read_run(third, {}, second)
    assert run["tables"][0]["note"] == "Since the previous run its shape changed"
    assert (len(run["tables"][0]["rows"]), run["tables"][0]["length"]) == (20, 30)


def test_a_quick_run_never_stands_for_a_full_one(runs):
    out, first, second = runs
    quick = registry.run("toy", out=out, quick=True)[1]
    assert finished_runs(out / "toy") == [quick, first, second]
    assert previous_run(quick) is None


def test_the_index_counts_and_names_what_was_not_run(runs):
    out, *_ = runs
    text = write_index(out, {"toy": "Does it work?", "later": "And this?"}, {"toy.gap": "because"}).read_text(
        encoding="utf-8"
    )
    assert "0 hold, 0 miss and are the finding, 1 miss for a known reason, 2 fail" in text
    assert "metabolism run later" in text
    assert re.search(r'<section class="run" id="toy">', text)


def test_an_empty_folder_is_an_error_with_a_remedy(tmp_path, capsys):
    with pytest.raises(OutputError, match="metabolism run jetals"):
        write_index(tmp_path / "none", {"toy": "?"}, {})
    assert main(["report", "--out", str(tmp_path)]) == 1
    assert "no finished run" in capsys.readouterr().err


def test_the_report_command_shows_the_whole_system(runs, monkeypatch, capsys):
    out, *_ = runs
    monkeypatch.setattr("metabolism.report.experiment_names", lambda: ["toy"])
    monkeypatch.setattr("metabolism.report.get_experiment", registry.get_experiment)
    assert main(["report", "--out", str(out)]) == 0
    assert str(out / "index.html") in capsys.readouterr().out
    assert 'data-reaction="MS_liver"' in (out / "index.html").read_text(encoding="utf-8")


@pytest.mark.parametrize("text", ['{"question": ', "[]", "{}", '{"question": "x"}'])
def test_a_damaged_older_run_stands_in_nobodys_way(runs, text):
    tmp_path = runs[0]
    broken = tmp_path / "toy" / "20260101T000000_000000Z"
    (broken / "tables").mkdir(parents=True)
    (broken / "manifest.json").write_text(text, encoding="utf-8")
    _, folder = registry.run("toy", out=tmp_path)
    assert (folder / "report.html").is_file()
    assert write_index(tmp_path, {"toy": "Does it work?"}, {}).is_file()
    (folder / "tables" / "z_first.csv").write_bytes(b"\xff\xfe\x00")
    assert (registry.run("toy", out=tmp_path)[1] / "report.html").is_file()


@pytest.mark.parametrize(
    ("role", "predicted", "reason", "word"),
    [
        ("check", 1, "", "holds"),
        ("calibration", 1, "", "by construction"),
        ("input", 1, "", "by construction"),
        ("check", 9, "", "fails"),
        ("input", 9, "", "fails"),
        ("check", 9, "lost data", "known gap"),
        ("check", 9, "This miss is the finding: no drug does that.", "finding"),
    ],
)
def test_what_was_fitted_or_put_in_is_never_counted_as_holding(role, predicted, reason, word):
    claim = Claim("c", "a number", predicted, 1, 0, 2, "", "Oki2022", role=role)
    assert verdict("toy", claim, {"toy.c": reason} if reason else {})[0] == word


def test_dois_are_links_and_other_text_is_escaped():
    html = str(linked("See <doi:10.1001/jama.2022.0901>; or doi:10.1/short."))
    assert '<a href="https://doi.org/10.1001/jama.2022.0901">doi:10.1001/jama.2022.0901</a>' in html
    assert html.startswith("See &lt;")
    assert "doi.org/10.1/" not in html
