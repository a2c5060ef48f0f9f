"""Generated pages of the site: everything that code knows is written by code, at build time, into ``_generated/``."""

from __future__ import annotations

import inspect
import re
import tomllib
from collections.abc import Iterable
from functools import cache
from html import escape
from importlib import import_module
from pathlib import Path
from typing import Any

import metabolism
from metabolism.model import load

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
OUT = HERE / "_generated"
#: Pages written by hand that a table of contents names; every other page is found and listed by its folder.
NAMED = {
    "index",
    "start",
    "readers",
    "tutorials",
    "primer",
    "model_card",
    "architecture",
    "event_semantics",
    "api",
    "changelog",
    "cite",
    "contribute",
}


def write_all() -> None:
    """Write every generated page; a page whose text did not change keeps its time stamp."""
    OUT.mkdir(exist_ok=True)
    pages = {
        "equations": equations_page(),
        "parameters": parameters_page(),
        "assumptions": assumptions_page(),
        "flux_map": flux_map_page(),
        "cycle": cycle(),
        "scenarios": scenarios_page(),
        "claims": claims_page(),
        "court": court_page(),
        "methylcobalamin": living_page(),
        "designs": designs_page(),
        "reference": reference_page(),
        "commands": commands_page(),
        "more_list": more(),
        "model_folder": adopted(ROOT / "models" / "README.md"),
        "experiments_folder": adopted(ROOT / "experiments" / "README.md"),
        "changes": adopted(ROOT / "CHANGELOG.md"),
    }
    for stale in OUT.glob("*.md"):
        if stale.stem not in pages:
            stale.unlink()
    for name, text in pages.items():
        path = OUT / f"{name}.md"
        if not path.is_file() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")


def adopted(path: Path) -> str:
    """Return a page of the repository as a page of the site."""
    return relink(path.read_text(encoding="utf-8"), path)


def relink(text: str, page: Path) -> str:
    """Point relative links at pages of the site; a link to a file that is none becomes its name."""
    homes = {
        (ROOT / "models" / "README.md"): OUT / "model_folder.md",
        (ROOT / "experiments" / "README.md"): OUT / "experiments_folder.md",
        (ROOT / "CHANGELOG.md"): OUT / "changes.md",
        (HERE / "decisions"): HERE / "decisions.md",
    }
    base = page.parent if page.is_relative_to(HERE) else OUT

    def replace(match: re.Match[str]) -> str:
        words, target = match.group(1), match.group(2)
        if re.match(r"[a-z]+:|#", target) or match.group(0).startswith("!"):
            return match.group(0)
        name, _, anchor = target.partition("#")
        found = (page.parent / name).resolve()
        found = homes.get(found, found)
        # a missing file is the business of the test of links between documents
        if found.is_file() and found.is_relative_to(HERE) and found.suffix in (".md", ".ipynb", ".png", ".svg"):
            up = Path(*[".."] * len(base.relative_to(HERE).parts))
            return f"[{words}]({(up / found.relative_to(HERE)).as_posix()}{'#' + anchor if anchor else ''})"
        return words

    parts = re.split(r"(```.*?```)", text, flags=re.S)
    linked = "".join(p if p.startswith("```") else re.sub(r"!?\[([^\]]+)\]\(([^)\s]+)\)", replace, p) for p in parts)
    return cards(linked) if page.stem == "qualification" else linked


def contents(pages: Iterable[Path]) -> str:
    """Return a page that is only a table of contents."""
    entries = "\n".join(f"/{p.as_posix()}" for p in pages)
    return f"---\norphan: true\n---\n\n# More pages\n\n```{{toctree}}\n:maxdepth: 1\n\n{entries}\n```\n"


def more() -> str:
    """List pages that no table of contents names, so that a new page is never lost."""
    top = [
        p
        for p in sorted(HERE.glob("*.md"))
        if p.stem not in {*NAMED, "decisions", "evidence", "science", "howto", "reference"}
    ]
    return (
        contents(p.relative_to(HERE).with_suffix("") for p in top)
        if top
        else "---\norphan: true\n---\n\n# More pages\n"
    )


