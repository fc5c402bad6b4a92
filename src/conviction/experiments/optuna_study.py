"""The study of a search in Optuna: opened and begun, by one machine or several, and what proposes its trials."""

from __future__ import annotations

import hashlib
import json
import socket
import warnings
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from conviction.audience import option
from conviction.config.text import shortened
from conviction.errors import RequestError
from conviction.experiments.search import Against, Search
from conviction.experiments.space import suggest
from conviction.experiments.store import DATABASE
from conviction.experiments.trials import check_kept
from conviction.process import undone_at_the_end

if TYPE_CHECKING:
    import optuna

# How often to try to start a study, since other machines may be starting it too.
BEGINNINGS = 5


def open_optuna(path: Path, name: str, storage: str | None, search: Search) -> optuna.Study:
    """Begins the study of this name, or continues it.

    Args:
        path: The folder for this process's part of the study, which it has claimed.
        name: The study's name, the same on all machines that share the storage.
        storage: An address of a database, ``journal:FILE``, or None for SQLite in the folder.
        search: What is searched; its design is kept with the study.

    Raises:
        RequestError: Optuna is not installed, the storage cannot be reached, or the study has another design.
    """
    try:
        import optuna
    except ImportError:
        raise RequestError("tune needs Optuna: pip install 'conviction[tune]'") from None
    verbosity = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    undone_at_the_end(lambda: optuna.logging.set_verbosity(verbosity))
    try:
        study = begin_study(name, storage or f"sqlite:///{path.resolve() / DATABASE}", search.against)
        check_kept(study)
    except Exception as failure:  # whatever a database driver raises
        reason = shortened(str(failure)) or type(failure).__name__
        where = f"{option('storage')} {storage}" if storage else path / DATABASE
        raise RequestError(
            f"{where}: the study cannot be opened ({reason}). Give another {option('storage' if storage else 'out')}."
        ) from None
    design = json.loads(json.dumps(search.design()))
    before = study.user_attrs.get("design")
    if before is None:
        study.set_user_attr("design", design)
    elif before != design:
        differences = shortened(", ".join(_differences(before, design)), 500)
        raise RequestError(
            f"study '{name}' was started with another request; {differences}. "
            f"Give another {option('out')} or {option('study')}, or the old request."
        )
    return study


def begin_study(name: str, storage: str, against: Against | None) -> optuna.Study:
    """The study of this name; several machines may start it at the same moment."""
    import optuna
    from sqlalchemy.exc import IntegrityError, ProgrammingError

    for attempt in range(BEGINNINGS):
        try:
            return optuna.create_study(
                storage=_storage(storage),
                study_name=name,
                directions=_directions(against),
                pruner=optuna.pruners.NopPruner(),  # ``keeps_up`` decides
                load_if_exists=True,
            )
        except (IntegrityError, ProgrammingError):
            # Optuna checks whether a table exists and then creates it. If two machines begin together, one of them
            # creates a table that the other has just created, and will see it on its next attempt.
            if attempt == BEGINNINGS - 1:
                raise
    raise AssertionError("the loop returns or raises")


def _directions(against: Against | None) -> list[Any]:
    return ["maximize", "minimize"] if against else ["maximize"]


def draw(search: Search, trials: Sequence[optuna.trial.FrozenTrial], owner: str | None) -> dict[str, Any]:
    """The values of the next trial, as Optuna has them, by TPE (Bergstra et al., 2011), which models keys together.

    They depend on the trials alone, so that it does not matter which process draws them, or how often.

    Args:
        search: What is searched.
        trials: All trials of the study.
        owner: Of the machine; None where it works alone. Machines that work on one study must not draw the same.
    """
    import optuna

    digest = hashlib.blake2b(f"{search.seed} {len(trials)} {owner}".encode(), digest_size=4).digest()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        sampler = optuna.samplers.TPESampler(seed=int.from_bytes(digest), multivariate=True, group=True)
    aside = optuna.create_study(sampler=sampler, directions=_directions(search.against))
    ended = (optuna.trial.TrialState.COMPLETE, optuna.trial.TrialState.PRUNED)
    aside.add_trials([t for t in trials if t.state in ended])
    trial = aside.ask()
    suggest(search.space, trial)
    return trial.params


def owner_of(path: Path) -> str:
    """Names this process's part of a study among all machines, and tells nobody which machine it is."""
    return hashlib.blake2b(former_owner_of(path).encode(errors="surrogateescape"), digest_size=16).hexdigest()


def former_owner_of(path: Path) -> str:
    """The same in words, as studies of earlier versions have it."""
    return f"{socket.gethostname()}:{path.resolve()}"


def _storage(address: str) -> Any:
    if not address.startswith("journal:"):
        return address
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend

    return JournalStorage(JournalFileBackend(address.removeprefix("journal:")))


def _differences(before: Any, now: Mapping[str, Any]) -> Iterator[str]:
    before = before if isinstance(before, dict) else {}
    for key in now:
        old, new = before.get(key), now[key]
        if key == "space" and isinstance(old, dict):
            for name in sorted({*old, *new}):
                if old.get(name) != new.get(name):
                    yield f"{name} was {json.dumps(old.get(name))} and is {json.dumps(new.get(name))}"
        elif before.get(key) != now[key]:
            yield f"{key} was {json.dumps(before.get(key))} and is {json.dumps(now[key])}"
