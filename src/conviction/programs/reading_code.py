"""The part of a program that reads the images of a run, without this package."""

from __future__ import annotations

import json
from pathlib import Path
from textwrap import dedent

from conviction.data import DecodingRule, ImageSet, depth
from conviction.data.depth import FULL_RANGE, is_deep
from conviction.data.idx import IdxFolder
from conviction.data.named import KerasSet, ScikitLearnDigits
from conviction.data.npz import NpzFile
from conviction.data.resize import padded
from conviction.data.rule import LEAST_DECODED
from conviction.data.tree import PictureFiles
from conviction.errors import RequestError
from conviction.programs.section import Section
from conviction.programs.source_code import Function, source_of
from conviction.runs import RunFolder

# Ten pictures side by side, as a notebook shows the last value of a cell.
LOOK = """strip = np.hstack([image for image in x["train"][:10]])
Image.fromarray(np.squeeze(strip)).resize((strip.shape[1] * 3, strip.shape[0] * 3), Image.Resampling.NEAREST)"""


def reading_section(run: RunFolder, images: ImageSet) -> Section:
    """Reads every image that ``split.json`` names, to ``x`` and ``y`` by part.

    Raises:
        RequestError: Reading a source of this kind takes more than a few lines.
    """
    code = _pictures(run, images) if isinstance(images.origin, PictureFiles) else _arrays(run, images)
    reason = (
        "split.json says which image is for what, and its class. Pixels stay whole numbers from 0 to 255."
    )
    return Section("Load and reshape", reason, code, "data", LOOK)


def data_path(images: ImageSet) -> Path:
    """What a program calls ``DATA``: the source, or the folder or archive of the pictures that a table lists."""
    return images.origin.path if isinstance(images.origin, PictureFiles) else Path(images.location)


def needs(run: RunFolder, images: ImageSet) -> list[str]:
    """What the section imports besides NumPy and the standard library."""
    operations = isinstance(images.origin, PictureFiles) or run.rule.fit == "crop"
    pillow = f"from PIL import Image{', ImageFile' if has_deep(images) else ''}{', ImageOps' if operations else ''}"
    match images.origin:
        case ScikitLearnDigits():
            return [pillow, "from sklearn.datasets import load_digits"]
        case IdxFolder():
            return [pillow, "import gzip"]
        case PictureFiles(container="zip"):
            return [pillow, "import io", "import zipfile"]
        case PictureFiles(container="tar"):
            return [pillow, "import io", "import tarfile"]
    return [pillow]


def has_deep(images: ImageSet) -> bool:
    """Whether there are files of more than 8 bits, which take functions of the package."""
    return any(is_deep(header.mode) for header in images.headers)


def _deep_functions(run: RunFolder) -> list[str]:
    """Source that brings files of more than 8 bits to 8 (16-bit colours since version 3 of the rule)."""
    functions: list[Function] = [depth.to_8_bit]
    if run.rule.version >= 3:
        functions += [depth.raw_mode, depth.is_deep_colour, depth.low_mode, depth.read_as, depth.join_bytes]
    return [source_of(functions), "", ""]


def _arrays(run: RunFolder, images: ImageSet) -> str:
    rule = run.rule
    low, high = rule.array_range or (0.0, 255.0)
    lines = [*_resizing_functions(rule), _raw_arrays(images), ""]
    lines += ["", "def pixels_of(name):", '    """One image, (height, width, channels) uint8."""']
    lines += ['    part, number = name.split("/")', "    image = arrays[part][int(number)]"]
    if (low, high) != (0.0, 255.0) or rule.array_type == "float":
        lines.append(f"    image = np.rint((image.astype('float64') - {low!r}) * (255.0 / {high - low!r}))")
    lines.append('    picture = Image.fromarray(np.squeeze(image).astype("uint8"))')
    lines += _finish(rule)
    return "\n".join(lines) + _gather()


def _raw_arrays(images: ImageSet) -> str:
    match images.origin:
        case ScikitLearnDigits():
            return 'arrays = {"image": load_digits().images}'
        case KerasSet(name):
            return (
                f"(x_train, _), (x_test, _) = keras.datasets.{name}.load_data()\n"
                'arrays = {"train": x_train, "test": x_test}'
            )
        case NpzFile(images=keys):
            # As the names of images start, see ``load_arrays``.
            listed = ", ".join(
                f'"{part or "image"}": archive[{json.dumps(key)}]' for part, key in sorted(keys.items())
            )
            return f"with np.load(DATA) as archive:\n    arrays = {{{listed}}}"
        case IdxFolder(images=files):
            return _READ_IDX.replace("FILES", repr(files).replace("'", '"'))
    raise RequestError(f"{images.location}: no program can be written for a source of this kind.")


