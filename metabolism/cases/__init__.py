"""Does the model say what studies found? Published observations as rows, and the board that compares.

A case is one study: who was looked at, what was done to them, what was measured, and the band within which the model
passes, fixed before it was run. Rows are CSV in ``experiments/cases`` (schema: ``docs/cases.md``); nothing about a
study is code. A row is *calibration* (a fit may see it) or a *check* (no fit does).

Nouns: `Row` (one observation with its band and source), `Case` (all rows of a study: passes only if every row does),
`Verdict` (a row beside what the model says), `Board` (all verdicts), *peer* (a published model of others).

>>> from metabolism.cases import read_cases
>>> from metabolism.model import load
>>> rows = read_cases(load())
>>> row = rows[0]
>>> row.low <= row.high, row.role in ("calibration", "check")
(True, True)

Begin with `qualify`, which runs every case and returns the board; `board_text` and `board_markdown` write it,
`board_figure` draws it. ``metabolism qualify`` does all that. `predict` is the step before the verdict: values of rows
for one model, or for many candidate vectors at once as fits need it. `run_peers` puts published models of others
through the same rows, where they can express them.

What it does not do: it fits nothing (`metabolism.fit`), and it never widens a band. A row that fails stays, with its
reason in ``docs/evidence/misfits.md``.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
