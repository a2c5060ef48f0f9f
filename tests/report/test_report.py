"""Reports: self-contained, complete, honest about change, and readable from the folders alone."""

from __future__ import annotations

import re
import tomllib
from html.parser import HTMLParser

import pandas as pd
import pytest

import metabolism.report.registry as registry
from metabolism import Claim, Outcome
from metabolism.cli import main
from metabolism.data import experiments_dir
from metabolism.errors import InvalidValue, OutputError
from metabolism.plotting import new_figure
from metabolism.report.pages import finished_runs, linked, previous_run, read_run, verdict, write_index

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
        self.found, self.tags, self.ids = [], [], []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.found += [v for k, v in attrs if k in ("src", "href", "srcset", "action")]
        self.ids += [(k, v) for k, v in attrs if k == "id"]


def parsed(path):
    reader = _Links()
    reader.feed(path.read_text(encoding="utf-8"))
    return reader


def test_a_report_asks_for_nothing_outside_itself(runs):
    out, _, second = runs
    index = write_index(out, {"toy": "Does it work?"}, {})
    for page in (second / "report.html", index):
        reader = parsed(page)
        beside = [link for link in reader.found if not link.startswith(("data:", "#", "https://doi.org/10."))]
        # raw tables and drawings lie in the folder of the run
        assert beside
        assert all((page.parent / link).is_file() for link in beside), beside
        ends = {value for _, value in reader.ids}
        assert {link[1:] for link in reader.found if link.startswith("#")} <= ends
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


def test_a_table_of_another_shape_is_said_to_differ(runs, monkeypatch):
    out, _, second = runs
    monkeypatch.setitem(ANSWERS, "rows", 30)
    third = registry.run("toy", out=out)[1]
    run = read_run(third, {}, second)
    (raw,) = run["raw"]
    assert raw["note"] == "its shape changed"
    assert raw["length"] == 30
    text = (third / "report.html").read_text(encoding="utf-8")
    assert "Z first</a>: 30 rows, 2 columns (week, change [points])" in text
    assert "A second</h2>" in text


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


@pytest.mark.parametrize("text", ['{"question": ', "[]", "{}", '{"question": "x"}', "[" * 100_000], ids=range(5))
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
    assert verdict("toy.c", claim.holds, claim.role, {"toy.c": reason} if reason else {})[0] == word


def test_dois_are_links_and_other_text_is_escaped():
    html = str(linked("See <doi:10.1001/jama.2022.0901>; or doi:10.1/short."))
    assert '<a href="https://doi.org/10.1001/jama.2022.0901">doi:10.1001/jama.2022.0901</a>' in html
    assert html.startswith("See &lt;")
    said = str(linked("-4.63 points; P-3, 2026-11 and `run -5`"))
    assert said == "−4.63 points; P-3, 2026-11 and <code>run -5</code>"
    assert "doi.org/10.1/" not in html


def test_every_shipped_figure_has_a_caption_and_every_caption_a_figure():
    folder = experiments_dir()
    captions = tomllib.loads((folder / "captions.toml").read_text(encoding="utf-8"))
    drawn = {
        path.stem: set(re.findall(r'"(\d_[a-z0-9_]+)"', path.read_text(encoding="utf-8")))
        for path in folder.glob("*.py")
    }
    notes = [note for texts in captions.values() for note in texts.pop("notes", [])]
    assert {name: set(texts) for name, texts in captions.items()} == {k: v for k, v in drawn.items() if v}
    assert all(t.endswith(".") and len(t) > 40 for t in [*notes, *(t for c in captions.values() for t in c.values())])


def test_a_table_is_read_at_any_width_and_its_heads_stand_over_their_numbers(runs):
    _, folder, _ = runs
    page = (folder / "report.html").read_text(encoding="utf-8")
    assert '<th class="n">week</th>' in page
    for head in ("Model", "Published", "Band", "Unit", "Verdict", "Source"):
        assert f'data-head="{head}"' in page  # what a card on a telephone calls each cell
    # a key breaks between its words, never within one
    assert "Oki<wbr>2022</a>" in page
    assert linked("see https://example.org/a-1.").endswith(
        '<a href="https://example.org/a-1">https://example.org/a-1</a>.'
    )
    assert linked("from -0.3 to `x -1`") == "from −0.3 to <code>x -1</code>"


def test_two_claims_of_one_name_are_refused():
    one = Claim("slope", "A slope", 1, 1, 0, 2, "", "Oki2022")
    with pytest.raises(InvalidValue, match="two claims are called 'slope'"):
        Outcome("twice", [one, one])


def test_numbers_in_a_text_are_typeset():
    assert linked("6.1e-13 to 3e+02 per h, 9.9 uM, doi:10.1234/a-2e-05") == (
        '6.1 × 10⁻¹³ to 3 × 10² per h, 9.9 µM, <a href="https://doi.org/10.1234/a-2e-05">doi:10.1234/a-2e-05</a>'
    )
