"""Prepared maps of the last label maps, within a limit of memory."""

from __future__ import annotations

from collections import OrderedDict
from threading import Lock

from torch import Tensor

from groupdnet_hub.models.fast.prepared_map import PreparedMap, weights_state
from groupdnet_hub.models.groupdnet import GroupDNet

# Pictures that are cached on each map: several people may draw on one in turn.
_PICTURES = 4


class PreparedMapCache:
    """Prepared maps by their label map, the longest unused leaving first; threads may share it.

    Args:
        limit: bytes that all prepared maps together may hold.
        compiled, cuda_graphs: of :meth:`groupdnet_hub.GroupDNet.prepare`.
    """

    def __init__(self, limit: int, *, compiled: bool = False, cuda_graphs: bool = False) -> None:
        self.limit = limit
        self._compiled, self._cuda_graphs = compiled, cuda_graphs
        self._maps: OrderedDict[object, PreparedMap] = OrderedDict()
        self._sizes: dict[int, int] = {}  # by the ids of the maps, as of their last picture
        self._lock = Lock()

    @property
    def maps(self) -> tuple[PreparedMap, ...]:
        """What is cached, the longest unused first."""
        with self._lock:
            return tuple(self._maps.values())

    def prepared(self, model: GroupDNet, label: Tensor, instance: Tensor | None) -> PreparedMap:
        """Return the prepared map of a label map and its instance map: a cached one, or a new one.

        A model whose weights changed in the meantime gets new ones.

        Args:
            model: model that draws on it.
            label: int64 [1, H, W], on the CPU.
            instance: the same, or None.
        """
        if not self.limit:
            return model.prepare(label, instance, compiled=self._compiled)
        maps = [label] if instance is None else [label, instance]
        key = (weights_state(model.decoder), *((tuple(m.shape), m.numpy().tobytes()) for m in maps))
        with self._lock:
            found = self._maps.get(key)
            if found is not None:
                self._maps.move_to_end(key)
                return found
        prepared = model.prepare(
            label, instance, keep=_PICTURES, compiled=self._compiled, cuda_graphs=self._cuda_graphs
        )
        with self._lock:
            return self._maps.setdefault(key, prepared)

    def tidy(self, drawn: PreparedMap | None = None) -> None:
        """Let partial sums, and then prepared maps, go until the limit is kept, of the longest unused first.

        Args:
            drawn: the map that was drawn on. Only its size is taken anew: of small maps there may be thousands.
        """
        with self._lock:
            for prepared in self._maps.values():
                if drawn is None or prepared is drawn or id(prepared) not in self._sizes:
                    self._sizes[id(prepared)] = prepared.nbytes
            total = sum(self._sizes.values())
            for key in list(self._maps):
                if total <= self.limit:
                    break
                prepared = self._maps[key]
                total -= self._sizes.pop(id(prepared))
                prepared.forget_sums()
                if total + prepared.nbytes > self.limit:
                    del self._maps[key]
                else:
                    total += prepared.nbytes
                    self._sizes[id(prepared)] = prepared.nbytes
