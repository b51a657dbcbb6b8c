"""Numbers of one floating type as another, a few megabytes at a time; and which of them did not fit.

Rounds to the nearest, ties to even, as torch does; F64 becomes BF16 by way of F32, as there. NaN stays NaN and
infinity infinity. Integers and booleans are no business of this module.
"""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np

# The floating types that weights are trained and stored in. F8 and smaller come with scales beside them: to
# widen them without these would be wrong, so they are refused by whoever asks.
FLOATS: dict[str, np.dtype[Any]] = {
    "F64": np.dtype("<f8"),
    "F32": np.dtype("<f4"),
    "F16": np.dtype("<f2"),
    "BF16": np.dtype(ml_dtypes.bfloat16),
}


def converted(data: memoryview, source: str, target: str) -> tuple[memoryview, int]:
    """``data``, whole elements of type ``source``, as ``target``; and how many finite numbers became infinite."""
    numbers = np.frombuffer(data, FLOATS[source])
    with np.errstate(all="ignore"):  # what overflows is counted below
        by_way_of = numbers.astype(np.float32, copy=False) if "BF16" in {source, target} else numbers
        result = by_way_of.astype(FLOATS[target])
        lost = ~np.isfinite(result)
        overflowed = int(np.count_nonzero(lost & np.isfinite(numbers))) if lost.any() else 0
    return result.view(np.uint8).data, overflowed
