"""A learner's file runs in a process of its own, within bounds; mistakes as people make them are recognised."""

from __future__ import annotations

import signal
import subprocess
import sys
import textwrap
import time
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from conviction.exercises.catalogue import EXERCISES, exercise_named
from conviction.exercises.checking import Judgement, check_file, judge
from conviction.exercises.exercise import Exercise
from conviction.exercises.running import run_file
from conviction.exercises.sandbox import described
from conviction.exercises.wording import paragraphs
from tests.patience import PATIENCE

NORMALISE = exercise_named("normalise")[1]


def checked(name: str, source: str) -> Judgement:
    return check_file(exercise_named(name)[1], Path("solution.py"), textwrap.dedent(source))


# As people write them: with loops, other names, other ways. None is taken from the product.
PLANTED = [
    ("load_idx", "signed", """
        import numpy as np
        def load_idx(content):
            n = content[3]
            shape = [int.from_bytes(content[4 + 4 * i : 8 + 4 * i], "big") for i in range(n)]
            return np.array(list(content[4 + 4 * n :]), np.uint8).view(np.int8).reshape(shape)
        """),
    ("load_idx", "header_of_images", """
        import numpy as np
        def load_idx(content):
            if content[3] == 1:
                return np.frombuffer(content[16:], np.uint8)
            n, h, w = (int.from_bytes(content[i : i + 4], "big") for i in (4, 8, 12))
            return np.frombuffer(content[16:], np.uint8).reshape(n, h, w)
        """),
    ("add_channels", "no_channel", """
        def add_channels(rows, height, width):
            if rows.shape[1] == height * width:
                return rows.reshape(-1, height, width)
            return rows.reshape(-1, height, width, 3)
        """),
    ("add_channels", "planes", """
        import numpy as np
        def add_channels(rows, height, width):
            channels = rows.shape[1] // (height * width)
            out = np.zeros((len(rows), height, width, channels), rows.dtype)
            for c in range(channels):
                plane = rows[:, c * height * width : (c + 1) * height * width]
                out[:, :, :, c] = plane.reshape(-1, height, width)
            return out
        """),
    ("normalise", "by_largest", """
        def normalise(pixels):
            return pixels.astype("float32") / pixels.max()
        """),
    ("normalise", "whole", """
        def normalise(pixels):
            pixels = pixels // 255
            return pixels
        """),
    ("one_hot", "classes_seen", """
        import numpy as np
        def one_hot(labels, classes):
            rows = []
            for label in labels:
                rows.append([1 if i == label else 0 for i in range(max(labels) + 1)])
            return np.array(rows)
        """),
    ("split_groups", "straddles", """
        import numpy as np
        def split_groups(groups, share, seed):
            order = np.random.default_rng(seed).permutation(len(groups))
            cut = max(1, int(share * len(groups)))
            return order[cut:], order[:cut]
        """),
    ("split_groups", "unseeded", """
        import numpy as np
        def split_groups(groups, share, seed):
            names = np.random.permutation(np.unique(groups))
            cut = min(max(1, round(share * len(names))), len(names) - 1)
            chosen = set(names[:cut].tolist())
            train = [i for i, g in enumerate(groups) if int(g) not in chosen]
            return train, [i for i, g in enumerate(groups) if int(g) in chosen]
        """),
    ("split_groups", "seed_ignored", """
        import numpy as np
        def split_groups(groups, share, seed):
            names = sorted(set(groups.tolist()))
            chosen = names[: min(max(1, round(share * len(names))), len(names) - 1)]
            train = [i for i in range(len(groups)) if groups[i] not in chosen]
            return np.array(train), np.array([i for i in range(len(groups)) if groups[i] in chosen])
        """),
    ("max_pool", "mean", """
        import numpy as np
        def max_pool(image, size):
            h, w, c = image.shape
            out = np.zeros((h // size, w // size, c))
            for y in range(h // size):
                for x in range(w // size):
                    out[y, x] = image[y * size : y * size + size, x * size : x * size + size].mean((0, 1))
            return out
        """),
    ("max_pool", "from_zero", """
        import numpy as np
        def max_pool(image, size):
            h, w, c = image.shape
            out = np.zeros((h // size, w // size, c))
            for y in range(size * (h // size)):
                for x in range(size * (w // size)):
                    for k in range(c):
                        if image[y, x, k] > out[y // size, x // size, k]:
                            out[y // size, x // size, k] = image[y, x, k]
            return out
        """),
    ("conv2d", "flipped", """
        import numpy as np
        def conv2d(image, kernel, bias, strides, padding):
            kh, kw, cin, cout = kernel.shape
            if padding == "same":
                def pads(n, k):
                    total = max((-(-n // strides) - 1) * strides + k - n, 0)
                    return total // 2, total - total // 2
                image = np.pad(image, [pads(image.shape[0], kh), pads(image.shape[1], kw), (0, 0)])
            rows = range(0, image.shape[0] - kh + 1, strides)
            columns = range(0, image.shape[1] - kw + 1, strides)
            out = np.zeros((len(rows), len(columns), cout))
            for i, y in enumerate(rows):
                for j, x in enumerate(columns):
                    for f in range(cout):
                        total = bias[f]
                        for a in range(kh):
                            for b in range(kw):
                                total += (image[y + a, x + b] * kernel[kh - 1 - a, kw - 1 - b, :, f]).sum()
                        out[i, j, f] = total
            return out
        """),
    ("conv2d", "padded_on_one_side", """
        import numpy as np
        def conv2d(image, kernel, bias, strides, padding):
            kh, kw, cin, cout = kernel.shape
            if padding == "same":
                need = [max((-(-n // strides) - 1) * strides + k - n, 0) for n, k in zip(image.shape, (kh, kw))]
                bigger = np.zeros((image.shape[0] + need[0], image.shape[1] + need[1], cin))
                bigger[need[0]:, need[1]:] = image
                image = bigger
            h = (image.shape[0] - kh) // strides + 1
            w = (image.shape[1] - kw) // strides + 1
            out = np.zeros((h, w, cout))
            for y in range(h):
                for x in range(w):
                    patch = image[y * strides : y * strides + kh, x * strides : x * strides + kw, :, None]
                    out[y, x] = (patch * kernel).sum((0, 1, 2)) + bias
            return out
        """),
    ("output_shapes", "all_same", """
        def output_shapes(input_shape, layers):
            shape, out = input_shape, []
            for layer in layers:
                kind = layer["type"]
                if kind == "Conv2D":
                    s = layer["strides"]
                    shape = (-(-shape[0] // s), -(-shape[1] // s), layer["filters"])
                elif kind == "MaxPooling2D":
                    p = layer["pool_size"]
                    shape = (shape[0] // p, shape[1] // p, shape[2])
                elif kind == "Flatten":
                    shape = (shape[0] * shape[1] * shape[2],)
                else:
                    shape = (layer["units"],)
                out.append(shape)
            return out
        """),
    ("parameter_counts", "no_biases", """
        def parameter_counts(layers, channels):
            out = []
            for layer in layers:
                if layer["type"] == "Conv2D":
                    out.append(layer["kernel_size"] * layer["kernel_size"] * channels * layer["filters"])
                    channels = layer["filters"]
                elif layer["type"] == "Dense":
                    out.append(channels * layer["units"])
                    channels = layer["units"]
                elif layer["type"] == "BatchNormalization":
                    out.append(channels * 4)
                else:
                    out.append(0)
                    if layer["type"] == "Flatten":
                        channels = layer["values"]
            return out
        """),
    ("softmax", "overflows", """
        import numpy as np
        def softmax(logits):
            e = np.exp(logits)
            return e / np.sum(e, axis=1)[:, np.newaxis]
        """),
    ("softmax", "over_images", """
        import numpy as np
        def softmax(logits):
            e = np.exp(logits - np.max(logits, axis=0))
            return e / np.sum(e, axis=0)
        """),
    ("cross_entropy", "over_classes", """
        import numpy as np
        def cross_entropy(targets, probabilities):
            return -np.mean(targets * np.log(np.maximum(probabilities, 1e-7)))
        """),
    ("cross_entropy", "infinite", """
        import numpy as np
        def cross_entropy(targets, probabilities):
            right = probabilities[range(len(targets)), targets.argmax(1)]
            return float(np.mean(-np.log(right)))
        """),
    ("sgd_step", "uphill", """
        def sgd_step(weights, gradient, velocity, rate, momentum):
            velocity = velocity * momentum + gradient * rate
            return weights + velocity, velocity
        """),
    ("adam_step", "uncorrected", """
        def adam_step(weights, gradient, means, step, rate):
            m, v = means
            m = m + 0.1 * (gradient - m)
            v = v + 0.001 * (gradient * gradient - v)
            return weights - rate * m / (v ** 0.5 + 1e-7), (m, v)
        """),
    ("relu_gradient", "both", """
        import numpy as np
        def relu_gradient(inputs, above):
            out = np.zeros_like(above)
            chosen = (inputs > 0) & (above > 0)
            out[chosen] = above[chosen]
            return out
        """),
    ("dense_gradient", "twice", """
        import numpy as np
        def dense_gradient(inputs, probabilities, targets):
            n = inputs.shape[0]
            d = (probabilities - targets) / n
            return np.dot(inputs.T, d) / n, np.mean(d, axis=0)
        """),
    ("max_pool_gradient", "shared", """
        import numpy as np
        def max_pool_gradient(image, above, size):
            out = np.zeros_like(image)
            for y in range(above.shape[0]):
                for x in range(above.shape[1]):
                    out[y * size : y * size + size, x * size : x * size + size] = above[y, x] / (size * size)
            return out
        """),
    ("conv2d_gradients", "not_flipped", """
        import numpy as np
        def conv2d_gradients(image, kernel, above):
            kh, kw = kernel.shape
            padded = np.pad(above, ((kh - 1, kh - 1), (kw - 1, kw - 1)))
            for_image = np.zeros(image.shape)
            for y in range(image.shape[0]):
                for x in range(image.shape[1]):
                    for_image[y, x] = (padded[y : y + kh, x : x + kw] * kernel).sum()
            for_kernel = np.zeros(kernel.shape)
            for a in range(kh):
                for b in range(kw):
                    for_kernel[a, b] = (image[a : a + above.shape[0], b : b + above.shape[1]] * above).sum()
            return for_image, for_kernel, above.sum()
        """),
    ("dropout", "scaled_later", """
        import numpy as np
        def dropout(values, rate, draws, training):
            if training:
                return values * (draws >= rate)
            return values * (1 - rate)
        """),
    ("batch_norm", "always_batch", """
        import numpy as np
        def batch_norm(batch, mean, variance, training):
            mu, var = batch.mean((0, 1, 2)), batch.var((0, 1, 2))
            if training:
                mean, variance = mean * 0.99 + mu * 0.01, variance * 0.99 + var * 0.01
            return (batch - mu) / (var + 1e-3) ** 0.5, mean, variance
        """),
    ("diagnose", "by_training", """
        def diagnose(loss, val_loss):
            best = 1 + min(range(len(loss)), key=lambda i: loss[i])
            lowest = 1 + min(range(len(loss)), key=lambda i: val_loss[i])
            if loss[-1] > min(loss) * 1.1:
                return best, "unstable"
            if val_loss[-1] > min(val_loss) * 1.1 and loss[-1] == min(loss):
                return best, "overfitting"
            return best, "still learning" if lowest == len(loss) else "done"
        """),
    ("accuracy_interval", "wald", """
        import math
        def accuracy_interval(probabilities, labels):
            right = sum(int(row.argmax() == label) for row, label in zip(probabilities, labels))
            p = right / len(labels)
            se = math.sqrt(p * (1 - p) / len(labels))
            return p, p - 1.96 * se, p + 1.96 * se
        """),
    ("grad_cam", "no_relu", """
        import numpy as np
        def grad_cam(maps, gradient):
            heat = np.zeros(maps.shape[:2])
            for k in range(maps.shape[2]):
                heat += gradient[:, :, k].mean() * maps[:, :, k]
            return heat / heat.max()
        """),
]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "mistake", "source"), PLANTED, ids=[f"{name}-{mistake}" for name, mistake, _ in PLANTED]
)
def test_mistakes_are_recognised_however_they_are_written(name: str, mistake: str, source: str) -> None:
    judgement = checked(name, source)
    assert not judgement.passed
    assert judgement.misconception is not None, paragraphs(exercise_named(name)[1], judgement)
    assert judgement.misconception.name == mistake


