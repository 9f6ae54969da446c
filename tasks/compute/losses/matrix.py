"""Rows of the loss matrix: one head against the targets of all images."""

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from jaxtyping import Float32, Int32

from tasks.compute.losses.columns import most_candidates
from tasks.compute.losses.heads import Criterion
from tasks.compute.losses.kernels.arrays import HeadArrays, Rules, Scratch, TargetArrays


@dataclass(frozen=True, eq=False)
class LossRow:
    """The losses of one image's head against N target sets."""

    losses: Float32[np.ndarray, "c n"]
    """By component, gains included, as the stock criterion's loss items are."""
    normalisers: Float32[np.ndarray, " n"]
    """The sum of target scores; the losses are divided by it, or by 1 where it is less."""
    positives: Int32[np.ndarray, " n"]
    """How many anchors stand for a target."""


class LossRows:
    """Rows against the same targets, one after the other, on as many threads as there are cores."""

    def __init__(
        self, criterion: Criterion, rules: Rules, targets: TargetArrays, threads: int | None = None
    ) -> None:
        """Share the columns out among `threads` (all cores), as much work to each."""
        self.criterion, self.rules, self.targets = criterion, rules, targets
        self.threads = threads or len(os.sched_getaffinity(0))

    @contextmanager
    def open(self) -> Iterator["LossRows"]:
        """Hold the threads and their memory while rows are made."""
        scratch = [scratch_of(self.rules, self.targets) for _ in range(self.threads)]
        with ThreadPoolExecutor(self.threads) as pool:
            self._pool, self._scratch = pool, scratch
            yield self

    def row(self, head: HeadArrays) -> LossRow:
        """The losses of `head` against every target set."""
        count = len(self.targets.starts) - 1
        losses = np.zeros((len(self.criterion.components), count), np.float32)
        normalisers, positives = np.zeros(count, np.float32), np.zeros(count, np.int32)
        edges = np.linspace(0, count, self.threads + 1).astype(int)
        running = [
            self._pool.submit(self._columns, scratch, head, span, losses, normalisers, positives)
            for scratch, span in zip(self._scratch, pairwise(edges.tolist()), strict=True)
        ]
        for future in running:
            future.result()
        return LossRow(losses, normalisers, positives)

    def _columns(
        self,
        scratch: Scratch,
        head: HeadArrays,
        span: tuple[int, int],
        losses: Float32[np.ndarray, "c n"],
        normalisers: Float32[np.ndarray, " n"],
        positives: Int32[np.ndarray, " n"],
    ) -> None:
        from tasks.compute.losses.kernels.rows import row_losses

        if self.rules.mask_aware:
            scratch = _ready_for(scratch, head)
        row_losses(head, self.targets, self.rules, scratch, *span, losses, normalisers, positives)


def _ready_for(scratch: Scratch, head: HeadArrays) -> Scratch:
    """Forget the masks of the last head, and have room for those of this one."""
    anchors = scratch.mask_known.size
    _, rows, columns = head.prototypes.shape
    words = scratch.mask_words
    if words.shape[0] == 0:
        words = np.zeros((anchors, rows * -(-columns // 64)), np.uint64)
    words[: scratch.mask_count[0]] = 0
    scratch.mask_known[:] = -1
    scratch.mask_count[0] = 0
    return scratch._replace(mask_words=words)


def scratch_of(rules: Rules, targets: TargetArrays) -> Scratch:
    """The memory that one thread needs for any pair with `targets`."""
    from tasks.compute.losses.kernels.largest import row_room

    room = most_candidates(targets)
    most_targets = int(np.diff(targets.starts).max(initial=0))
    anchors = int(rules.level_starts[-1])
    searches = (rules.topk, min(3 * rules.topk, anchors)) if rules.mask_aware else (rules.topk,)
    heap = max(row_room(k, anchors) for k in searches)
    side = rules.size_px // 4
    words = side * -(-side // 64) if rules.mask_aware else 0
    decoded = anchors if rules.mask_aware else 0
    return Scratch(
        overlaps=np.zeros(room, np.float32),
        aligns=np.zeros(room, np.float32),
        roots=np.zeros(room, np.float32),
        anchors=np.zeros(room, np.int32),
        spans=np.zeros(most_targets + 1, np.int64),
        claims=np.zeros(anchors, np.int32),
        heap_values=np.zeros(heap, np.float32),
        heap_places=np.zeros(heap, np.int64),
        mask_known=np.full(anchors, -1, np.int64),
        mask_words=np.zeros((decoded, words), np.uint64),
        mask_pixels=np.zeros(anchors, np.int64),
        mask_spans=np.zeros((anchors, 2), np.int32),
        mask_count=np.zeros(1, np.int64),
    )
