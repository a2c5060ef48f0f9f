"""Joins the page's modules, the compiled model and its contents into one file that needs nothing else."""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
import re
from functools import cache
from html import escape
from pathlib import Path

from metabolism.errors import OutputError
from metabolism.explorer.contents import contents
from metabolism.explorer.words import TEXTS
from metabolism.files import write_text

#: Files of the computing side (also run in a worker) and of the page, each after those it imports from.
ENGINE = ("kernel.js", "statistics.js", "scenario.js", "trial.js", "worker.js")
PAGE = ("address.js", "charts.js", "fluxmap.js", "main.js")


#: Largest size of the page [bytes]: it must travel by e-mail.
LIMIT = 1_500_000


#: No request to anywhere; scripts only those whose hash stands here, WebAssembly, and workers made of them.
POLICY = (
    "default-src 'none'; script-src {scripts} 'wasm-unsafe-eval'; worker-src blob:; style-src 'unsafe-inline'; "
    "img-src data: blob:; connect-src 'none'; base-uri 'none'; form-action 'none'"
)


def source(name: str) -> str:
    """Return the text of one file of the page."""
    return (Path(__file__).parent / "page" / name).read_text(encoding="utf-8")


def joined(names: tuple[str, ...]) -> str:
    """Return modules as one script: without imports and exports, whose names are unique in the page.

    Raises
    ------
    OutputError
        If two modules define one name at their top level.
    """
    parts, owners = [], dict[str, str]()
    for name in names:
        text = re.sub(r"^import [^;]*;\n", "", source(name), flags=re.MULTILINE)
        text = re.sub(r"^export ", "", text, flags=re.MULTILINE)
        for defined in re.findall(r"^(?:async )?(?:function|class|const|let) (\w+)", text, flags=re.MULTILINE):
            if owners.setdefault(defined, name) != name:
                raise OutputError(f"'{defined}' is defined in {owners[defined]} and in {name}; rename one.")
        parts.append(f"// {name}\n{text}")
    return "\n".join(parts)


def _packed(data: bytes) -> str:
    return base64.b64encode(gzip.compress(data, 9, mtime=0)).decode()


def _json(value: object) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


@cache
def page() -> str:
    """Return the whole page as HTML.

    Raises
    ------
    OutputError
        If it would be larger than `LIMIT`.
    """
    shown, code = contents()
    joined((*ENGINE, *PAGE))
    library = {name: shown[name] for name in ("show", "sbml")}
    shown = {name: value for name, value in shown.items() if name not in library}
    warning = TEXTS["warning"]
    scripts = {
        "d3": source("vendor/d3.min.js"),
        "plot": source("vendor/plot.umd.min.js"),
        "engine": "'use strict';\n" + joined(ENGINE),
        "page": "'use strict';\n{\n" + joined(PAGE) + "}\n",
    }
    for name, text in scripts.items():
        # what an HTML reader would take for the end of the script, or for its beginning
        scripts[name] = text.replace("</script", "<\\/script").replace("<!--", "<\\!--")
    hashes = (base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in scripts.values())
    values = scripts | {
        "policy": POLICY.format(scripts=" ".join(f"'sha256-{h}'" for h in hashes)),
        "title": escape(TEXTS["title"]),
        "subtitle": escape(TEXTS["subtitle"]),
        "warning": escape(warning, quote=True),
        "warning_rest": escape(warning.replace("Not for patient care: do", "Do")),
        "no_simd": escape(TEXTS["no_simd"]),
        "style": source("style.css"),
        "mapstyle": source("map.css"),
        "contents": _packed(_json(shown)),
        "library": _packed(_json(library)),
        "module": _packed(code),
    }
    html = re.sub(r"\{\{(\w+)\}\}", lambda match: values[match[1]], source("index.html"))
    if len(html.encode()) > LIMIT:
        raise OutputError(f"the page has {len(html.encode())} bytes; the limit is {LIMIT}.")
    return html


def build_page(path: str | Path) -> Path:
    """Write the page to one HTML file.

    Raises
    ------
    OutputError
        If the folder does not exist or cannot be written.
    """
    return write_text(Path(path), page())