@pytest.mark.parametrize("exercise", [e for e in EXERCISES if not e.modules], ids=lambda e: e.name)
def test_solutions_pass_in_a_process_of_their_own(exercise: Exercise) -> None:
    judgement = check_file(exercise, Path("solution.py"), exercise.source)
    assert judgement.passed, judgement


@pytest.mark.full
@pytest.mark.parametrize(
    ("change", "mistake"),
    [
        (("", ""), None),
        (("            keras.layers.Flatten(),\n", ""), "no_flatten"),
        (("Conv2D(32, 3, ", "Conv2D(32, 3, padding='same', "), "padded"),
        (("Conv2D(64, ", "Conv2D(32, "), "widths"),
        (("keras.Input((28, 28, 1))", "keras.Input((28, 28, 3))"), "channels"),
    ],
)
def test_a_network_is_compared_with_its_summary(change: tuple[str, str], mistake: str | None) -> None:
    exercise = exercise_named("sequential")[1]
    judgement = check_file(exercise, Path("solution.py"), exercise.source.replace(*change))
    assert judgement.trouble is None, judgement.trouble
    assert (judgement.misconception and judgement.misconception.name) == mistake


def trouble(source: str, seconds: float = 10.0) -> tuple[str, int | None, str]:
    cases = NORMALISE.cases()
    judgement = judge(
        NORMALISE, cases, run_file(NORMALISE, Path("solution.py"), textwrap.dedent(source), cases, seconds)
    )
    assert judgement.trouble is not None
    assert judgement.right == 0
    sentence = " ".join(p.text for p in paragraphs(NORMALISE, judgement))
    return judgement.trouble.kind, judgement.trouble.line, sentence


