"""Pictures in, pictures out: sample, reroll, encode, mix, morph and edit (section 4.4, Fig. 5 to 7)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, overload

import numpy as np
import torch

from groupdnet_hub.codes import AppearanceCodes
from groupdnet_hub.drawing.loaded_model import Job, LabelMap, LoadedModel, Maps, Picture
from groupdnet_hub.drawing.photos import encode_photo, warn_if_turned, with_unknown
from groupdnet_hub.drawing.requests import Generators, Many, Request, Seeds, draws, rows_of_stream
from groupdnet_hub.look import Look, Looks

ClassArgument = str | int
OneClassOrMore = ClassArgument | Iterable[ClassArgument]
Generator = torch.Generator


class GroupDNetPipeline(LoadedModel):
    """Everything one can do with a trained model, on pictures.

    Pictures and label maps are paths, PIL images or arrays, label maps also tensors; label maps of another size are
    resized (nearest) if their proportions fit. Every call with the same seed, on the same device, gives the same
    picture; without a seed a new one is drawn, which the look stores. Instead of a seed there may be a
    ``torch.Generator``: one that was just seeded draws what its seed draws.

    ``sample``, ``reroll``, ``encode``, ``mix`` and ``edit`` also take lists or tuples, of label maps, looks, photos,
    seeds, generators and instance maps, with one for each picture; what is no list is for all pictures. They return
    :class:`Looks` then. All inputs are read before the first picture is drawn; beside the looks, drawing takes the
    memory of ``batch_size`` pictures. :meth:`stream` reads and draws on demand, any number of pictures.

    Pixels of a label map that the model's configuration lists as ``ignore`` are unknown: they are drawn as the
    don't-care class or the nearest one, which is logged, and a photo's pixels there belong to no code.

    A look of other classes is refused with a ValueError that names both models' classes; so is one with codes of
    another shape, and, where the look's own label map is drawn, one of another size.

    The prepared label maps of the last calls are cached, and for each the features of its last pictures: a reroll
    computes only what the redrawn classes reach. The cache changes no picture.

    Args:
        model: model, which is set to evaluation mode.
        cache_bytes: size of the cache in bytes; 0 for none. By default 512 MiB, or 2 GiB for a model on another device
            than the CPU, where scale and shift of entire label maps are cached.
        compiled, cuda_graphs: options of :meth:`GroupDNet.prepare` for every picture; without a cache there are no
            CUDA graphs.
        batch_size: how many pictures of a list are decoded together. By default 1: then a picture has the same bits in
            whatever list it is. In larger batches, which are for GPUs, few values differ by 1 of 255.
    """

    # -- making looks ----------------------------------------------------------------------------------------

    @overload
    def sample(  # type: ignore[overload-overlap]
        self,
        mask: LabelMap,
        seed: int | None = None,
        *,
        instance: LabelMap | None = None,
        generator: Generator | None = None,
    ) -> Look: ...

    @overload
    def sample(
        self,
        mask: LabelMap | Many,
        seed: Seeds = None,
        *,
        instance: LabelMap | Many | None = None,
        generator: Generators = None,
    ) -> Looks: ...

    def sample(self, mask: Any, seed: Any = None, *, instance: Any = None, generator: Any = None) -> Any:
        """Draw a picture of a label map, with the appearance of every class sampled from the prior.

        Args:
            mask: label map, or a list of them.
            seed: seed of the codes, or a list of them; a new one for each picture by default.
            instance: instance map, for models with instance edges, or a list of them.
            generator: draws the codes, in place of a seed; one for all pictures draws them in turn.

        Raises:
            ValueError: for maps or a seed that cannot be read, and lists of different lengths.
        """
        maps = self._maps()
        return self._looks(
            Request.of(mask=mask, draw=draws(seed, generator), instance=instance),
            lambda row: self._sampled(row, maps),
        )

    def stream(
        self,
        masks: Iterable[LabelMap],
        seed: Any = None,
        *,
        instance: Iterable[LabelMap] | None = None,
        generator: Generators = None,
    ) -> Iterator[Look]:
        """Draw pictures as :meth:`sample` does, of any number of label maps, each when it is asked for.

        At most ``batch_size`` label maps and pictures are held.

        Args:
            masks: label maps; any iterable.
            seed: as of :meth:`sample`.
            instance: instance maps, in the order of the label maps.
            generator: as of :meth:`sample`.

        Yields:
            The looks, in the order of the label maps.

        Raises:
            ValueError: as :meth:`sample`; for a label map that cannot be read, when its turn comes.
        """
        if isinstance(masks, str) or not isinstance(masks, Iterable):
            raise ValueError(
                f"masks is of type {type(masks).__name__}; it must be a list or another iterable"
            )
        rows = rows_of_stream(masks, draws(seed, generator), instance)
        return self._draw(self._jobs(rows, lambda row: self._sampled(row, self._maps())))

    def __call__(self, mask: Any, seed: Any = None, **options: Any) -> Any:
        """Do as :meth:`sample`."""
        return self.sample(mask, seed, **options)

    @overload
    def reroll(  # type: ignore[overload-overlap]
        self,
        look: Look,
        classes: OneClassOrMore,
        seed: int | None = None,
        *,
        generator: Generator | None = None,
    ) -> Look: ...

    @overload
    def reroll(
        self, look: Look | Many, classes: OneClassOrMore, seed: Seeds = None, *, generator: Generators = None
    ) -> Looks: ...

    def reroll(self, look: Any, classes: OneClassOrMore, seed: Any = None, *, generator: Any = None) -> Any:
        """Redraw one or several classes of a look; every other class keeps its code.

        With the seed of a sample, a class gets the code that it has in that sample.

        Args:
            look: look, or a list of them.
            classes: class or classes to redraw, by name or id.
            seed: seed of their codes, or a list of them; a new one for each picture by default.
            generator: as of :meth:`sample`.
        """
        chosen = classes if isinstance(classes, (str, int)) else list(classes)

        def rerolled(row: dict[str, Any]) -> Job:
            look, codes = row["look"], self._codes_of(row["look"])
            drawn, seed = self._drawn(row["draw"])
            codes = codes.mix(dict.fromkeys(self._class_ids(chosen), drawn))
            return Job(codes, look.mask, seed, look.instance)

        return self._looks(Request.of(look=look, draw=draws(seed, generator)), rerolled)

    @overload
    def encode(  # type: ignore[overload-overlap]
        self,
        photo: Picture,
        photo_mask: LabelMap,
        *,
        seed: int | None = None,
        instance: LabelMap | None = None,
        unknown: np.ndarray | None = None,
        generator: Generator | None = None,
    ) -> Look: ...

    @overload
    def encode(
        self,
        photo: Picture | Many,
        photo_mask: LabelMap | Many,
        *,
        seed: Seeds = None,
        instance: LabelMap | Many | None = None,
        unknown: np.ndarray | Many | None = None,
        generator: Generators = None,
    ) -> Looks: ...

    def encode(
        self,
        photo: Any,
        photo_mask: Any,
        *,
        seed: Any = None,
        instance: Any = None,
        unknown: Any = None,
        generator: Any = None,
    ) -> Any:
        """Make a look of a real photo: the code of each class is the mean of its posterior.

        Args:
            photo: photo, or a list of them.
            photo_mask: label map of the photo, or a list of them.
            seed: seed of the codes of classes that the photo does not show at known pixels, for later edits; 0 by
                default.
            instance: instance map, for models with instance edges.
            unknown: bool [H, W] at the model's size, unknown pixels beside those that the label map itself says are.
            generator: as of :meth:`sample`.

        Raises:
            ValueError: if the photo does not fit its mask, or an EXIF orientation turns one of them alone.
        """
        draw = draws(0 if seed is None and generator is None else seed, generator)
        given = {"photo": photo, "mask": photo_mask, "draw": draw, "instance": instance, "unknown": unknown}
        return self._looks(Request.of(**given), self._encoded)

    @overload
    def mix(  # type: ignore[overload-overlap]
        self,
        mask: LabelMap,
        sources: Mapping[ClassArgument, Look],
        base: Look | None = None,
        *,
        seed: int | None = None,
        instance: LabelMap | None = None,
        generator: Generator | None = None,
    ) -> Look: ...

    @overload
    def mix(
        self,
        mask: LabelMap | Many,
        sources: Mapping[ClassArgument, Look],
        base: Look | Many | None = None,
        *,
        seed: Seeds = None,
        instance: LabelMap | Many | None = None,
        generator: Generators = None,
    ) -> Looks: ...

    def mix(
        self,
        mask: Any,
        sources: Mapping[ClassArgument, Look],
        base: Any = None,
        *,
        seed: Any = None,
        instance: Any = None,
        generator: Any = None,
    ) -> Any:
        """Draw a label map with the appearance of each class taken from a look (appearance mixing).

        Args:
            mask: label map, or a list of them.
            sources: look by class, such as ``{"hair": look_a, "top-clothes": look_b}``.
            base: look of all other classes, or a list of them; without it they are drawn with ``seed``.
            seed: seed of the other classes' codes, or a list of them; a new one for each picture by default.
            instance: instance map, for models with instance edges, or a list of them.
            generator: as of :meth:`sample`.
        """
        taken = {class_: self._codes_of(look, drawn=False) for class_, look in sources.items()}
        maps = self._maps()

        def mixed(row: dict[str, Any]) -> Job:
            base = row["base"]
            if base is None:
                rest, seed = self._drawn(row["draw"])
            else:
                rest, seed = self._codes_of(base, drawn=False), base.seed
            label = maps.label(row["mask"])
            return Job(rest.mix(taken), label, seed, maps.instance(row["instance"], label))

        draw = draws(seed, generator)
        return self._looks(Request.of(mask=mask, base=base, draw=draw, instance=instance), mixed)

    def morph(
        self,
        look_a: Look,
        look_b: Look,
        steps: int = 9,
        classes: OneClassOrMore | None = None,
        span: tuple[float, float] = (0.0, 1.0),
    ) -> Looks:
        """Interpolate from ``look_a`` to ``look_b``, on the first one's label map (appearance morphing).

        Args:
            look_a: look at the position 0.
            look_b: look at the position 1.
            steps: number of looks, at least 2.
            classes: classes that change; all by default.
            span: first and last position; beyond [0, 1] the change is extrapolated.

        Returns:
            ``steps`` looks at evenly spaced positions.
        """
        if not isinstance(steps, int) or steps < 2:
            raise ValueError(f"steps is {steps!r}; a morph has at least 2 looks")
        start, end = (float(value) for value in span)
        if not np.isfinite([start, end]).all():
            raise ValueError(f"span is {span}; it must be two finite numbers")
        first, last = self._codes_of(look_a), self._codes_of(look_b, drawn=False)
        chosen = None if classes is None else self._class_ids(classes)
        codes = [
            first.interpolate(last, start + (end - start) * i / (steps - 1), chosen) for i in range(steps)
        ]
        return Looks(self._draw(Job(one, look_a.mask, None, look_a.instance) for one in codes))

    def between(
        self,
        look_a: Look,
        look_b: Look,
        t: float,
        classes: OneClassOrMore | None = None,
    ) -> Look:
        """Return one look of a :meth:`morph` at position ``t``: 0 is ``look_a``, 1 the appearance of ``look_b``."""
        if not np.isfinite(t):
            raise ValueError(f"t is {t}; it must be a finite number")
        first, last = self._codes_of(look_a), self._codes_of(look_b, drawn=False)
        codes = first.interpolate(last, t, None if classes is None else self._class_ids(classes))
        return next(self._draw([Job(codes, look_a.mask, None, look_a.instance)]))

    @overload
    def edit(  # type: ignore[overload-overlap]
        self,
        look: Look,
        new_mask: LabelMap,
        *,
        seed: int | None = None,
        instance: LabelMap | None = None,
        generator: Generator | None = None,
    ) -> Look: ...

    @overload
    def edit(
        self,
        look: Look | Many,
        new_mask: LabelMap | Many,
        *,
        seed: Seeds = None,
        instance: LabelMap | Many | None = None,
        generator: Generators = None,
    ) -> Looks: ...

    def edit(
        self, look: Any, new_mask: Any, *, seed: Any = None, instance: Any = None, generator: Any = None
    ) -> Any:
        """Draw the same appearance on another label map (semantic manipulation).

        A class that was not on the old map takes its code of the look, which was drawn when the look was made.

        Args:
            look: look with the appearance, or a list of them.
            new_mask: label map, or a list of them.
            seed: seed with which to redraw the classes that are new to the map, instead; or a list of them.
            instance: instance map, for models with instance edges, or a list of them.
            generator: as of :meth:`sample`.
        """
        maps = self._maps()

        def edited(row: dict[str, Any]) -> Job:
            look, codes = row["look"], self._codes_of(row["look"], drawn=False)
            label, seed = maps.label(row["mask"]), look.seed
            if row["draw"] is not None:
                fresh, seed = self._drawn(row["draw"])
                codes = codes.mix({int(class_id): fresh for class_id in np.setdiff1d(label, look.mask)})
            return Job(codes, label, seed, maps.instance(row["instance"], label))

        draw = draws(seed, generator)
        return self._looks(Request.of(look=look, mask=new_mask, draw=draw, instance=instance), edited)

    # -- one picture of a request ----------------------------------------------------------------------------

    def _sampled(self, row: dict[str, Any], maps: Maps) -> Job:
        label = maps.label(row["mask"])
        codes, seed = self._drawn(row["draw"])
        return Job(codes, label, seed, maps.instance(row["instance"], label))

    def _encoded(self, row: dict[str, Any]) -> Job:
        warn_if_turned(row["photo"], row["mask"])
        label, hidden = self._read_partial_mask(row["mask"])
        absent = self._drawn(row["draw"])[0]
        codes = encode_photo(self.model, row["photo"], label, with_unknown(hidden, row["unknown"]), absent)
        return Job(codes, label, None, self._read_instance(row["instance"], label))

    def _class_ids(self, classes: OneClassOrMore) -> list[int]:
        if isinstance(classes, (str, int)):
            return [self.labels.id_of(classes)]
        return self.labels.ids_of(classes)

    def _codes_of(self, look: Look, *, drawn: bool = True) -> AppearanceCodes:
        """Return the codes of a look, refusing one that this model cannot draw.

        Args:
            look: the look.
            drawn: whether the look's own label map is to be drawn too.
        """
        if not isinstance(look, Look):
            raise ValueError(f"a look is expected, not {look!r:.100}: make one with sample or encode")
        look.check_fits(self.model.config, codes_only=not drawn)
        return look.codes
