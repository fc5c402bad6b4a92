"""How learners come in: a name and a token, once; then a cookie."""

from __future__ import annotations

import logging
from html import escape
from typing import TYPE_CHECKING
from urllib.parse import parse_qs

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from conviction.errors import RequestError
from conviction.web.classroom import Learners
from conviction.web.door.gate import CANNOT_LET_IN, OUR_FAULTS, WhoIs, cookie_of
from conviction.web.door.sessions import BrowserSessions, digest

if TYPE_CHECKING:
    from fastapi import FastAPI

_log = logging.getLogger(__name__)
JOIN = "/join"
# The teacher's folder; no learner's folder has this name, because something always follows their _.
TEACHER = "teacher_"
MOST_FORM = 4096


def who_of(learners: Learners) -> WhoIs:
    """The owner that a token belongs to is named after the learner's folder."""

    def who(token: str) -> str | None:
        if learners.is_teachers(token):
            return TEACHER
        learner = learners.who_has(token)
        return learner.folder.name if learner is not None else None

    return who


def add_joining(app: FastAPI, learners: Learners, sessions: BrowserSessions) -> None:
    """Adds the page where learners join, and what it sends."""

    async def entered(response: Response, owner: str, token: str) -> Response:
        session = await run_in_threadpool(sessions.begin, owner, digest(token))
        response.headers["set-cookie"] = cookie_of(session)
        response.headers["cache-control"] = "no-store"
        return response

    @app.get(JOIN)
    def form() -> Response:
        return bare_page(learners.course.title, _FORM)

    @app.post(JOIN)
    async def join(request: Request) -> Response:
        body = b""
        async for chunk in request.stream():
            body += chunk
            if len(body) > MOST_FORM:
                return bare_page(
                    learners.course.title, alert("That is too long for a name and a token.") + _FORM, 413
                )
        fields = parse_qs(body.decode("utf-8", "replace"))
        name, token = (fields.get(key, [""])[0].strip() for key in ("name", "token"))
        # Wrong tokens are counted by where they come from as well, because the teacher's token needs no name.
        origin = f"from {request.client.host if request.client else ''}"
        try:
            learners.tries.check(origin)
            if learners.is_teacher(token):
                return await entered(RedirectResponse("/class", 303), TEACHER, token)
            joined = await run_in_threadpool(learners.join, name, token)
            owner = joined.learner.folder.name
            if joined.new_token is None:
                return await entered(RedirectResponse("/", 303), owner, token)
            welcome = bare_page(learners.course.title, _welcome(joined.learner.name, joined.new_token))
            return await entered(welcome, owner, joined.new_token)
        except OUR_FAULTS as failure:
            _log.error("nobody can join: %s", failure)
            return bare_page(learners.course.title, alert(CANNOT_LET_IN) + _FORM, 503)
        except RequestError as failure:
            learners.tries.wrong(origin, digest(token))
            return bare_page(learners.course.title, alert(str(failure)) + _FORM, 403)


_FORM = """<form method="post" action="/join" class="fields">
<label class="field"><span class="field-name">Your name</span>
<input type="text" name="name" autocomplete="username" required maxlength="60"></label>
<label class="field"><span class="field-name">Token</span>
<input type="password" name="token" autocomplete="current-password" required maxlength="200"></label>
<button class="button primary">Join</button>
</form>"""


def alert(sentence: str) -> str:
    """A sentence about what went wrong, as HTML."""
    return f'<p class="message trouble" role="alert">{escape(sentence)}</p>'


def _welcome(name: str, token: str) -> str:
    return (
        f"<p>Welcome, {escape(name)}. When you come back, or use another browser, you need your name and this token, "
        f'which is yours alone. Write it down:</p><p><code class="code">{escape(token)}</code></p>'
        '<p><a class="button primary" href="/">Start</a></p>'
    )


def bare_page(title: str, content: str, status: int = 200) -> HTMLResponse:
    """A page in the style of the lab that is not one of its steps.

    Args:
        title: Its heading.
        content: HTML.
        status: Of the answer.
    """
    return HTMLResponse(
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>conviction lab</title>'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<link rel="stylesheet" href="/lab-static/lab.css"></head><body>'
        '<header class="top"><span class="brand">conviction <span>lab</span></span></header>'
        f'<main class="joining"><h1>{escape(title)}</h1>{content}</main></body></html>',
        status,
        {"cache-control": "no-store"},
    )
