"""Who has joined, what belongs to them, and what they may see."""

from __future__ import annotations

import hmac
import json
import secrets
from dataclasses import dataclass, field
from pathlib import Path

from conviction.errors import OutputError, RequestError
from conviction.runs import folder
from conviction.web.classroom.names import check_name, folder_name
from conviction.web.door.sessions import digest
from conviction.web.door.tries import Tries
from conviction.web.work.course import Course

JOINED = "learners.json"


class NotTogetherError(RequestError):
    """A name and a token that do not belong together."""


@dataclass(frozen=True)
class Learner:
    """Somebody who has joined.

    Attributes:
        name: As it is shown.
        folder: Theirs alone; run folders lie directly in it.
    """

    name: str
    folder: Path

    @property
    def runs(self) -> Path:
        """Where their runs are."""
        return self.folder

    @property
    def progress(self) -> Path:
        """The file of ``lesson.progress``."""
        return self.folder / "learning.json"

    @property
    def guesses(self) -> Path:
        """The file of ``guesses``."""
        return self.folder / "guesses.jsonl"


@dataclass(frozen=True)
class Joined:
    """A learner, and their token if it was made just now; they need it from now on."""

    learner: Learner
    new_token: str | None = None


@dataclass(frozen=True)
class Learners:
    """The learners of a course.

    Attributes:
        course: What the teacher chose.
        root: ``runs``; each learner has a folder in it.
    """

    course: Course
    root: Path
    tries: Tries = field(default_factory=Tries, compare=False, repr=False)

    def join(self, name: str, token: str) -> Joined:
        """Lets somebody in.

        A learner in the course file joins with the token that is given there. With the class token, a new name gets a
        token of its own, which is needed to come back.

        Raises:
            RequestError: The name or the token is wrong (the message does not say which), the name is taken, or there
                were too many wrong tokens.
            OutputError: The list of those who joined cannot be read.
        """
        shown = check_name(name)
        key = folder_name(shown)
        self.tries.check(key)
        try:
            return self._let_in(key, shown, token)
        except NotTogetherError:
            self.tries.wrong(key)
            raise

    def _let_in(self, key: str, shown: str, token: str) -> Joined:
        listed = {folder_name(check_name(n)): (n, t) for n, t in self.course.learners.items()}
        if key in listed:
            shown, expected = listed[key]
            if _same(token, expected):
                return Joined(self._open(check_name(shown)))
            raise _refused()
        self.root.mkdir(parents=True, exist_ok=True)
        with folder.claimed(self.root, wait=True):
            joined = self._joined()
            if key in joined:
                shown, expected = joined[key]
                if _same(digest(token), expected):
                    return Joined(self._open(shown))
                if self._is_class_token(token):
                    raise RequestError(
                        f"'{shown}' has already joined. Use the token that you were given then, or choose another "
                        "name."
                    )
                raise _refused()
            if not self._is_class_token(token):
                raise _refused()
            return self._admit(key, shown, joined)

    def is_teacher(self, token: str) -> bool:
        """Whether this token shows the class."""
        return self.is_teachers(digest(token))

    def is_teachers(self, token: str) -> bool:
        """The same by the digest of the token."""
        return self.course.teacher is not None and _same(token, digest(self.course.teacher))

    def who(self, token: str) -> Learner | None:
        """The learner with this token, for a server that admits requests by it alone; None if no learner has it."""
        return self.who_has(digest(token))

    def who_has(self, token: str) -> Learner | None:
        """The same by the digest of the token."""
        learner = None
        # All are compared, so that the time does not reveal which one matches.
        for name, expected in self.course.learners.items():
            if _same(token, digest(expected)):
                learner = self._learner(check_name(name))
        for shown, joined in self._joined().values():
            if _same(token, joined):
                learner = self._learner(shown)
        return learner

    def everyone(self) -> list[Learner]:
        """Those of the course file and those who joined, by name."""
        names = {folder_name(check_name(name)): check_name(name) for name in self.course.learners}
        names |= {key: shown for key, (shown, _) in self._joined().items() if key not in names}
        return [self._learner(names[key]) for key in sorted(names)]

    def _learner(self, shown: str) -> Learner:
        return Learner(shown, self.root / folder_name(shown))

    def _open(self, shown: str) -> Learner:
        learner = self._learner(shown)
        with folder.storing(learner.folder):
            learner.folder.mkdir(parents=True, exist_ok=True)
        return learner

    def _admit(self, key: str, shown: str, joined: dict[str, tuple[str, str]]) -> Joined:
        token = secrets.token_urlsafe(12)
        joined[key] = (shown, digest(token))
        rows = [
            {"name": name, "folder": directory, "token_sha256": kept}
            for directory, (name, kept) in joined.items()
        ]
        folder.write_json(self.root / JOINED, rows)
        return Joined(self._open(shown), token)

    def _joined(self) -> dict[str, tuple[str, str]]:
        path = self.root / JOINED
        try:
            rows = json.loads(path.read_text(encoding="utf-8"))
            return {str(r["folder"]): (str(r["name"]), str(r["token_sha256"])) for r in rows}
        except FileNotFoundError:
            return {}
        except (ValueError, KeyError, TypeError, OSError) as failure:
            raise OutputError(
                f"{path}: the list of learners cannot be read ({type(failure).__name__}). Move the file away; those "
                "who joined with the class token then have to join again."
            ) from None

    def _is_class_token(self, token: str) -> bool:
        return self.course.class_token is not None and _same(token, self.course.class_token)


def _same(token: str, expected: str) -> bool:
    """Compares in a time that does not depend on where they differ."""
    return hmac.compare_digest(token.encode(), expected.encode())


def _refused() -> NotTogetherError:
    return NotTogetherError("This name and this token do not belong together. Ask your teacher.")