def table(heads: list[str], rows: Iterable[Iterable[object]]) -> str:
    """Return an HTML table; cells are escaped unless they start with ``<``. On a telephone each row is a card."""

    def cell(value: object) -> str:
        text = str(value)
        return text if text.startswith("<") else escape(text)

    def line(row: Iterable[object]) -> str:
        return "".join(f'<td data-head="{escape(h)}">{cell(c)}</td>' for h, c in zip(heads, row, strict=True))

    body = "".join(f"<tr>{line(row)}</tr>" for row in rows)
    head = "".join(f"<th>{escape(h)}</th>" for h in heads)
    return f'<div class="wide"><table class="table"><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'


def cards(text: str) -> str:
    """Turn the tables of a Markdown page that have eight columns or more into HTML that fits any width."""

    def html(match: re.Match[str]) -> str:
        heads, _, *rows = ([c.strip() for c in line.strip("| ").split(" | ")] for line in match[0].splitlines())
        whole = len(heads) >= 8 and all(len(row) == len(heads) for row in rows)
        return raw(table(heads, rows)) if whole else match[0]

    return re.sub(r"(?:^\|.*\|\n)+", html, text, flags=re.M)


def raw(html: str) -> str:
    """Return HTML for a MyST page."""
    return f"```{{raw}} html\n{html}\n```\n"


def equations_page() -> str:
    """Every rate law and rule, read back from the built SBML, as MathML."""
    from sympy.printing.mathml import mathml

    from metabolism.data import models_dir
    from metabolism.model import equations, read_annotations
    from metabolism.units import label

    model = load()
    system, names = equations(model), read_annotations()
    owner = _fragments(models_dir())

    def formula(left: str, expression: Any) -> str:
        right = mathml(expression, printer="presentation", mul_symbol="dot", disable_split_super_sub=True)
        right = right.replace("<mo>-</mo>", "<mo>−</mo>")
        known = {s: model.table[s] for s in sorted(map(str, expression.free_symbols)) if s in model.table}
        where = "; ".join(f"<code>{s}</code> {escape(row.name)} [{label(row.unit) or '1'}]" for s, row in known.items())
        # dollars would be read as mathematics by the page
        return (
            f'<div class="eq"><math display="block"><mi>{left}</mi><mo>=</mo>{right}</math>'
            f'<p class="where">{where}</p></div>'
        )

    text = [
        "# Equations",
        "",
        f"{len(system.states)} states, {len(system.reactions)} reactions and {len(system.rules)} derived quantities, "
        "generated from the built SBML. Names are the ids of `models/parameters.csv`; what they mean stands below each "
        "equation.",
        "",
    ]
    for fragment in dict.fromkeys(owner.values()):
        text += [f"## {fragment.replace('_', ' ').capitalize()}", ""]
        for key, home in owner.items():
            if home != fragment:
                continue
            if key in system.reactions:
                reaction = system.reactions[key]
                sides = [
                    " + ".join(
                        (f"{abs(c):g} " if abs(c) != 1 else "") + s
                        for s, c in reaction.stoichiometry.items()
                        if c * sign > 0
                    )
                    or "∅"
                    for sign in (-1, 1)
                ]
                title = names.get(key, {}).get("name") or key
                text += [
                    f"### {key}",
                    "",
                    f"{title}: `{sides[0]} → {sides[1]}` [µmol/h]"
                    if title != key
                    else f"`{sides[0]} → {sides[1]}` [µmol/h]",
                    "",
                    raw(formula("v", reaction.rate)),
                ]
            elif key in system.rules:
                text += [
                    f"### {key}",
                    "",
                    f"derived quantity [{label(system.units[key]) or 'dimensionless'}]",
                    "",
                    raw(formula(key, system.rules[key])),
                ]
            elif key in system.rate_rules:
                text += [
                    f"### {key}",
                    "",
                    "rate of change [per hour]",
                    "",
                    raw(formula(f"d {key} / dt", system.rate_rules[key])),
                ]
    return "\n".join(text)


