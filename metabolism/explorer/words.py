"""What the page says: labels, help, presets and plain sentences of ``words.toml``."""

import tomllib
from copy import deepcopy
from pathlib import Path
from typing import Any

_WORDS: dict[str, Any] = tomllib.loads(Path(__file__).with_suffix(".toml").read_text(encoding="utf-8"))

#: Sentences of the page; fields in braces are filled from computed values.
TEXTS: dict[str, str] = _WORDS["texts"]


def control_words() -> list[dict[str, Any]]:
    """Return every control of one person: group, label, limits or options, default and help."""
    return deepcopy(list(_WORDS["control"]))


def preset_words() -> list[dict[str, Any]]:
    """Return the presets: name, one line, and the choices that differ from the defaults."""
    return deepcopy(list(_WORDS["preset"]))
