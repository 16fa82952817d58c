"""What happens to a run from outside, in words: errors of torch that tell of processes which are gone."""

from __future__ import annotations

import re

import torch.distributed as dist

_WORKER = re.compile(r"DataLoader worker \(pid(?:\(s\))? ([\d, ]+)\) (?:is )?(.*?)[.\s]*$")
# Of gloo, which raises a plain RuntimeError.
_PEER = re.compile(r"gloo|Connection (closed|reset) by peer", re.IGNORECASE)


def lost_process(error: BaseException) -> str | None:
    """Return a message for an error that tells of a worker or another process of the run which is gone; else None."""
    text = (str(error).strip().splitlines() or [""])[0]
    if (found := _WORKER.search(text)) is not None:
        number, how = found.groups()
        return (
            f"a process that read pictures is gone (number {number}, {how}): perhaps memory ran out; lower "
            "--dataloader_num_workers or --cache_gb"
        )
    of_torch = dist.is_available() and isinstance(error, dist.DistError)
    if isinstance(error, RuntimeError) and (of_torch or _PEER.search(text)):
        why = re.sub(r"\[[^\]]*\]:?\S*\s*", "", text).split(". ")[0][:120]
        return f"another process of the run is gone ({why}): its own message says more"
    return None
