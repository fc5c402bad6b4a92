"""Where trials run: in processes of this machine, or on a Ray cluster."""

from __future__ import annotations

import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, Literal, Protocol, get_args

from conviction.audience import on_ray, option
from conviction.backend import usable_cores
from conviction.cluster import nodes
from conviction.cluster.connection import connected
from conviction.data import Audit, ImageSet
from conviction.errors import RequestError, did_you_mean
from conviction.pool.processes import Pool, Runs
from conviction.pool.ray_tasks import NodeShare, RayPool
from conviction.pool.shared import put, share
from conviction.runs import folder
from conviction.runs.inside import DRAWN

On = Literal["local", "ray"]
_IMAGES = re.compile(rf"\.images-{DRAWN}")


class Executor(Protocol):
    """Makes a pool for a study, and gives it the images."""

    def begun(
        self, images: ImageSet, audit: Audit, path: Path, trials: int
    ) -> AbstractContextManager[tuple[Runs, Any]]:
        """The pool, and the reference by which its tasks open the images.

        Args:
            images: The images of the study.
            audit: Their audit.
            path: The study's folder, which the caller has claimed.
            trials: How many trials are left.
        """


@dataclass(frozen=True)
class Local:
    """Processes of this machine.

    Attributes:
        jobs: Trials at once.
        limit: Seconds for one trial; None for no limit.
    """

    jobs: int
    limit: float | None = None

    @contextmanager
    def begun(self, images: ImageSet, audit: Audit, path: Path, trials: int) -> Iterator[tuple[Runs, Any]]:
        """Writes the images to files that all workers map, and removes them at the end."""
        _sweep(path)
        try:
            with folder.storing(path):
                directory = Path(tempfile.mkdtemp(prefix=".images-", dir=path.resolve()))
                share(images, audit, directory / "data")
            with Pool(min(self.jobs, trials), limit=self.limit) as pool:
                yield pool, str(directory / "data")
        finally:
            _sweep(path)


@dataclass(frozen=True)
class OnRay:
    """A cluster.

    Attributes:
        ray: The connected module.
        jobs: Trials at once; None for as many as fit.
        limit: Seconds for one trial; None for no limit.
        share: What each trial takes of its node.
    """

    ray: Any
    jobs: int | None = None
    limit: float | None = None
    share: NodeShare = field(default_factory=NodeShare)

    @contextmanager
    def begun(self, images: ImageSet, audit: Audit, path: Path, trials: int) -> Iterator[tuple[Runs, Any]]:
        """Puts the images into the object store, which sends them to each node once."""
        _sweep(path)
        data = put(images, audit, self.ray)
        with RayPool(self.ray, self.jobs, self.limit, self.share) as pool:
            yield pool, data


@dataclass(frozen=True)
class Where:
    """The user's options about where trials run; see ``explore``.

    Raises:
        RequestError: One of them is wrong.
    """

    on: On = "local"
    jobs: int | None = None
    limit: float | None = None
    cpus: float | None = None
    gpus: float | None = None

    def __post_init__(self) -> None:
        if self.on not in get_args(On):
            raise RequestError(
                f"{option('on')}: expected local or ray; got '{self.on}'.{did_you_mean(self.on, get_args(On))}"
            )
        if self.jobs is not None and self.jobs < 1:
            raise RequestError(f"{option('jobs')}: expected at least 1; got {self.jobs}.")
        for name, value in ((option("cpus-per-trial"), self.cpus), (option("gpus-per-trial"), self.gpus)):
            if value is not None and self.on == "local":
                raise RequestError(
                    f"{name}: is for {on_ray()}; on this machine {option('jobs')} says how many run at once."
                )
        self._share(1)

    def _share(self, threads: int) -> NodeShare:
        return NodeShare(threads if self.cpus is None else self.cpus, self.gpus or 0)

    @contextmanager
    def opened(self, threads: int, file: IO[str]) -> Iterator[Executor]:
        """The executor, connected and checked.

        Args:
            threads: The threads of one trial.
            file: Where the cluster is described.

        Raises:
            RequestError: There is no cluster, it has other versions, or it has no room for a trial.
        """
        if self.on == "local":
            yield Local(self.jobs or usable_cores(), self.limit)
            return
        share = self._share(threads)
        with connected() as ray:
            nodes.check_nodes(ray)
            room = sum(share.fits(node["Resources"]) for node in nodes.alive(ray))
            cluster = nodes.in_words(ray)
            if (
                not room and self.jobs is None
            ):  # --jobs says how far a cluster that grows with demand should grow
                raise RequestError(
                    f"{on_ray()}: none of {cluster} has room for a trial of {share.cpus:g} CPUs and {share.gpus:g} "
                    f"GPUs. Ask for less with {option('cpus-per-trial')} and {option('gpus-per-trial')}, or say "
                    f"with {option('jobs')} how many to wait for."
                )
            print(
                f"On Ray: {cluster}; room for {nodes.counted(room, 'trial')} at once.", file=file, flush=True
            )
            yield OnRay(ray, self.jobs, self.limit, share)


def _sweep(path: Path) -> None:
    """Removes the images of a study, also those that a killed one left: the folder is claimed."""
    for left in path.iterdir():
        if _IMAGES.fullmatch(left.name):
            shutil.rmtree(left, ignore_errors=True)  # which follows no link
