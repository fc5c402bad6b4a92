"""``make bench-data``: reading, caching and auditing images, against Keras's own loader in the same run.

    python benchmarks/data.py [cifar] [photos] [audit] [input] [memory]

Each part prints a table and its ratios. Figures for an epoch are medians of several; every program runs in its own
process, in turn. Copy what it prints, with the command, to docs/measurements.md.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
import zipfile
from pathlib import Path

import numpy as np

KERAS = """
import json, os, sys, time
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
import keras
size, folder, epochs = int(sys.argv[1]), sys.argv[2], int(sys.argv[3])
rates = []
data = None
for _ in range(epochs):
    start, n = time.perf_counter(), 0
    data = data or keras.utils.image_dataset_from_directory(
        folder, image_size=(size, size), batch_size=64, verbose=False
    )
    for x, y in data:
        n += len(y)
    rates.append(n / (time.perf_counter() - start))
print(json.dumps(rates))
"""

OURS = """
import json, sys, time
import numpy as np
from conviction.config import DataSpec
from conviction.data import load_source
from conviction.training import epoch_order
size, folder, epochs = int(sys.argv[1]), sys.argv[2], int(sys.argv[3])
start = time.perf_counter()
images = load_source(folder, DataSpec(image_size=(size, size)))
rates = [len(images) / (time.perf_counter() - start)]
for epoch in range(epochs):
    start = time.perf_counter()
    order = epoch_order(len(images), 0, epoch)
    for at in range(0, len(order), 64):
        batch = images.pixels[order[at : at + 64]]
    rates.append(len(images) / (time.perf_counter() - start))
print(json.dumps(rates))
"""

AUDIT = """
import json, sys, time
import numpy as np
from conviction.config import DataSpec
from conviction.data import audit_images, load_source
images = load_source(sys.argv[1])
start = time.perf_counter()
found = audit_images(images, DataSpec())
seconds = time.perf_counter() - start
leaks = [f for f in found.findings if f.kind == "leak"]
held = sum(images.parts[i] == "test" for f in leaks for g in f.groups for i in g)
print(json.dumps({"images": len(images), "seconds": seconds, "test_images_with_a_copy_in_training": int(held),
                  "findings": [f.sentence for f in found.findings]}))
"""

INPUT = """
import json, os, sys, time
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
import numpy as np
from conviction.backend import import_keras, prepare, usable_cores
from conviction.config import load_recipe
from conviction.data import encode_labels, load_source
from conviction.model import build, compile_model
from conviction.training import make_batches
prepare(usable_cores())
keras = import_keras()
images = load_source(sys.argv[1])
batch, n = int(sys.argv[2]), 20480
recipe = load_recipe(['recipe=lab'])
targets = encode_labels(images.labels, len(images.class_names))
model = build(recipe.model, images.rule.shape, len(images.class_names), 0)
compile_model(model, recipe.training, len(images.class_names), steps=1)
index = np.random.default_rng(0).permutation(len(images))[:n]
real = make_batches(images.pixels, targets, index, batch, shuffle_seed=0)

class Resident(keras.utils.PyDataset):
    def __len__(self):
        return n // batch
    def __getitem__(self, i):
        return one

one = real[0]
seconds = {"real": [], "resident": []}
for turn in range(6):
    for name, data in (("real", real), ("resident", Resident())):
        if name == "real":
            real.start_epoch(turn)
        start = time.perf_counter()
        model.fit(data, epochs=1, verbose=0, shuffle=False)
        if turn:
            seconds[name].append(time.perf_counter() - start)