def _fragments(folder: Path) -> dict[str, str]:
    """Fragment that defines each reaction, rule or rate rule, in the order of the files."""
    from metabolism.model import model_settings

    found = {}
    for name in model_settings()["fragments"]:
        for line in (folder / f"{name}.ant").read_text(encoding="utf-8").splitlines():
            match = re.match(r"\s*(\w+)(?::(?!=)|'\s*=|\s*:=)", line.split("//")[0])
            if match:
                found[match.group(1)] = name
    return found


def parameters_page() -> str:
    """Every number with unit, bounds, source, locator and confidence, by module."""
    from metabolism.model import bibliography, citation
    from metabolism.units import label, written

    rows = load().table
    text = [
        "# Parameters and where they come from",
        "",
        "Grade: A measured in people, B measured or fitted with care, C indirect, D assumed. `derived` rows are "
        "computed "
        "from others by the formula shown. Generated from `models/parameters.csv`.",
        "",
    ]
    modules = dict.fromkeys(p.module for p in rows.values())
    for module in modules:
        own = [p for p in rows.values() if p.module == module]
        text += [
            f"## {module.replace('_', ' ').capitalize()}",
            "",
            raw(
                table(
                    ["number", "value", "bounds", "kind", "source", "grade", "how or why"],
                    [
                        [
                            f"<code>{p.id}</code><br>{escape(p.name)}",
                            f"{p.value:.5g} {label(p.unit)}".strip(),
                            f"{written(p.lower)} to {written(p.upper)}",
                            p.kind,
                            "; ".join(x for x in (p.source, p.locator) if x),
                            p.confidence,
                            " ".join(x for x in (p.derivation, p.note) if x),
                        ]
                        for p in own
                    ],
                )
            ),
        ]
    used = sorted({k for p in rows.values() for k in p.keys} & bibliography().keys())
    text += ["## Sources", "", *(f"- **{k}**: {citation(k)}" for k in used), ""]
    return "\n".join(text)


def assumptions_page() -> str:
    """Every assumed number with what it does to homocysteine, MMA and transmethylation when it is 10 % larger."""
    from metabolism.simulation import simulate
    from metabolism.units import label

    model = load()
    outputs = ["hcy_plasma", "mma_plasma", "sam_liver", "transmethylation"]
    resting = {*model.not_at_rest}
    rows = [
        p
        for p in model.table.values()
        if p.confidence in ("", "D") and p.id in model.values and p.kind not in ("initial",)
    ]
    rows = [p for p in rows if p.id not in resting and p.value > 0]
    columns = {p.id: [p.value] * (len(rows) + 1) for p in rows}
    for i, p in enumerate(rows):
        columns[p.id][i + 1] = 1.1 * p.value
    run = simulate(model, None, 1.0, patients=columns, outputs=outputs, times=[0.0])
    values = {o: run[o].values[:, 0] for o in outputs}
    change = {o: 100 * (v[1:] / v[0] - 1) for o, v in values.items()}
    order = sorted(range(len(rows)), key=lambda i: -max(abs(c[i]) for c in change.values()))
    body = [
        [
            f"<code>{rows[i].id}</code>",
            rows[i].name,
            f"{rows[i].value:.4g} {label(rows[i].unit)}",
            *(f"{round(change[o][i], 2) + 0.0:+.2f}" for o in outputs),
            rows[i].note or rows[i].derivation,
        ]
        for i in order
    ]
    text = [
        "# Assumptions and what they do",
        "",
        f"{len(rows)} values without a grade or of confidence D carry the model where nothing was measured, or "
        f"nothing that can be traced. Each row makes one of them 10 % larger, leaves all "
        "others, and lets the healthy reference come to rest again: the change of each level or rate in percent, "
        "largest first. An "
        "assumption with zeros acts only under treatment, in disease, or not at all at rest.",
        "",
        raw(
            table(["id", "what", "value", "tHcy [%]", "MMA [%]", "liver SAM [%]", "transmethylation [%]", "why"], body)
        ),
    ]
    return "\n".join(text)


