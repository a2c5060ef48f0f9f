"""The flux map: complete, true to the equations, and drawn as its legend says."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from dataclasses import replace

import pytest

import metabolism as mb
import metabolism.report.fluxmap as fluxmap
from metabolism.errors import ModelError
from metabolism.model import equations, positions
from metabolism.plotting import COLOURS
from metabolism.simulation import steady_state


@pytest.fixture(scope="module")
def rest(model):
    return steady_state(model).values


def test_every_reaction_and_state_of_the_model_has_a_place(model):
    problems = positions.layout_problems(model)
    assert problems == [], "; ".join(problems)


def test_the_message_names_what_is_missing_or_wrong(model, monkeypatch):
    plan = positions.layout()
    routes = dict(plan.routes)
    del routes["MS_liver"]
    routes["CBS_liver"] = replace(routes["CBS_liver"], paths=(("met_liver", "cystathionine_liver"),))
    monkeypatch.setattr(
        positions, "layout", lambda: positions.Layout(plan.size, [], plan.nodes, routes, plan.networks, [])
    )
    problems = positions.layout_problems(model)
    assert "reaction MS_liver has no place: add it to models/flux_map.toml" in problems
    assert "route CBS_liver starts at met_liver, which the reaction does not use" in problems


def test_a_path_through_nowhere_is_refused():
    with pytest.raises(ModelError, match="neither a node nor a point"):
        positions._path("met_liver > sam_livr", positions.layout().nodes)


def test_everything_lies_on_the_canvas():
    plan = positions.layout()
    points = [n.at for n in plan.nodes.values()]
    points += [s for r in plan.routes.values() for path in r.paths for s in path if not isinstance(s, str)]
    assert all(0 <= x <= plan.size[0] and 0 <= y <= plan.size[1] for x, y in points)


def test_pills_do_not_cover_each_other():
    nodes = list(positions.layout().nodes.values())
    for i, a in enumerate(nodes):
        for b in nodes[i + 1 :]:
            apart_x = abs(a.at[0] - b.at[0]) >= a.half[0] + b.half[0]
            apart_y = abs(a.at[1] - b.at[1]) >= a.half[1] + b.half[1]
            assert apart_x or apart_y, f"{a.id} covers {b.id}"


def test_the_drawing_is_valid_names_every_reaction_and_loads_nothing(model, rest):
    svg = fluxmap.draw(rest, rest, units=equations(model).units, title="At <rest>")
    root = ET.fromstring(svg)
    drawn = {g.get("data-reaction") for g in root.iter("{http://www.w3.org/2000/svg}g")}
    assert set(equations(model).reactions) <= drawn
    assert "At &lt;rest&gt;" in svg
    assert not re.search(r"href|url\(|<script|<image", svg)
    assert COLOURS["orange"] not in svg.split("Colour, against")[0]


def test_width_grows_with_flux_and_colour_tells_the_change(model, rest):
    units = equations(model).units

    def arrow(values):
        svg = fluxmap.draw(values, rest, units=units)
        part = re.search(r'<g data-reaction="CBS_liver">.*?</g>', svg).group()
        return (
            float(re.search(r'stroke-width="([\d.]+)"', part).group(1)),
            re.search(r'stroke="(#\w+)"', part).group(1),
            part,
        )

    same, up, down = (arrow({**rest, "CBS_liver": f * rest["CBS_liver"]}) for f in (1, 3, 0.3))
    assert down[0] < same[0] < up[0]
    assert (down[1], same[1], up[1]) == (COLOURS["blue"], COLOURS["grey"], COLOURS["orange"])
    assert "+200 % against the reference" in up[2]
    assert "no flux" in arrow({**rest, "CBS_liver": 0.0})[2]
    assert "opposite direction" in arrow({**rest, "CBS_liver": -rest["CBS_liver"]})[2]


def test_a_deficiency_shows_on_the_map(model):
    svg = fluxmap.resting_map(model.with_set("b12_deficient"), model, "B12 deficiency", "the healthy reference")
    assert re.search(r"MS_liver: [\d.]+ µmol/h, -\d+ % against", svg)
    assert re.search(r"mma_plasma: [\d.]+ µM, \+\d+ % against", svg)


def test_mean_fluxes_average_over_the_window(model):
    result = mb.simulate(model, "1 mg im", "48 h", outputs=["IM_1", "depot_im"])
    mean = fluxmap.mean_fluxes(result, 0, 48)["IM_1"]
    lost = float(result["depot_im"][0] - result["depot_im"][-1])
    assert mean * 48 == pytest.approx(lost, rel=0.02)
    assert fluxmap.mean_fluxes(result, 48, 48)["depot_im"] == pytest.approx(float(result["depot_im"][-1]))
