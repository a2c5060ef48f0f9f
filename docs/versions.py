"""Put versions of the site side by side in one folder for any static host: python docs/versions.py FOLDER

Each version is a folder of its own; ``latest`` is a copy of the newest release, ``index.html`` leads there, and every
version gets the list that its switcher shows. ``bash .ci/site`` builds one version into the folder and calls this.
"""

import json
import re
import shutil
import sys
from pathlib import Path

from packaging.version import Version

LATEST, DEVELOPMENT = "latest", "development"


def versions(folder: Path) -> list[str]:
    """Return the releases in a folder, the newest first, and after them what is being made."""
    names = {p.parent.name for p in folder.glob("*/index.html")} - {LATEST}
    releases = sorted(names - {DEVELOPMENT}, key=Version, reverse=True)
    return releases + sorted(names & {DEVELOPMENT})


def assemble(folder: Path) -> None:
    """Write `latest`, the page that leads there, and the list of versions into each.

    Raises
    ------
    SystemExit
        If the folder holds no version.
    """
    found = versions(folder)
    if not found:
        raise SystemExit(f"{folder} holds no version of the site; bash .ci/site builds one into it.")
    shutil.rmtree(folder / LATEST, ignore_errors=True)
    shutil.copytree(folder / found[0], folder / LATEST)
    labels = [(LATEST, f"{found[0]} (latest)"), *((name, name) for name in found[1:])]
    for name in (LATEST, *found):
        # what is read at the address of its own number says so too
        own = [(name, name)] if name == found[0] else []
        text = f"window.alsVersions = {json.dumps([*labels, *own])};\n"
        (folder / name / "_static" / "versions.js").write_text(text, encoding="utf-8")
    (folder / "index.html").write_text(
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>als-methionine</title>'
        f'<meta http-equiv="refresh" content="0; url={LATEST}/index.html">'
        f'<link rel="canonical" href="{LATEST}/index.html">'
        f'</head><body><p><a href="{LATEST}/index.html">als-methionine {found[0]}</a></p><ul>'
        + "".join(f'<li><a href="{name}/index.html">{name}</a></li>' for name in found)
        + "</ul></body></html>\n",
        encoding="utf-8",
    )
    # a host that runs Jekyll would leave out folders that begin with an underscore
    (folder / ".nojekyll").touch()
    print("\n".join(f"{folder}/{name}" for name in (LATEST, *found)))


if __name__ == "__main__":
    if len(sys.argv) != 2 or re.match("-", sys.argv[1]):
        raise SystemExit(__doc__)
    assemble(Path(sys.argv[1]))
