"""The application: pages by their addresses, uploads, files to take away, and the clock that moves the queue."""

from __future__ import annotations

import asyncio
import contextlib
import io
import logging
import zipfile
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import asdict
from functools import partial
from html import escape
from importlib import resources
from pathlib import Path

from fastapi import FastAPI, Request
from nicegui import app as nicegui_app
from nicegui import ui
from starlette.requests import ClientDisconnect
from starlette.responses import FileResponse, JSONResponse, PlainTextResponse, RedirectResponse, Response

from conviction.errors import ConvictionError, RequestError
from conviction.exercises.running import end_all
from conviction.reporting import report_style
from conviction.web.classroom import Learners
from conviction.web.classroom.panel import class_panel
from conviction.web.door.gate import OWNER
from conviction.web.door.joining import TEACHER, add_joining, alert, bare_page
from conviction.web.door.replies import SANDBOX
from conviction.web.door.sessions import BrowserSessions
from conviction.web.door.sockets import OwnUploads
from conviction.web.elements.plain import link, tag
from conviction.web.inside.inspector import PATIENCE_SECONDS
from conviction.web.jobs.starts import EXPLORATIONS, run_folder
from conviction.web.pages import order
from conviction.web.pages.exercise_files import add_exercises
from conviction.web.pages.frame import one_main
from conviction.web.pages.opening import OWN_NETWORK, opening, train_own
from conviction.web.pages.page import PageContext
from conviction.web.pages.take import FILES
from conviction.web.pages.trial import MOST_PICTURE, try_picture
from conviction.web.work.addresses import BENCH, address
from conviction.web.work.desk import NAMED_SESSIONS
from conviction.web.work.lab import Lab, facts_about
from conviction.web.work.uploads import CHECK_SECONDS, arriving, check_declared, sources_of

TICK_SECONDS = 1.0
# Modules that fill elements of the pages.
LIVE = ("start_key", "upload", "collecting", "training", "trying", "exercise")
_log = logging.getLogger(__name__)


def make_app(lab: Lab, sessions: BrowserSessions, learners: Learners | None = None) -> FastAPI:
    """The whole page over a workbench; one in a process, because NiceGUI keeps its pages globally.

    Args:
        lab: The workbench.
        sessions: Those who are in.
        learners: Who may join, if the page is for a class.
    """

    @contextlib.asynccontextmanager
    async def life(_: FastAPI) -> AsyncIterator[None]:
        clock = asyncio.create_task(_move_on(lab))
        yield
        clock.cancel()
        end_all()
        lab.helper.close()
        lab.bench.close()
        lab.checker.close()

    app = FastAPI(openapi_url=None, docs_url=None, redoc_url=None, lifespan=life)
    app.add_middleware(OwnUploads)

    async def sign_out() -> int:
        ended = await asyncio.to_thread(sessions.end, lambda owner: owner != TEACHER)
        await app.state.sockets.drop_ended()
        return ended

    nicegui_app.add_static_files("/lab-static", resources.files("conviction.web") / "static")  # type: ignore[arg-type]
    ui.add_head_html(
        '<link rel="stylesheet" href="/lab-report.css"><link rel="stylesheet" href="/lab-static/lab.css">'
        '<script defer src="/lab-static/lab.js"></script>'
        + "".join(f'<script type="module" src="/lab-static/live/{name}.js"></script>' for name in LIVE)
        + '<link rel="stylesheet" href="/lab-static/live/live.css">',
        shared=True,
    )
    _add_pages(lab)
    _add_files(lab)
    _add_events(lab)
    _add_answers(lab)
    add_exercises(nicegui_app, lab)
    if learners is not None:
        add_joining(nicegui_app, learners, sessions)
        _add_class(learners, sign_out)
    ui.run_with(
        app, title="conviction lab", dark=None, language="en-US", tailwind=False, reconnect_timeout=10.0
    )
    return app


async def _move_on(lab: Lab) -> None:
    """Notices once a second what has ended, and starts what may start."""
    while True:
        try:
            lab.jobs.tick()
        except Exception:  # a full disk must not stop the clock for good
            _log.exception("the queue could not be advanced")
        await asyncio.sleep(TICK_SECONDS)


