"""The shape of the package: import directions, late imports, names, errors."""

from __future__ import annotations

import ast
import graphlib
import importlib
import json
import os
import pkgutil
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import conviction
from conviction import errors

PACKAGE = Path(conviction.__file__).parent

# An image follows these rooms from left to right; a room may import from those before it.
ORDER = [
    "version",
    "errors",
    "extras",
    "card",
    "audience",
    "config",
    "process",
    "backend",
    "data",
    "model",
    "training",
    "evaluation",
    "explanation",
    "runs",
    "reporting",
    "lesson",
    "exercises",
    "artefacts",
    "server",
    "programs",
    "flow",
    "cluster",
    "pool",
    "experiments",
    "library",
    "web",
    "cli",
]


def room(module: str) -> str:
    return module.split(".")[1] if "." in module else module


def origin_of(name: str) -> str:
    """The module behind ``from conviction import name``: a room, or what a name of the face is from."""
    return f"conviction.{name}" if name in ORDER else getattr(conviction, name).__module__


def imports_of(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module == "conviction":
            found |= {origin_of(alias.name) for alias in node.names if alias.name != "__version__"}
        elif isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("conviction."):
            found.add(node.module)
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names if alias.name.startswith("conviction.")}
    return found


def test_imports_point_one_way() -> None:
    wrong = []
    for path in PACKAGE.rglob("*.py"):
        here = path.relative_to(PACKAGE).with_suffix("").parts[0]
        if here.startswith("__"):
            continue
        assert here in ORDER, f"{here} has no place in the order of rooms"
        wrong += [
            f"{path.name} imports {target}"
            for target in imports_of(path)
            if ORDER.index(room(target)) > ORDER.index(here)
        ]
    assert not wrong


def test_no_modules_import_each_other() -> None:
    """Not even for types alone, and not inside functions: then one of them cannot be read without the other."""
    modules = {
        ".".join(("conviction", *path.relative_to(PACKAGE).with_suffix("").parts)): path
        for path in PACKAGE.rglob("*.py")
        if path.name not in ("__init__.py", "__main__.py")
    }
    graph = {}
    for name, path in modules.items():
        nodes = [n for n in ast.walk(ast.parse(path.read_text())) if isinstance(n, ast.ImportFrom)]
        imported = {f"{n.module}.{alias.name}" for n in nodes for alias in n.names} | {
            n.module for n in nodes
        }
        graph[name] = imported & modules.keys()
    graphlib.TopologicalSorter(graph).prepare()


WORDS = {"description", "equation", "label", "message", "refusal", "reason", "sentence", "title"}
PARSERS = {
    "endswith",
    "partition",
    "removeprefix",
    "removesuffix",
    "rpartition",
    "rsplit",
    "split",
    "startswith",
}


def test_words_are_not_parsed_back_into_values() -> None:
    """What is needed of a sentence or a heading is a field of the value that it was made from."""
    parsed = []
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
                parts = [n for n in ast.walk(node.func.value) if isinstance(n, ast.Attribute)]
                if node.func.attr in PARSERS and any(n.attr in WORDS for n in parts):
                    parsed.append(f"{path.name}:{node.lineno}: {ast.unparse(node)}")
    assert not parsed


def test_other_rooms_import_what_report_gives_out() -> None:
    for path in PACKAGE.rglob("*.py"):
        if path.relative_to(PACKAGE).parts[0] != "reporting":
            inner = {name for name in imports_of(path) if name.startswith("conviction.reporting.")}
            assert not inner, f"{path} imports {inner}; import it from conviction.reporting"


def test_every_module_names_only_what_it_has() -> None:
    for found in pkgutil.walk_packages([str(PACKAGE)], "conviction."):
        if found.name.endswith("__main__"):
            continue
        module = importlib.import_module(found.name)
        for name in getattr(module, "__all__", ()):
            assert hasattr(module, name), f"{found.name}.__all__ names {name}"
    assert all(getattr(conviction, name) is not None for name in conviction.__all__)


