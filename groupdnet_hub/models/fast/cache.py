"""Prepared scenes of the last label maps, within a limit of memory."""

from __future__ import annotations

from collections import OrderedDict
from threading import Lock

from torch import Tensor

from groupdnet_hub.models.fast.prepared_map import PreparedMap
from groupdnet_hub.models.groupdnet import GroupDNet
from groupdnet_hub.models.layers import weights_state

# Pictures that each scene keeps: several people may draw on one map in turn.
_PICTURES = 4


class PreparedMapCache:
    """Scenes by their label map, the longest unused leaving first; threads may share it.

    Args:
        limit: bytes that all scenes together may hold.
        compiled, cuda_graphs: of :meth:`groupdnet_hub.GroupDNet.prepare`.
    """

    def __init__(self, limit: int, *, compiled: bool = False, cuda_graphs: bool = False) -> None:
        self._limit = limit
        self._compiled, self._cuda_graphs = compiled, cuda_graphs
        self._scenes: OrderedDict[object, PreparedMap] = OrderedDict()
        self._lock = Lock()

    def scene(self, model: GroupDNet, label: Tensor, instance: Tensor | None) -> PreparedMap:
        """The scene of a label map (CPU, int64 [1, H, W]) and its instance map: a kept one, or a new one.

        A model whose weights changed in the meantime gets new ones.
        """
        if not self._limit:
            return model.prepare(label, instance, compiled=self._compiled)
        maps = [label] if instance is None else [label, instance]
        key = (weights_state(model.decoder), *((tuple(m.shape), m.numpy().tobytes()) for m in maps))
        with self._lock:
            found = self._scenes.get(key)
            if found is not None:
                self._scenes.move_to_end(key)
                return found
        scene = model.prepare(
            label, instance, keep=_PICTURES, compiled=self._compiled, cuda_graphs=self._cuda_graphs
        )
        with self._lock:
            return self._scenes.setdefault(key, scene)

    def tidy(self) -> None:
        """Let scenes' partial sums, and then the scenes, go until the limit is kept, of the longest unused first."""
        with self._lock:
            sizes = {key: scene.nbytes for key, scene in self._scenes.items()}
            for key in sizes:
                if sum(sizes.values()) <= self._limit:
                    break
                self._scenes[key].forget_sums()
                sizes[key] = self._scenes[key].nbytes
                if sum(sizes.values()) > self._limit:
                    del self._scenes[key]
                    sizes[key] = 0
