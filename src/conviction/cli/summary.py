"""``conviction summary``: the network for a source."""

from __future__ import annotations

import sys

from conviction.cli.options import (
    Config,
    DataDir,
    Json,
    Keys,
    Source,
    print_json,
)


def summary(
    source: Source,
    keys: Keys = None,
    config: Config = None,
    data_dir: DataDir = None,
    as_json: Json = False,
) -> None:
    """Show the network for a source: shapes, parameters, multiply-adds, receptive field."""
    from dataclasses import asdict

    from conviction.flow.summary import network_for
    from conviction.reporting import Terminal, model_step

    spec, rows = network_for(source, keys or [], config, data_dir)
    if as_json:
        print_json({"layers": [asdict(row) for row in rows]})
    else:
        Terminal(sys.stdout).step(model_step(rows, spec))
