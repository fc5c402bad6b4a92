"""The named sets: where they are looked for, what they are called, and how they are checked."""

from __future__ import annotations

import contextlib
import hashlib
import os
import socket
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from conviction.audience import option
from conviction.config import DataSpec
from conviction.data.arrays import Arrays, load_arrays
from conviction.data.folder import load_folder
from conviction.data.idx import find_idx, read_idx_folder
from conviction.data.image_set import ImageSet
from conviction.data.npz import read_npz
from conviction.data.origin import Origin
from conviction.data.rule import DecodingRule
from conviction.data.tree import open_tree
from conviction.errors import SourceError, SourceNotFoundError

DATA_DIR_VARIABLE = "CONVICTION_DATA_DIR"
# A download that receives nothing for this long has failed.
NETWORK_TIMEOUT_SECONDS = 20.0


@dataclass(frozen=True)
class NamedSet:
    """A public data set: its title, its classes, and the SHA-256 of its official training pixels."""

    title: str
    class_names: tuple[str, ...]
    train_size: int
    test_size: int
    # Of x_train.tobytes() in the official order; None where Keras checks its own download instead.
    train_sha256: str | None = None


_DIGIT_NAMES = tuple("0123456789")
_FASHION = "T-shirt/top,Trouser,Pullover,Dress,Coat,Sandal,Shirt,Sneaker,Bag,Ankle boot"
_CIFAR10 = "airplane,automobile,bird,cat,deer,dog,frog,horse,ship,truck"
_CIFAR100 = (
    "apple,aquarium_fish,baby,bear,beaver,bed,bee,beetle,bicycle,bottle,bowl,boy,bridge,bus,butterfly,"
    "camel,can,castle,caterpillar,cattle,chair,chimpanzee,clock,cloud,cockroach,couch,crab,crocodile,cup,"
    "dinosaur,dolphin,elephant,flatfish,forest,fox,girl,hamster,house,kangaroo,keyboard,lamp,lawn_mower,"
    "leopard,lion,lizard,lobster,man,maple_tree,motorcycle,mountain,mouse,mushroom,oak_tree,orange,orchid,"
    "otter,palm_tree,pear,pickup_truck,pine_tree,plain,plate,poppy,porcupine,possum,rabbit,raccoon,ray,"
    "road,rocket,rose,sea,seal,shark,shrew,skunk,skyscraper,snail,snake,spider,squirrel,streetcar,"
    "sunflower,sweet_pepper,table,tank,telephone,television,tiger,tractor,train,trout,tulip,turtle,"
    "wardrobe,whale,willow_tree,wolf,woman,worm"
)

NAMED_SETS: dict[str, NamedSet] = {
    "digits": NamedSet("Digits (scikit-learn, 8x8 scans)", _DIGIT_NAMES, 1797, 0),
    "fashion_mnist": NamedSet(
        "Fashion-MNIST",
        tuple(_FASHION.split(",")),
        60_000,
        10_000,
        "2e487a6c89124f78f2d7521542223cafe96f7123c3ca13d447772ac6ecbb3012",
    ),
    "mnist": NamedSet(
        "MNIST",
        _DIGIT_NAMES,
        60_000,
        10_000,
        "741c988805d008ac6e4c904b69001ba184c24b2c540a4ef403f4c71b676cf757",
    ),
    "cifar10": NamedSet("CIFAR-10", tuple(_CIFAR10.split(",")), 50_000, 10_000),
    "cifar100": NamedSet("CIFAR-100", tuple(_CIFAR100.split(",")), 50_000, 10_000),
}


@dataclass(frozen=True)
class ScikitLearnDigits(Origin):
    """The digits that come with scikit-learn."""


@dataclass(frozen=True)
class KerasSet(Origin):
    """A set that Keras downloads and keeps: a module of ``keras.datasets``."""

    name: str


def load_named(
    name: str, spec: DataSpec, data_dir: str | Path | None, saved: DecodingRule | None = None
) -> ImageSet:
    """Loads a named set: scikit-learn for digits; else data folders, Keras's cache, a download.

    Raises:
        SourceNotFoundError: It was not found and cannot be downloaded; the message says what was tried.
        SourceError: What was found under its name is not the official set.
    """
    if name == "digits":
        return load_arrays(_digits(), spec, saved)
    for folder in data_folders(data_dir):
        path = find_in(folder, name)
        if path is not None:
            return _load_path(name, path, spec, saved)
    return load_arrays(_through_keras(name, data_dir), spec, saved)


