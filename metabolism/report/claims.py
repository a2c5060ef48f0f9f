"""A claim: a prediction beside a published number, with a band that was fixed before the run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from metabolism.cases import MEMORY, predict, read_cases
from metabolism.data import read_data
from metabolism.errors import UnknownName
from metabolism.model import Model

#: What a published number is to the model: a check entered nothing, a calibration row was fitted, an input taken in.
ROLES = ("check", "calibration", "input")


@dataclass(frozen=True)
class Claim:
    """A prediction beside a published number, with a band fixed before the run.

    Attributes
    ----------
    predicted, published : float
        In `unit`.
    low, high : float
        Band [unit]: of the published number, or the model's own 95 % interval for one trial of the published size.
    source : str
        BibTeX key.
    own_interval : bool
        Whether the band is the model's, so that the published number has to lie in it.
    role : str
        One of `ROLES`; only checks can be predictions.
    remembered : bool
        Whether nobody has seen the number printed: it is shown as remembered, and not as published.
    """

    id: str
    statement: str
    predicted: float
    published: float
    low: float
    high: float
    unit: str
    source: str
    note: str = ""
    own_interval: bool = False
    role: str = "check"
    remembered: bool = False

    @classmethod
    def of(
        cls, row: str, predicted: float, interval: Sequence[float] | None = None, note: str = "", name: str = ""
    ) -> Claim:
        """Claim about a row of ``experiments/data/published/numbers.csv``.

        Parameters
        ----------
        row : str
            Id of the row, ``group.name``; the claim is called ``name`` unless `name` says otherwise.
        predicted : float
            In the unit of the row.
        interval : sequence of two float, optional
            The model's own 95 % interval for one trial of the published size: the published number must lie in it. Left
            out, the prediction must lie in the band of the row.
        note : str
            Added to the note of the row.

        Raises
        ------
        UnknownName
            If there is no such row.
        """
        rows = {str(r["id"]): r for r in read_data("published/numbers").astype(object).fillna("").to_dict("records")}
        if row not in rows:
            raise UnknownName("published number", row, rows)
        number = rows[row]
        band = (number["low"], number["high"]) if interval is None else interval
        guess, value, low, high = map(float, (predicted, number["value"], *band))
        quantity, unit, source, own, kind = (str(number[k]) for k in ("quantity", "unit", "source", "note", "kind"))
        said = "; ".join(filter(None, (own, note)))
        name = name or row.partition(".")[2]
        lost = MEMORY in str(number["locator"])
        return cls(name, quantity, guess, value, low, high, unit, source, said, interval is not None, kind, lost)

    @property
    def holds(self) -> bool:
        """Whether the prediction lies inside the band, or the published number inside the model's (NaN never does)."""
        return self.low <= (self.published if self.own_interval else self.predicted) <= self.high


def case_claims(model: Model, statements: Mapping[str, str]) -> list[Claim]:
    """Claims about rows of the case files, each on the population and with the interventions of its row.

    Parameters
    ----------
    model : Model
    statements : mapping of str to str
        Id of a row to the words of its claim.

    Raises
    ------
    UnknownName
        If there is no such row.
    """
    rows = {r.id: r for r in read_cases(model)}
    for name in statements:
        if name not in rows:
            raise UnknownName("row of the case files", name, rows)
    chosen = [rows[name] for name in statements]
    values = predict(model, chosen).values[:, 0]
    said = [(float(v), r.observed, r.low, r.high, r.unit, r.sources[0]) for r, v in zip(chosen, values, strict=True)]
    return [
        Claim(r.id, statements[r.id], *s, r.note, role=r.role, remembered=MEMORY in r.note)
        for r, s in zip(chosen, said, strict=True)
    ]


def tally(claims: Sequence[Claim]) -> str:
    """How many claims hold, in a sentence that counts checks and what the model was made with apart.

    Examples
    --------
    >>> tally([Claim("a", "", 1, 1, 0, 2, "", ""), Claim("b", "", 1, 1, 0, 2, "", "", role="input")])
    'Of 1 check 1 holds; of 1 figure that the model was made with (fitted or put in) 1 holds.'
    """
    checks, made = ([c.holds for c in claims if (c.role == "check") == own] for own in (True, False))

    def part(flags: list[bool], what: str) -> str:
        some = "" if len(flags) == 1 else "s"
        return f"{len(flags)} {what.replace('#', some)} {sum(flags)} {'holds' if sum(flags) == 1 else 'hold'}"

    texts = [f"of {part(checks, 'check#')}"] if checks else ["nothing here is a check"]
    texts += [f"of {part(made, 'figure# that the model was made with (fitted or put in)')}"] if made else []
    text = "; ".join(texts)
    return f"{text[0].upper()}{text[1:]}."
