"""Typed errors: what went wrong, where, the nearest valid names and the remedy.

Every error a user can cause derives from `MetabolismError`; the command line prints its message on one
line and exits with `exit_code` (2 for wrong usage, 1 for a failure while working).
"""

import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from difflib import get_close_matches


class MetabolismError(Exception):
    """Base of all errors raised on purpose by this package."""

    exit_code = 1


class UsageError(MetabolismError):
    """The request itself is wrong: nothing was run."""

    exit_code = 2


class ExtraMissing(UsageError):
    """What was asked needs a package that only an extra brings."""


@contextmanager
def needs(extra: str, purpose: str) -> Iterator[None]:
    """Say which extra brings the package that an import inside did not find.

    Raises
    ------
    ExtraMissing

    Examples
    --------
    >>> with needs("cluster", "a cluster"):
    ...     import no_such_package
    Traceback (most recent call last):
        ...
    metabolism.errors.ExtraMissing: a cluster needs no_such_package: pip install 'als-methionine[cluster]'.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        if (error.name or "metabolism").partition(".")[0] == "metabolism":
            raise
        remedy = f"pip install 'als-methionine[{extra}]'"
        if extra == "referee" and sys.platform == "linux" and os.uname().machine == "aarch64":
            remedy = "it is not built for Linux on ARM, take another machine"
        raise ExtraMissing(f"{purpose} needs {error.name}: {remedy}.") from None


class UnknownName(UsageError):
    """A name that does not exist, with the nearest ones that do.

    Parameters
    ----------
    kind : str
        What was looked up, e.g. ``"parameter"``.
    name : str
        The name as given.
    known : iterable of str
        All valid names.
    remedy : str
        How to list the valid names.

    Examples
    --------
    >>> print(UnknownName("route", "in", ["im", "iv", "sc"]))
    no route 'in'. Known: im, iv, sc.
    >>> UnknownName("output", "hcy_plasm", ["hcy_plasma", "sam_liver"]).near
    ['hcy_plasma']
    """

    def __init__(self, kind: str, name: str, known: Iterable[str], remedy: str = "") -> None:
        names = sorted(set(known))
        near = _nearest(str(name), names)
        if near:
            hint = f" Did you mean {' or '.join(repr(n) for n in near)}?"
        elif (len(names) <= 24 or not remedy) and not remedy.startswith("Known"):
            more = f" and {len(names) - 40} more" if len(names) > 40 else ""
            hint = f" Known: {', '.join(names[:40])}{more}."
        else:
            hint = ""
        super().__init__(f"no {kind} '{name}'.{hint}{' ' + remedy if remedy else ''}")
        self.kind, self.name, self.near = kind, name, near


def _nearest(name: str, names: list[str]) -> list[str]:
    """Up to three names: those it is a word of first, blood plasma before other places, then those spelled alike."""
    folded = {n.casefold(): n for n in names}
    asked = name.casefold()
    whole = [n for n in folded if len(asked) > 2 and asked in n.split("_")]
    whole.sort(key=lambda n: (not n.startswith(asked), not n.endswith("_plasma"), len(n)))
    alike = get_close_matches(asked, list(folded), n=3, cutoff=0.55)
    return [folded[n] for n in dict.fromkeys([*whole[:2], *alike])][:3]


class InvalidValue(UsageError):
    """A value outside its domain (negative, NaN, wrong type)."""


class Implausible(InvalidValue, UserWarning):
    """A value further outside its bounds than can be meant: a warning in a script, refused on the command line."""


class UnitMismatch(UsageError):
    """A quantity whose unit cannot be converted to the one needed."""


class InvalidRegimen(UsageError):
    """A dosing regimen that cannot be read or carried out."""


class SetConflict(UsageError):
    """Two parameter sets, or a set and a value, that change the same parameter."""


class ModelError(MetabolismError):
    """The model files do not make a valid, unit-clean model."""


class ProvenanceError(MetabolismError):
    """A number without a source, or a source that does not exist."""


class SolverFailed(MetabolismError):
    """An integration or a steady state that could not be finished.

    Attributes
    ----------
    time : float or None
        Time reached [h].
    state : str or None
        Id of the state that moved fastest when it failed.
    lasting : bool
        Whether no tolerance would change it.
    """

    def __init__(
        self, message: str, time: float | None = None, state: str | None = None, lasting: bool = False
    ) -> None:
        super().__init__(message)
        self.time, self.state, self.lasting = time, state, lasting


class FitFailed(MetabolismError):
    """A statistical model that could not be fitted to one data set."""


class OutputError(MetabolismError):
    """A result that could not be written; nothing half-written is left behind."""