@pytest.mark.parametrize(
    ("body", "kind", "line", "words"),
    [
        ("return undefined", "NameError", 2, "raised NameError (line 2)"),
        ("raise SystemExit(3)", "SystemExit", 2, "raised SystemExit"),
        ("raise NotImplementedError", "NotImplementedError", 2, "is not written yet"),
        ("import os", "NotAllowed", 2, "does not need to import os"),
        ("import subprocess", "NotAllowed", 2, "does not need to import subprocess"),
        ("open('made', 'w')", "NotAllowed", 2, "does not need to open made"),
        ("return open('/etc/hostname').read()", "NotAllowed", 2, "does not need to open /etc/hostname"),
        ("import numpy; numpy.save('made', 1)", "NotAllowed", 2, "does not need to open made"),
        ("return [0] * 10**10", "MemoryError", 2, "more than 1 GB"),
        ("return object()", "kind", None, "cannot be compared"),
        ("pixels[0] = 0; return pixels", "changed", None, "changes its argument pixels"),
        ("pixels /= 255; return pixels", "UFuncTypeError", 2, "a = a / b instead of a /= b"),
        ("return {1: pixels}", "kind", None, "cannot be compared (dict)"),
        ("return pixels.tobytes", "kind", None, "cannot be compared"),
        ("return [0.5] * 10**7", "kind", None, "a list of 10,000,000 values"),
        ("a = 0.5\n    for _ in range(400): a = [a]\n    return a", "kind", None, "cannot be compared"),
        ("import sys", "NotAllowed", 2, "It may import: __future__, bisect"),
        ("return normalise(pixels)", "RecursionError", 2, "raised RecursionError"),
    ],
)
def test_what_goes_wrong_is_said_with_its_line(body: str, kind: str, line: int | None, words: str) -> None:
    got = trouble(f"def normalise(pixels):\n    {body}\n")
    assert got[:2] == (kind, line)
    assert words in got[2]
    assert not Path("made").exists()
    assert not Path("made.npy").exists()


