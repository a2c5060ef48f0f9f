"""Published data shipped with the experiments: read with checksum, units and source."""

from __future__ import annotations

import hashlib
import tomllib
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from metabolism.errors import ProvenanceError, UnknownName

if TYPE_CHECKING:
    import pandas as pd


def experiments_dir() -> Path:
    """Return the folder of experiments: inside the installed package, or beside it in a checkout."""
    here = Path(__file__).resolve().parent
    packaged = here / "_experiments"
    return packaged if packaged.is_dir() else here.parent / "experiments"


def experiment_texts(name: str) -> dict[str, Any]:
    """Return what ``captions.toml`` says of a shipped experiment: ``notes``, and a caption for each figure."""
    said: dict[str, Any] = tomllib.loads((experiments_dir() / "captions.toml").read_text(encoding="utf-8"))
    texts: dict[str, Any] = said.get(name, {})
    return texts


def sources() -> dict[str, Path]:
    """Return every data file by ``folder/file`` name without suffix."""
    root = experiments_dir() / "data"
    return {f"{p.parent.name}/{p.stem}": p for p in sorted(root.glob("*/*.csv"))}


def source(name: str) -> dict[str, Any]:
    """Return what ``SOURCE.toml`` says of one data file: title, licence, checksum.

    Raises
    ------
    UnknownName
        If there is no such file.
    ProvenanceError
        If the file has no entry, or its checksum is not the one written down.
    """
    files = sources()
    if name not in files:
        raise UnknownName("data file", name, files)
    path = files[name]
    with (path.parent / "SOURCE.toml").open("rb") as handle:
        entries = tomllib.load(handle)
    entry = entries.get(path.name) or entries.get(path.stem)
    if entry is None:
        raise ProvenanceError(f"{path.name} has no entry in {path.parent.name}/SOURCE.toml.")
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    if digest != entry["sha256"]:
        raise ProvenanceError(
            f"{path.parent.name}/{path.name} has sha256 {digest[:12]}..., SOURCE.toml says {entry['sha256'][:12]}...; "
            "restore the file, or update the checksum with a reason."
        )
    return dict(entry)


@cache
def _read(name: str) -> pd.DataFrame:
    import pandas as pd

    source(name)
    return pd.read_csv(sources()[name])


def read_data(name: str) -> pd.DataFrame:
    """Return one data file as a table, after checking its checksum."""
    return _read(name).copy()


def models_dir() -> Path:
    """Return the folder of model files: inside the installed package, or beside it in a checkout."""
    here = Path(__file__).resolve().parent
    packaged = here / "_models"
    return packaged if packaged.is_dir() else here.parent / "models"