def data_folders(data_dir: str | Path | None) -> list[Path]:
    """The folders in which named sets are looked for, first the one asked for.

    Raises:
        SourceNotFoundError: The folder asked for does not exist.
    """
    folders = []
    if data_dir is not None:
        if not Path(data_dir).is_dir():
            raise SourceNotFoundError(f"{option('data-dir')} {data_dir}: there is no such folder.")
        folders.append(Path(data_dir))
    if os.environ.get(DATA_DIR_VARIABLE):
        folders.append(Path(os.environ[DATA_DIR_VARIABLE]))
    return folders


def find_in(folder: Path, name: str) -> Path | None:
    """The path of a named set in a data folder: ``name/``, ``name.npz``, ``name.zip``; - or _ alike."""
    for stem in (name, name.replace("_", "-")):
        for suffix in ("", ".npz", ".zip", ".tar", ".tar.gz", ".tgz"):
            candidate = folder / f"{stem}{suffix}"
            if candidate.exists():
                return candidate
    return None


def _load_path(name: str, path: Path, spec: DataSpec, saved: DecodingRule | None) -> ImageSet:
    known = NAMED_SETS[name]
    if path.is_dir() and find_idx(path):
        return load_arrays(_official(name, read_idx_folder(path)), spec, saved)
    if path.suffix == ".npz":
        return load_arrays(_official(name, read_npz(path)), spec, saved)
    with open_tree(path) as tree:
        images = load_folder(tree, spec, saved)
    sizes = (int((images.parts == "train").sum()), int((images.parts == "test").sum()))
    if images.class_names != sorted(known.class_names) or sizes != (known.train_size, known.test_size):
        raise _not_official(name, path, f"{sizes[0]} training and {sizes[1]} test pictures")
    return images


def _official(name: str, arrays: Arrays) -> Arrays:
    """The same arrays with the set's title and class names, once they are known to be the set."""
    known = NAMED_SETS[name]
    x_train = arrays.parts["train"][0]
    x_test = arrays.parts["test"][0] if "test" in arrays.parts else x_train[:0]
    if (len(x_train), len(x_test)) != (known.train_size, known.test_size):
        raise _not_official(name, arrays.location, f"{len(x_train)} training and {len(x_test)} test images")
    if known.train_sha256 and hashlib.sha256(x_train.tobytes()).hexdigest() != known.train_sha256:
        raise _not_official(name, arrays.location, "images whose checksum differs")
    return replace(arrays, name=known.title, class_names=list(known.class_names), keys=None)


def _not_official(name: str, location: Path | str, got: str) -> SourceError:
    known = NAMED_SETS[name]
    return SourceError(
        f"{location}: this is not the official {name} ({known.train_size:,} training and {known.test_size:,} "
        f"test images); got {got}. Put the official files there, or give this path itself as SOURCE."
    )


def _digits() -> Arrays:
    from sklearn.datasets import load_digits  # half a second

    bunch = load_digits()
    return Arrays(
        NAMED_SETS["digits"].title,
        "scikit-learn",
        ScikitLearnDigits(),
        {"": (bunch.images, bunch.target)},
        list(_DIGIT_NAMES),
        known_range=(0.0, 16.0),
    )


def _through_keras(name: str, data_dir: str | Path | None) -> Arrays:
    """Keras's own cache or, failing that, Keras's own download with its checksums and progress."""
    from conviction.backend import import_keras

    keras = import_keras()
    module = getattr(keras.datasets, name)
    previous = socket.getdefaulttimeout()
    socket.setdefaulttimeout(NETWORK_TIMEOUT_SECONDS)  # Keras sets none and could wait forever
    try:
        with contextlib.redirect_stdout(sys.stderr):  # stdout belongs to --json
            (x_train, y_train), (x_test, y_test) = module.load_data()
    # Keras raises a bare Exception when a download fails.
    except Exception as failure:
        raise SourceNotFoundError(_tried(name, data_dir, failure)) from None
    finally:
        socket.setdefaulttimeout(previous)
    return _official(
        name,
        Arrays(
            name,
            f"keras.datasets.{name}",
            KerasSet(name),
            {"train": (x_train, y_train), "test": (x_test, y_test)},
        ),
    )


def _tried(name: str, data_dir: str | Path | None, failure: Exception) -> str:
    folders = data_folders(data_dir)
    places = [str(f) for f in folders] or [
        f"no data folder ({option('data-dir')} and {DATA_DIR_VARIABLE} are unset)"
    ]
    offline = ", ".join(["digits", *available(folders)])
    reason = " ".join(str(failure).split())
    return (
        f"{name} was not found. Looked in {', '.join(places)}, then in Keras's cache, then tried to "
        f"download it ({reason}). Available here without a network: {offline}."
    )


def available(folders: Sequence[Path]) -> list[str]:
    """The named sets that are in these folders."""
    return [n for n in NAMED_SETS if n != "digits" and any(find_in(f, n) for f in folders)]
