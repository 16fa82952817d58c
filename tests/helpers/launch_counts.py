"""Count the launches of a step whose networks torch.compile made: its fused kernels, and the operations around them."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch.profiler import ProfilerActivity, profile

# A call of a compiled graph, in a profile.
_REGION = "Call CompiledFxGraph"
# What works on no values, or only sets memory aside.
_NO_WORK = re.compile(
    r"aten::(view|_?reshape\w*|_unsafe_view|as_strided\w*|empty\w*|new_empty\w*|resize_\w*|detach\w*|expand\w*|permute|"
    r"transpose\w*|t|select|slice|narrow|split\w*|chunk|unbind|unflatten|flatten|unsqueeze|squeeze|alias|contiguous|to|"
    r"lift_fresh|result_type|item|set_|is_\w+|numpy_T|movedim|diagonal|real|conj|resolve_\w+|_has_\w+|promote_types|"
    r"expand_as|view_as|type_as|data|unfold|mT|is_same_size|output_nr|_version)$"
)
# Lines of generated code that launch something.
_LAUNCH = re.compile(r"\b(cpp_fused\w*|triton_\w+\.run|extern_kernels\.\w+|torch\.ops\.[\w.]+)\(")


@dataclass
class Launches:
    """What was counted.

    Attributes:
        fused: launches of compiled graphs.
        others: operations outside of them, by name.
    """

    fused: int = 0
    others: Counter[str] = field(default_factory=Counter)

    @property
    def total(self) -> int:
        """All of them."""
        return self.fused + sum(self.others.values())


class CountedCompiler:
    """A backend of ``torch.compile``: its own default one, which counts what its graphs launch."""

    def __init__(self) -> None:
        self.launches = 0

    def __call__(
        self, graph: torch.fx.GraphModule, inputs: Sequence[Any], **options: Any
    ) -> Callable[..., Any]:
        from torch._inductor.compile_fx import compile_fx

        return compile_fx(graph, inputs, inner_compile=self._inner)

    def _inner(
        self, graph: torch.fx.GraphModule, inputs: Sequence[Any], **options: Any
    ) -> Callable[..., Any]:
        from torch._inductor.compile_fx import compile_fx_inner

        compiled = compile_fx_inner(graph, inputs, **options)
        launches = len(_LAUNCH.findall(_called(compiled.source_code)))

        def counted(*args: Any, **kwargs: Any) -> Any:
            self.launches += launches
            return compiled(*args, **kwargs)

        counted._boxed_call = True  # type: ignore[attr-defined]
        return counted


def _called(source: str) -> str:
    """The part of generated code that runs at every call."""
    return source[source.index("def call(") :]


@contextmanager
def counting(compiler: CountedCompiler) -> Iterator[Launches]:
    """Count what is launched inside."""
    found, before = Launches(), compiler.launches
    with profile(activities=[ProfilerActivity.CPU]) as profiled:
        yield found
    found.fused = compiler.launches - before
    found.others.update(event.name for event in profiled.events() if _works(event))


def _works(event: Any) -> bool:
    """Whether an event is an operation that was asked for, not a part of one, outside of compiled graphs."""
    parent = event.cpu_parent
    while parent is not None:
        if _REGION in parent.name or parent.name.startswith("aten::"):
            return False
        parent = parent.cpu_parent
    return event.name.startswith("aten::") and _has_work(event)


def _has_work(event: Any) -> bool:
    own = event.name.startswith("aten::") and not _NO_WORK.match(event.name)
    return own or any(map(_has_work, event.cpu_children))
