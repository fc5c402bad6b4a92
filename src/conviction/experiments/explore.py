"""``explore``: one thing changed at a time over the same seeds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from conviction.audience import option
from conviction.card import card
from conviction.config.recipe import Overrides, user_settings
from conviction.config.text import names_of
from conviction.data.in_memory import Source, source_path
from conviction.errors import RequestError, StudyError
from conviction.experiments.exploration import check_arms, plan, run_plan
from conviction.experiments.findings import Findings, findings
from conviction.experiments.questions import arm_of_claim, arms_for
from conviction.experiments.request import going_on, loading, threads_of
from conviction.experiments.study import keep, no_answer_message, study_at
from conviction.lesson.claims import experiment_of
from conviction.pool.executors import On, Where
from conviction.process import restores_process
from conviction.reporting import StudyShowing, board


@dataclass(frozen=True, repr=False)
class Explored:
    """A finished exploration: its folder, with ``report.html``, and what it found."""

    path: Path
    findings: Findings

    def __repr__(self) -> str:
        detected = sum(arm.detected for arm in self.findings.arms)
        return (
            f"Explored({str(self.path)!r}, {len(self.findings.arms)} arms, {detected} "
            f"difference{'' if detected == 1 else 's'} detected)"
        )

    def _repr_html_(self) -> str:
        rows = [
            (arm.arm.question, arm.arm.label, f"{100 * arm.accuracy.mean:+.2f} points", arm.sentence)
            for arm in self.findings.arms
        ]
        facts = {"report": str(self.path / "report.html")}
        head = ("question", "change", "validation accuracy", "what it means")
        return card(
            f"Exploration of {self.findings.source}", facts, self.findings.about, head=head, rows=rows
        )


@restores_process
def explore(
    source: Source,
    overrides: Overrides = (),
    *,
    question: str | Sequence[str] = (),
    claim: str | None = None,
    vary: str | Sequence[str] = (),
    grid: bool = False,
    seeds: int = 5,
    budget: int | None = None,
    equal_seconds: float | None = None,
    fixed_split: bool = False,
    jobs: int | None = None,
    limit: float | None = None,
    on: On = "local",
    cpus_per_trial: float | None = None,
    gpus_per_trial: float | None = None,
    config: str | Path | None = None,
    out: str | Path | None = None,
    data_dir: str | Path | None = None,
    show: StudyShowing = "live",
) -> Explored:
    """Changes one thing at a time over the same seeds; only validation images are looked at.

    Args:
        source: As for ``fit``.
        overrides: Keys of the base; ``recipe`` defaults to ``lab``.
        question: Names of the lab's questions, or ``all``.
        claim: The name of a claim of the lesson, in place of questions and keys: its base, change, epochs and number
            of images are those with which it was measured, unless ``overrides`` or ``budget`` say otherwise.
        vary: Keys with values, ``model.kernel_size=3,5``.
        grid: Every value of one of two keys with every value of the other.
        seeds: Runs of each arm.
        budget: Training images that a run may see, over all its epochs.
        equal_seconds: How long each run trains, instead of giving each the same number of images.
        fixed_split: The same validation images for every seed.
        jobs: Runs at once; None for one per core, or on Ray for as many as fit.
        limit: Seconds that one run may take.
        on: ``local``, or ``ray`` for the cluster that ``RAY_ADDRESS`` names, or one that is started here.
        cpus_per_trial: CPUs of a node that each trial takes; None for the number of its threads.
        gpus_per_trial: GPUs of a node that each trial takes; a fraction lets several trials share one.
        config: A YAML file; overrides win over it.
        out: The folder, default the next below ``explorations``; a study of the same request is continued. Or an
            address that fsspec knows, such as ``s3://bucket/study``, where the study is kept as well.
        data_dir: As for ``fit``.
        show: "live": a table of what runs, in a notebook or on stderr; "plain": a line on stderr for each run that
            has ended; "log": the same to Python's logging; None: nothing.

    Raises:
        RequestError: Something in the request or the data is wrong; nothing has been written.
        StudyError: The base finished with no seed, or no arm did; the folder says why.
        Interrupted: SIGINT or SIGTERM; what is finished is kept.
        StorageError: No space is left.
    """
    source = source_path(source)
    base_keys = user_settings(overrides, config)
    if base_keys.get("evaluation.folds") is not None:
        raise RequestError(
            f"evaluation.folds={base_keys['evaluation.folds']}: explore compares networks on validation images, over "
            f"several seeds ({option('seeds')}), and never divides the images into folds. Leave out evaluation.folds."
        )
    # The values of a key have commas, and names have none.
    varied = [vary] if isinstance(vary, str) else vary
    if claim is None:
        arms = arms_for(names_of(question), varied, base_keys, grid=grid)
    elif question or vary or grid:
        raise RequestError(
            f"{option('claim')}: a claim is one change, which nothing else is compared with; leave out "
            f"{option('question')}, {option('vary')} and {option('grid')}."
        )
    else:
        tested, experiment = experiment_of(claim)
        arms = [arm_of_claim(tested, experiment)]
        base_keys = {"training.epochs": experiment.epochs, **experiment.keys, **base_keys}
        epochs = base_keys["training.epochs"]
        if budget is None and isinstance(epochs, int):  # what else it may be is refused with the other keys
            budget = max(1, epochs) * experiment.images
    where = Where(on, jobs, limit, cpus_per_trial, gpus_per_trial)
    if equal_seconds is not None and not 0 < equal_seconds < float("inf"):
        raise RequestError(f"{option('equal-seconds')}: expected a number above 0; got {equal_seconds:g}.")
    shown = board(show)
    with loading(source, shown.file):
        planned = plan(
            source,
            base_keys,
            arms,
            seeds=seeds,
            fixed_split=fixed_split,
            budget=budget,
            seconds=equal_seconds,
            data_dir=data_dir,
        )
        check_arms(planned)
    with (
        where.opened(threads_of(planned), shown.file) as executor,
        study_at(out, str(source), shown) as (path, watch),
        going_on(path),
    ):
        trials = run_plan(planned, path, executor=executor, watch=watch)
        comparison = findings(planned, trials, claim)
        keep(path, comparison)
        if not comparison.arms:
            raise StudyError(no_answer_message(comparison.nothing, trials.reasons, path))
    return Explored(path, comparison)
