"""The site: built without a warning, complete, every internal link followed, searchable, self-contained."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

import metabolism as mb
from metabolism.model import equations, positions
from metabolism.report import experiment_names

ROOT = Path(__file__).resolve().parent.parent
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The built site; notebooks are executed by their own test."""
    out = tmp_path_factory.mktemp("site")
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "sphinx",
            "-W",
            "--keep-going",
            "-q",
            "-b",
            "html",
            "-d",
            str(out / "trees"),
            str(ROOT / "docs"),
            str(out / "html"),
        ],
        env=os.environ | {"DOCS_NOTEBOOKS": "off"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return out / "html"


class _Page(HTMLParser):
    def __init__(self, text):
        super().__init__()
        self.links, self.loaded, self.ids = [], [], set()
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        attrs = dict(attrs)
        self.ids |= {v for k, v in attrs.items() if k in ("id", "name") and v}
        if tag == "a" and attrs.get("href"):
            self.links.append(attrs["href"])
        if tag in ("script", "img", "iframe") and attrs.get("src"):
            self.loaded.append(attrs["src"])
        if tag == "link" and attrs.get("rel") in ("stylesheet", "preload") and attrs.get("href"):
            self.loaded.append(attrs["href"])


@pytest.fixture(scope="module")
def pages(site):
    return {p: _Page(p.read_text(encoding="utf-8")) for p in site.rglob("*.html") if "_static" not in p.parts}


def test_every_internal_link_leads_somewhere(site, pages):
    broken = []
    for page, content in pages.items():
        for link in {*content.links, *content.loaded}:
            parts = urlsplit(link)
            if parts.scheme or parts.netloc or link in ("#", ""):
                continue
            target = (page.parent / unquote(parts.path)).resolve() if parts.path else page
            if not target.exists():
                broken.append(f"{page.relative_to(site)}: {link}")
            elif parts.fragment and target in pages and unquote(parts.fragment) not in pages[target].ids:
                broken.append(f"{page.relative_to(site)}: {link} has no such heading")
    assert broken == []


def test_nothing_is_loaded_from_elsewhere(site, pages):
    foreign = {
        link for content in pages.values() for link in content.loaded if urlsplit(link).netloc and "mathjax" not in link
    }
    assert foreign == set()


def test_every_page_has_its_icon_and_a_mode_of_light_and_dark(site):
    assert (site / "_static" / "icon.svg").is_file()
    for name in ("index.html", "start.html"):
        text = (site / name).read_text(encoding="utf-8")
        assert re.search(r'<link[^>]+href="_static/icon.svg"', text), name
        assert 'data-default-mode="auto"' in text, name


def test_the_science_is_complete(site, model):
    system = equations(model)
    text = (site / "_generated/equations.html").read_text(encoding="utf-8")
    headings = set(re.findall(r"<h3>(\w+)", text))
    assert {*system.reactions, *system.rules, *system.rate_rules} <= headings
    assert text.count("<math") == len(headings)
    text = (site / "_generated/parameters.html").read_text(encoding="utf-8")
    assert set(re.findall(r"<td[^>]*><code>(\w+)</code>", text)) == set(model.table)
    row = model.table["MS_liver_Km_hcy"]
    assert f"{row.value:.5g}" in text
    assert row.source.split(";")[0] in text
    text = (site / "_generated/flux_map.html").read_text(encoding="utf-8")
    assert text.count('class="fluxmap"') == 4
    assert all(f'data-reaction="{r}"' in text for r in positions.layout().routes)


def test_the_impact_of_an_assumption_is_what_the_model_gives(site, model):
    text = (site / "_generated/assumptions.html").read_text(encoding="utf-8")
    name = "PROPIONYL_SUPPLY_rate"
    row = re.search(rf"<code>{name}</code>.*?</tr>", text, flags=re.S).group()
    printed = [float(c) for c in re.findall(r"<td[^>]*>([+-]\d+\.\d\d)</td>", row)]
    rest = [
        mb.steady_state(m).values["mma_plasma"] for m in (model, model.with_values({name: 1.1 * model.values[name]}))
    ]
    assert printed[1] == pytest.approx(100 * (rest[1] / rest[0] - 1), abs=0.011)


def test_evidence_and_reference_are_there(site):
    text = re.sub(r"<[^>]+>", "", (site / "_generated/claims.html").read_text(encoding="utf-8"))
    assert all(f"metabolism run {name}" in text for name in experiment_names())
    assert (site / "evidence/qualification.html").is_file()
    text = (site / "_generated/court.html").read_text(encoding="utf-8")
    assert "Posterior weights by family" in text
    assert text.count("<img") >= 4
    text = (site / "_generated/designs.html").read_text(encoding="utf-8")
    assert text.count("<img") >= 7
    assert "brackets: Monte-Carlo error" in text
    text = (site / "_generated/reference.html").read_text(encoding="utf-8")
    assert all(f".{name}" in text for name in mb.__all__)
    commands = re.sub(r"<[^>]+>", "", (site / "_generated/commands.html").read_text(encoding="utf-8"))
    assert all(f"metabolism {c}" in commands for c in ("run", "explore", "report", "doctor"))
    assert (site / "decisions/0001-structure.html").is_file()


def test_generated_pages_are_not_committed():
    tracked = subprocess.run(["git", "ls-files", "docs"], cwd=ROOT, capture_output=True, text=True, check=False).stdout
    assert "_generated" not in tracked
    assert "_build" not in tracked


@pytest.fixture(scope="module")
def side_by_side(site):
    """This version and an older one in one folder, as a host would serve them."""
    folder = site.parent / "dist-site"
    older = ["index.html", "start.html", "_static"]
    for name, keep in ((mb.__version__, os.listdir(site)), ("0.0.9", older)):
        (folder / name).mkdir(parents=True)
        for part in keep:
            os.symlink(site / part, folder / name / part)
        # each version has a list of its own
        (folder / name / "_static").unlink()
        shutil.copytree(site / "_static", folder / name / "_static")
    done = subprocess.run(
        [sys.executable, ROOT / "docs/versions.py", folder], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return folder


def test_versions_stand_side_by_side_and_lead_to_each_other(side_by_side, chromium):
    assert {p.name for p in side_by_side.iterdir()} == {mb.__version__, "0.0.9", "latest", "index.html", ".nojekyll"}
    page = chromium.new_page()
    page.set_default_timeout(60_000)
    page.goto((side_by_side / "index.html").as_uri())
    page.wait_for_url("**/latest/index.html")
    shown = page.locator("#versions option").all_inner_texts()
    assert shown == [f"{mb.__version__} (latest)", "0.0.9"]
    page.locator("#versions").select_option("0.0.9")
    page.wait_for_url("**/0.0.9/index.html")
    assert page.locator("#versions").input_value() == "0.0.9"
    page.goto((side_by_side / mb.__version__ / "start.html").as_uri())
    assert page.locator("#versions").input_value() == mb.__version__


def test_a_site_alone_shows_no_versions_and_an_empty_folder_is_refused(site, chromium, tmp_path):
    page = chromium.new_page()
    page.goto((site / "start.html").as_uri())
    assert page.locator("#versions").count() == 0
    done = subprocess.run(
        [sys.executable, ROOT / "docs/versions.py", tmp_path], capture_output=True, text=True, check=False
    )
    assert done.returncode != 0
    assert "holds no version" in done.stderr


def test_the_page_of_the_model_computes_from_the_folder(side_by_side, chromium):
    page = chromium.new_page()
    page.set_default_timeout(120_000)
    page.goto((side_by_side / "latest" / "trial.html").as_uri())
    page.wait_for_selector("html[data-shown]")
    assert "ALSFRS-R" in page.locator("body").inner_text()


def test_search_finds_what_is_there(side_by_side, chromium):
    page = chromium.new_page()
    page.set_default_timeout(60_000)
    page.goto((side_by_side / "latest" / "search.html").as_uri() + "?q=ledger")
    page.wait_for_selector("#search-results li a")
    found = page.locator("#search-results li a").all_inner_texts()
    assert any("Event semantics" in text for text in found)