def cycle() -> str:
    """The flux map of the healthy reference, to be included in a page."""
    from metabolism.report import resting_map

    model = load()
    return raw(f'<div class="wide">{resting_map(model, model, "The healthy reference", "itself")}</div>')


def flux_map_page() -> str:
    """The whole system at rest, and three changes of it."""
    from metabolism.report import resting_map

    model = load()
    maps = (
        ("The healthy reference", model, "itself"),
        ("Vitamin B12 deficiency", model.with_set("b12_deficient"), "the healthy reference"),
        ("MTHFR 677TT", model.with_set("mthfr_677tt"), "the healthy reference"),
        ("Renal impairment", model.with_set("renal_impairment"), "the healthy reference"),
    )
    text = [
        "# Flux map",
        "",
        "Every reaction of the model at rest, from `models/flux_map.toml`. Point at an arrow or a box to read its "
        "value; "
        "`metabolism explore` draws the same map under treatment.",
        "",
    ]
    for title, changed, against in maps:
        text += [f"## {title}", "", raw(f'<div class="wide">{resting_map(changed, model, title, against)}</div>')]
    return "\n".join(text)


def scenarios_page() -> str:
    """Effect scenarios, parameter sets and substances."""
    from metabolism.dosing import substances
    from metabolism.model import read_set, set_names
    from metabolism.trials import scenarios

    effect = [
        [
            f"<code>{s.id}</code>",
            s.title,
            "–" if s.effect is None else f"{s.effect:g} (SD {s.effect_sd:g})",
            f"{s.beta_hcy:g}",
            s.source,
            "yes" if s.uses_e0761 else "no",
            s.note,
        ]
        for s in scenarios().values()
    ]
    sets = [
        [
            f"<code>{n}</code>",
            ", ".join(f"{k} = {v:.4g}" for k, v in read_set(n).values.items()) or "(the reference)",
            ", ".join(dict.fromkeys(r["source"] for r in read_set(n).rows)),
        ]
        for n in set_names()
    ]
    doses = [[s.name, ", ".join(s.routes), f"{s.molar_mass:g} g/mol"] for s in substances().values()]
    return "\n".join(
        [
            "# Scenarios, sets and substances",
            "",
            "## Effect scenarios",
            "",
            "The size of a drug effect is never hidden in the model: every trial names its scenario.",
            "",
            raw(
                table(
                    ["id", "what", "reduction of the loss rate", "elasticity to tHcy", "source", "uses E0761", "note"],
                    effect,
                )
            ),
            "## Parameter sets",
            "",
            raw(table(["id", "values", "source"], sets)),
            "## Substances",
            "",
            raw(table(["substance", "routes", "molar mass"], doses)),
        ]
    )


def claims_page() -> str:
    """Every experiment with its question, and what is known to fail with the reason."""
    from metabolism.report import experiment_names, get_experiment, known_gaps

    gaps = known_gaps()
    text = [
        "# Experiments, claims and known gaps",
        "",
        "An experiment asks one question and states claims: predicted, published, and a band fixed "
        "before the run. `metabolism run NAME` answers it, `metabolism report` puts all answers on one page. A claim "
        "that fails stays, "
        "with its reason; a test demands that it still fails.",
        "",
    ]
    for name in experiment_names():
        chosen = get_experiment(name)
        text += [f"## {chosen.title}", "", f"`metabolism run {name}`: {chosen.question}", ""]
        own = {k.split(".", 1)[1]: v for k, v in gaps.items() if k.startswith(f"{name}.")}
        text += ["Known gaps:", "", *(f"- `{k}`: {v}" for k, v in own.items()), ""] if own else ["No known gap.", ""]
    return "\n".join(text)