def not_here(sentence: str) -> Response:
    """The page for an address at which there is nothing."""
    way = f'<p><a class="button primary" href="{BENCH}">To the workbench</a></p>'
    return bare_page("There is nothing here", f"<p>{escape(sentence)}</p>{way}", 404)


def _add_pages(lab: Lab) -> None:
    @nicegui_app.exception_handler(404)
    def lost(request: Request, _: Exception) -> Response:
        return not_here(f"The lab has no page {request.url.path[:120]}.")

    @nicegui_app.get("/")
    def home(request: Request) -> Response:
        return opening(lab, request.scope.get(OWNER, ""))

    @nicegui_app.post(OWN_NETWORK)
    async def train(request: Request) -> Response:
        owner = request.scope.get(OWNER, "")
        try:
            return RedirectResponse(await train_own(lab, owner), 303)
        except ConvictionError as failure:
            return opening(lab, owner, str(failure))

    @nicegui_app.get(BENCH)
    def bench(request: Request) -> Response:
        desk = lab.newest_desk(request.scope.get(OWNER, ""))
        return RedirectResponse(address(desk.id, "data"), 303, {"cache-control": "no-store"})

    async def show(request: Request, desk: str, step: str, part: str = "") -> Response | None:
        try:
            stop = order.stop_named(step, part)
            own_desk = lab.desks.get(request.scope.get(OWNER, ""), desk)
            if part and not stop.parts:
                lab.check_run(own_desk.owner, part)
        except RequestError as failure:
            return not_here(str(failure))
        ui.page_title(f"{stop.title} · conviction lab")
        await stop.build(PageContext(lab, own_desk, order.STOPS, stop, part, dict(request.query_params)))
        return None

    @ui.page("/lab/{desk}/{step}", response_timeout=30)
    async def page(request: Request, desk: str, step: str) -> Response | None:
        return await show(request, desk, step)

    @ui.page("/lab/{desk}/{step}/{part}", response_timeout=30)
    async def page_part(request: Request, desk: str, step: str, part: str) -> Response | None:
        return await show(request, desk, step, part)


def _add_class(learners: Learners, sign_out: Callable[[], Awaitable[int]]) -> None:
    @ui.page("/class", response_timeout=30)
    def overview(request: Request) -> Response | None:
        if request.scope.get(OWNER) != TEACHER:
            return PlainTextResponse("Only the teacher can see the class.\n", 403)
        try:
            learners.everyone()
        except ConvictionError as failure:
            return bare_page("The class", alert(str(failure)), 503)
        ui.page_title("The class · conviction lab")
        one_main()
        with tag("header", "", "top"):
            tag("strong", "conviction lab", "brand")
            link("To the workbench", BENCH)
        with tag("main", "", "class"):
            class_panel(learners.course.title, learners.everyone, sign_out)
        return None


def _add_files(lab: Lab) -> None:
    @nicegui_app.get("/lab-report.css")
    def style() -> Response:
        return Response(report_style(), media_type="text/css", headers={"cache-control": "max-age=3600"})

    @nicegui_app.put("/lab/{desk}/upload")
    async def upload(request: Request, desk: str, name: str = "", sessions: str = "") -> Response:
        try:
            own_desk = lab.desks.get(request.scope.get(OWNER, ""), desk)
            if lab.course is not None:
                raise RequestError("In this course everybody works with the images that the teacher chose.")
            needed = partial(_needed, lab, own_desk.owner)
            async with arriving(request.stream(), name, lab.own("uploads"), own_desk.owner, needed) as path:
                # Checked for images now, while the learner is still looking at what they chose.
                await lab.checker.call(check_declared, path, patience=CHECK_SECONDS)
                images = await lab.bench.images(str(path), own_desk.data)
        except ConvictionError as failure:
            return JSONResponse({"message": str(failure)}, 422)
        except ClientDisconnect:  # the page was loaded again in the middle; nothing is kept
            return Response(status_code=400)
        own_desk.choose(str(path))
        if sessions:
            facts = facts_about(images, own_desk.data)
            own_desk.draft = lab.new_draft("lab", facts).with_key("data.group", NAMED_SESSIONS, facts)
        own_desk.forget(lab.own("uploads"))
        lab.desks.keep(own_desk)
        return JSONResponse({"address": address(own_desk.id, "data", "load")})

    @nicegui_app.get("/lab/{desk}/file/{path:path}")
    def take(request: Request, desk: str, path: str) -> Response:
        try:
            own_desk = lab.desks.get(request.scope.get(OWNER, ""), desk)
            file = file_to_take(lab.root(own_desk.owner), path)
        except RequestError as failure:
            return not_here(str(failure))
        headers = {"cache-control": "no-store"}
        if file.is_dir():
            return Response(zipped(file), media_type="application/zip", headers=headers)
        if file.suffix == ".html":
            # Shown, because people read it; but as a page of no host, whoever has written it.
            return FileResponse(file, headers={**headers, "content-security-policy": SANDBOX})
        return FileResponse(file, headers=headers, filename=file.name)


