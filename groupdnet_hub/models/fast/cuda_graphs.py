"""Single pictures on one prepared map as CUDA graphs: the host asks for a decode at once, not for each kernel."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import replace
from threading import Lock

import torch
from torch import Tensor

from groupdnet_hub.models.decoder import GroupDecoder
from groupdnet_hub.models.fast.incremental import draw, groups_of
from groupdnet_hub.models.fast.partial_sums import PartialSums
from groupdnet_hub.models.fast.prepared_map import CachedDecode, PreparedMap, bytes_of

# Makes of some work, which always uses the same memory, a function that repeats it.
Record = Callable[[Callable[[], None]], Callable[[], None]]

# Recorded sets of groups of a prepared map: every single class of a usual model, and some combinations.
_RECORDINGS = 32
_WARM_UPS = 3


class RecordedDecode:
    """What :func:`~groupdnet_hub.models.fast.incremental.decode_folded` does for one picture, recorded.

    There is one recording for each set of groups that changed codes reach. All of them work in the memory of one
    cached picture, so threads take turns.

    Args:
        prepared: a folded map.
        record: how work is recorded; by default as a CUDA graph.
    """

    def __init__(self, decoder: GroupDecoder, prepared: PreparedMap, record: Record | None = None) -> None:
        self._decoder, self._prepared = decoder, replace(prepared, recorded=None)
        self._record = record or CudaGraphs()
        self._shown: CachedDecode | None = None
        self._sums = tuple(PartialSums() for _ in decoder.blocks)
        self._recordings: OrderedDict[frozenset[int], Callable[[], None]] = OrderedDict()
        self._lock = Lock()

    @property
    def nbytes(self) -> int:
        """Bytes of the cached picture and its sums; CUDA graphs hold one decode's working memory besides."""
        return bytes_of(self.tensors())

    def tensors(self) -> list[Tensor]:
        """Return the cached picture's and its sums' tensors, which stay where they are in memory."""
        cached = [] if self._shown is None else self._shown.tensors()
        return [*cached, *(tensor for sums in self._sums for tensor in sums.tensors())]

    def draw(self, codes: Tensor) -> Tensor:
        """Return the picture [1, 3, H, W] of codes [1, C, z, h, w]."""
        # What inference mode makes could not be written to outside of it.
        with self._lock, torch.inference_mode(False), torch.no_grad():
            if self._shown is None:
                pieces, image = draw(self._decoder, codes, self._prepared, sums=self._sums)
                self._shown = CachedDecode(codes.clone(), pieces, image)
            elif changed := self._shown.changed_classes(codes):
                self._shown.codes.copy_(codes)
                self._recording(groups_of(self._decoder, changed))()
            return self._shown.image.clone()

    def _recording(self, reached: frozenset[int]) -> Callable[[], None]:
        if reached not in self._recordings:
            if len(self._recordings) == _RECORDINGS:
                self._recordings.popitem(last=False)
            self._recordings[reached] = self._record(lambda: self._redraw(reached))
        self._recordings.move_to_end(reached)
        return self._recordings[reached]

    def _redraw(self, reached: frozenset[int]) -> None:
        """Bring the cached picture, in place, to its changed codes; doing it again changes nothing."""
        shown = self._shown
        assert shown is not None
        sums = tuple(own.copy() for own in self._sums)
        pieces, image = draw(self._decoder, shown.codes, self._prepared, shown.pieces, reached, sums)
        for new_block, own_block in zip(pieces, shown.pieces, strict=True):
            for new, own in zip(new_block, own_block, strict=True):
                if new is not own:
                    own.copy_(new)
        for new_sums, own_sums in zip(sums, self._sums, strict=True):
            own_sums.overwrite(new_sums)
        shown.image.copy_(image)


class CudaGraphs:
    """Records work as CUDA graphs that share their working memory; they must not run at the same time.

    Args:
        warm_ups: how often work is done before it is recorded, so that libraries settle on their algorithms.
    """

    def __init__(self, warm_ups: int = _WARM_UPS) -> None:
        self._pool, self._warm_ups = torch.cuda.graph_pool_handle(), warm_ups

    def __call__(self, work: Callable[[], None]) -> Callable[[], None]:
        """Warm up, then record; what is recorded is not done yet."""
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            for _ in range(self._warm_ups):
                work()
        torch.cuda.current_stream().wait_stream(stream)
        graph = torch.cuda.CUDAGraph()
        # Other threads may use the device in the meantime.
        with torch.cuda.graph(graph, pool=self._pool, capture_error_mode="thread_local"):
            work()
        return graph.replay
