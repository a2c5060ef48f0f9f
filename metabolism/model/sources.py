"""Where numbers come from: the bibliography and the citations a run actually used."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from functools import cache
from typing import TYPE_CHECKING

from metabolism.data import models_dir
from metabolism.errors import ProvenanceError, UnknownName

if TYPE_CHECKING:
    from pybtex.database import Entry

#: Fields of an entry by which a reader can find the work, the most lasting first.
IDENTIFIERS = ("doi", "pmid", "url")


@cache
def bibliography() -> dict[str, Entry]:
    """Return every entry of ``models/references.bib`` by key."""
    from pybtex.database import PybtexError, parse_file

    try:
        return dict(parse_file(str(models_dir() / "references.bib"), bib_format="bibtex").entries)
    except PybtexError as error:
        raise ProvenanceError(f"references.bib cannot be read: {error}") from None


@cache
def publication_ids() -> dict[str, str]:
    """Return ``doi/...`` or ``pubmed/...`` of every reference that has one, read without parsing whole entries."""
    text = (models_dir() / "references.bib").read_text(encoding="utf-8")
    ids = {}
    for key, body in re.findall(r"^@\w+\{(\w+),\n(.*?)^\}", text, flags=re.M | re.S):
        fields = dict(re.findall(r"^\s*(doi|pmid) = \{(.+?)\},?$", body, flags=re.M))
        if fields:
            ids[key] = f"doi/{fields['doi']}" if "doi" in fields else f"pubmed/{fields['pmid']}"
    return ids


def untraceable() -> frozenset[str]:
    """Return the references that have neither DOI, PMID nor address."""
    return frozenset(k for k, entry in bibliography().items() if not set(IDENTIFIERS) & set(entry.fields))


def reference_problems(entries: Mapping[str, Entry]) -> list[str]:
    """List entries that can neither be traced nor say so (``traceable = {no}``), or that say it although they can.

    What only somebody's memory holds cannot be traced either: a note says so ("as remembered") in such entries alone.
    """
    problems = []
    for key, entry in entries.items():
        given = [i for i in IDENTIFIERS if entry.fields.get(i, "").strip()]
        marked = entry.fields.get("traceable") == "no"
        if not given and not marked:
            problems.append(f"reference '{key}' has no doi, pmid or url; add one, or mark it traceable = {{no}}")
        if given and marked:
            problems.append(f"reference '{key}' is marked traceable = {{no}} and has a {given[0]}; remove one")
        if given and re.search("from memory|as remembered", entry.fields.get("note", "")):
            problems.append(f"reference '{key}' has a {given[0]}, and its note rests on memory; compare it and say so")
    return problems


def citation(key: str) -> str:
    """Return one reference as a line of text: authors, year, title, journal, and DOI, PMID or address.

    Raises
    ------
    UnknownName
        If the key is not in the bibliography.

    Examples
    --------
    >>> "1995" in citation("Nygard1995")
    True
    """
    from pybtex.richtext import Text

    entries = bibliography()
    if key not in entries:
        raise UnknownName("reference", key, entries, "References live in models/references.bib.")
    entry = entries[key]
    people = entry.persons.get("author", [])
    names = [" ".join(p.last_names) for p in people if "others" not in p.last_names]
    authors = f"{names[0]} et al." if len(people) > 2 else " and ".join(names)
    fields = entry.fields
    # a leaflet or a register without author begins with what it is
    parts = [authors, fields.get("year", ""), fields.get("title", "") or fields.get("note", "") or key]
    parts = parts if authors else parts[::-1]
    parts.append(" ".join(x for x in (fields.get("journal", ""), fields.get("volume", "")) if x))
    kind = next((i for i in IDENTIFIERS if i in fields), "")
    parts.append(f"{'' if kind == 'url' else kind + ':'}{fields[kind]}" if kind else "Not traceable")
    return ". ".join(str(Text.from_latex(p)).strip(" .") for p in parts if p) + "."


def citations(keys: Iterable[str]) -> dict[str, str]:
    """Return the text of several references, in order and without repeats.

    >>> list(citations(["Nygard1995", "Oki2022", "Nygard1995"]))
    ['Nygard1995', 'Oki2022']
    """
    return {key: citation(key) for key in dict.fromkeys(keys)}
