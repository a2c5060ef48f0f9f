"""The explorer as people meet it: in a real browser, on a phone, with a wrong link, in a hurry."""

from __future__ import annotations

import csv
import re
import subprocess
import sys
import urllib.request
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from metabolism.explorer.app import exposure_warning
from metabolism.explorer.choices import Choices, Number, choice_names, controls, parse
from metabolism.explorer.scenario import CURVES, emax_range, exact_model, in_words, regimen, view
from metabolism.trials import scenarios

# without a browser -----------------------------------------------------------------------------------------------


def test_every_choice_has_a_control_and_default_inside_its_limits():
    known = controls()
    assert list(known) == choice_names()
    for name, control in known.items():
        value = getattr(Choices(), name)
        if isinstance(control, Number):
            assert control.low <= value <= control.high
        else:
            assert value in control.options


def test_choices_survive_the_way_through_a_url():
    from urllib.parse import parse_qsl

    choices = Choices(
        dose=25.0, interval="7", route="oral", weeks=8.0, b12="deficient", betaine=1.5, gfr=40.0, mthfr="tt"
    )
    back, problems = parse(dict(parse_qsl(choices.query())))
    assert (back, problems) == (choices, [])
    assert Choices().query() == ""


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("dose", "1e9"),
        ("dose", "nan"),
        ("dose", "-1"),
        ("dose", ""),
        ("dose", None),
        ("weeks", "inf"),
        ("route", "x" * 500),
        ("mechanism", "<script>"),
        ("nothing", "1"),
    ],
)
def test_a_wrong_value_keeps_the_rest_and_says_so(name, value):
    choices, problems = parse({name: value, "gfr": "60"})
    assert choices == Choices(gfr=60.0)
    assert len(problems) == 1
    assert len(problems[0]) < 200


def test_the_doses_fill_the_weeks_and_nothing_else():
    for interval, weeks, count in (("3.5", 16, 32), ("7", 1, 1), ("28", 1, 1), ("1", 2, 14)):
        doses = regimen(Choices(interval=interval, weeks=float(weeks))).doses
        assert len(doses) == count
        assert max(d.time for d in doses) < weeks * 168
    assert regimen(Choices(dose=0.0)).doses == ()
    names = {d.substance for d in regimen(Choices(betaine=2.0, b6="supplement", folate="supplement")).doses}
    assert names == {"methylcobalamin", "betaine", "pyridoxine", "folic acid"}


def test_the_effect_range_follows_the_stated_scenarios():
    for name, scenario in scenarios().items():
        low, middle, high = emax_range(name)
        assert 0 <= low <= middle <= high <= 1
        if scenario.effect is None:
            assert (low, middle, high) == (0, 0, 0)


def test_the_view_is_what_a_direct_simulation_gives():
    from metabolism import simulate

    choices = Choices(weeks=6.0, b12="deficient")
    shown = view(choices)
    direct = simulate(
        exact_model(choices), regimen(choices), "6 weeks", engine="roadrunner", outputs=["hcy_plasma", "alsfrs_r"]
    )
    assert shown.treated["hcy_plasma"][-1] == pytest.approx(float(direct["hcy_plasma"][-1]), rel=1e-3)
    assert shown.treated["alsfrs_r"][-1] == pytest.approx(float(direct["alsfrs_r"][-1]), rel=1e-4)
    assert shown.low["alsfrs_r"][-1] < shown.treated["alsfrs_r"][-1] < shown.high["alsfrs_r"][-1]


