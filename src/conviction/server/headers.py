"""The headers of a request, as both servers check them: the one of a model, and the one of the page."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence


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


def is_host(host: str) -> bool:
    """Whether a Host header, in lower case, is a name or an address with or without a port; it may be empty.

    >>> [is_host(host) for host in ("", "localhost:8080", "[::1]", "[::1", "a, b", "a/b", "a:port")]
    [True, True, True, False, False, False, False]
    """
    return not host or _HOST.fullmatch(host) is not None


_HOST = re.compile(r"(\[[0-9a-f:.]{2,45}(%[a-z0-9_.-]{1,20})?\]|[a-z0-9_.-]{1,255})(:[0-9]{0,5})?")


def framing_fault(headers: Sequence[tuple[bytes, bytes]], version: str) -> str | None:
    """Why two servers might disagree about where a request with these headers ends or to whom it goes.

    Stricter than RFC 9112, sections 3.2 and 6.1-6.3, where it allows a choice.

    Args:
        headers: Names in lower case.
        version: Of HTTP, as ``1.1``.

    Returns:
        A sentence, or None if there is no doubt.

    >>> framing_fault([(b"host", b"a"), (b"content-length", b"+1")], "1.1")
    'Content-Length must be one number.'
    """
    by_name: dict[bytes, list[bytes]] = {}
    for name, value in headers:
        if name in _ONCE:
            by_name.setdefault(name, []).append(value)
    hosts = by_name.get(b"host", [])
    lengths = by_name.get(b"content-length", [])
    codings = by_name.get(b"transfer-encoding", [])
    if version not in ("1.0", "1.1"):
        return "Only HTTP/1.0 and HTTP/1.1 are understood."
    if len(hosts) > 1 or (version == "1.1" and not hosts):
        return "A request must have one Host header."
    if hosts and not is_host(hosts[0].decode("latin-1").lower()):
        return "The Host header must be a name or an address, with or without a port."
    if codings and (lengths or version == "1.0"):
        return "Transfer-Encoding may come neither with Content-Length nor with HTTP/1.0."
    if codings and (len(codings) > 1 or codings[0].lower() != b"chunked"):
        return "The only Transfer-Encoding is 'chunked'."
    if lengths and (len(lengths) > 1 or _LENGTH.fullmatch(lengths[0]) is None):
        return "Content-Length must be one number."
    return None


_ONCE = frozenset({b"host", b"content-length", b"transfer-encoding"})
_LENGTH = re.compile(rb"[0-9]{1,18}")


def without_port(host: str) -> str:
    """The name or address in a Host header.

    >>> [without_port(host) for host in ("localhost:8080", "[::1]:8080", "[::1]")]
    ['localhost', '[::1]', '[::1]']
    """
    return host.partition("]")[0] + "]" if host.startswith("[") else host.partition(":")[0]
