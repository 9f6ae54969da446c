"""Random numbers that are the same on every machine and in every version of NumPy.

Only a bit generator's raw stream is promised for ever, and only + - * / and square roots are
rounded alike everywhere: so both are all that scenes are made of.
"""

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]


class Draws:
    """A stream of random numbers, named by whole numbers such as seed, scene and purpose."""

    def __init__(self, *name: int) -> None:
        self._bits = np.random.PCG64(np.random.SeedSequence(name))

    def uniform(self, low: float = 0.0, high: float = 1.0) -> float:
        """Return a number in [low, high)."""
        return low + (high - low) * float(self.uniforms(1)[0])

    def uniforms(self, count: int) -> NDArray[np.float64]:
        """Return `count` numbers in [0, 1)."""
        raw = self._bits.random_raw(count) >> np.uint64(11)
        return raw.astype(np.float64) * np.float64(2.0**-53)

    def below(self, end: int) -> int:
        """Return a whole number in [0, end)."""
        return int(self.uniform(0, end))

    def between(self, first: int, last: int) -> int:
        """Return a whole number from `first` to `last`."""
        return first + self.below(last - first + 1)

    def chance(self, share: float) -> bool:
        """Return True in this share of all calls."""
        return self.uniform() < share

    def direction(self) -> tuple[float, float]:
        """Return a unit vector: the rational points of the circle, for no sine is alike everywhere.

        A quarter turn is drawn first; within it angles are uniform within 15 %.
        """
        t = self.uniform() * 0.41421356 * 2 - 0.41421356  # tan of -22.5 to 22.5 degrees
        x, y = (1 - t * t) / (1 + t * t), 2 * t / (1 + t * t)
        for _ in range(self.below(4)):
            x, y = -y, x
        return x, y

    def noise(self, *shape: int) -> Floats:
        """Return float32 noise of mean 0 and deviation 1: sums of four uniform numbers.

        Values lie between -3.5 and 3.5.
        """
        raw = self._bits.random_raw(int(np.prod(shape)))
        pieces = raw.view(np.uint16).reshape(-1, 4).astype(np.int32)
        total = pieces[:, 0] + pieces[:, 1] + pieces[:, 2] + pieces[:, 3]
        deviation = 65536 * 0.5773502691896258  # of four: sqrt(4 / 12) ranges
        return ((total - 131070) / deviation).astype(np.float32).reshape(shape)
