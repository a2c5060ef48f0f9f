"""The store of a sweep: Parquet part files that appear complete or not at all, and a manifest that names their origin.

A folder holds ``manifest.json`` (what was run), ``part-000000.parquet``, ``part-000001.parquet``, ... with a fixed
range of runs each, and ``parts.sha256`` with a digest of every finished part, so that no other number is taken for one
of ours. A finished part is never written again, so a sweep that was killed goes on where it stopped.
"""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from metabolism.errors import OutputError, UsageError, needs
from metabolism.files import locked, manifest_text, write_atomically, write_text
from metabolism.types import Array

if TYPE_CHECKING:
    import pandas as pd


FORMAT = 2

#: Where the digests of the parts stand.
DIGESTS = "parts.sha256"

#: Columns beside parameters and endpoints.
RUN, FAILURE = "run", "failure"


def pyarrow() -> Any:
    """Return pyarrow, or say which extra brings it."""
    with needs("sensitivity", "a sweep"):
        import pyarrow
        import pyarrow.parquet
    return pyarrow


class Store:
    """A folder of part files.

    Parameters
    ----------
    path : path
    manifest : mapping
        ``study``, ``design`` and ``chunk`` (runs per part).

    Attributes
    ----------
    runs, chunk : int
        Runs of the design, and per part.
    columns, endpoints : list of str
        Parameters of the design; endpoints, as asked.
    """

    def __init__(self, path: Path, manifest: Mapping[str, Any]) -> None:
        self.path, self.manifest = path, manifest
        self.runs, self.chunk = int(manifest["design"]["runs"]), int(manifest["chunk"])
        self.columns: list[str] = list(manifest["design"]["columns"])
        self.endpoints: list[str] = list(manifest["study"]["endpoints"])

    @property
    def parts(self) -> int:
        """Number of parts when complete."""
        return -(-self.runs // self.chunk)

    def span(self, part: int) -> tuple[int, int]:
        """First run of a part, and the run after its last."""
        return part * self.chunk, min((part + 1) * self.chunk, self.runs)

    def file(self, part: int) -> Path:
        """Path of a part."""
        return self.path / f"part-{part:06d}.parquet"

    def digests(self) -> dict[str, str]:
        """SHA-256 of each finished part by file name; a line that a kill cut short names nothing."""
        try:
            lines = (self.path / DIGESTS).read_text(encoding="ascii", errors="replace").splitlines()
        except FileNotFoundError:
            return {}
        return {name: digest for digest, _, name in (line.partition("  ") for line in lines)}

    def content(self, part: int, digests: Mapping[str, str]) -> bytes | None:
        """Return a part as it was written, or None if it is not there or not whole."""
        try:
            content = self.file(part).read_bytes()
        except OSError:
            return None
        return content if hashlib.sha256(content).hexdigest() == digests.get(self.file(part).name) else None

    def missing(self) -> list[int]:
        """Parts that are not there, or not as they were written (a disk that filled up, a machine that went down)."""
        digests = self.digests()
        return [part for part in range(self.parts) if self.content(part, digests) is None]

    def write(self, part: int, rows: Array, values: Array, reasons: Sequence[str]) -> None:
        """Write one part."""
        arrow = pyarrow()
        begin, end = self.span(part)
        units = self.manifest["study"].get("units", [""] * len(self.endpoints))
        numbers = [*((n, None) for n in self.columns), *zip(self.endpoints, ({"units": u} for u in units), strict=True)]
        fields = [arrow.field(n, arrow.float64(), metadata=unit) for n, unit in numbers]
        fields = [arrow.field(RUN, arrow.int64()), *fields, arrow.field(FAILURE, arrow.string())]
        arrays = [np.arange(begin, end), *rows.T, *values.T, arrow.array(list(reasons), arrow.string())]
        table = arrow.table([arrow.array(a) for a in arrays], schema=arrow.schema(fields))
        arrow.parquet.write_table(table, buffer := io.BytesIO(), write_page_checksum=True)
        # the digest last: a part without one is made again
        write_atomically(self.file(part), lambda path: path.write_bytes(buffer.getvalue()))
        with (self.path / DIGESTS).open("a", encoding="ascii") as list_:
            list_.write(f"\n{hashlib.sha256(buffer.getvalue()).hexdigest()}  {self.file(part).name}")


@contextmanager
def open_store(
    path: str | Path, study: Mapping[str, Any], design: Mapping[str, Any], chunk: int | None
) -> Iterator[Store]:
    """Create a store or go on with one, and keep others from writing to it.

    Parameters
    ----------
    study, design : mapping
        What decides the numbers; a store made from anything else is refused.
    chunk : int, optional
        Runs per part; by default that of the existing store, or a size that suits the number of runs.

    Raises
    ------
    UsageError
        If the folder holds another sweep, or something else.
    OutputError
        If the folder cannot be written or is in use.
    """
    pyarrow()
    folder = Path(path)
    file = folder / "manifest.json"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        others = [p.name for p in folder.iterdir() if p.name != "lock" and not p.name.startswith(".")]
    except OSError as error:
        raise OutputError(f"cannot write the store '{folder}': {error.strerror}; choose a writable folder.") from None
    if not file.exists() and others:
        raise UsageError(f"'{folder}' is not empty and holds no sweep ({others[0]}); give a new folder.")
    with locked(folder):
        if file.exists():
            old = read_manifest(folder)
            _same_origin(folder, old, study, design, chunk)
            chunk = int(old["chunk"])
        else:
            # parts small enough to lose little in a kill and to share out, large enough to cost little to write
            chunk = chunk or min(1024, max(32, -(-int(design["runs"]) // 128)))
            text = manifest_text({"format": FORMAT, "study": study, "design": design, "chunk": chunk})
            write_text(file, text + "\n")
        for leftover in folder.glob(".part-*"):
            leftover.unlink(missing_ok=True)
        yield Store(folder, read_manifest(folder))


def read_manifest(folder: Path) -> dict[str, Any]:
    """Return the manifest of a store.

    Raises
    ------
    UsageError
        If the folder holds no sweep.
    """
    try:
        manifest: dict[str, Any] = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
        if manifest["format"] != FORMAT:
            raise UsageError(f"the sweep in '{folder}' has format {manifest['format']}; this version reads {FORMAT}.")
        Store(folder, manifest)
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise UsageError(f"'{folder}' holds no sweep ({type(error).__name__}: {error}).") from None
    return manifest


def _same_origin(
    folder: Path, old: Mapping[str, Any], study: Mapping[str, Any], design: Mapping[str, Any], chunk: int | None
) -> None:
    asked = json.loads(manifest_text({"study": study, "design": design}))
    differ = [
        f"{key} ({_short(old[part].get(key))} there, {_short(asked[part].get(key))} now)"
        for part in ("study", "design")
        for key in sorted({*old[part], *asked[part]})
        if old[part].get(key) != asked[part].get(key)
    ]
    if chunk is not None and chunk != old["chunk"]:
        differ.append(f"chunk ({old['chunk']} there, {chunk} now)")
    if differ:
        what = "another model version" if "hash" in "".join(differ) else "another request"
        raise UsageError(
            f"the store '{folder}' was made by {what}: {'; '.join(differ[:4])}. Give a new folder, or repeat the "
            "request it was made with."
        )


def _short(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 40 else text[:37] + "..."


class Sweep(Store):
    """A finished or unfinished sweep on disk, read as pandas or xarray.

    Parameters
    ----------
    path : path
        Folder of the store.
    """

    def __init__(self, path: str | Path) -> None:
        super().__init__(Path(path), read_manifest(Path(path)))

    def __len__(self) -> int:
        return self.runs

    def __repr__(self) -> str:
        return f"Sweep({len(self)} runs of {', '.join(self.endpoints)} in '{self.path}')"

    @property
    def units(self) -> dict[str, str]:
        """Unit of each endpoint."""
        return dict(zip(self.endpoints, self.manifest["study"]["units"], strict=True))

    @property
    def complete(self) -> bool:
        """Whether every run is there."""
        return not self.missing()

    def batches(self) -> Iterator[pd.DataFrame]:
        """Yield the finished parts one at a time, for tables larger than memory.

        Raises
        ------
        OutputError
            If a part is not as it was written.
        """
        digests = self.digests()
        for part in range(self.parts):
            found = self.content(part, digests)
            if found is not None:
                source = pyarrow().BufferReader(found)
                yield pyarrow().parquet.read_table(source, page_checksum_verification=True).to_pandas()
            elif self.file(part).name in digests and self.file(part).exists():
                raise OutputError(
                    f"'{self.file(part)}' is not as it was written (a damaged disk, or a file from elsewhere); delete "
                    "it and repeat the request with the same store: only its runs are made again."
                )

    def frame(self) -> pd.DataFrame:
        """Return all finished runs in order: run, parameters, endpoints, and why a run failed (empty if it did not)."""
        import pandas as pd

        parts = list(self.batches())
        names = [RUN, *self.columns, *self.endpoints, FAILURE]
        return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=names)

    def values(self) -> Array:
        """Return the endpoints, shape (runs, endpoints); NaN where a run failed."""
        return np.concatenate([part[self.endpoints].to_numpy(dtype=float) for part in self.batches()])

    @property
    def failures(self) -> pd.DataFrame:
        """Failed runs with their parameters and the reason."""
        import pandas as pd

        parts = [part[part[FAILURE] != ""] for part in self.batches()]
        return pd.concat(parts, ignore_index=True) if parts else self.frame()

    def dataset(self) -> Any:
        """Return the endpoints as an xarray.Dataset, over the axes of a grid or over ``run``."""
        import xarray as xr

        table = self.frame()
        dims: tuple[str, ...] = (RUN,)
        coordinates = {n: (RUN, table[n].to_numpy()) for n in (RUN, *self.columns)}
        if grid := self.manifest["design"].get("values"):
            dims, coordinates = tuple(self.columns), {k: (k, grid[k]) for k in self.columns}
        shape = tuple(len(coordinates[k][1]) for k in dims)
        data = {n: (dims, table[n].to_numpy().reshape(shape), {"units": u}) for n, u in self.units.items()}
        return xr.Dataset(data, coordinates, {"manifest": manifest_text(self.manifest)})
