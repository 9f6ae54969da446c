"""Minimax paths through a directed graph of all pairs."""

from typing import no_type_check

from tasks.compute.losses.kernels.arrays import Array
from tasks.compute.losses.kernels.compiling import kernel


@no_type_check
@kernel()
def minimax_paths(costs: Array) -> None:
    """Replace costs (N, N) by those of the best directed paths, a path costing its dearest step.

    Floyd and Warshall's scheme over (min, max): N^3 steps, a row at a time in vector registers.
    """
    count = costs.shape[0]
    for via in range(count):
        for start in range(count):
            to_via = costs[start, via]
            for end in range(count):
                longer = max(to_via, costs[via, end])
                costs[start, end] = min(costs[start, end], longer)
