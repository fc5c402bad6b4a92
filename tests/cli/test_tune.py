"""``conviction tune`` for real: small networks, SQLite, a journal and PostgreSQL, kills in the middle."""

from __future__ import annotations

import getpass
import json
import multiprocessing
import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import optuna
import pytest
import sqlalchemy
import yaml

import conviction
from conviction.experiments.optuna_study import begin_study
from tests.conftest import Cli, environment, run_cli
from tests.patience import PATIENCE

SPACE = {
    "training.learning_rate": {"low": 0.0001, "high": 0.03, "log": True},
    "model.filters": {"choices": [[4, 4], [8, 8]]},
    "model.kernel_size": {"choices": [3, 9]},
}
SMALL = ["training.epochs=2", "model.filters=[4,4]", "model.dense=[16]", "data.image_size=16"]
ASKED = [
    "digits",
    *SMALL,
    "training.learning_rate=0.0005",
    "--space",
    "space.yaml",
    "--confirm",
    "2",
    "--jobs",
    "2",
]


@pytest.fixture
def place(tmp_path: Path) -> Path:
    (tmp_path / "space.yaml").write_text(yaml.safe_dump(SPACE))
    return tmp_path


def start(place: Path, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "conviction", "tune", *ASKED, *arguments],
        cwd=place,
        env=environment(place / "home"),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def trials(place: Path, storage: str | None = None) -> list[optuna.trial.FrozenTrial]:
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    opened = optuna.storages.RDBStorage(storage or f"sqlite:///{place / 'one' / 'study.db'}")
    try:
        return optuna.load_study(study_name="tune", storage=opened).get_trials()
    finally:
        opened.engine.dispose()


def run_to_end(trial: optuna.trial.FrozenTrial) -> bool:
    return "misfit" not in trial.user_attrs and ("value" in trial.user_attrs or "failure" in trial.user_attrs)


@pytest.mark.full
def test_a_better_setting_is_found_believed_and_tested_once(place: Path) -> None:
    done = start(place, "--trials", "10", "--out", "one")
    out, err = done.communicate(timeout=PATIENCE)
    assert done.returncode == 0, err
    assert err == ""
    result = json.loads((place / "one" / "result.json").read_text())
    assert result["recommended"] != "base"
    assert all(t["misfit"] is None or "larger than its input" in t["misfit"] for t in result["trials"])
    ran = [t for t in trials(place) if run_to_end(t)]
    assert len(ran) == 10
    assert all(t.params.get("model.kernel_size", "3") == "3" for t in ran), "what does not fit was run"
    assert "Should you believe the winner?" in out
    assert (place / "home" / "openings.jsonl").read_text().count("\n") == 1
    # The specification is one that fit takes, and its figure is that of the run.
    run = conviction.load_run(place / "one" / "run")
    assert run.evaluation.accuracy == result["test_accuracy"] > 0.5
    asked = ["digits", "--config", "one/best.yaml", "evaluation.test=false"]
    again = run_cli("fit", *asked, cwd=place, home=place / "home")
    assert again.code == 0, again.err


@pytest.mark.full
def test_killed_in_mid_study_nothing_is_lost_and_nothing_run_twice(place: Path) -> None:
    for kill in range(3):
        process = start(place, "--trials", "8", "--no-test", "--out", "one")
        assert process.stdout is not None
        line = ""
        for line in process.stdout:
            if "of 8  trial" in line:
                break
        process.send_signal(signal.SIGKILL)
        process.communicate(timeout=PATIENCE)
        kept = [t.number for t in trials(place) if run_to_end(t)]
        assert len(kept) >= kill + 1, line
    done = start(place, "--trials", "8", "--no-test", "--out", "one")
    _, err = done.communicate(timeout=PATIENCE)
    assert done.returncode == 0, err
    ran = [t for t in trials(place) if run_to_end(t)]
    assert len(ran) == 8
    assert set(kept) <= {t.number for t in ran}
    assert len({json.dumps(t.params, sort_keys=True) for t in ran}) == 8
    assert sum(bool(t.user_attrs.get("base")) for t in ran) == 1
    assert not (place / "home" / "openings.jsonl").exists()


DIES_AS_IT_IS_ANSWERED = """
import os, signal, optuna
ask = optuna.Study.ask
def answered(study):
    ask(study)
    os.kill(os.getpid(), signal.SIGKILL)
optuna.Study.ask = answered
from conviction.cli.main import main
main()
"""


