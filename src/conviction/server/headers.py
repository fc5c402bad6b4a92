"""The headers of a request, as both servers check them: the one of a model, and the one of the page."""

from __future__ import annotations

from collections.abc import Iterable


def single(headers: Iterable[tuple[bytes, bytes]]) -> dict[bytes, bytes]:
    """Headers by name; one that comes twice is joined as HTTP defines, so a second Host, Origin or key never passes.

    >>> single([(b"host", b"here"), (b"host", b"there")])
    {b'host': b'here, there'}
    """
    by_name: dict[bytes, bytes] = {}
    for name, value in headers:
        by_name[name] = by_name[name] + b", " + value if name in by_name else value
    return by_name


def host_of(headers: dict[bytes, bytes]) -> str:
    """The Host header in lower case; empty if there is none."""
    return headers.get(b"host", b"").decode("latin-1").lower()


def without_port(host: str) -> str:
    """The name or address in a Host header.

    >>> [without_port(host) for host in ("localhost:8080", "[::1]:8080", "[::1]")]
    ['localhost', '[::1]', '[::1]']
    """
    return host.partition("]")[0] + "]" if host.startswith("[") else host.partition(":")[0]
