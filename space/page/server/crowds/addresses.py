"""Where a request comes from, as far as that can be trusted."""

from __future__ import annotations

import ipaddress

import gradio as gr
from starlette.datastructures import Headers
from starlette.types import Scope

_FORWARDED = "x-forwarded-for"
_KEPT = "groupdnet.address"


def note_address(scope: Scope, proxies: int) -> str:
    """Find the address of a request, note it there for :func:`address_of`, and return it.

    Args:
        scope: of the request.
        proxies: how many proxies the operator has put in front of the page. Each adds to the header on the right, so
            that the address which many from the right is what the first of them saw; what stands before it is what
            a stranger wrote.
    """
    client = scope.get("client")
    seen = str(client[0]) if client else ""
    if proxies:
        lists = Headers(scope=scope).getlist(_FORWARDED)
        hops = [hop.strip() for hop in ",".join(lists).split(",") if hop.strip()]
        # Fewer hops than proxies: somebody came past them, and is known by the connection alone.
        if len(hops) >= proxies:
            seen = hops[-proxies]
    scope[_KEPT] = address = _one_owner(seen)
    return address


def address_of(scope: Scope) -> str:
    """Return what :func:`note_address` noted; empty for a request that did not come over the line."""
    return str(scope.get(_KEPT, ""))


def address_of_call(request: gr.Request) -> str:
    """Return where a call of an event comes from."""
    return "" if request.request is None else address_of(request.request.scope)


def _one_owner(seen: str) -> str:
    """Return an address without its port; of IPv6, the network of 64 bits that one household or server has."""
    text = seen.removeprefix("[").partition("]")[0] if seen.startswith("[") else seen
    if text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return text[:64]
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is not None:
            return str(address.ipv4_mapped)
        return str(ipaddress.ip_network((address.packed[:8] + bytes(8), 64)))
    return str(address)
