"""The flux map as SBML layout, render and groups, so that the network draws in COPASI and others as it does here."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from metabolism.files import render
from metabolism.model import positions
from metabolism.plotting import COLOURS

_PACKAGES = "http://www.sbml.org/sbml/level3/version1/{}/version1"


def add_drawing(document: Any) -> None:
    """Add places, curves and looks of `models/flux_map.toml` to a Level 3 document, and its pathways as groups.

    Whatever the model has and the map has not is left out. No package is required to read the model.
    """
    import libsbml

    content, plan = document.getModel(), positions.layout()
    for name in ("layout", "render", "groups"):
        document.enablePackage(_PACKAGES.format(name), name, True)
        document.setPackageRequired(name, False)
    drawing = content.getPlugin("layout").createLayout()
    drawing.setId("flux_map")
    drawing.getDimensions().setWidth(plan.size[0])
    drawing.getDimensions().setHeight(plan.size[1])
    for node in plan.nodes.values():
        if content.getElementBySId(node.id) is None:
            continue
        if content.getSpecies(node.id):
            glyph = drawing.createSpeciesGlyph()
            glyph.setSpeciesId(node.id)
        else:
            glyph = drawing.createGeneralGlyph()
            glyph.setReferenceId(node.id)
        words = drawing.createTextGlyph()
        words.setText(node.label)
        words.setGraphicalObjectId(f"glyph_{node.id}")
        for kind, element in (("glyph", glyph), ("text", words)):
            element.setId(f"{kind}_{node.id}")
            box, (x, y), (w, h) = element.getBoundingBox(), node.at, node.half
            for name, value in (("X", x - w), ("Y", y - h), ("Width", 2 * w), ("Height", 2 * h)):
                getattr(box, f"set{name}")(value)
    for route in plan.routes.values():
        if content.getReaction(route.reaction):
            _add_route(drawing, plan, route)
    style = libsbml.readSBMLFromString(render("metabolism.exports", "looks.xml", line=COLOURS["blue"]))
    looks = style.getModel().getPlugin("layout").getLayout(0).getPlugin("render").getRenderInformation(0)
    drawing.getPlugin("render").addLocalRenderInformation(looks)
    groups = content.getPlugin("groups")
    for network, label in plan.networks.items():
        group = groups.createGroup()
        group.setId(f"pathway_{network}")
        group.setName(label)
        group.setKind("partonomy")
        for route in plan.routes.values():
            if route.network == network and content.getReaction(route.reaction):
                group.createMember().setIdRef(route.reaction)


def _add_route(drawing: Any, plan: positions.Layout, route: positions.Route) -> None:
    """One reaction: half of each path belongs to what goes in, half to what comes out; sources and sinks to itself."""
    import libsbml

    glyph = drawing.createReactionGlyph()
    glyph.setId(f"glyph_{route.reaction}")
    glyph.setReactionId(route.reaction)
    for i, path in enumerate(route.paths):
        points = positions.course(plan, path)
        middle = len(points) // 2
        if not i:
            _curve(glyph, points[middle - 1 : middle + 1])
        for end, half, role in (
            (path[0], points[middle - 1 :: -1] if middle else points[:1], libsbml.SPECIES_ROLE_SUBSTRATE),
            (path[-1], points[middle:], libsbml.SPECIES_ROLE_PRODUCT),
        ):
            if isinstance(end, str):
                part = glyph.createSpeciesReferenceGlyph()
                part.setId(f"glyph_{route.reaction}_{i}_{end}")
                part.setSpeciesGlyphId(f"glyph_{end}")
                part.setRole(role)
                _curve(part, half)
            else:
                _curve(glyph, half)


def _curve(element: Any, points: Sequence[positions.Point]) -> None:
    corners = positions.kept(points)
    # of a bend every fourth point is drawn
    for begin, end in pairwise(corners if len(corners) < 7 else [*corners[:-1:4], corners[-1]]):
        segment = element.createLineSegment()
        segment.setStart(*(round(v, 1) for v in begin))
        segment.setEnd(*(round(v, 1) for v in end))
