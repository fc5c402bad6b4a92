"""A Ray cluster of several nodes, each with processes of its own, on this machine."""

from __future__ import annotations

import os
import shutil
import socket
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from conviction.cluster.nodes import PASSED_ON

pytest.importorskip("ray")
# Of each node's object store; the least that Ray takes is 75 MB.
STORE = 100_000_000


def free_port() -> int:
    """A port of this machine that nobody has at the moment."""
    with socket.socket() as probe:
        probe.bind(("", 0))
        return int(probe.getsockname()[1])


@contextmanager
def cluster_of(*cpus: int, dashboard: bool = False, **head: Any) -> Iterator[Any]:
    """A ``ray.cluster_utils.Cluster`` with a node for each number; a driver joins the first, which cannot be killed.

    ``RAY_ADDRESS`` of a command that is to use it is ``cluster.address``. ``cluster.add_node(num_cpus=1)`` and
    ``cluster.remove_node(node, allow_graceful=False)``, a kill, change it. Nodes inherit the environment, but for what
    the imports of other tests left in it.
    """
    from ray.cluster_utils import Cluster

    # Sockets are below it, and their paths have to be short.
    place = tempfile.mkdtemp(prefix="r-", dir="/tmp")
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith(PASSED_ON)]:
            patch.delenv(name)
        # It would look at the memory of the whole machine, and other tests run beside this one.
        patch.setenv("RAY_memory_monitor_refresh_ms", "0")
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        # Its workers give way to all else, and beside other tests would wait for minutes.
        patch.setenv("RAY_worker_niceness", "0")
        # Ray notes its cluster there; of several on a machine, a job joins the one that is noted.
        patch.setenv("RAY_TMPDIR", place)
        cluster = Cluster()
        try:
            for number, count in enumerate(cpus):
                # Ports that another cluster of this machine may have, unless they are chosen.
                how: dict[str, Any] = {"dashboard_agent_listen_port": 0}
                if number == 0:
                    how |= {"include_dashboard": dashboard, "dashboard_port": free_port(), **head}
                cluster.add_node(num_cpus=count, object_store_memory=STORE, **how)
            yield cluster
        finally:
            cluster.shutdown()
            shutil.rmtree(place, ignore_errors=True)


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """Three nodes of one CPU each, for a module; a test that kills nodes makes its own."""
    with cluster_of(1, 1, 1) as made:
        yield made
