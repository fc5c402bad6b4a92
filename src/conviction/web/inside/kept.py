"""Pictures that somebody uploaded or drew, so that an address can name them while the server runs."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from dataclasses import dataclass, field

from conviction.errors import RequestError

MOST_KEPT = 32
MOST_BYTES = 64_000_000


@dataclass
class Kept:
    """The last pictures of one learner: files by the hash of their content, at most 32 and 64 MB."""

    _files: OrderedDict[str, bytes] = field(default_factory=OrderedDict)

    def add(self, content: bytes) -> str:
        """Keeps a picture; returns its name in an address, which is never a number."""
        name = "p" + hashlib.blake2b(content, digest_size=8).hexdigest()
        self._files[name] = content
        self._files.move_to_end(name)
        while len(self._files) > MOST_KEPT or sum(map(len, self._files.values())) > MOST_BYTES:
            self._files.popitem(last=False)
        return name

    def get(self, name: str) -> bytes:
        """The file of a picture, by its name.

        Raises:
            RequestError: It is not kept, or no longer.
        """
        if name not in self._files:
            raise RequestError("This picture is no longer kept. Choose another, or upload or draw it again.")
        return self._files[name]
