"""A claim: a prediction beside a published number, with a band that was fixed before the run."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Claim:
    """A prediction beside a published number, with a band fixed before the run.

    Attributes
    ----------
    predicted, published : float
        In `unit`.
    low, high : float
        Acceptance band [unit]; taken from the published interval where there is one.
    source : str
        BibTeX key.
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

    @property
    def holds(self) -> bool:
        """Whether the prediction lies inside the band (NaN never does)."""
        return self.low <= self.predicted <= self.high