@pytest.mark.full
def test_killed_before_optunas_answer_is_noted_the_base_is_not_lost(place: Path) -> None:
    asked = [*ASKED, "--trials", "1", "--no-test", "--out", "one"]
    killed = subprocess.run(
        [sys.executable, "-c", DIES_AS_IT_IS_ANSWERED, "tune", *asked],
        cwd=place,
        env=environment(place / "home"),
        capture_output=True,
        timeout=PATIENCE,
        check=False,
    )
    assert killed.returncode == -signal.SIGKILL
    assert [t.state.name for t in trials(place)] == ["RUNNING"]
    done = start(place, "--trials", "1", "--no-test", "--out", "one")
    _, err = done.communicate(timeout=PATIENCE)
    assert done.returncode == 0, err
    assert [bool(t.user_attrs.get("base")) for t in trials(place) if run_to_end(t)] == [True]


DIES_AT_A_WRITE = """
import os, signal, sys
from optuna.storages import RDBStorage
left = int(sys.argv.pop(1))
def counted(write):
    def one(*arguments, **named):
        global left
        result = write(*arguments, **named)
        left -= 1
        if not left:
            os.kill(os.getpid(), signal.SIGKILL)
        return result
    return one
for name in dir(RDBStorage):
    if name.startswith(("create_new_trial", "set_trial_")):
        setattr(RDBStorage, name, counted(getattr(RDBStorage, name)))
from conviction.cli.main import main
main()
"""


@pytest.mark.full
@pytest.mark.long
def test_a_search_that_is_killed_again_and_again_ends_as_one_that_was_not(place: Path) -> None:
    longer = ["training.epochs=3" if word == "training.epochs=2" else word for word in ASKED]
    asked = [*longer, "--jobs", "1", "--trials", "8", "--confirm", "1"]
    ends = []
    for out, writes in (("whole", [0]), ("killed", [3, 12, 20, 0])):
        for left in writes:
            done = subprocess.run(
                [sys.executable, "-c", DIES_AT_A_WRITE, str(left), "tune", *asked, "--out", out],
                cwd=place,
                env=environment(place / "home"),
                capture_output=True,
                timeout=PATIENCE,
                check=False,
                text=True,
            )
            assert done.returncode == (-signal.SIGKILL if left else 0), done.stderr
        result = json.loads((place / out / "result.json").read_text())
        ends.append(
            (
                result["trials"],
                result["recommended"],
                result["test_accuracy"],
                yaml.safe_load((place / out / "best.yaml").read_text()),
            )
        )
        assert {t["state"] for t in result["trials"]} == {"COMPLETE", "PRUNED"}
    assert ends[0] == ends[1]


@pytest.mark.full
def test_a_changed_space_is_refused_with_the_difference(place: Path) -> None:
    done = start(place, "--trials", "1", "--no-test", "--out", "one")
    assert done.wait(PATIENCE) == 0
    done.communicate()
    (place / "space.yaml").write_text(yaml.safe_dump({**SPACE, "model.kernel_size": {"choices": [3, 5]}}))
    other = start(place, "--trials", "1", "--no-test", "--out", "one")
    _, err = other.communicate(timeout=PATIENCE)
    assert other.returncode == 2
    assert 'model.kernel_size was {"choices": [3, 9]} and is {"choices": [3, 5]}' in err


@pytest.mark.full
@pytest.mark.parametrize("cost", ["params", pytest.param("latency", marks=pytest.mark.long)])
def test_a_front_of_accuracy_against_cost(place: Path, cost: str) -> None:
    done = start(place, "--trials", "6", "--against", cost, "--no-test", "--out", "one")
    _, err = done.communicate(timeout=PATIENCE)
    assert done.returncode == 0, err
    study = optuna.load_study(study_name="tune", storage=f"sqlite:///{place / 'one' / 'study.db'}")
    assert len(study.directions) == 2
    complete = [t for t in study.trials if t.state.name == "COMPLETE"]
    assert complete
    assert all(t.values[1] == t.user_attrs["value"][cost] > 0 for t in complete)
    assert "Accuracy against cost" in (place / "one" / "report.html").read_text()


@pytest.fixture
def postgres(tmp_path: Path) -> Iterator[str]:
    """A PostgreSQL server of our own, on a free port."""
    found = shutil.which("pg_ctl") or next(map(str, Path("/usr/lib/postgresql").glob("*/bin/pg_ctl")), None)
    if found is None:
        if os.environ.get("CI"):
            pytest.fail("PostgreSQL is not installed: apt install postgresql")
        pytest.skip("PostgreSQL is not installed: apt install postgresql")
    binaries = Path(found).parent
    # PostgreSQL refuses to run as root; its folder must then belong to somebody else.
    prefix = ["runuser", "-u", "postgres", "--"] if os.geteuid() == 0 else []
    if prefix:  # a plain PATH has no place of the system administrator
        prefix[0] = shutil.which("runuser", path=f"{os.environ['PATH']}:/usr/sbin:/sbin") or prefix[0]
    user = "postgres" if prefix else getpass.getuser()
    data = Path("/tmp") / f"conviction-pg-{os.getpid()}"
    data.mkdir(mode=0o700)
    try:
        if prefix:
            shutil.chown(data, user)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]

        def call(*command: str) -> None:
            subprocess.run(
                [*prefix, *command], check=True, stdout=subprocess.DEVNULL, cwd="/tmp", timeout=PATIENCE
            )

        call(str(binaries / "initdb"), "-D", str(data), "-A", "trust", "-U", user)
        options = f"-p {port} -c listen_addresses=127.0.0.1 -c unix_socket_directories={data}"
        call(str(binaries / "pg_ctl"), "-D", str(data), "-w", "-l", str(data / "log"), "-o", options, "start")
        try:
            yield f"postgresql+pg8000://{user}@127.0.0.1:{port}/postgres"
        finally:
            call(str(binaries / "pg_ctl"), "-D", str(data), "-m", "immediate", "stop")
    finally:
        shutil.rmtree(data, ignore_errors=True)


