"""Whatever cannot be answered, as RFC 9457 defines it: ``application/problem+json``."""

from __future__ import annotations

import json

MEDIA_TYPE = "application/problem+json"

# kind: (status, title). Programs distinguish problems by the kind, which is part of the type.
KINDS = {
    "bad-request": (400, "The request cannot be read"),
    "key-required": (401, "A key is required"),
    "not-found": (404, "There is nothing here"),
    "method-not-allowed": (405, "This method is not allowed here"),
    "slow-request": (408, "The request took too long to arrive"),
    "too-large": (413, "The request is too large"),
    "too-many-pictures": (413, "Too many pictures in one request"),
    "too-many-pixels": (413, "Too many pixels in one request"),
    "unsupported-media-type": (415, "This kind of content is not accepted"),
    "wrong-host": (421, "This server does not answer for this host"),
    "no-picture": (422, "There is no picture in the request"),
    "unreadable-picture": (422, "The picture cannot be read"),
    "headers-too-large": (431, "The headers are too large"),
    "internal-error": (500, "The server failed"),
    "overloaded": (503, "The server is busy"),
    "timed-out": (503, "The answer took too long"),
    "draining": (503, "The server is shutting down"),
}


class Problem(Exception):
    """A request that is refused, or could not be answered.

    Attributes:
        kind: A key of ``KINDS``.
        detail: One or two sentences for a person.
        headers: Of the response, for instance Retry-After.
    """

    def __init__(self, kind: str, detail: str, headers: dict[str, str] | None = None) -> None:
        super().__init__(detail)
        self.kind = kind
        self.detail = detail
        self.headers = headers or {}

    @property
    def status(self) -> int:
        """Of the response."""
        return KINDS[self.kind][0]

    def members(self) -> dict[str, str]:
        """The members that say what is wrong, without status and instance."""
        return {
            "type": f"urn:conviction:problem:{self.kind}",
            "title": KINDS[self.kind][1],
            "detail": self.detail,
        }

    def body(self, instance: str | None = None) -> bytes:
        """The JSON of the response."""
        document: dict[str, object] = {**self.members(), "status": self.status}
        if instance is not None:
            document["instance"] = instance
        return json.dumps(document).encode()


def busy(detail: str) -> Problem:
    """A refusal that invites the client to try again."""
    return Problem("overloaded", detail, {"retry-after": "1"})


def internal_error() -> Problem:
    """What a client receives when the server itself fails."""
    return Problem("internal-error", "The server's log has more under the request's id.")
