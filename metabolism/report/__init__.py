"""What was asked, what came out, and whether it may be believed: experiments, their claims, pages and checks.

An experiment is one file in ``experiments``: one question, an answer in sentences, and claims beside published
numbers, with bands fixed before the run. This room runs it, keeps its tables and figures in a folder that appears only
when complete, and writes the page. It also holds the checks: small named tests of model, numbers and sources.

Nouns: `Claim` (predicted, published, band), `Outcome` (what an experiment returns), `Context` (what it may use: model,
data, seed, engine), `Experiment`, *known gap* (a claim that fails, with its reason), *check*, *flux map*.

>>> from metabolism.report import Claim, experiment_names
>>> claim = Claim("peak", "peak of plasma cobalamin after 50 mg", 1.2, 1.4, 1.0, 1.8, "uM", "somebody")
>>> claim.holds
True
>>> "jetals" in experiment_names()
True

Begin with `run`: ``run("jetals", quick=True)`` returns outcome and folder; ``metabolism run`` and ``metabolism report``
do so from a shell. A new study is a function under `experiment` (``experiments/README.md``). `checks` lists what
``metabolism check`` looks at, `evidence_text` writes the file reviewers ask for, `resting_map` and `draw` the flux map.

What it does not know: the science. A claim that fails is reported as failing; it passes the suite only as a known gap
with a reason that was written down.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
