"""Which numbers drive the answer, and which could be known at all?

Four questions, each with its verbs. *How steep, here?* `slopes` and `curves` differentiate endpoints and curves;
`reference_control` is the metabolic control analysis of the resting state. *One at a time?* `tornado` moves each factor
through its distribution. *All at once?* `sobol`, `morris`, `efast`, `pawn`, `delta` and `prcc` sample all factors
together. *Can data tell?* `disease` judges structural identifiability, `expected_information` what a planned
experiment would tell.

Nouns: `Factor` (a parameter and its distribution), `Factors` (those that vary together), `Indices` (the result of a
global study: indices with intervals, their course over the sample size, and every run behind them).

>>> from metabolism.model import load
>>> from metabolism.sensitivity import choose
>>> factors = choose(load(), ["GFR_rel", "MN_k"])
>>> factors.names
('GFR_rel', 'MN_k')

Begin with `tornado`, then `sobol` on those that matter: ``sobol(model, "50 mg im every 3.5 d x 32", factors=10,
endpoints=["change(alsfrs_r) vs untreated"], n=512)``. A study reports how many runs failed and where they gather, and
refuses to estimate from a sample with holes. `plots` draws all of it.

What it does not know: whether a distribution is right. Indices are about the factors as they are declared.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
