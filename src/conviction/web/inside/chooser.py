"""Where the picture comes from: the run's validation images, a file, a drawing."""

from __future__ import annotations

from dataclasses import replace

from nicegui import ui
from nicegui.events import GenericEventArguments, UploadEventArguments

from conviction.errors import ConvictionError, RequestError
from conviction.reporting import image_address
from conviction.web.elements.maps import DrawingCanvas
from conviction.web.elements.plain import Tag, button, paragraph, tag
from conviction.web.inside.context import PanelContext
from conviction.web.inside.seeing import Opened

PAGE = 24
MOST_BYTES = 20_000_000


class Chooser:
    """Built into the current container."""

    def __init__(self, panel: PanelContext, opened: Opened) -> None:
        self._panel, self._opened = panel, opened
        chosen = int(panel.view.picture) if panel.view.picture.isdecimal() else 0
        self._first = min(chosen, max(opened.pictures - 1, 0)) // PAGE * PAGE
        self._thumbs: dict[str, Tag] = {}
        with tag("div", "", "ways"):
            if opened.trouble:
                paragraph(opened.trouble, "note")
            self._grid = tag("div", "", "thumbs", role="group", aria_label="Validation images")
            with tag("div", "", "row"):
                if opened.pictures > PAGE:
                    button("Earlier", self._turn(-PAGE), "earlier", "quiet")
                    button("Later", self._turn(PAGE), "later", "quiet")
                    self._where = tag("span", "", "note")
                self._upload()
                button("Draw one", self._toggle, "draw")
            self._drawing = tag("div", "", "drawing")
        self._open = False

    async def show_page(self) -> None:
        """The thumbnails."""
        if not self._opened.pictures:
            return
        pictures = await self._panel.inspector.pictures(self._panel.run, self._first, PAGE)
        self._grid.clear()
        self._thumbs = {}
        with self._grid:
            for i, (pixels, name) in enumerate(pictures, self._first):
                label = f"Validation image {i + 1}: {name}"
                with tag(
                    "button",
                    "",
                    "thumb",
                    type="button",
                    aria_label=label,
                    title=name,
                    data_key=f"picture {i}",
                ) as thumb:
                    tag(
                        "img",
                        "",
                        "sharp" if max(pixels.shape[:2]) <= 96 else "",
                        src=image_address(pixels),
                        alt="",
                    )
                thumb.props["aria-pressed"] = "false"
                thumb.on("click", self._choose(str(i)), js_handler="() => emit()")
                self._thumbs[str(i)] = thumb
        if self._opened.pictures > PAGE:
            last = min(self._first + PAGE, self._opened.pictures)
            self._where.text = f"{self._first + 1} to {last} of {self._opened.pictures:,}"
        self.mark(self._panel.view.picture)

    def mark(self, picture: str) -> None:
        """Marks the picture that is looked at."""
        for name, thumb in self._thumbs.items():
            pressed = "true" if name == picture else "false"
            if thumb.props.get("aria-pressed") != pressed:
                thumb.props["aria-pressed"] = pressed

    def _choose(self, name: str):  # type: ignore[no-untyped-def]
        async def choose(_: GenericEventArguments) -> None:
            await self._panel.go(replace(self._panel.view, picture=name))

        return choose

    def _turn(self, by: int):  # type: ignore[no-untyped-def]
        async def turn(_: GenericEventArguments) -> None:
            first = self._first + by
            if 0 <= first < self._opened.pictures:
                self._first = first
                await self.show_page()

        return turn

    def _upload(self) -> None:
        upload = ui.upload(
            on_upload=self._uploaded,
            on_rejected=lambda: self._panel.say(
                f"The file has more than {MOST_BYTES // 10**6} MB.", "message trouble"
            ),
            auto_upload=True,
            max_file_size=MOST_BYTES,
        ).style("display: none")
        upload.props("accept=image/*")
        opening = tag("button", "Open a file", "button", type="button", data_key="open")
        # In the browser alone, which opens the dialog only in answer to a click.
        opening.on("click", js_handler=f"() => getElement({upload.id}).pickFiles()")

    async def _uploaded(self, event: UploadEventArguments) -> None:
        await self._take(await event.file.read())

    async def _take(self, content: bytes) -> None:
        panel = self._panel
        try:
            if len(content) > MOST_BYTES:
                raise RequestError(f"The file has more than {MOST_BYTES // 10**6} MB.")
            # Refused here, so that what cannot be read is not kept.
            await panel.inspector.decode(panel.run, content)
        except ConvictionError as failure:
            panel.say(str(failure), "message trouble")
            return
        await panel.go(replace(panel.view, picture=panel.kept.add(content)))

    async def _drawn(self, content: bytes) -> None:
        if not content:
            self._panel.say("There is nothing on the board yet. Draw something, then look at it.", "message")
            return
        await self._take(content)

    def _toggle(self, _: GenericEventArguments) -> None:
        self._drawing.clear()
        self._open = not self._open
        if not self._open:
            return
        with self._drawing:
            paragraph("Draw here with the mouse or a finger, white on black.", "note")
            board = DrawingCanvas(self._drawn)
            with tag("div", "", "row"):
                button("Look at the drawing", lambda _: board.done(), "drawn", "primary")
                button("Clear", lambda _: board.clear_board(), "clear")