def begin(storage: str) -> int:
    return begin_study("tune", storage, None)._study_id


@pytest.mark.full
def test_machines_begin_a_study_at_the_same_moment(postgres: str) -> None:
    """Optuna makes its tables then, and what makes a table twice is refused by the database."""
    engine = sqlalchemy.create_engine(postgres, isolation_level="AUTOCOMMIT")
    with ProcessPoolExecutor(4, multiprocessing.get_context("spawn")) as machines:
        for number in range(5):
            with engine.connect() as connection:
                connection.execute(sqlalchemy.text(f"create database empty{number}"))
            storage = f"{postgres.rsplit('/', 1)[0]}/empty{number}"
            assert set(machines.map(begin, [storage] * 4)) == {1}
    engine.dispose()


@pytest.mark.full
def test_two_machines_share_a_study_on_postgresql(place: Path, postgres: str) -> None:
    shared = ["--trials", "8", "--no-test", "--storage", postgres]
    both = [start(place, *shared, "--out", name) for name in ("one", "two")]
    for process in both:
        _, err = process.communicate(timeout=PATIENCE)
        assert process.returncode == 0, err
    ran = [t for t in trials(place, postgres) if run_to_end(t)]
    # Each stops when there are enough; what both had begun by then comes to its end.
    assert 8 <= len(ran) <= 12
    assert len({t.user_attrs["owner"] for t in ran}) == 2


@pytest.mark.full
@pytest.mark.long
def test_where_every_trial_failed_there_is_no_winner_and_the_seal_stays(place: Path) -> None:
    asked = ["--trials", "2", "--out", "one"]
    done = start(place, *asked, "--limit", "0.01")
    _, err = done.communicate(timeout=PATIENCE)
    assert done.returncode == 1
    assert len(err.splitlines()) == 1
    assert "No trial of the search finished, so nothing is recommended. 2 failed: took longer" in err
    result = json.loads((place / "one" / "result.json").read_text())
    assert (result["recommended"], result["test_accuracy"]) == (None, None)
    # Beside those that were run the record has proposals that do not fit the images.
    assert [t["accuracy"] for t in result["trials"] if t["misfit"] is None] == [None, None]
    page = (place / "one" / "report.html").read_text()
    assert "No trial of the search finished" in page
    assert "No trial beat the base" not in page
    assert not (place / "one" / "best.yaml").exists()
    assert not (place / "home" / "openings.jsonl").exists()
    # The same request with time enough runs them again, the base among them.
    again = start(place, *asked, "--no-test")
    _, err = again.communicate(timeout=PATIENCE)
    assert again.returncode == 0, err
    ran = [t for t in trials(place) if "value" in t.user_attrs]
    assert len(ran) == 2
    assert sum(bool(t.user_attrs.get("base")) for t in ran) == 1


@pytest.mark.full
def test_a_journal_file_is_a_storage(place: Path) -> None:
    small = ("--trials", "2", "--confirm", "1", "--jobs", "1", "--no-test", "--out", "one")
    done = start(place, *small, "--storage", "journal:shared.log")
    _, err = done.communicate(timeout=PATIENCE)
    assert done.returncode == 0, err
    assert (place / "shared.log").stat().st_size > 0


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["digits", "--trials", "0"], "--trials: expected at least 1"),
        (["digits", "--budget", "soon"], "expected a time such as"),
        (["digits", "--against", "beauty"], "expected params, multiply_adds or latency"),
        (["digits", "--space", "missing.yaml"], "--space missing.yaml"),
        (["digits", "--storage", "postgresql+pg8000://nobody@127.0.0.1:1/none"], "cannot be opened"),
        (["nothing"], "nothing"),
    ],
)
def test_wrong_requests_are_one_line(cli: Cli, tmp_path: Path, arguments: list[str], reason: str) -> None:
    result = cli("tune", *arguments)
    assert result.code == 2, result.err
    assert reason in result.err
    assert len(result.err.strip().splitlines()) == 1
    assert not list(tmp_path.glob("searches/*"))
