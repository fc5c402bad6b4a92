"""What trials on Ray cost beyond the trials themselves: 100 of one second on two nodes, and in this machine's own pool.

    python benchmarks/ray_trials.py [--trials 100] [--seconds 1]

The nodes are processes of this machine, with one CPU each. A trial waits and reports once, as after an epoch, so that
what is measured is the way there and back. The ideal is two trials at a time with nothing between them; the start of
the workers counts. Ends with exit code 1 if the rate is below 85% of it.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

NODES = 2
LEAST = 0.85


def trial(payload: Mapping[str, Any], report: Any) -> bool:
    """Runs in a worker."""
    time.sleep(payload["seconds"])
    return bool(report({"epoch": 1}))


def share_of_ideal(pool: Any, trials: int, seconds: float) -> float:
    """The rate at which a pool finishes trials, as a share of the rate without anything between them."""
    from conviction.pool.processes import Task

    tasks = (Task(str(i), "ray_trials:trial", {"seconds": seconds}) for i in range(trials))
    began = time.monotonic()
    with pool as workers:
        outcomes = list(workers.run(tasks))
    took = time.monotonic() - began
    assert sorted(int(o.key) for o in outcomes) == list(range(trials))
    assert all(o.value is True for o in outcomes), [o.failure for o in outcomes if o.failure]
    return trials * seconds / NODES / took


@contextmanager
def cluster(place: str) -> Iterator[str]:
    """The address of a cluster of two nodes, as long as it is asked for."""
    from ray.cluster_utils import Cluster

    os.environ["RAY_TMPDIR"] = place  # Ray's own may not exist yet
    made = Cluster()
    try:
        made.add_node(num_cpus=1, include_dashboard=False)
        for _ in range(NODES - 1):
            made.add_node(num_cpus=1)
        yield made.address
    finally:
        made.shutdown()


def main() -> int:
    """Measures both and prints them as JSON."""
    from conviction.cluster.connection import connected
    from conviction.pool.processes import Pool
    from conviction.pool.ray_tasks import RayPool

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--trials", type=int, default=100)
    parser.add_argument("--seconds", type=float, default=1.0)
    given = parser.parse_args()
    local = share_of_ideal(Pool(NODES), given.trials, given.seconds)
    place = tempfile.mkdtemp(prefix="r-", dir="/tmp")  # paths of sockets have to be short
    try:
        with cluster(place) as os.environ["RAY_ADDRESS"], connected() as ray:
            on_ray = share_of_ideal(RayPool(ray), given.trials, given.seconds)
    finally:
        shutil.rmtree(place, ignore_errors=True)
    print(json.dumps({"local": round(local, 3), "ray": round(on_ray, 3), "trials": given.trials}))
    return 0 if on_ray >= LEAST else 1


if __name__ == "__main__":
    sys.exit(main())
