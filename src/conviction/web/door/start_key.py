"""Who may run code here: the person who read what the lab printed when it started."""

from __future__ import annotations

import hmac
import secrets
from dataclasses import dataclass, field

from starlette.requests import Request

from conviction.errors import ConvictionError
from conviction.web.door.sessions import digest

# A page of another site cannot send a header of its own here, and a cookie would go to every port of this machine.
HEADER = "x-lab-key"


class NotAllowedError(ConvictionError):
    """A request without the right key."""


@dataclass(frozen=True)
class StartKey:
    """The secret that the lab prints when it starts; a request must carry it to run code.

    Attributes:
        text: 128 random bits, which end the printed link.
    """

    text: str = field(default_factory=lambda: secrets.token_urlsafe(16), repr=False)

    def check(self, request: Request) -> None:
        """Refuses a request that does not carry the key.

        Raises:
            NotAllowedError: It carries another, or none.
        """
        offered = request.headers.get(HEADER, "")
        if not hmac.compare_digest(digest(offered), digest(self.text)):
            raise NotAllowedError(
                "This link is not from the lab that is running now. The lab prints a new one each time it starts: copy "
                "the latest one from the terminal."
                if offered
                else "Only the person who started this lab may run code on the page. Open the link that the lab "
                "printed."
            )
