"""Learners' names, and the folders that are called after them."""

from __future__ import annotations

import hashlib
import re
import unicodedata

from conviction.errors import RequestError

LONGEST = 40
# Of the folder's name: file systems take 255 bytes, and something will be appended to it.
MOST_BYTES = 120
# Letters and digits of any script, combined marks, and between them one space, hyphen, apostrophe or full stop.
_NAME = re.compile(r"\w+(?:(?:[ '\u2019.-]|\. )\w+)*")
# Windows opens devices under these names, whatever follows a full stop.
_DEVICES = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?")


def check_name(name: str) -> str:
    """The name as it is shown: in Unicode's composed form, without spaces around it.

    Raises:
        RequestError: Empty, too long, or with characters that do not belong in a name.
    """
    shown = " ".join(unicodedata.normalize("NFKC", name).split())
    plain = "".join(c for c in unicodedata.normalize("NFD", shown) if not unicodedata.combining(c))
    fits = len(shown) <= LONGEST and len(_folded(shown).encode()) <= MOST_BYTES
    if not fits or "_" in shown or not _NAME.fullmatch(plain) or _DEVICES.fullmatch(_folded(shown)):
        raise RequestError(
            f"name: expected letters and digits, and between them single spaces, hyphens, apostrophes or full stops, "
            f"at most {LONGEST}; got {shown[:60]!r}. Choose another name."
        )
    return shown


def folder_name(name: str) -> str:
    """The folder of a checked name, in plain lower-case letters; names that differ only in case are the same learner's.

    >>> folder_name("Zoe Miller"), folder_name("Zoë")
    ('zoe-miller', 'zo_c6493b13')
    """
    folded = _folded(name)
    plain = re.sub(r"[^a-z0-9]+", "-", folded).strip("-")
    if folded.replace(" ", "-") == plain:
        return plain
    # Disks differ in how they treat other letters, so a hash keeps such names apart. No plain name has a _ in it.
    return f"{plain[:LONGEST] or 'learner'}_{hashlib.blake2b(folded.encode(), digest_size=4).hexdigest()}"


def _folded(name: str) -> str:
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", name).casefold())
