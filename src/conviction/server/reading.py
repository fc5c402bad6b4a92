"""The pictures in the body of a request, multipart or JSON; nothing is decoded yet."""

from __future__ import annotations

import base64
import binascii
import json
import re
from dataclasses import dataclass, field
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from conviction.server.problem import Problem

FIELD = "files"
# JSON that is not what is expected is explained up to this many bytes; whatever it holds takes less than 20 MB.
MOST_VALIDATED = 2**16
# RFC 2046 allows 70 characters.
MOST_BOUNDARY = 200
EXPECTED = f"Send multipart/form-data with the field '{FIELD}', or JSON {{\"images\": [base64, ...]}}."


@dataclass(frozen=True)
class Picture:
    """One picture as it came.

    Attributes:
        name: Of its file, or its place in the request.
        content: None if it was not even bytes.
    """

    name: str
    content: bytes | None


class UploadedImages(BaseModel):
    """The JSON body."""

    model_config = ConfigDict(extra="forbid", strict=True)

    images: Annotated[list[str], Field(description="Picture files in base64.")]


def pictures_of(body: bytes, content_type: str, most: int) -> list[Picture]:
    """The pictures of a request.

    Args:
        body: All of it.
        content_type: The header, or an empty string.
        most: How many pictures are accepted.

    Raises:
        Problem: 400 for a body that cannot be read, 413 for too many pictures, 415 for another kind of
            content, 422 for none.
    """
    kind, options = parse_options_header(content_type)
    if kind == b"multipart/form-data":
        pictures = _multipart(body, options.get(b"boundary", b""), most)
    elif kind == b"application/json":
        pictures = _json(body, most)
    else:
        got = content_type[:100] or "no content type"
        raise Problem("unsupported-media-type", f"Got {got}. {EXPECTED}", {"accept-post": ACCEPTED})
    if not pictures:
        raise Problem("no-picture", f"The request holds no picture. {EXPECTED}")
    return pictures


ACCEPTED = "multipart/form-data, application/json"


def _too_many(most: int) -> Problem:
    return Problem(
        "too-many-pictures", f"At most {most} pictures are accepted in one request. Send several requests."
    )


def _json(body: bytes, most: int) -> list[Picture]:
    images = _strings(body, most)
    if images is None:
        images = _validated(body)
    if len(images) > most:
        raise _too_many(most)
    return [Picture(f"images[{i}]", _bytes_of(text)) for i, text in enumerate(images)]


def _strings(body: bytes, most: int) -> list[str] | None:
    """The strings of ``{"images": [...]}``, and at most one more than ``most``; None for any other text.

    Nothing else becomes an object: a body of numbers or of other keys takes 170 times its size once it is parsed.
    """
    start = _START.match(body)
    if start is None:
        return None
    strings: list[str] = []
    at = start.end()
    while len(strings) <= most:
        one = _STRING.match(body, at)
        if one is None:
            return None
        try:
            strings.append(json.loads(one[1]))
        except ValueError:  # not UTF-8
            return None
        at = one.end()
        if one[2] == b"]":
            return strings if _END.fullmatch(body, at) else None
    return strings


_START = re.compile(rb'[ \t\r\n]*+\{[ \t\r\n]*+"images"[ \t\r\n]*+:[ \t\r\n]*+\[')
# Possessive, so that nothing is remembered of what a repetition has passed.
_STRING = re.compile(
    rb'[ \t\r\n]*+("[^"\\\x00-\x1f]*+(?:\\.[^"\\\x00-\x1f]*+)*+")[ \t\r\n]*+([,\]])', re.DOTALL
)
_END = re.compile(rb"[ \t\r\n]*+\}[ \t\r\n]*+")


def _validated(body: bytes) -> list[str]:
    """The same for a text that is written in another way, or an explanation of what is wrong with a short one."""
    if len(body) > MOST_VALIDATED:
        raise Problem(
            "bad-request",
            f'The JSON cannot be used: it is not {{"images": [...]}} with strings alone. {EXPECTED}',
        )
    try:
        return UploadedImages.model_validate_json(body).images
    except ValidationError as failure:
        first = failure.errors(include_url=False, include_input=False)[0]
        location = ".".join(map(str, first["loc"]))[:100] or "the whole"
        kind = "bad-request" if first["type"] == "json_invalid" else "no-picture"
        raise Problem(kind, f"The JSON cannot be used ({location}: {first['msg']}). {EXPECTED}") from None


def _bytes_of(text: str) -> bytes | None:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return None


@dataclass
class _BodyParts:
    """What the parser has called back so far."""

    most: int
    pictures: list[Picture] = field(default_factory=list)
    others: list[str] = field(default_factory=list)
    ended: bool = False
    _header: bytes = b""
    _value: bytes = b""
    _disposition: bytes = b""
    _data: bytearray = field(default_factory=bytearray)

    def begin(self) -> None:
        self._disposition, self._data = b"", bytearray()

    def header_begin(self) -> None:
        self._header = self._value = b""

    def header_field(self, data: bytes, start: int, end: int) -> None:
        self._header += data[start:end]

    def header_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def header_end(self) -> None:
        if self._header.lower() == b"content-disposition":
            self._disposition = self._value

    def data(self, data: bytes, start: int, end: int) -> None:
        self._data += data[start:end]

    def end_of_part(self) -> None:
        options = parse_options_header(self._disposition)[1]
        field_name = options.get(b"name", b"").decode("utf-8", "replace")
        if len(self.pictures) + len(self.others) >= self.most:
            raise _too_many(self.most)
        if field_name != FIELD:
            self.others.append(field_name)
            return
        name = options.get(b"filename", b"").decode("utf-8", "replace")
        self.pictures.append(Picture(name or f"{FIELD}[{len(self.pictures)}]", bytes(self._data)))

    def end(self) -> None:
        self.ended = True


def _multipart(body: bytes, boundary: bytes, most: int) -> list[Picture]:
    parts = _BodyParts(most)
    if len(boundary) > MOST_BOUNDARY:
        raise Problem("bad-request", f"The multipart boundary is longer than {MOST_BOUNDARY} bytes.")
    try:
        parser = MultipartParser(
            boundary,
            {
                "on_part_begin": parts.begin,
                "on_header_begin": parts.header_begin,
                "on_header_field": parts.header_field,
                "on_header_value": parts.header_value,
                "on_header_end": parts.header_end,
                "on_part_data": parts.data,
                "on_part_end": parts.end_of_part,
                "on_end": parts.end,
            },
        )
        parser.write(body)
        parser.finalize()
    except FormParserError as failure:
        raise Problem("bad-request", f"The multipart body is broken ({failure}).") from None
    if not parts.ended:
        raise Problem("bad-request", "The multipart body ends before its last boundary.")
    if parts.others and not parts.pictures:
        raise Problem("no-picture", f"Expected the field '{FIELD}'; got '{parts.others[0][:100]}'.")
    return parts.pictures
