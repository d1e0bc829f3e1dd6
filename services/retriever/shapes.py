"""What goes between the rooms: vectors in, rankings out."""

import numpy as np
import numpy.typing as npt

Vectors = npt.NDArray[np.float32]
"""Unit vectors, one a row."""

Ranking = list[tuple[int, float]]
"""(position of the passage, score) pairs, best first."""
