"""Virtual ALS patients, and trials of them as trials are done: screening, run-in, arms, ratings, analysis, power.

A patient is a *body* (demographics, vitamins, genes, kinetics) with a *disease* (loss rate, entry score, rating
noise), drawn from declared distributions. Bodies go through the coupled model once (`Pool`); diseases are drawn
afresh in every replicate and follow exactly, so a thousand trials cost little more than one.

Nouns: `Design` (a small file: arms, visits, filters, analysis), `Scenario` (how large the effect is taken to be, and
which path carries it), `Pool`, `Trial` (one realisation, as a table of ratings), *replicate*.

>>> import numpy as np
>>> from metabolism.trials import alsfrs_r, motor_units, read_design
>>> design = read_design("jetals")
>>> [arm.name for arm in design.arms], design.visits[-1]
(['placebo', 'methylcobalamin_50mg'], 16.0)
>>> score = alsfrs_r(np.array([1.0, 0.5]), gamma=2.0, n50=0.5)
>>> score
array([48., 30.])
>>> motor_units(score, gamma=2.0, n50=0.5)
array([1. , 0.5])

Begin with `read_design` and `replicate`; ``metabolism design jetals`` is the same from a shell. `analyse` reads one
trial as its protocol would; `conduct` runs one in calendar time, with arms that enter and looks that stop them
(`Accrual`, `Looks`, `efficacy_bounds`); `mmrm` is a mixed model for repeated measures that serves anybody's trial.
`power_table` gives power and overstatement over effects and choices of design. ``docs/virtual_trials.md`` tells all.

What it does not know: which effect is true. Every trial names the scenario it assumes.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