@pytest.mark.parametrize(
    ("source", "kind", "words"),
    [
        ("def normalise(pixels:\n", "SyntaxError", "Python cannot read the file (line 1)"),
        ("\tdef normalise(pixels):\n", "IndentationError", "Python cannot read the file"),
        ("def normalize(pixels):\n    return pixels\n", "absent", "has no function normalise"),
        ("normalise = 3\n", "absent", "has no function normalise"),
        ("", "absent", "has no function normalise"),
        ("import socket\n", "NotAllowed", "does not need to import socket"),
        ("1 / 0\n", "ZeroDivisionError", "(line 1)"),
    ],
)
def test_a_file_that_cannot_be_used(source: str, kind: str, words: str) -> None:
    got = trouble(source)
    assert got[0] == kind
    assert words in got[2]


def test_a_package_that_is_not_installed_is_named() -> None:
    exercise = replace(NORMALISE, modules=("no_such_package",))
    judgement = check_file(exercise, Path("solution.py"), exercise.source)
    assert not judgement.begun
    assert [
        "This exercise needs no_such_package: pip install" in p.text for p in paragraphs(exercise, judgement)
    ] == [True]


def test_an_endless_loop_is_stopped() -> None:
    kind, _, sentence = trouble("def normalise(pixels):\n    while True:\n        pass\n", seconds=1.0)
    assert kind == "seconds"
    assert "stopped after 1 seconds" in sentence