def test_help_waits_for_no_heavy_import() -> None:
    script = (
        "import sys, json\n"
        "sys.argv = ['conviction', '--help']\n"
        "from conviction.cli.main import app\n"
        "try: app(standalone_mode=False)\n"
        "except SystemExit: pass\n"
        "heavy = {'keras', 'tensorflow', 'numpy', 'sklearn', 'scipy', 'pydantic', 'PIL', 'matplotlib'}\n"
        "print(json.dumps(sorted(heavy & set(sys.modules))))\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout.splitlines()[-1]) == []


def test_errors_are_also_the_builtins_they_resemble() -> None:
    expected = {
        errors.RequestError: (ValueError, 2),
        errors.SourceError: (ValueError, 2),
        errors.SourceNotFoundError: (FileNotFoundError, 2),
        errors.RunError: (ValueError, 2),
        errors.OutputError: (OSError, 2),
        errors.StorageError: (OSError, 1),
        errors.TrainingError: (RuntimeError, 1),
        errors.ClusterError: (RuntimeError, 1),
    }
    for kind, (builtin, code) in expected.items():
        failure = kind("what went wrong")
        assert isinstance(failure, builtin)
        assert isinstance(failure, errors.ConvictionError)
        assert failure.exit_code == code
        assert str(failure) == "what went wrong"
    assert errors.Interrupted("stopped", 15).exit_code == 143


def in_a_process_of_its_own(script: str, home: Path) -> str:
    """What a script prints where nothing has started a backend before it."""
    environment = {**os.environ, "CONVICTION_HOME": str(home)}
    done = subprocess.run(
        [sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_docstring_examples_are_true(tmp_path: Path) -> None:
    script = (
        "import conviction, doctest, importlib, pathlib, pkgutil\n"
        "names = [m.name for m in pkgutil.walk_packages(conviction.__path__, 'conviction.')]\n"
        "modules = [importlib.import_module(n) for n in names if not n.endswith('__main__')]\n"
        f"extra = {{'tmp': pathlib.Path({str(tmp_path)!r})}}\n"
        "results = [doctest.testmod(m, extraglobs=extra) for m in [conviction, *modules]]\n"
        "assert sum(r.failed for r in results) == 0\n"
        "print(sum(r.attempted for r in results))\n"
    )
    assert int(in_a_process_of_its_own(script, tmp_path / "home").split()[-1]) >= 5


def test_a_notebook_that_already_used_tensorflow_can_still_train(tmp_path: Path) -> None:
    script = (
        "import tensorflow as tf; tf.constant(1)\n"
        "from conviction import errors\n"
        "from conviction.backend import prepare, usable_cores\n"
        "prepare(usable_cores())\n"
        "try: prepare(usable_cores() + 1)\n"
        "except errors.RequestError as error: print(error)\n"
    )
    assert "Start a new process, or ask for that number." in in_a_process_of_its_own(script, tmp_path)


def test_files_classes_and_functions_stay_small() -> None:
    long_files, long_classes, long_functions = [], [], []
    for path in PACKAGE.rglob("*.py"):
        text = path.read_text()
        if text.count("\n") > 400:
            long_files.append(path.name)
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.ClassDef) and (node.end_lineno or 0) - node.lineno >= 200:
                long_classes.append(f"{path.name}: {node.name}")
            if isinstance(node, ast.FunctionDef):
                documented = ast.get_docstring(node) is not None
                start = node.body[1].lineno if documented and len(node.body) > 1 else node.lineno
                if (node.end_lineno or 0) - start > 50:
                    long_functions.append(f"{path.name}: {node.name}")
    assert not long_files
    assert not long_classes
    assert not long_functions


def nodes() -> Iterator[tuple[Path, ast.AST]]:
    """Every syntax node of the package, with its file."""
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            yield path.relative_to(PACKAGE), node


def test_no_two_classes_have_one_name() -> None:
    files = defaultdict(list)
    for path, node in nodes():
        if isinstance(node, ast.ClassDef):
            files[node.name].append(str(path))
    assert not {name: paths for name, paths in files.items() if len(paths) > 1}


# Each of them would do for any value, so it says nothing about the one at hand.
VAGUE = {"found", "said", "told", "place", "given", "news", "wish"}


def identifiers(node: ast.AST) -> Iterator[str]:
    match node:
        case ast.Name(id=name) | ast.arg(arg=name) | ast.Attribute(attr=name):
            yield name
        case ast.keyword(arg=str(name)) | ast.FunctionDef(name=name) | ast.ClassDef(name=name):
            yield name


def test_names_say_what_the_thing_is() -> None:
    vague = [
        f"{path}:{getattr(node, 'lineno', 0)} {name}"
        for path, node in nodes()
        for name in identifiers(node)
        if name.strip("_").lower() in VAGUE
    ]
    assert len(vague) < 20, vague
