"""What the editor of an exercise asks of the server: the learner's file, a check of it, a hint and the solution."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import asdict
from typing import Any

from fastapi import FastAPI, Request
from starlette.requests import ClientDisconnect
from starlette.responses import Response

from conviction.errors import ConvictionError, OutputError, RequestError
from conviction.exercises import DIRECTORY
from conviction.exercises.catalogue import exercise_named
from conviction.exercises.checking import check_file
from conviction.exercises.exercise import Exercise
from conviction.exercises.files import (
    MOST_BYTES,
    ChangedElsewhereError,
    file_of,
    load,
    store,
    stub_file,
)
from conviction.exercises.progress import next_hint, remember_check, show_solution
from conviction.exercises.wording import Paragraph, paragraphs
from conviction.web.door.start_key import NotAllowedError
from conviction.web.work.lab import Lab

ROUTE = "/lab-exercises/{name}"
# JSON may escape one byte of text as six.
MOST_REQUEST = 6 * MOST_BYTES + 10_000

Answer = Callable[[Exercise, Request], Awaitable[dict[str, Any]]]


def add_exercises(app: FastAPI, lab: Lab) -> None:
    """Adds the addresses of the exercises; each answers only requests that carry the lab's start key."""
    # Each check is a process of its own that may take all the memory it is allowed.
    one_check = asyncio.Semaphore()

    async def read(exercise: Exercise, _: Request) -> dict[str, Any]:
        return {**asdict(await asyncio.to_thread(load, exercise, DIRECTORY)), **_texts_of(exercise)}

    async def write(exercise: Exercise, request: Request) -> dict[str, Any]:
        text, version = await _sent(request, "text", "version")
        return {"version": await asyncio.to_thread(store, exercise, DIRECTORY, text, version)}

    async def check(exercise: Exercise, request: Request) -> dict[str, Any]:
        # What is on the page, whether or not it could be saved.
        (text,) = await _sent(request, "text")
        async with one_check:
            if await request.is_disconnected():
                return {}
            judgement = await asyncio.to_thread(check_file, exercise, file_of(exercise, DIRECTORY), text)
        lines = paragraphs(exercise, judgement)
        try:
            await asyncio.to_thread(remember_check, exercise, judgement)
        except ConvictionError as failure:
            lines.append(Paragraph(str(failure)))
        return {"passed": judgement.passed, "paragraphs": [asdict(one) for one in lines]}

    async def hint(exercise: Exercise, _: Request) -> dict[str, Any]:
        shown = await asyncio.to_thread(next_hint, exercise)
        return {"hints": exercise.hints[:shown], "of": len(exercise.hints)}

    async def solution(exercise: Exercise, _: Request) -> dict[str, Any]:
        how = (
            "replace the line with NotImplementedError by code of your own, press Check, then Solution again."
        )
        return {"source": await asyncio.to_thread(show_solution, exercise, how)}

    for method, path, answer in (
        ("GET", ROUTE, read),
        ("PUT", ROUTE, write),
        ("POST", f"{ROUTE}/check", check),
        ("POST", f"{ROUTE}/hint", hint),
        ("POST", f"{ROUTE}/solution", solution),
    ):
        app.add_api_route(path, _answered(lab, answer), methods=[method])


def _answered(lab: Lab, answer: Answer) -> Callable[[str, Request], Awaitable[Response]]:
    """A route handler that checks the key and returns errors as JSON."""

    async def handler(name: str, request: Request) -> Response:
        try:
            if lab.start_key is None:
                raise NotAllowedError("This lab runs no code.")
            lab.start_key.check(request)
            _, exercise = exercise_named(name)
            content, status = await answer(exercise, request), 200
        except ChangedElsewhereError as failure:
            content, status = {"message": str(failure), **asdict(failure.current)}, 409
        except ConvictionError as failure:
            status = 403 if isinstance(failure, NotAllowedError) else 422
            content = {"message": str(failure)}
        except ClientDisconnect:  # half a text; nothing is written
            return Response(status_code=400)
        # In ASCII, because the name of a folder need not be Unicode.
        return Response(json.dumps(content), status, {"cache-control": "no-store"}, "application/json")

    return handler


def _texts_of(exercise: Exercise) -> dict[str, str]:
    try:
        path = str(file_of(exercise, DIRECTORY).resolve())
    except FileNotFoundError:
        raise OutputError(
            "The folder in which the lab was started was removed. Start the lab in another."
        ) from None
    return {"path": path, "stub": stub_file(exercise)}


async def _sent(request: Request, *names: str) -> list[str]:
    """The texts of these names in the JSON of a request.

    Raises:
        RequestError: It is too large, or something else.
    """
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MOST_REQUEST:
            raise _too_long()
    try:
        content = json.loads(body)
        texts = [content[name] for name in names]
    except (ValueError, KeyError, TypeError, RecursionError):
        texts = []
    if not texts or not all(isinstance(text, str) for text in texts):
        raise RequestError(f"Expected JSON with these texts: {', '.join(names)}.")
    # A lone surrogate cannot be encoded; it becomes "?".
    encoded = [text.encode("utf-8", "replace") for text in texts]
    if max(map(len, encoded)) > MOST_BYTES:
        raise _too_long()
    return [one.decode("utf-8") for one in encoded]


def _too_long() -> RequestError:
    return RequestError(
        f"Your code has more than {MOST_BYTES:,} bytes. Delete what the exercise does not need."
    )