def _add_events(lab: Lab) -> None:
    @nicegui_app.get("/lab-events/{desk}/{run}")
    def events(request: Request, desk: str, run: str, start: int = 0, job: str = "") -> Response:
        try:
            own_desk = lab.desks.get(request.scope.get(OWNER, ""), desk)
            last = lab.jobs.last_at(run_folder(lab.root(own_desk.owner), run))
        except RequestError as failure:
            return JSONResponse({"message": str(failure)}, 404)
        if last is None:
            return JSONResponse({"message": f"Nothing works on '{run[:120]}'."}, 404)
        # Another job than the one that was watched has events of its own.
        lines, end = lab.jobs.records.events(last, max(0, start) if last.id == job else 0)
        content = {"job": last.id, "alive": last.alive, "next": end, "lines": lines}
        return JSONResponse(content, headers={"cache-control": "no-store"})


def _add_answers(lab: Lab) -> None:
    @nicegui_app.put("/lab-answers/{desk}/{run}")
    async def answer(request: Request, desk: str, run: str) -> Response:
        content = bytearray()
        try:
            own_desk = lab.desks.get(request.scope.get(OWNER, ""), desk)
            lab.check_run(own_desk.owner, run)
            async for chunk in request.stream():
                content += chunk
                if len(content) > MOST_PICTURE:
                    raise RequestError(f"The picture has more than {MOST_PICTURE // 10**6} MB.")
            path = str(run_folder(lab.root(own_desk.owner), run))
            trial = await lab.helper.call(try_picture, path, bytes(content), patience=PATIENCE_SECONDS)
        except ConvictionError as failure:
            return JSONResponse({"message": str(failure)}, 422)
        except ClientDisconnect:
            return Response(status_code=400)
        return JSONResponse(asdict(trial), headers={"cache-control": "no-store"})


def _needed(lab: Lab, owner: str) -> set[str]:
    """The sources that this owner's desks, runs and jobs need."""
    return {d.source for d in lab.desks.of(owner)} | sources_of(lab.root(owner), lab.jobs.of(owner))


def file_to_take(root: Path, path: str) -> Path:
    """The file of a run or study that may be taken away, or the folder of an export whose zip is requested.

    Args:
        root: Where the runs of the owner are.
        path: Below it, as the address has it.

    Raises:
        RequestError: It is not one of them, or not there.
    """
    parts = path.split("/")
    shaped = (len(parts) == 2 and parts[1] in FILES) or (len(parts) > 2 and parts[1] == "exports")
    shaped |= len(parts) == 3 and parts[0] == EXPLORATIONS and parts[2] == "report.html"
    file = root.joinpath(*parts)
    hidden = any(part in ("", "..") or part.startswith(".") for part in parts)
    with contextlib.suppress(OSError, ValueError):  # of a name that no file can have
        there = file.is_file()
        if len(parts) == 3 and parts[1] == "exports" and file.suffix == ".zip" and not there:
            file = file.with_suffix("")
            there = file.is_dir()
        if shaped and not hidden and there and file.resolve().is_relative_to(root.resolve()):
            return file
    raise RequestError(f"There is no file '{path[:120]}' to take away.")


def zipped(folder: Path) -> bytes:
    """A folder with its name, as a zip in memory; a program and the file that it reads stay together in it."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in sorted(p for p in folder.rglob("*") if p.is_file() and not p.is_symlink()):
            archive.write(file, Path(folder.name, file.relative_to(folder)))
    return out.getvalue()
