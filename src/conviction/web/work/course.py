"""The course file: what a teacher chooses, strictly read."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import yaml
from pydantic import BaseModel, BeforeValidator, Field, ValidationError

from conviction.config.model import Strict
from conviction.config.text import expectation, read_yaml_file, shortened, shown, why_unread
from conviction.data.named import NAMED_SETS
from conviction.errors import RequestError, did_you_mean
from conviction.lesson import chapters
from conviction.web.classroom.names import check_name, folder_name

# Short enough to be typed from a blackboard, long enough not to be guessed at the speed at which the page answers.
LEAST_TOKEN = 8

Token = Annotated[str, Field(min_length=LEAST_TOKEN, max_length=200)]
Texts = Annotated[tuple[str, ...], BeforeValidator(lambda v: tuple(v) if isinstance(v, list) else v)]


class CourseLimits(Strict):
    """What one learner may ask of the machine.

    Attributes:
        epochs: The most that a network may have; each of those of ``evaluation.folds`` has as many.
        images: The most that a run may use.
        minutes: After which a run is stopped, with the networks of its folds.
        waiting: How many runs of one learner may wait at once.
    """

    epochs: Annotated[int, Field(ge=1, le=10_000)] = 30
    images: Annotated[int, Field(ge=10)] = 70_000
    minutes: Annotated[float, Field(gt=0, le=1440, strict=False)] = 15.0
    waiting: Annotated[int, Field(ge=1, le=1000)] = 2


class Course(Strict):
    """A course.

    Attributes:
        title: Shown on the page.
        chapters: Names of the lesson's chapters, in their order; by default all.
        sources: Named sets, or paths, relative ones from the folder of the course file.
        limits: Of one learner.
        teacher: The token that shows the class; without one, nobody sees it.
        learners: A token for each name; only they can join.
        class_token: Lets anybody who knows it join under a name of their choice.
    """

    title: Annotated[str, Field(min_length=1, max_length=200)]
    chapters: Texts = tuple(chapter.name for chapter in chapters())
    sources: Annotated[Texts, Field(min_length=1)] = ("digits",)
    limits: CourseLimits = CourseLimits()
    teacher: Token | None = None
    learners: dict[str, Token] = Field(default_factory=dict)
    class_token: Token | None = None


def load_course(path: str | Path) -> Course:
    """Reads a course file.

    Raises:
        RequestError: It cannot be read, a key is unknown (the nearest known one is named), a value is out of range,
            there is no such chapter or source, nobody could join, or two learners could be taken for one another.
    """
    path = Path(path)
    course = _validated(path, _read(path))
    _check_chapters(path, course)
    _check_joining(path, course)
    in_order = tuple(chapter.name for chapter in chapters() if chapter.name in course.chapters)
    sources = tuple(_source(path, source) for source in course.sources)
    return course.model_copy(update={"chapters": in_order, "sources": sources})


def _read(path: Path) -> dict[str, Any]:
    try:
        content = read_yaml_file(path)
    except (OSError, UnicodeDecodeError) as failure:
        raise RequestError(f"--course {path}: cannot read it ({why_unread(failure)}).") from None
    except yaml.YAMLError as failure:
        raise RequestError(f"--course {path}: not valid YAML ({' '.join(str(failure).split())}).") from None
    if not isinstance(content, dict):
        raise RequestError(f"--course {path}: expected keys such as 'title:'; got {shown(content)}.")
    return content


def _validated(path: Path, content: dict[str, Any]) -> Course:
    try:
        return Course.model_validate(content)
    except ValidationError as failure:
        first = failure.errors()[0]
        parts = [str(part) for part in first["loc"]]
        where = f"--course {path}: {'.'.join(parts)}"
        if first["type"] == "extra_forbidden":
            owner: type[BaseModel] = CourseLimits if len(parts) > 1 else Course
            known = list(owner.model_fields)
            raise RequestError(
                f"{where}: unknown key.{did_you_mean(parts[-1], known)} Known: {', '.join(known)}."
            ) from None
        if first["type"] == "missing":
            raise RequestError(f"{where}: is missing. Give the course a {parts[-1]}.") from None
        clause = expectation(first["msg"])
        message = f"expected {clause}" if clause else first["msg"].removeprefix("Value error, ")
        # A token is a secret, so it is not repeated; any other value is.
        got = (
            ""
            if parts[0] in ("learners", "teacher", "class_token")
            else f"; got {shortened(shown(first['input']), 80)}"
        )
        raise RequestError(f"{where}: {message}{got}.{_unquoted(first)}") from None


def _unquoted(error: Any) -> str:
    number = isinstance(error["input"], int | float) and error["type"] == "string_type"
    return " Put it in quotes, so that YAML reads it as text." if number else ""


def _check_chapters(path: Path, course: Course) -> None:
    known = [chapter.name for chapter in chapters()]
    if not course.chapters:
        raise RequestError(
            f"--course {path}: chapters: expected at least one of {', '.join(known)}; got none."
        )
    for name in course.chapters:
        if name not in known:
            raise RequestError(
                f"--course {path}: chapters: there is no chapter '{name}'.{did_you_mean(name, known)} "
                f"Chapters: {', '.join(known)}."
            )


def _check_joining(path: Path, course: Course) -> None:
    if not course.learners and course.class_token is None:
        raise RequestError(
            f"--course {path}: nobody could join. Give 'learners:' with a token for each name, or a 'class_token:'."
        )
    folders: dict[str, str] = {}
    for name in course.learners:
        try:
            key = folder_name(check_name(name))
        except RequestError as failure:
            raise RequestError(f"--course {path}: learners: {failure}") from None
        if key in folders:
            raise RequestError(
                f"--course {path}: learners: '{folders[key]}' and '{name}' could be taken for one another. "
                "Choose names that differ more."
            )
        folders[key] = name
    tokens = [t for t in (course.teacher, course.class_token, *course.learners.values()) if t is not None]
    if len(set(tokens)) < len(tokens):
        raise RequestError(f"--course {path}: two tokens are the same. Give everybody their own.")


def _source(path: Path, source: str) -> str:
    if source in NAMED_SETS:
        return source
    resolved = (path.parent / Path(source).expanduser()).resolve()
    if not resolved.exists():
        raise RequestError(
            f"--course {path}: sources: '{source}' is neither a named set ({', '.join(NAMED_SETS)}) nor an existing "
            f"path.{did_you_mean(source, NAMED_SETS)}"
        )
    return str(resolved)