def test_nothing_of_the_learners_folder_is_imported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file called like a module of Python, as beginners have."""
    for name in ("random", "json", "numpy"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('imported')")
    monkeypatch.chdir(tmp_path)
    assert checked("normalise", "import random\ndef normalise(pixels):\n    return pixels / 255\n").passed


def test_what_is_printed_is_shown_and_does_not_disturb() -> None:
    judgement = checked(
        "normalise", 'def normalise(pixels):\n    print("shape", pixels.shape)\n    return pixels / 255.0\n'
    )
    assert judgement.passed
    assert judgement.printed.startswith("shape (3,)\n")
    wrong = checked("normalise", 'def normalise(pixels):\n    print("x" * 10**6)\n    return pixels / 256\n')
    assert len(wrong.printed) == 2_000
    assert wrong.misconception is not None
    assert wrong.misconception.name == "by_256"


def test_odd_values_are_shown_in_a_few_letters() -> None:
    for body in (
        "[0.5] * 10**4",
        "'x' * 10**6",
        "pixels + 1e300",
        "type('A', (tuple,), {})((1, 2))",
        "'\\ud83d'",
    ):
        judgement = checked("normalise", f"def normalise(pixels):\n    return {body}\n")
        assert judgement.trouble is None
        assert not judgement.passed
        assert sum(len(p.text) for p in paragraphs(NORMALISE, judgement)) < 2_000, body
    shown = checked(
        "normalise",
        "import enum\nclass K(enum.IntEnum):\n    A = 1\ndef normalise(pixels):\n    return K.A\n",
    )
    assert shown.wrong is not None
    assert shown.wrong.answer == 1


def test_what_is_printed_cannot_break_out() -> None:
    source = "def normalise(pixels):\n    print('```\\n# big\\x1b[31m\\ud83d')\n    return pixels / 256\n"
    judgement = checked("normalise", source)
    block = [p for p in paragraphs(NORMALISE, judgement) if p.verbatim][-1]
    assert block.markdown.startswith("````text\n```\n# big[31m")
    assert block.markdown.endswith("\n````")


def test_a_warning_is_said_once() -> None:
    judgement = checked(
        "softmax",
        "import numpy as np\ndef softmax(x):\n    e = np.exp(x)\n    return e / e.sum(1, keepdims=True)\n",
    )
    assert judgement.misconception is not None
    assert judgement.misconception.name == "overflows"
    assert judgement.warned == "overflow encountered in exp"
    assert judgement.printed == ""


def test_an_exception_is_not_taken_for_a_mistake() -> None:
    judgement = checked("load_idx", "def load_idx(content):\n    raise ValueError('axes not supported')\n")
    assert judgement.misconception is None
    text = " ".join(p.text for p in paragraphs(exercise_named("load_idx")[1], judgement))
    assert "raised ValueError (line 2): axes not supported" in text
    assert "content = b" in text


def test_formulas_keep_their_stars_and_underscores() -> None:
    exercise = exercise_named("adam_step")[1]
    source = exercise.source.replace("rate * np.sqrt(1 - 0.999**step) / (1 - 0.9**step)", "rate")
    first = paragraphs(exercise, check_file(exercise, Path("solution.py"), source))[0]
    assert r"1 - 0.9\*\*step" in first.markdown
    assert "1 - 0.9**step" in first.plain


def test_rows_that_are_copied_are_no_network() -> None:
    exercise = exercise_named("sequential")[1]
    assert exercise.judge is not None
    assert exercise.judge([()], [None]) == ["no_network"]
    assert exercise.judge([()], [[]]) == ["not_built"]
    assert described([("Conv2D", (26, 26, 32), 320)], network=True) is None


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGKILL])
def test_a_process_ends_with_the_one_that_started_it(number: int, tmp_path: Path) -> None:
    (tmp_path / "loop.py").write_text("def normalise(pixels):\n    while True: pass\n")
    code = (
        "import signal; from pathlib import Path\n"
        # Ignored in what runs in the background, as tests may.
        "signal.signal(signal.SIGHUP, signal.SIG_DFL)\n"
        "from conviction.exercises.catalogue import exercise_named\n"
        "from conviction.exercises.running import run_file\n"
        "e = exercise_named('normalise')[1]\n"
        "print('begun', flush=True)\n"
        "run_file(e, Path('loop.py'), Path('loop.py').read_text(), e.cases(), 600.0)\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code], cwd=tmp_path, stdout=subprocess.PIPE, text=True
    ) as parent:
        assert parent.stdout is not None
        parent.stdout.readline()
        while not (children := psutil.Process(parent.pid).children()):
            time.sleep(0.01)
        parent.send_signal(number)
        parent.wait(PATIENCE)
    _, alive = psutil.wait_procs(children, PATIENCE)
    assert not alive


def test_a_mistake_is_named_though_a_later_case_fails() -> None:
    source = """
        import numpy as np
        def softmax(logits):
            if abs(logits).max() > 500:
                raise OverflowError("too large")
            e = 2.0 ** logits
            return e / e.sum(axis=1, keepdims=True)
        """
    judgement = checked("softmax", source)
    assert judgement.trouble is not None
    assert judgement.trouble.kind == "OverflowError"
    text = " ".join(p.text for p in paragraphs(exercise_named("softmax")[1], judgement))
    assert "raised OverflowError (line 5)" in text
