"""The nodes of a cluster: how many, what they have, and whether they compute the same bits as this machine."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from conviction.audience import on_ray
from conviction.errors import RequestError

# What decides the bits, besides what Ray itself compares (Python and Ray).
PACKAGES = ("numpy", "keras")
# Seconds in which a node must answer, the start of a process included.
ANSWER = 60.0
# Variables that a computation depends on; workers on all nodes get the values of this process.
PASSED_ON = ("KERAS_", "TF_", "XLA_", "JAX_")

Versions = Mapping[str, str | None]


def alive(ray: Any) -> list[dict[str, Any]]:
    """The live nodes, as ``ray.nodes()`` describes them."""
    return [node for node in ray.nodes() if node["Alive"]]


def in_words(ray: Any) -> str:
    """The cluster in words, such as ``3 nodes, 12 CPUs, 1 GPU``."""
    nodes = alive(ray)
    counts = [counted(len(nodes), "node")]
    for name in ("CPU", "GPU"):
        count = sum(node["Resources"].get(name, 0) for node in nodes)
        if count or name == "CPU":
            counts.append(counted(int(count), name))
    return ", ".join(counts)


def counted(count: int, name: str) -> str:
    """``1 node`` or ``3 nodes``."""
    return f"{count} {name}" if count == 1 else f"{count} {name}s"


def environment() -> dict[str, str]:
    """The environment that workers need to compute what this process computes."""
    passed = {name: value for name, value in os.environ.items() if name.startswith(PASSED_ON)}
    return {"KERAS_BACKEND": "tensorflow", "TF_CPP_MIN_LOG_LEVEL": "3", **passed}


def packages() -> tuple[str, ...]:
    """The packages whose versions must match those of this machine."""
    return (*PACKAGES, environment()["KERAS_BACKEND"])


def version_reader() -> Callable[[Sequence[str]], dict[str, str | None]]:
    """A function that returns the versions of ``conviction`` and of packages where it runs; None for a missing one.

    It is defined inside a function so that Ray sends all of it; a module's would need ``conviction`` on the node.
    """

    def read(packages: Sequence[str]) -> dict[str, str | None]:
        from importlib import import_module, metadata

        def version(name: str) -> str | None:
            try:
                return metadata.version(name)
            except metadata.PackageNotFoundError:
                return None

        try:
            ours = str(import_module("conviction").__version__)
        except ImportError:
            ours = None
        return {"conviction": ours, **{name: version(name) for name in packages}}

    return read


def versions() -> dict[str, str | None]:
    """The versions in this process."""
    return version_reader()(packages())


def difference(address: str, there: Versions, here: Versions) -> str:
    """How the versions of a node differ from those of this machine, in a sentence; empty if they do not."""
    wrong = [
        f"{f'{name} {there[name]}' if there.get(name) else f'no {name}'} ({here[name]} here)"
        for name in here
        if there.get(name) != here[name]
    ]
    if not wrong:
        return ""
    return (
        f"{on_ray()}: node {address} has {', '.join(wrong)}. Results depend on these versions: install the same on "
        "every node."
    )


def check_nodes(ray: Any) -> None:
    """Asks each node for its versions.

    Raises:
        RequestError: One has others, or does not answer within a minute.
    """
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    read = ray.remote(num_cpus=0, max_retries=0)(version_reader())
    asked = {}
    for node in alive(ray):
        there = NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
        asked[read.options(scheduling_strategy=there).remote(packages())] = node["NodeManagerAddress"]
    answered, silent = ray.wait(list(asked), num_returns=len(asked), timeout=ANSWER)
    here = versions()
    answers = []
    for ref in answered:
        try:
            answers.append(difference(asked[ref], ray.get(ref), here))
        except ray.exceptions.RayError as failure:
            answers.append(f"{on_ray()}: node {asked[ref]} cannot run anything: {failure}")
    answers += [f"{on_ray()}: node {asked[ref]} did not answer within {ANSWER:g} seconds." for ref in silent]
    wrong = [sentence for sentence in answers if sentence]
    if wrong:
        raise RequestError(" ".join(dict.fromkeys(wrong)))
