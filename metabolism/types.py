"""Types that every room speaks of."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

#: Floating-point numbers in an array of any shape.
Array = NDArray[np.float64]