def test_bands_follow_the_draws_of_a_fit_and_the_middle_does_not(monkeypatch, model):
    import metabolism.explorer.scenario as explorer_model

    choices = Choices(weeks=1.0, dose=0.0)
    bands = {}
    for name, factors in (("none", None), ("draws", np.tile([0.8, 0.9, 1.1, 1.2], explorer_model.PEOPLE // 4))):
        table = None if factors is None else pd.DataFrame({"MTHFR_Ki_sam": model.values["MTHFR_Ki_sam"] * factors})
        monkeypatch.setattr(explorer_model, "_drawn", lambda table=table: table)
        bands[name] = explorer_model.view.__wrapped__(choices)
    np.testing.assert_allclose(bands["none"].treated["hcy_plasma"], bands["draws"].treated["hcy_plasma"], rtol=1e-9)
    assert (bands["none"].low["hcy_plasma"] != bands["draws"].low["hcy_plasma"]).all()


def test_words_state_what_is_known_and_assumed():
    said = in_words(view(Choices(dose=0.0, weeks=2.0)))
    assert "no treatment" in " ".join(said["says"])
    assert "JETALS" in " ".join(said["known"])
    assert all(said.values())
    assert "extrapolation" in " ".join(in_words(view(Choices(dose=0.0, weeks=20.0)))["assumed"])


def test_only_another_address_is_warned_about():
    assert exposure_warning("127.0.0.1") == exposure_warning("localhost") == ""
    assert "no password" in exposure_warning("0.0.0.0")


# in a browser ----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def server():
    process = subprocess.Popen(
        [sys.executable, "-m", "metabolism", "explore", "--port", "0"], stdout=subprocess.PIPE, text=True
    )
    line = process.stdout.readline()
    address = re.search(r"http://127\.0\.0\.1:\d+", line)
    assert address, line
    yield address.group(), process.pid
    process.terminate()
    process.wait(timeout=20)
    process.stdout.close()


@contextmanager
def opened(chromium, address, query="", width=1280, height=900):
    context = chromium.new_context(viewport={"width": width, "height": height}, accept_downloads=True)
    page = context.new_page()
    page.set_default_timeout(90_000)  # a busy machine is slow, not wrong
    errors = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.goto(f"{address}/?{query}")
    page.wait_for_selector("#numbers tr[data-curve]")
    page.wait_for_selector("#flux_map svg")
    yield page
    assert errors == []
    context.close()


def numbers(page):
    """Return {curve: (before, treated, untreated)} as printed."""
    found = {}
    for row in page.query_selector_all("#numbers tr[data-curve]"):
        cells = [float(c.inner_text()) for c in row.query_selector_all("td.n")]
        found[row.get_attribute("data-curve")] = cells
    return found


def choose(page, name, value):
    """Move one control and wait until the page shows that scenario."""
    if isinstance(controls()[name], Number):
        page.fill(f"#{name}", f"{value:g}")
    else:
        page.select_option(f"#{name}", value)
    part = f"{name}={value:g}" if isinstance(value, float) else f"{name}={value}"
    page.wait_for_function(
        "part => document.querySelector('#numbers [data-query]')?.dataset.query.split('&').includes(part)", arg=part
    )
    page.wait_for_function("!document.documentElement.classList.contains('shiny-busy')")


def level(page, node):
    return page.locator(f"#flux_map g[data-node={node}] title").text_content()


def test_it_loads_and_asks_nobody_else(chromium, server):
    address, _ = server
    asked = []
    context = chromium.new_context()
    page = context.new_page()
    page.on("request", lambda request: asked.append(request.url))
    page.on("websocket", lambda socket: asked.append(socket.url))
    page.goto(address)
    page.wait_for_selector("#flux_map svg")
    assert set(numbers(page)) == {c[0] for c in CURVES}
    foreign = [u for u in asked if not u.startswith((address, address.replace("http", "ws"), "data:", "blob:"))]
    assert len(asked) > 5
    assert foreign == []
    context.close()
    headers = urllib.request.urlopen(address).headers
    assert "default-src 'self'" in headers["content-security-policy"]


#: Where the controls are moved from: a short run, for speed.
SHORT = Choices(weeks=6.0)
MOVES = {
    "dose": (25.0, lambda a, b: b["cbl_plasma"][1] < a["cbl_plasma"][1]),
    "interval": ("7", lambda a, b: b["cbl_plasma"][1] < a["cbl_plasma"][1]),
    "route": ("oral", lambda a, b: b["cbl_plasma"][1] < a["cbl_plasma"][1]),
    "weeks": (3.0, lambda a, b: b["motor_units"][1] > a["motor_units"][1]),
    "b12": (
        "deficient",
        lambda a, b: b["hcy_plasma"][0] > 1.3 * a["hcy_plasma"][0] and b["mma_plasma"][0] > 2 * a["mma_plasma"][0],
    ),
    "b6": ("deficient", None),
    "folate": ("reference", lambda a, b: b["hcy_plasma"][0] < a["hcy_plasma"][0]),
    "betaine": (6.0, None),
    "mthfr": ("tt", lambda a, b: b["hcy_plasma"][0] > a["hcy_plasma"][0]),
    "gfr": (40.0, lambda a, b: b["hcy_plasma"][0] > a["hcy_plasma"][0]),
    "onset": (30.0, lambda a, b: b["motor_units"][0] < a["motor_units"][0] and b["alsfrs_r"][0] < a["alsfrs_r"][0]),
    "mechanism": ("zero", lambda a, b: b["alsfrs_r"][1] == pytest.approx(b["alsfrs_r"][2])),
    "against": ("healthy", None),
}
#: Controls seen on the map: the node whose printed level must differ.
ON_MAP = {"b6": "plp_cell", "betaine": "betaine_plasma"}


def test_every_control_moves_the_numbers_the_right_way(chromium, server):
    assert list(MOVES) == choice_names()
    with opened(chromium, server[0], SHORT.query()) as page:
        before, start = numbers(page), {n: level(page, n) for n in ON_MAP.values()}
        for name, (value, right) in MOVES.items():
            choose(page, name, value)
            assert f"{name}=" in page.url
            if right:
                assert right(before, numbers(page)), name
            elif name in ON_MAP:
                assert level(page, ON_MAP[name]) != start[ON_MAP[name]], name
            else:
                assert "healthy" in page.get_attribute("#flux_map svg", "aria-label")
            default = getattr(SHORT, name)
            if isinstance(default, float):
                page.fill(f"#{name}", f"{default:g}")
            else:
                page.select_option(f"#{name}", default)
            page.wait_for_function(
                "query => document.querySelector('#numbers [data-query]')?.dataset.query === query", arg=SHORT.query()
            )
        assert numbers(page) == before


def test_a_shared_link_shows_the_same_and_a_wrong_one_says_so(chromium, server):
    with opened(chromium, server[0], "dose=25&b12=deficient&weeks=4") as page:
        assert page.input_value("#dose") == "25"
        assert page.input_value("#b12") == "deficient"
        shared = numbers(page)
        assert shared["hcy_plasma"][0] > 15
    with opened(chromium, server[0], "dose=1e9&route=<script>alert(1)</script>&weeks=4&zz=1") as page:
        text = page.locator("#wrong_link").inner_text()
        assert "Dose" in text
        assert "zz" in text
        assert page.input_value("#dose") == "50"
        assert page.input_value("#weeks") == "4"


def test_the_server_refuses_what_the_page_should_not_send(chromium, server):
    with opened(chromium, server[0]) as page:
        before = numbers(page)
        page.fill("#dose", "9999")
        page.wait_for_selector("#problems .problems")
        assert "0 to 100" in page.locator("#problems").inner_text()
        page.evaluate("Shiny.setInputValue('route', '../../etc/passwd')")
        page.wait_for_function("document.querySelector('#problems').innerText.includes('passwd')")
        assert numbers(page) == before


def test_it_fits_a_phone_and_works_by_keyboard(chromium, server):
    with opened(chromium, server[0], width=360, height=740) as page:
        assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
        assert page.locator("#dose").is_visible()
        page.focus("#dose")
        page.keyboard.press("ArrowUp")
        page.wait_for_function("document.querySelector('#numbers [data-query]')?.dataset.query === 'dose=55'")
        page.locator("summary", has_text="The person").focus()
        page.keyboard.press("Enter")
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.id") == "b12"


def test_a_screen_reader_finds_names_for_everything(chromium, server):
    with opened(chromium, server[0]) as page:
        assert page.get_attribute("html", "lang") == "en"
        assert page.locator("h1").count() == 1
        for name in choice_names():
            assert page.locator(f"label[for={name}]").inner_text().strip(), name
            described = page.get_attribute(f"#{name}", "aria-describedby")
            assert page.locator(f"#{described}").count() == 1, name
        assert page.locator("main svg[role=img][aria-label]").count() == len(CURVES) + 1
        assert page.locator("main svg[role=img]:not([aria-label])").count() == 0
        assert page.locator("[aria-live=polite]").count() >= 1
        assert "not for patient care" in page.inner_text("main").lower()


def test_two_people_do_not_disturb_each_other(chromium, server):
    with opened(chromium, server[0]) as one, opened(chromium, server[0]) as two:
        choose(one, "gfr", 40.0)
        choose(two, "folate", "reference")
        first, second = numbers(one), numbers(two)
        assert first["hcy_plasma"][0] > second["hcy_plasma"][0]
        assert (one.input_value("#folate"), two.input_value("#gfr")) == ("als", "100")
        choose(two, "mthfr", "tt")
        assert numbers(one) == first


def test_downloads_are_exactly_this_scenario(chromium, server, tmp_path):
    with opened(chromium, server[0], "dose=25&weeks=4&gfr=60") as page:
        shown = numbers(page)
        saved = {}
        for key in ("data_csv", "figure_png", "figure_svg", "map_svg", "scenario_sbml"):
            with page.expect_download() as download:
                page.click(f"#{key}")
            saved[key] = Path(tmp_path / download.value.suggested_filename)
            download.value.save_as(saved[key])
    with saved["data_csv"].open(encoding="utf-8") as handle:
        rows = list(csv.DictReader(handle))
    assert float(rows[-1]["ALSFRS-R [points of 48]"]) == pytest.approx(shown["alsfrs_r"][1], rel=1e-3)
    assert saved["figure_png"].read_bytes().startswith(b"\x89PNG")
    assert "</svg>" in saved["figure_svg"].read_text(encoding="utf-8")
    assert 'data-reaction="MS_liver"' in saved["map_svg"].read_text(encoding="utf-8")
    import roadrunner

    runner = roadrunner.RoadRunner(str(saved["scenario_sbml"]))
    runner.setIntegratorSetting("cvode", "relative_tolerance", 1e-9)
    runner.simulate(0, 4 * 168, 4 * 7 + 1)
    assert runner["[hcy_plasma]"] == pytest.approx(shown["hcy_plasma"][1], rel=1e-3)
    assert runner["alsfrs_r"] == pytest.approx(shown["alsfrs_r"][1], rel=1e-3)


def memory(pid):
    """Resident memory of a process [MB]."""
    text = Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
    return int(re.search(r"VmRSS:\s+(\d+)", text).group(1)) / 1024


def test_two_hundred_rapid_changes_neither_crash_nor_grow(chromium, server):
    with opened(chromium, server[0], "weeks=2") as page:
        page.focus("#gfr")
        for _ in range(10):
            page.keyboard.press("ArrowDown")
            page.keyboard.press("ArrowUp")
        start = memory(server[1])
        for _ in range(90):
            page.keyboard.press("ArrowDown")
            page.keyboard.press("ArrowUp")
        for value in range(1, 21):
            page.fill("#dose", str(value))
        page.wait_for_function(
            "document.querySelector('#numbers [data-query]')?.dataset.query === 'dose=20&weeks=2'", timeout=120_000
        )
        assert page.locator(".shiny-output-error").count() == 0
        assert memory(server[1]) - start < 60
    assert urllib.request.urlopen(server[0]).status == 200