def court_page() -> str:
    """The mechanism court, from a run made while the site is built."""
    return run_page("mechanisms", "The mechanism court", "ranking")


def designs_page() -> str:
    """What the shipped designs show and cost, from a quick run made while the site is built."""
    return run_page("platforms", "What today's designs show and cost", "operating_characteristics", quick=True)


@cache
def ran(name: str, quick: bool) -> tuple[Any, list[Path]]:
    """Run an experiment once; return its outcome and its figures, copied beside the pages."""
    import shutil
    import tempfile

    from metabolism.report import run

    with tempfile.TemporaryDirectory() as folder:
        outcome, results = run(name, out=folder, quick=quick)
        figures = sorted((results / "figures").glob("*.png"))
        return outcome, [Path(shutil.copy(figure, OUT / f"{name}_{figure.name}")) for figure in figures]


def living_page() -> str:
    """What is known of methylcobalamin in ALS, row by row, and how each row moves the court."""
    from metabolism.data import read_data
    from metabolism.model import citations

    outcome, extension = ran("mechanisms", False)[0], ran("extension", False)
    weights = outcome.tables["sensitivity"].pivot(index="variant", columns="family", values="posterior weight") * 100
    base = weights.loc["prior weights: base"]
    rows = read_data("evidence/methylcobalamin").astype(object).fillna("")
    keys = [key for text in rows["source"] for key in text.split(";") if not key.startswith("http")]
    works = citations(keys)

    def moved(facts: str) -> str:
        without = [f"without {f}" for f in facts.split(";") if f"without {f}" in weights.index]
        if not without:
            return "not scored" if facts else ""
        shifts = (base - weights.loc[without].mean()).sort_values(key=abs, ascending=False)
        return "; ".join(f"{name} {value:+.0f}" for name, value in shifts.head(2).items())

    def linked(text: str) -> str:
        doi = [
            re.search(r"10\.\d{4,9}/[^\s;,]+[^\s;,.]|https?://[^\s;,]+[^\s;,.]", works.get(k, k))
            for k in text.split(";")
        ]
        address = [m and (m[0] if m[0].startswith("http") else f"https://doi.org/{m[0]}") for m in doi]
        words = ["web" if k.startswith("http") else k for k in text.split(";")]
        return (
            "<span>"
            + ", ".join(f'<a href="{escape(a)}">{w}</a>' if a else w for w, a in zip(words, address, strict=True))
            + "</span>"
        )

    known = ["family", "weight after all facts [%]"]
    text = [
        "# Methylcobalamin in ALS: what is known",
        "",
        "For neurologists, patients and whoever advises them. This page is no advice on treatment; talk to a doctor.",
        "",
        "**In short.** Two randomised trials in one country. The larger one missed its aim; the later, in early and "
        "moderately fast patients, found the decline over 16 weeks smaller by 1.97 of 48 points (95 % interval 0.44 to "
        "3.50). Whether the drug slows the disease, lends function for a time, or whether chance helped, is not "
        "settled; nobody has shown that people live longer. It is approved in Japan and nowhere else that we know of.",
        "",
        f"Rows were last looked up on {max(rows['checked'])}. *Moves* says what the row does to the weights of the "
        "model's rival explanations, in percentage points, all other rows kept; [the court](court.md) explains them.",
        "",
        raw(table(known, [[n, f"{v:.0f}"] for n, v in base.items()])),
    ]
    heads = ["what", "found", "people", "what it means", "moves", "source"]
    for kind, part in rows.groupby("kind", sort=False):
        text += [f"## {str(kind).capitalize()}", ""]
        text += [
            raw(
                table(
                    heads,
                    [
                        [
                            r.what,
                            r.found,
                            f"{r.people:g}" if r.people else "",
                            r.means,
                            moved(r.facts),
                            linked(r.source),
                        ]
                        for r in part.itertuples()
                    ],
                )
            ),
            "",
        ]
    gains = outcome.tables["information"].head(4)
    text += [
        "## What would change this",
        "",
        "- The result of the extension of JETALS. What each explanation expects was written down before:",
        "",
        *(f"  {line}" for line in extension[0].answer.splitlines()[:1]),
        "",
        f"![Figure: expected difference in the extension]({extension[1][0].name})",
        "",
        "- Homocysteine before and after in JETALS, as numbers.",
        "- A second trial like JETALS, or one of these, by how much they would tell (bit, of "
        f"{gains.iloc[0]['uncertainty [bit]']:.1f} that are open):",
        "",
        *(f"  - {r['experiment']}: {r['information [bit]']:.2f}" for _, r in gains.iterrows()),
        "",
        "A row is missing or wrong? They stand in `experiments/data/evidence`; tell the issue tracker.",
    ]
    return "\n".join(text)


