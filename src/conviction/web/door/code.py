"""Who may run code here: whoever has read what the lab printed when it was started."""

from __future__ import annotations

import hmac
import secrets
from dataclasses import dataclass, field

from starlette.requests import Request

from conviction.errors import ConvictionError
from conviction.web.door.sessions import digest

# A page of another site cannot send a header of its own here, and a cookie would go to every port of this machine.
HEADER = "x-lab-code"


class NotAllowedError(ConvictionError):
    """A request without the right code."""


@dataclass(frozen=True)
class StartCode:
    """What the lab prints at its start, and asks for before it runs what is written on the page; new each time.

    Attributes:
        text: 128 random bits, for the link that is printed.
    """

    text: str = field(default_factory=lambda: secrets.token_urlsafe(16), repr=False)

    def check(self, request: Request) -> None:
        """Lets a request through that has it.

        Raises:
            NotAllowedError: It has another, or none.
        """
        offered = request.headers.get(HEADER, "")
        if not hmac.compare_digest(digest(offered), digest(self.text)):
            raise NotAllowedError(
                "That is not the code that this lab printed when it was started. It is a new one at each start."
                if offered
                else "Only the person who has started this lab can run code on the page."
            )
