"""A page with one panel on it, served as the lab serves its own; and what every browser test checks."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from tests.conftest import environment
from tests.patience import new_context

# {build} is put into a function that is called with the query of each page; {setup} runs once.
SERVER = """
import socket, sys
from pathlib import Path
from fastapi import FastAPI, Request
from importlib import resources
import uvicorn
from nicegui import app as nicegui_app, ui
arguments = sys.argv[1:]
{setup}
nicegui_app.add_static_files("/lab-static", resources.files("conviction.web") / "static")
ui.add_head_html('<link rel="stylesheet" href="/lab-static/lab.css">'
    '<link rel="stylesheet" href="/lab-static/live/live.css"><script src="/lab-static/lab.js"></script>', shared=True)

@ui.page("/")
def page(request: Request):
    query = dict(request.query_params)
    ui.page_title("A panel")
    def keep(query):
        from urllib.parse import urlencode
        ui.run_javascript("history.replaceState(null, '', '/?" + urlencode(query) + "')")
    with ui.element("main").style("padding: 1.5rem 2rem; max-width: 74rem; margin: 0 auto"):
        ui.html("<h1>A panel</h1>", sanitize=False)
        build(query, keep)

{build}
app = FastAPI()
ui.run_with(app, title="A panel", dark=None, language="en-US", tailwind=False)
listener = socket.create_server(("127.0.0.1", 0))
class Server(uvicorn.Server):
    async def startup(self, sockets=None):
        await super().startup(sockets)
        print(f"http://127.0.0.1:{{listener.getsockname()[1]}}", flush=True)
Server(uvicorn.Config(app, log_config=None, access_log=False, timeout_graceful_shutdown=1)).run(sockets=[listener])
"""


@contextmanager
def served(place: Path, build: str, *arguments: str | Path, setup: str = "") -> Iterator[str]:
    """The address of a page that ``build`` (a function of that name) makes; its errors fail the test."""
    script = SERVER.format(build=build, setup=setup)
    errors = place / "page-errors.txt"
    with errors.open("w") as log:
        process = subprocess.Popen(
            [sys.executable, "-c", script, *map(str, arguments)],
            env=environment(place / "home"),
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
        )
        assert process.stdout is not None
        try:
            address = process.stdout.readline().strip()
            assert address, errors.read_text()
            yield address
        finally:
            process.terminate()
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            process.stdout.close()
    assert "Traceback" not in errors.read_text(), errors.read_text()


@contextmanager
def opened(
    browser: Any,
    address: str,
    width: int = 1200,
    scheme: str = "light",
    script: str = "",
    *,
    refused: str = "never refused",
) -> Iterator[Any]:
    """The page, which asks nobody else for anything, raises no error and is not wider than the window.

    Browsers log every refused request as an error; errors that match ``refused`` are expected.
    """
    context = new_context(browser, viewport={"width": width, "height": 900}, color_scheme=scheme)
    if script:
        context.add_init_script(script)
    page = context.new_page()
    troubles: list[str] = []
    host = urlsplit(address).netloc
    page.on("pageerror", lambda error: troubles.append(str(error)))
    page.on(
        "request",
        lambda asked: (
            urlsplit(asked.url).netloc == host
            or asked.url.startswith(("data:", "blob:"))
            or troubles.append(asked.url)
        ),
    )
    page.on(
        "console",
        lambda said: (
            said.type == "error" and not re.search(refused, said.text) and troubles.append(said.text)
        ),
    )
    page.goto(address)
    try:
        yield page
    except BaseException:
        shoot(page, "failed")
        raise
    assert not troubles, troubles
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    context.close()


def shoot(page: Any, name: str, *, whole: bool = True) -> None:
    """Keeps a picture of the page where somebody wants to look at it."""
    place = os.environ.get("CONVICTION_SHOTS")
    if place:
        page.screenshot(path=str(Path(place) / f"{name}.png"), full_page=whole)
        # The window is made as large as the page for it, and small again.
        page.evaluate("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")


def check_accessibility(page: Any) -> None:
    from axe_playwright_python.sync_playwright import Axe

    grave = [v for v in Axe().run(page).response["violations"] if v["impact"] in ("serious", "critical")]
    assert not grave, [(v["id"], [n["html"][:200] for n in v["nodes"][:3]]) for v in grave]