gather = []
for turn in range(3):
    real.start_epoch(turn)
    start = time.perf_counter()
    for i in range(n // batch):
        real[i]
    gather.append(time.perf_counter() - start)
print(json.dumps({**seconds, "gather": gather}))
"""


def run(script: str, *arguments: object, cache: Path | None = None) -> list[float] | dict:
    """What a script prints last, as JSON."""
    environment = {**os.environ}
    if cache is not None:
        environment["CONVICTION_CACHE"] = str(cache)
    done = subprocess.run(
        [sys.executable, "-c", script, *map(str, arguments)],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        sys.exit(done.stderr)
    return json.loads(done.stdout.splitlines()[-1])


def data_dir() -> Path:
    """The folder with the real data sets."""
    place = os.environ.get("CONVICTION_DATA_DIR")
    if not place or not (Path(place) / "cifar10-jpeg75.zip").exists():
        sys.exit("Set CONVICTION_DATA_DIR to a folder with fashion-mnist/ and cifar10-jpeg75.zip.")
    return Path(place)


def compare(folder: Path, sources: dict[str, Path], size: int, turns: int) -> None:
    """First passes and later epochs of Keras and of ours, in turn."""
    os.sync()  # writing the files to disk is not part of reading them
    keras_first, keras_later = [], []
    first: dict[str, list[float]] = {name: [] for name in sources}
    later: dict[str, list[float]] = {name: [] for name in sources}
    for _ in range(turns):
        rates = run(KERAS, size, folder, 3)
        keras_first.append(rates[0])
        keras_later += rates[1:]
        for name, source in sources.items():
            with tempfile.TemporaryDirectory() as cache:
                rates = run(OURS, size, source, 3, cache=Path(cache))
                first[name].append(rates[0])
                later[name] += rates[1:]
    peer, peer_later = statistics.median(keras_first), statistics.median(keras_later)
    print(f"{'Keras':<14} first pass {peer:>10,.0f} images/s   later epochs {peer_later:>12,.0f} images/s")
    for name in sources:
        one, two = statistics.median(first[name]), statistics.median(later[name])
        print(
            f"{name:<14} first pass {one:>10,.0f} images/s   later epochs {two:>12,.0f} images/s   ratios: first to "
            f"Keras's first {one / peer:.2f}, to Keras's later {one / peer_later:.2f}; later {two / peer_later:.1f}"
        )


def cifar(work: Path, turns: int) -> None:
    """50,000 small JPEGs, unpacked and from the zip."""
    print("\n50,000 CIFAR-10 training JPEGs, 32x32")
    folder = work / "cifar" / "train"
    with zipfile.ZipFile(data_dir() / "cifar10-jpeg75.zip") as archive:
        names = [n for n in archive.namelist() if n.startswith("train/")]
        archive.extractall(work / "cifar", names)
        with zipfile.ZipFile(work / "train.zip", "w") as chosen:
            for name in names:
                chosen.writestr(name.removeprefix("train/"), archive.read(name))
    compare(folder, {"ours, folder": folder, "ours, zip": work / "train.zip"}, 32, turns)


def photos(work: Path, turns: int, grain: float, count: int = 1000) -> None:
    """Photographs of 12 megapixels: twenty different ones, each many times with a different comment."""
    from PIL import Image
    from sklearn.datasets import load_sample_images

    print(f"\n{count} photographs of 4000x3000 to 64x64, grain with standard deviation {grain} of 255")
    bases = []
    for i in range(20):
        image = Image.fromarray(load_sample_images().images[i % 2])
        grown = image.crop((4 * i, 3 * i, 560 + 2 * i, 420)).resize((4000, 3000), Image.Resampling.BICUBIC)
        noise = np.random.default_rng(i).normal(0, grain, (3000, 4000, 1))
        out = io.BytesIO()
        Image.fromarray(np.clip(np.asarray(grown) + noise, 0, 255).astype(np.uint8)).save(
            out, "JPEG", quality=88
        )
        bases.append(out.getvalue())
    print(f"files of {sum(map(len, bases)) / len(bases) / 1e6:.1f} MB")
    for i in range(count):
        path = work / "photos" / ("ab"[i % 2]) / f"{i}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        base, note = bases[i % len(bases)], str(i).encode()
        comment = b"\xff\xfe" + (2 + len(note)).to_bytes(2, "big") + note
        path.write_bytes(base[:2] + comment + base[2:])
    compare(work / "photos", {"ours": work / "photos"}, 64, turns)


def audit(work: Path) -> None:
    """The near-duplicate audit of whole sets, nothing cached."""
    print("\nThe audit, first time")
    for name, source in (("Fashion-MNIST", "fashion_mnist"), ("CIFAR-10", data_dir() / "cifar10-jpeg75.zip")):
        found = run(AUDIT, source, cache=work / f"audit-{name}")
        print(f"{name}: {found['images']:,} images in {found['seconds']:.1f} s")
        for sentence in found["findings"]:
            print(f"    {sentence}")


def input_share(work: Path) -> None:
    """What real batches cost against one resident batch, through the same loop, in turn."""
    print("\nThe input's share of a training step, the lab's network on CIFAR-10")
    for batch in (64, 256):
        found = run(INPUT, data_dir() / "cifar10-jpeg75.zip", batch, cache=work / "input")
        ratios = [r / s - 1 for r, s in zip(found["real"], found["resident"], strict=True)]
        gather = statistics.median(found["gather"]) / statistics.median(found["real"])
        print(
            f"batch {batch}: real {statistics.median(found['real']):.2f} s, resident "
            f"{statistics.median(found['resident']):.2f} s, share {statistics.median(ratios):+.1%} "
            f"(turns: {', '.join(f'{r:+.1%}' for r in ratios)}); gathering alone takes {gather:.1%} of that time"
        )


def memory(work: Path) -> None:
    """A set whose decoded pixels are 6 GB: the most anonymous and shared memory while it trains."""
    from PIL import Image

    count, side = 30_720, 256
    print(f"\n{count:,} pictures of {side}x{side}, {count * side * side * 3 / 1e9:.2f} GB decoded")
    for i in range(count):
        rng = np.random.default_rng(i)
        small = rng.integers(0, 256, (24, 24, 3), dtype=np.uint8)
        small[:, :12] //= 1 + 2 * (i % 2)
        path = work / "large" / ("ab"[i % 2]) / f"{i}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(small).resize((side, side), Image.Resampling.BICUBIC).save(path, quality=60)
    command = [sys.executable, "-m", "conviction", "fit", str(work / "large"), f"data.image_size={side}"]
    # Pooling first makes a fast network, so that all pixels pass in minutes.
    (work / "my.yaml").write_text(
        "model: {layers: [{type: AveragePooling2D, pool_size: 8}, {type: Conv2D, filters: 8, activation: relu}, "
        "{type: MaxPooling2D}, {type: Flatten}]}\ntraining: {epochs: 2}\n"
    )
    command += ["--config", str(work / "my.yaml")]
    environment = {
        **os.environ,
        "CONVICTION_CACHE": str(work / "cache"),
        "CONVICTION_HOME": str(work / "home"),
    }
    start = time.perf_counter()
    with subprocess.Popen(
        [*command, "--out", str(work / "run")], env=environment, stdout=subprocess.DEVNULL
    ) as process:
        most = mapped = 0
        while process.poll() is None:
            found = resident(process.pid)
            most, mapped = max(most, found["RssAnon"] + found["RssShmem"]), max(mapped, found["RssFile"])
            time.sleep(0.1)
    print(
        f"exit code {process.returncode}, {time.perf_counter() - start:.0f} s; RssAnon + RssShmem at most "
        f"{most / 1e9:.2f} GB; mapped cache pages (RssFile) at most {mapped / 1e9:.2f} GB"
    )


def resident(pid: int) -> dict[str, int]:
    """Bytes of each kind of resident memory, of this process alone."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        lines = []
    kinds = {
        name: int(rest.split()[0]) * 1024
        for name, _, rest in (x.partition(":") for x in lines)
        if "Rss" in name
    }
    return {"RssAnon": 0, "RssShmem": 0, "RssFile": 0, **kinds}


def main() -> None:
    """Runs the parts that were named, or all."""
    parts = ["cifar", "photos", "audit", "input", "memory"]
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"of {', '.join(parts)}; default all")
    parser.add_argument("--turns", type=int, default=3)
    chosen = parser.parse_args()
    for part in chosen.parts or parts:
        with tempfile.TemporaryDirectory(prefix="bench-data-") as work:
            if part == "cifar":
                cifar(Path(work), chosen.turns)
            elif part == "photos":
                for grain in (6.0, 0.0):
                    photos(Path(work) / str(grain), 1, grain)
            else:
                {"audit": audit, "input": input_share, "memory": memory}[part](Path(work))
            sys.stdout.flush()


if __name__ == "__main__":
    main()
