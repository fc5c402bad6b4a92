"""What every answer of the page carries, and the answers that the gate gives itself."""

from __future__ import annotations

from urllib.parse import quote

from starlette.types import Message, Send

# NiceGUI's own page has scripts inside it and evaluates what our pages hand it, so scripts and styles may be inline;
# nothing at all may come from elsewhere or go there, and no other page may show this one.
POLICY = (
    "default-src 'none'; script-src 'self' 'unsafe-inline' 'unsafe-eval'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data: blob:; font-src 'self' data:; media-src 'self' data: blob:; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; object-src 'none'; frame-ancestors 'none'"
)
# A report is a file that others may have sent: it may run its own scripts, as a page of no host at all.
SANDBOX = (
    "sandbox allow-scripts allow-popups allow-downloads; default-src 'none'; script-src 'unsafe-inline'; "
    "style-src 'unsafe-inline'; img-src data:; font-src data:; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'"
)
_HEADERS = {
    b"content-security-policy": POLICY.encode(),
    b"x-content-type-options": b"nosniff",
    # With "no-referrer", browsers would say that a form of ours comes from "null".
    b"referrer-policy": b"same-origin",
    b"x-frame-options": b"DENY",
    b"cross-origin-opener-policy": b"same-origin",
    b"cross-origin-resource-policy": b"same-origin",
    b"permissions-policy": b"camera=(self), microphone=(), geolocation=()",
}


def with_headers(send: Send) -> Send:
    """Adds the headers that every answer carries, where it has none of its own."""

    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = list(message.get("headers", []))
            own = {bytes(name).lower() for name, _ in headers}
            message = {**message, "headers": headers + [(k, v) for k, v in _HEADERS.items() if k not in own]}
        await send(message)

    return sending


def local(path: str) -> str:
    r"""A path as an address on this host, whatever it holds.

    >>> [local(path) for path in ("/lab/x", "//evil.example", "/\\evil.example", "/\t/evil.example", "")]
    ['/lab/x', '/evil.example', '/evil.example', '/%09/evil.example', '/']
    """
    # Browsers take a backslash for a slash, and two at the beginning name another host.
    return "/" + quote(path.lstrip("/\\"), safe="/:@!$&'()*+,;=~-._", errors="surrogatepass")


async def redirect(send: Send, to: str, *more: tuple[bytes, bytes]) -> None:
    """Sends a browser on, within this host."""
    headers = [
        (b"location", to.encode("ascii")),
        (b"cache-control", b"no-store"),
        (b"content-length", b"0"),
        *more,
    ]
    await send({"type": "http.response.start", "status": 303, "headers": headers})
    await send({"type": "http.response.body", "body": b""})


async def refuse(kind: str, send: Send, status: int, sentence: str) -> None:
    """Refuses a request, or a socket if ``kind`` is "websocket"."""
    if kind == "websocket":
        await send({"type": "websocket.close", "code": 1008, "reason": sentence[:120]})
        return
    body = f"{sentence}\n".encode()
    headers = [
        (b"content-type", b"text/plain; charset=utf-8"),
        (b"content-length", str(len(body)).encode()),
        (b"cache-control", b"no-store"),
    ]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
