"""Types that every room speaks of."""

import numpy as np
from numpy.typing import NDArray

#: Floating-point numbers in an array of any shape.
Array = NDArray[np.float64]