_READ_IDX = dedent(
    '''
    def read_idx(name):
        """An IDX file: a header with the number and size of dimensions, then the values."""
        path = os.path.join(DATA, name)
        with gzip.open(path) if name.endswith(".gz") else open(path, "rb") as file:
            kind, dimensions = file.read(4)[2:]
            shape = [int.from_bytes(file.read(4), "big") for _ in range(dimensions)]
            types = {8: ">u1", 9: ">i1", 11: ">i2", 12: ">i4", 13: ">f4", 14: ">f8"}
            return np.frombuffer(file.read(), types[kind]).reshape(shape)


    arrays = {part: read_idx(name) for part, name in FILES.items()}
    '''
).strip()


def _pictures(run: RunFolder, images: ImageSet) -> str:
    rule = run.rule
    deep = has_deep(images)
    lines = [*(_deep_functions(run) if deep else []), *_resizing_functions(rule)]
    lines += [_opened(images), "", "", "def pixels_of(name):"]
    lines += ['    """One picture, (height, width, channels) uint8."""']
    lines += ["    with open_picture(name) as file, Image.open(file) as picture:"]
    colours = deep and rule.version >= 3
    lines += ["        raw = raw_mode(picture)"] if colours else []
    if rule.version >= 2 and any(rule.scale(h.width, h.height) > 1 for h in images.headers):
        lines += [
            "        # A large JPEG is decoded at 1/2, 1/4 or 1/8 of its size, the smallest that leaves enough pixels.",
            "        sides = picture.size[::-1] if picture.getexif().get(0x0112, 1) >= 5 else picture.size",
            f"        least = {(max(LEAST_DECODED, 2 * rule.width), max(LEAST_DECODED, 2 * rule.height))}",
            "        fits = [s for s in (8, 4, 2) if sides[0] // s >= least[0] and sides[1] // s >= least[1]]",
            '        if picture.format == "JPEG" and fits:',
            "            picture.draft(None, (picture.width // fits[0], picture.height // fits[0]))",
        ]
    lines += ["        picture = ImageOps.exif_transpose(picture)  # upright"]
    if colours:
        lines += [
            "    if is_deep_colour(raw) and low_mode(raw):",
            "        with open_picture(name) as file, Image.open(file) as low:",
            "            read_as(low, low_mode(raw))",
            "            low = ImageOps.exif_transpose(low)",
            f"        picture = join_bytes(picture, low, raw, {rule.deep_range or FULL_RANGE})",
        ]
    lines += [f"    picture = to_8_bit(picture, {rule.deep_range})"] if deep else []
    lines += _finish(rule)
    return "\n".join(lines) + _gather()


def _opened(images: ImageSet) -> str:
    match images.origin:
        case PictureFiles(container="folder"):
            return 'def open_picture(name):\n    return open(os.path.join(DATA, name), "rb")'
        case PictureFiles(container="zip"):
            return (
                "archive = zipfile.ZipFile(DATA)\n\n\n"
                "def open_picture(name):\n    return io.BytesIO(archive.read(name))"
            )
    return (
        "with tarfile.open(DATA) as archive:  # read once, from front to back\n"
        "    files = {m.name.removeprefix('./'): archive.extractfile(m).read() for m in archive if m.isfile()}\n\n\n"
        "def open_picture(name):\n    return io.BytesIO(files[name])"
    )


def _resizing_functions(rule: DecodingRule) -> list[str]:
    return [source_of([padded]), "", ""] if rule.fit == "pad" else []


def _finish(rule: DecodingRule) -> list[str]:
    height, width = rule.height, rule.width
    mode = "L" if rule.color_mode == "grayscale" else "RGB"
    resized = {
        "stretch": f"picture.resize(({width}, {height}), Image.Resampling.BILINEAR)",
        "crop": f"ImageOps.fit(picture, ({width}, {height}), Image.Resampling.BILINEAR)",
        "pad": f"padded(picture, {width}, {height})",
    }[rule.fit]
    convert = f'picture.convert("RGB").convert("{mode}")' if mode == "L" else 'picture.convert("RGB")'
    return [
        '    if picture.mode in ("LA", "La", "PA", "RGBa") or "transparency" in picture.info:',
        '        picture = picture.convert("RGBA")',
        '    if picture.mode == "RGBA":  # transparency is laid over white',
        '        white = Image.new("RGBA", picture.size, "white")',
        "        picture = Image.alpha_composite(white, picture)",
        f'    if picture.mode != "{mode}":',
        f"        picture = {convert}",
        f"    if picture.size != ({width}, {height}):",
        f"        picture = {resized}",
        f"    return np.asarray(picture).reshape({height}, {width}, {1 if mode == 'L' else 3})",
    ]


def _gather() -> str:
    return dedent(
        """


        with open(os.path.join(HERE, "split.json"), encoding="utf-8") as file:
            split = json.load(file)
        CLASSES = split["classes"]
        x, labels = {}, {}
        for part in ("train", "validation", "test"):
            x[part] = np.stack([pixels_of(name) for name in split[part]])
            labels[part] = np.array(list(split[part].values()))
            print(part, x[part].shape, x[part].dtype)
        """
    ).rstrip()
