"""Sphinx configuration: pages in MyST, generated pages written first by ``generate.py``."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
import generate

from metabolism import __version__
from metabolism.explorer import build_page

project = "als-methionine"
author = "als-methionine contributors"
copyright = author
version = release = __version__
extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx_design"]
myst_enable_extensions = ["colon_fence", "deflist", "dollarmath"]
myst_heading_anchors = 3
exclude_patterns = ["_build", "_generated/cycle.md", "**.ipynb_checkpoints", "submissions"]
html_theme = "pydata_sphinx_theme"
html_title = "als-methionine"
html_static_path = ["_static"]
html_favicon = "_static/icon.svg"
html_context = {"default_mode": "auto"}
html_css_files = ["site.css"]
html_js_files = ["versions.js", "switcher.js"]
html_show_sourcelink = False
#: Pages whose tables or drawing take the width of the list of pages.
WIDE = (
    "_generated/equations",
    "_generated/flux_map",
    "_generated/parameters",
    "_generated/assumptions",
    "evidence/qualification",
)
html_sidebars = {page: [] for page in ("index", "start", "tutorials", *WIDE)}
html_theme_options = {
    "navigation_with_keys": False,
    "show_toc_level": 2,
    # the trial and the flux map take the whole width
    "secondary_sidebar_items": {"**": ["page-toc"], "index": [], "primer": [], "_generated/flux_map": []},
    "footer_start": ["copyright"],
    "footer_end": [],
}
autodoc_typehints = "none"
autodoc_member_order = "bysource"
napoleon_google_docstring = False
napoleon_use_ivar = True
# links from a page to a file outside docs/ become plain text in `relink`; a test follows every link that is left
# a block in a language that Pygments does not know (csv) is shown as plain text
suppress_warnings = ["myst.xref_missing", "misc.highlighting_failure"]
nb_execution_mode = os.environ.get("DOCS_NOTEBOOKS", "cache")
# progress and warnings of kernels are for the one who runs a notebook, not for its reader
nb_output_stderr = "remove"
nb_merge_streams = True
nb_execution_timeout = 300
nb_execution_raise_on_error = True

generate.write_all()


def _relink(app, document, source):
    source[0] = generate.relink(source[0], Path(app.srcdir) / document)


def _plain_marks(app, what, name, thing, options, lines):
    """Escape ``|x|`` and ``*names`` of a docstring, which reStructuredText takes for substitutions and emphasis.

    The words of an array's shape are no names: as a literal they are not looked up as links.
    """
    for i, line in enumerate(lines):
        if line.startswith((":vartype", ":type", ":rtype")):
            line = re.sub(r"(?<=, )shape \(.*?\)", r"``\g<0>``", line)
        parts = re.split(r"(``.*?``)", line)
        for j in range(0, len(parts), 2):
            parts[j] = parts[j].replace("|", "\\|")
            if not re.search(r"[\w.]\*(?![\w*])", parts[j]):
                parts[j] = re.sub(r"(?<![\\*])\*(?=\w)", r"\\*", parts[j])
        lines[i] = "".join(parts)


def _add_page(app, error):
    """Write the trial in a tab beside the site's home, which shows it."""
    if error is None and app.builder.name == "html":
        build_page(Path(app.outdir) / "trial.html")


def setup(app):
    """Connect the rewriting of links and of docstrings, and the model's page."""
    app.connect("build-finished", _add_page)
    app.connect("source-read", _relink)
    app.connect("autodoc-process-docstring", _plain_marks)
