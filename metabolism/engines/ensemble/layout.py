"""What the compiled code and its caller agree on: fields of the argument block, kinds of endpoints, status words."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from metabolism.types import Array

Integers = NDArray[np.int64]

Arrays = dict[str, Any]

#: What ``run`` receives: addresses, counts and numbers, one 64-bit word each, in this order.
FIELDS = (
    "patients",
    "counter",
    "done",
    "halt",
    "parameters",
    "loaded",
    "initial",
    "dose_scale",
    "boluses",
    "stops",
    "stop_times",
    "bolus_begin",
    "bolus_state",
    "bolus_volume",
    "bolus_amount",
    "bolus_target",
    "targets",
    "delivered",
    "setting_begin",
    "setting_parameter",
    "settings",
    "setting_factor",
    "setting_offset",
    "pre_row",
    "out_row",
    "out_next",
    "times",
    "rows",
    "codes",
    "code",
    "needs",
    "need",
    "values",
    "pre",
    "pres",
    "final",
    "status",
    "failed_at",
    "rates",
    "steps",
    "rtol",
    "atol",
    "limit",
    "linked",
    "requests",
    "kind",
    "slot",
    "level",
    "results",
    "rooms",
    "keeps",
    "keep",
    "begins",
    "record",
    "marks",
    "until",
    "coarse",
    "lives",
    "live",
    "leader",
)


#: What ``run`` receives besides if the model is anybody's: where a patient is taken up again, its unit of
#: time, and its longest step.
MORE_FIELDS = ("passed", "next_row", "horizon", "unit", "longest")


#: What ``newton`` receives.
NEWTON_FIELDS = ("patients", "parameters", "states", "step", "weights", "rates", "moves")


#: What ``settle`` receives.
SETTLE_FIELDS = ("patients", "loaded", "initial", "guards")


#: Endpoints that the kernel computes.
KINDS = ("final", "max", "min", "auc", "time_above")


#: Status of a patient: finished; its step became too small; it took too many steps; its record has no more room; it has
#: to be attended to; its events trigger each other without end. Below 0 it is still to be integrated.
DONE, TOO_SMALL, TOO_MANY, FULL, TURNED, ENDLESS = 0, 1, 2, 3, 4, 5
WAITING = -1


#: Intervals per step; the formulas below are written for four.
NODES = 4


def context(fields: Sequence[str], arrays: Arrays) -> Integers:
    """Write addresses, counts and numbers into one word each."""
    words = np.zeros(len(fields), np.int64)
    for place, name in enumerate(fields):
        value = arrays[name]
        if isinstance(value, np.ndarray):
            # a copy would be written to and lost
            assert value.flags.c_contiguous, name
            assert value.dtype.itemsize == 8, name
            words[place] = value.ctypes.data
        elif isinstance(value, float):
            words[place] = np.float64(value).view(np.int64)
        else:
            words[place] = value
    return words


def real(values: Any) -> Array:
    """Numbers as the kernel reads them."""
    return np.ascontiguousarray(values, dtype=np.float64)


def whole(values: Iterable[int]) -> Integers:
    """Indices as the kernel reads them."""
    return np.array(list(values), dtype=np.int64)
