"""Where workers can run: what the nodes of a cluster have, and room for several workers at once."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from conviction.audience import on_ray, option
from conviction.cluster.nodes import alive, in_words
from conviction.errors import RequestError

# How long other work on the cluster may keep workers from being placed, and a dead node from being noticed.
PATIENCE_SECONDS = 60.0


class NoRoom(RequestError):
    """The cluster has no room for this many workers, or has none now."""


@dataclass(frozen=True)
class Size:
    """What one worker takes."""

    cpus: int = 1
    gpus: int = 0

    def __str__(self) -> str:
        cpus = f"{self.cpus} CPU{'s' if self.cpus > 1 else ''}"
        return cpus + (f" and {self.gpus} GPU{'s' if self.gpus > 1 else ''}" if self.gpus else "")

    @property
    def resources(self) -> dict[str, int]:
        """The resources by Ray's names."""
        return {"CPU": self.cpus} | ({"GPU": self.gpus} if self.gpus else {})


def capacity(ray: Any, size: Size) -> int:
    """How many workers the live nodes could hold if they held nothing else."""
    return sum(_fit(node["Resources"], size) for node in alive(ray))


def node_name(node: Mapping[str, Any]) -> str:
    """The address of a node, and enough of its id to distinguish nodes on one machine."""
    return f"{node['NodeManagerAddress']} ({node['NodeID'][:6]})"


def smallest_store(ray: Any, nodes: Sequence[str]) -> tuple[str, int]:
    """Which of these nodes (by id) has the smallest object store: its name, and the size in bytes."""
    candidates = [node for node in ray.nodes() if node["NodeID"] in nodes]
    least = min(candidates, key=lambda node: node["Resources"].get("object_store_memory", 0))
    return node_name(least), int(least["Resources"].get("object_store_memory", 0))


def reserve(ray: Any, workers: int, size: Size) -> Any:
    """A placement group with a bundle for each worker, on as few nodes as possible.

    Raises:
        NoRoom: Other work did not leave enough room within ``PATIENCE_SECONDS``, or a node turned out to be dead.
    """
    from ray.util import placement_group, remove_placement_group

    group = placement_group([size.resources] * workers, strategy="PACK")
    end = time.monotonic() + PATIENCE_SECONDS
    try:
        # Short waits, because signals are handled between them.
        while not group.wait(0.5):
            if time.monotonic() > end or capacity(ray, size) < workers:
                raise NoRoom(
                    f"{on_ray()}: no room for {workers} workers of {size} within {PATIENCE_SECONDS:.0f} seconds; the "
                    f"cluster has {in_words(ray)}, perhaps with other work on them. Try again later, or with fewer "
                    f"{option('workers')}."
                )
    except BaseException:
        remove_placement_group(group)
        raise
    return group


def _fit(resources: Mapping[str, float], size: Size) -> int:
    return min(int(resources.get(kind, 0) // count) for kind, count in size.resources.items())
