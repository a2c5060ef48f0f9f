"""The explorer's web page: choices on the left, curves, flux map and plain words on the right.

Everything is computed here and served from here; the content security policy keeps the browser from
asking any other machine for anything.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from metabolism.errors import InvalidValue, MetabolismError, OutputError
from metabolism.explorer.choices import Choices, Number, choice_names, controls, parse
from metabolism.explorer.figures import panel_svg, sheet
from metabolism.explorer.scenario import CURVES, View, bands, exact_model, in_words, regimen, view
from metabolism.files import versions
from metabolism.model import equations, load
from metabolism.report import draw

if TYPE_CHECKING:
    from shiny import App
    from shiny.session import Inputs, Outputs, Session


GROUPS = (
    ("Treatment", ("dose", "interval", "route", "weeks")),
    ("The person", ("b12", "b6", "folate", "betaine", "mthfr", "gfr", "onset")),
    ("What is assumed", ("mechanism", "against")),
)


HEADINGS = {"says": "What the model says here", "known": "What is known", "assumed": "What is assumed"}


WARNING = "A research model of a disease process. Not for patient care: do not use it to choose a treatment."


SCRIPT = """
Shiny.addCustomMessageHandler("scenario", ({ query }) => {
  history.replaceState(null, "", location.pathname + (query ? "?" + query : ""));
});
document.querySelectorAll(".control .help").forEach((help) => {
  document.getElementById(help.id.replace("_help", "")).setAttribute("aria-describedby", help.id);
});
// on a phone the results come first into view: only the treatment stays unfolded
if (matchMedia("(max-width: 575px)").matches) {
  document.querySelectorAll("details.group").forEach((group, i) => { group.open = i === 0; });
}
document.addEventListener("click", (event) => {
  if (event.target.id !== "copy_link") return;
  navigator.clipboard.writeText(location.href).then(
    () => { document.getElementById("copied").textContent = "Link copied."; },
    () => { document.getElementById("copied").textContent = "Copy the address from the address bar."; });
});
"""


#: How long the controls must be still before a run [s].
SETTLE = 0.15


POLICY = (
    b"default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval'; style-src 'self' 'unsafe-inline'; "
    b"img-src 'self' data:; font-src 'self' data:; connect-src 'self' ws: wss:; frame-ancestors 'self'; base-uri 'self'"
)


def create_app() -> App:
    """Return the page as an ASGI application.

    Raises
    ------
    OutputError
        If Shiny for Python is not installed.
    """
    try:
        from shiny import App
    except ImportError:
        raise OutputError(
            "the explorer needs Shiny for Python; install it with: pip install 'als-methionine[explore]'"
        ) from None

    return App(_page, _server)


def exposure_warning(host: str) -> str:
    """Return what to tell a user who lets other machines reach the page; empty for this machine alone."""
    if host in ("127.0.0.1", "::1", "localhost"):
        return ""
    return (
        f"warning: on {host} anyone who can reach this computer can open the explorer and use its processor; "
        "there is no password. Leave out --host to keep it to yourself."
    )


def with_policy(app: Any) -> Any:
    """Wrap an ASGI application so that every answer forbids the browser to load anything from elsewhere."""

    async def wrapped(scope: Any, receive: Any, send: Any) -> None:
        async def guarded(message: Any) -> None:
            if message["type"] == "http.response.start":
                extra = [(b"content-security-policy", POLICY), (b"referrer-policy", b"no-referrer")]
                message = {**message, "headers": [*message.get("headers", []), *extra]}
            await send(message)

        await app(scope, receive, guarded)

    return wrapped


def serve(host: str, port: int) -> None:
    """Serve the explorer until interrupted.

    Raises
    ------
    OutputError
        If the address cannot be used.
    """
    import socket

    app = create_app()
    try:
        listening = socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
    except OSError as error:
        raise OutputError(f"cannot listen on {host}:{port}: {error.strerror}; choose another with --port.") from None
    import uvicorn

    view(Choices())  # compiled before the first visitor
    name = f"[{host}]" if ":" in host else host
    print(f"explorer: http://{name}:{listening.getsockname()[1]}/  (stop with Ctrl-C)", flush=True)
    settings = uvicorn.Config(with_policy(app), log_level="warning", ws="auto", lifespan="on")
    uvicorn.Server(settings).run(sockets=[listening])


def _control(name: str, value: Any) -> Any:
    from shiny import ui

    control = controls()[name]
    help_ = ui.div(control.help, class_="help", id=f"{name}_help")
    if isinstance(control, Number):
        value = int(value) if value == int(value) else value
        field = ui.input_numeric(name, control.label, value, min=control.low, max=control.high, step=control.step)
    else:
        field = ui.input_select(name, control.label, dict(control.options), selected=value)
    return ui.div(field, help_, class_="control")


def _page(request: Any) -> Any:
    from shiny import ui

    choices, problems = parse(dict(request.query_params))
    groups = [
        ui.tags.details(
            ui.tags.summary(title),
            ui.tags.fieldset(
                ui.tags.legend(title, class_="visually-hidden"), *(_control(n, getattr(choices, n)) for n in names)
            ),
            open="",
            class_="group",
        )
        for title, names in GROUPS
    ]
    style = (Path(__file__).parent / "explorer.css").read_text(encoding="utf-8")
    downloads = [
        ui.download_link(key, text)
        for key, text in (
            ("data_csv", "Data (CSV)"),
            ("figure_png", "Figure (PNG)"),
            ("figure_svg", "Figure (SVG)"),
            ("map_svg", "Flux map (SVG)"),
            ("scenario_sbml", "Model of exactly this scenario (SBML)"),
        )
    ]
    wrong = ui.div(*(ui.p(p) for p in problems), class_="problems", role="alert", id="wrong_link") if problems else None
    return ui.page_sidebar(
        ui.sidebar(*groups, id="choices", width=310, open={"desktop": "open", "mobile": "always-above"}),
        ui.head_content(ui.tags.style(style), ui.tags.meta(name="description", content=WARNING)),
        ui.a("Skip to the results", href="#results", class_="skip"),
        ui.tags.main(
            ui.h1("Methylcobalamin, homocysteine and ALS: an explorer"),
            ui.p(WARNING, class_="warning"),
            wrong,
            ui.output_ui("problems"),
            ui.div(ui.output_ui("numbers"), id="results", tabindex="-1"),
            ui.div(
                ui.tags.button("Copy link to this scenario", id="copy_link", type="button", class_="btn btn-light"),
                ui.span(id="copied", role="status"),
                *downloads,
                class_="actions",
            ),
            ui.h2("Curves"),
            ui.p(
                ui.span("treated", class_="key treated"),
                ui.span("untreated", class_="key untreated"),
                bands(),
                class_="legend",
            ),
            ui.output_ui("curves"),
            ui.h2("In plain words"),
            ui.output_ui("words"),
            ui.h2("Flux map"),
            ui.p(
                "Mean of the last week. Point at an arrow or a box to read its value. Scroll sideways on a small screen."
            ),
            ui.div(ui.output_ui("flux_map"), class_="scroll", tabindex="0", role="region", aria_label="Flux map"),
            ui.output_ui("flux_table"),
            ui.p(f"als-methionine {versions()['als-methionine']}. Nothing leaves this computer.", class_="help"),
        ),
        ui.tags.script(SCRIPT),
        title=None,
        window_title="als-methionine explorer",
        lang="en",
        fillable=False,
    )


def _server(input: Inputs, output: Outputs, session: Session) -> None:
    from shiny import reactive, render, req, ui

    good: dict[str, Any] = {"choices": Choices(), "view": None, "timer": None}
    settled: reactive.Value[dict[str, Any] | None] = reactive.Value(None)

    @reactive.effect
    async def _settle() -> None:
        """Wait until the controls are still, so that a held key or a burst of changes costs one run."""
        given = {n: input[n]() for n in choice_names()}
        if good["timer"] is None:
            good["timer"] = asyncio.get_running_loop().create_future()
            settled.set(given)
            return
        good["timer"].cancel()

        async def later() -> None:
            await asyncio.sleep(SETTLE)
            async with reactive.lock():
                settled.set(given)
                await reactive.flush()

        good["timer"] = asyncio.create_task(later())

    @reactive.calc
    def current() -> tuple[View, list[str]]:
        given = settled()
        req(given is not None)
        choices, problems = parse(given or {}, good["choices"])
        try:
            good["view"] = view(choices)
            good["choices"] = choices
        except MetabolismError as error:
            text = str(error).removeprefix("this combination")
            problems = [*problems, f"This combination{text} The last good scenario is shown."]
            if good["view"] is None:
                good["view"] = view(Choices())
        return good["view"], problems

    @session.on_ended
    def _stop() -> None:
        good["timer"].cancel()

    @reactive.effect
    async def _share() -> None:
        shown, problems = current()
        if not problems:
            await session.send_custom_message("scenario", {"query": shown.choices.query()})

    @render.ui
    def problems() -> Any:
        found = current()[1]
        return ui.div(*(ui.p(p) for p in found), class_="problems", role="alert") if found else None

    @render.ui
    def numbers() -> Any:
        shown = current()[0]
        head = (
            "",
            "unit",
            "before",
            f"week {shown.choices.weeks:g}, treated",
            f"week {shown.choices.weeks:g}, untreated",
        )
        body = [
            ui.tags.tr(
                ui.tags.th(name, scope="row"),
                ui.tags.td(unit),
                *(ui.tags.td(f"{v:.4g}", class_="n") for v in values),
                data_curve=key,
            )
            for (key, *_), (name, unit, *values) in zip(CURVES, shown.rows(), strict=True)
        ]
        table = ui.tags.table(
            ui.tags.caption("Before the first dose and at the end of the run"),
            ui.tags.thead(ui.tags.tr(*(ui.tags.th(h, scope="col") for h in head))),
            ui.tags.tbody(*body),
        )
        return ui.div(table, class_="scroll", aria_live="polite", data_query=shown.choices.query())

    @render.ui
    def curves() -> Any:
        shown = current()[0]
        return ui.div(*(ui.div(ui.HTML(panel_svg(shown, key)), class_="chart") for key, *_ in CURVES), class_="charts")

    @render.ui
    def words() -> Any:
        shown = current()[0]
        said = in_words(shown)
        return ui.div(
            *(ui.div(ui.h3(HEADINGS[key]), ui.tags.ul(*(ui.tags.li(line) for line in said[key]))) for key in HEADINGS),
            ui.p(ui.tags.strong(WARNING)),
            class_="words",
        )

    @render.ui
    def flux_map() -> Any:
        return ui.HTML(_map(current()[0]))

    @render.ui
    def flux_table() -> Any:
        shown = current()[0]
        units = equations(load()).units
        rows = [
            ui.tags.tr(
                ui.tags.th(key, scope="row"),
                ui.tags.td(f"{value:.4g}", class_="n"),
                ui.tags.td(f"{shown.reference.get(key, float('nan')):.4g}", class_="n"),
            )
            for key, value in shown.fluxes.items()
            if units.get(key) == "umol_per_h"
        ]
        head = ui.tags.tr(
            *(ui.tags.th(h, scope="col") for h in ("reaction", "flux [µmol/h]", "compared with [µmol/h]"))
        )
        return ui.tags.details(
            ui.tags.summary("All fluxes as a table"),
            ui.div(ui.tags.table(ui.tags.thead(head), ui.tags.tbody(*rows)), class_="scroll"),
        )

    @render.download_link(filename="scenario.csv")
    def data_csv() -> Iterator[str]:
        yield current()[0].frame().to_csv(index=False)

    @render.download_link(filename="scenario.png")
    def figure_png() -> Iterator[bytes]:
        yield sheet(current()[0].choices, "png")

    @render.download_link(filename="scenario.svg")
    def figure_svg() -> Iterator[bytes]:
        yield sheet(current()[0].choices, "svg")

    @render.download_link(filename="flux_map.svg")
    def map_svg() -> Iterator[str]:
        yield _map(current()[0])

    @render.download_link(filename="scenario.xml")
    def scenario_sbml() -> Iterator[str]:
        from metabolism.exports import sbml_text

        choices = current()[0].choices
        yield sbml_text(exact_model(choices), regimen(choices), until=f"{choices.weeks} weeks")


def _map(shown: View) -> str:
    against = controls()["against"]
    if isinstance(against, Number):
        raise InvalidValue("the comparison of the flux map must be one of several options.")
    words = against.options[shown.choices.against]
    return draw(
        shown.fluxes,
        shown.reference,
        units=equations(load()).units,
        title="Fluxes, mean of the last week",
        against=words,
    )
