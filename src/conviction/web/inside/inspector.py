"""Asks the helper process what is inside a network, on behalf of the panels."""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from conviction.errors import ConvictionError
from conviction.web.jobs.helper import Helper, KilledError

if TYPE_CHECKING:
    from conviction.explanation import Descent
    from conviction.web.inside.diagram import Diagram
    from conviction.web.inside.gradient_tables import GradientTables
    from conviction.web.inside.learning import Untrained
    from conviction.web.inside.seeing import Close, LayerSight, Opened, Picture, Sight

# Loading TensorFlow and a large model on a busy machine; a question that takes longer has gone wrong.
PATIENCE_SECONDS = 120.0


@dataclass(frozen=True)
class Inspector:
    """Answers what the panels ask, one question after the other.

    Attributes:
        helper: The process that holds TensorFlow for the page.
        data_dir: Where to look for named sets first.
    """

    helper: Helper
    data_dir: Path | None = None

    def open(self, run: Path) -> Awaitable[Opened]:
        """As ``ModelViewer.open``."""
        return self._ask("open", run=run)

    def pictures(self, run: Path, first: int, count: int) -> Awaitable[list[tuple[np.ndarray, str]]]:
        """As ``ModelViewer.pictures``."""
        return self._ask("pictures", run=run, first=first, count=count)

    def decode(self, run: Path, content: bytes) -> Awaitable[np.ndarray]:
        """As ``ModelViewer.decode``."""
        return self._ask("decode", run=run, content=content)

    def look(self, run: Path, picture: Picture) -> Awaitable[Sight]:
        """As ``ModelViewer.look``."""
        return self._ask("look", run=run, picture=picture)

    def look_within(self, run: Path, picture: Picture, names: Sequence[str]) -> Awaitable[list[LayerSight]]:
        """As ``ModelViewer.look_within``."""
        return self._ask("look_within", run=run, picture=picture, names=names)

    def close_up(
        self, run: Path, picture: Picture, layer: str, position: tuple[int, ...], before: int | None = None
    ) -> Awaitable[Close]:
        """As ``ModelViewer.close_up``."""
        return self._ask("close_up", run=run, picture=picture, layer=layer, position=position, before=before)

    def way_back(
        self, run: Path, picture: Picture, layer: str, position: tuple[int, ...], label: int | None = None
    ) -> Awaitable[GradientTables]:
        """As ``ModelViewer.way_back``."""
        return self._ask("way_back", run=run, picture=picture, layer=layer, position=position, label=label)

    def descend(
        self, run: Path, picture: Picture, rates: Sequence[float], label: int | None = None
    ) -> Awaitable[Descent]:
        """As ``ModelViewer.descend``."""
        return self._ask("descend", run=run, picture=picture, rates=rates, label=label)

    def draft(self, untrained: Untrained, sample: np.ndarray, pixels: np.ndarray) -> Awaitable[Diagram]:
        """As ``ModelViewer.draft``."""
        return self._ask("draft", untrained=untrained, sample=sample, pixels=pixels)

    async def _ask(self, name: str, **arguments: Any) -> Any:
        """Asks again if the process was killed; a question that kills it twice fails."""
        from conviction.web.inside.answering import answer

        for _ in range(2):
            with contextlib.suppress(KilledError):
                return await self.helper.call(
                    answer, self.data_dir, name, arguments, patience=PATIENCE_SECONDS
                )
        raise ConvictionError(
            "The process that looks inside the network ended twice. There may be too little memory."
        )
