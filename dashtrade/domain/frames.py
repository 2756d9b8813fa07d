"""A frame's numbers without pandas' price for each column, which is what many symbols would pay most for."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray


def numbers_of(frame: pd.DataFrame) -> dict[str, NDArray[np.float64]] | None:
    """Column name → its values; None unless all of the frame is float64 and no name stands twice.

    The arrays may be the frame's own memory: read them, never write.
    """
    values = frame.to_numpy()
    if values.dtype != np.float64:
        return None
    names = frame.columns.tolist()
    found = dict(zip(names, values.T, strict=True))
    return found if len(found) == len(names) else None