def run_page(name: str, heading: str, key: str, *, quick: bool = False) -> str:
    """Run an experiment and return a page with its answer, figures, one table and notes."""
    from metabolism.report import get_experiment

    outcome, figures = ran(name, quick)
    text = [
        f"# {heading}",
        "",
        f"**{get_experiment(name).question}**",
        "",
        f"`metabolism run {name}` writes this with all its tables; here it is as run{' with --quick' * quick} when the "
        "page was built.",
        "",
        *(line + "\n" for line in outcome.answer.splitlines()),
    ]
    for figure in figures:
        title = figure.stem.removeprefix(f"{name}_").split("_", 1)[1].replace("_", " ")
        text += [f"![Figure: {title}]({figure.name})", ""]
    shown = outcome.tables[key]
    rows = [[f"{v:.3g}" if isinstance(v, float) else str(v) for v in row] for row in shown.itertuples(index=False)]
    text += [f"## {key.replace('_', ' ').capitalize()}", "", raw(table(list(shown.columns), rows)), "## Notes", ""]
    return "\n".join([*text, *(f"- {n}" for n in outcome.notes)])


def commands_page() -> str:
    """The command line, from its own help."""
    from metabolism.cli import build_parser

    parser = build_parser()
    choices = next(a.choices for a in parser._actions if isinstance(a.choices, dict))
    text = [
        "# Command line",
        "",
        "Exit codes: 0 done, 1 failed, 2 wrong usage, 130 interrupted.",
        "",
        "```text",
        parser.format_help(),
        "```",
        "",
    ]
    for name, sub in choices.items():
        text += [f"## {name}", "", "```text", sub.format_help(), "```", ""]
    return "\n".join(text)


def reference_page() -> str:
    """API reference from docstrings: every room by what its door offers."""
    lines = [
        "# API reference",
        "",
        "Generated from docstrings, room by room. A shorter table is on the [API page](/api.md).",
        "",
    ]
    rooms = sorted(p.parent.name for p in Path(metabolism.__file__).parent.glob("*/__init__.py"))
    for room in rooms:
        door = import_module(f"metabolism.{room}")
        lines += [f"## metabolism.{room}", "", (door.__doc__ or "").strip(), "", "```{eval-rst}"]
        for name in door.__all__:
            thing = getattr(door, name)
            home = getattr(thing, "__module__", "")
            if inspect.isclass(thing):
                lines += [f".. autoclass:: {home}.{name}", "   :members:", ""]
            elif inspect.isfunction(thing):
                lines += [f".. autofunction:: {home}.{thing.__name__}", ""]
        lines += ["```", ""]
    rows = [
        [
            f"<code>{room}</code>",
            (import_module(f"metabolism.{room}").__doc__ or "")
            .strip()
            .split("\n")[0]
            .replace("``", "")
            .replace("`", ""),
        ]
        for room in rooms
    ]
    lines += ["## Rooms", ""]
    layers = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"]["contracts"][
        0
    ]["layers"]
    return "\n".join(
        [
            *lines,
            raw(table(["room", "what it answers"], rows)),
            "Each layer may import only from those below it:",
            "",
            "```text",
            *(layer.replace("metabolism.", "") for layer in layers),
            "```",
            "",
        ]
    )
