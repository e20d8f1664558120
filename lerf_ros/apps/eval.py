# SPDX-License-Identifier: Apache-2.0
"""`eval`: how well the map answers, on simulated scenes it was never tuned on, or on LERF's dataset."""

import dataclasses
import signal
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lerf_ros.apps.terminal import fail, overrides, progress

if TYPE_CHECKING:
    from lerf_ros.eval.harness import Plan

INTERRUPTED, TERMINATED = 130, 143
SCENES, PAPER_SCENES = 40, 12
PAPER_STEPS = 30_000

Outcome = tuple[dict[str, Any], str]
"""A report as JSON and as Markdown."""


def run(
    scenes: Annotated[int | None, typer.Option(min=0, help="Scenes for default, single_view, multi_view [40]")] = None,
    paper_scenes: Annotated[int | None, typer.Option(min=0, help="Scenes for the other configurations [12]")] = None,
    seed: Annotated[int | None, typer.Option(min=0, help="Seed of the scenes and their questions [0]")] = None,
    report: Annotated[Path, typer.Option(help="Write the figures to this JSON file, and FILE.md beside it")] = Path(
        "out/eval.json"
    ),
    jobs: Annotated[int, typer.Option(min=1, help="Worker processes, one thread each; threads of a LERF scene")] = 2,
    only: Annotated[list[str] | None, typer.Option(help="Only this configuration (may be given again)")] = None,
    work: Annotated[Path | None, typer.Option(help="Folder of finished scenes, to go on from [REPORT.work]")] = None,
    steps: Annotated[
        int | None,
        typer.Option(min=0, help="Training steps instead of each one's own (of a LERF scene: 30000, the paper's)"),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the report as JSON, not as tables")] = False,
    lerf_dataset: Annotated[
        Path | None,
        typer.Option(help="Instead: the paper's configuration, or --only default, on this folder of LERF's scenes"),
    ] = None,
    scene: Annotated[list[str] | None, typer.Option(help="Of LERF's scenes only this one (may be given again)")] = None,
    seconds: Annotated[
        float | None, typer.Option(min=0, help="Training time of a LERF scene, instead of steps")
    ] = None,
    set_: Annotated[
        list[str] | None, typer.Option("--set", help="For LERF's scenes: section.key=value, such as encoder.model")
    ] = None,
) -> None:
    """Map unseen scenes, ask for what is there and what is not, and compare with the truth and with baselines.

    Example: python -m lerf_ros eval --scenes 40 --paper-scenes 12 --seed 0 --report out/eval.json
    An interrupted run loses only its unfinished scenes: the same command goes on.
    """
    simulated = {"--scenes": scenes, "--paper-scenes": paper_scenes, "--seed": seed, "--work": work}
    published = {"--scene": scene, "--seconds": seconds, "--set": set_}
    if fault := _unusable(simulated, published, lerf_dataset is not None, steps, tuple(only or ())):
        raise fail("eval", fault)
    if lerf_dataset is not None:
        time = (seconds, 0) if seconds else (0.0, steps or PAPER_STEPS)
        choice = _Published(
            lerf_dataset, "default" not in (only or ()), tuple(scene or ()), *time, jobs, overrides(set_ or [])
        )
        document, text = _guarded(lambda: _published(choice), report)
    else:
        from lerf_ros.eval.harness import Plan

        plan = Plan(
            SCENES if scenes is None else scenes, PAPER_SCENES if paper_scenes is None else paper_scenes, seed or 0,
            work or report.with_suffix(".work"), jobs, tuple(only or ()), steps or 0,
        )  # fmt: skip
        document, text = _guarded(lambda: _simulated(plan, report), report)
    sys.stdout.write(_json(document) if as_json else text)
    sys.stderr.write(f"report: {report} and {_beside(report)}\n")


def _unusable(
    simulated: Mapping[str, object], published: Mapping[str, object], of_lerf: bool, steps: int | None,
    only: tuple[str, ...],
) -> str:  # fmt: skip
    """Return which given options do not apply, "" if all do; an option that was not given is None."""
    out_of_place = [name for name, value in (simulated if of_lerf else published).items() if value not in (None, [])]
    if out_of_place:
        where = "does not go with --lerf-dataset" if of_lerf else "goes only with --lerf-dataset"
        return f"{', '.join(out_of_place)} {where}: leave it out"
    if of_lerf and only not in ((), ("paper",), ("default",)):
        return f"--lerf-dataset is evaluated with --only paper or --only default, not {', '.join(only)}"
    if published["--seconds"] is not None and steps is not None:
        return "--seconds and --steps both say how long to train: give one"
    return ""


def _guarded(evaluate: Callable[[], Outcome], report: Path) -> Outcome:
    """Return what an evaluation returns, after writing it; leave with a message when it fails or is interrupted."""
    from lerf_ros.errors import LerfError

    before = signal.signal(signal.SIGTERM, _terminated)
    try:
        report.parent.mkdir(parents=True, exist_ok=True)
        document, text = evaluate()
        _write(report, document, text)
    except (LerfError, OSError) as error:
        raise fail("eval", str(error)) from error
    except KeyboardInterrupt as stop:
        sys.stderr.write("eval: interrupted; finished scenes are kept, the same command goes on from there\n")
        raise typer.Exit(TERMINATED if isinstance(stop, _Terminated) else INTERRUPTED) from None
    finally:
        signal.signal(signal.SIGTERM, before)
    return document, text


class _Terminated(KeyboardInterrupt):
    """The process was told to end: workers are to be ended, and finished scenes kept, as after Ctrl-C."""


def _terminated(*_: object) -> None:
    raise _Terminated


def _simulated(plan: "Plan", report: Path) -> Outcome:
    from lerf_ros.eval.harness import document_of, evaluate
    from lerf_ros.eval.tables import code_warning, markdown

    with progress() as bars:
        task = bars.add_task("evaluating", total=None)

        def told(scene: int, name: str, done: int, wanted: int) -> None:
            what = f"scene {scene} {name}" if name else "evaluating"
            bars.update(task, completed=done, total=wanted, description=f"{what} ({done} of {wanted})")

        records = evaluate(plan, told)
    document = document_of(plan, records, report.with_suffix(".pictures"))
    if warning := code_warning(document):
        sys.stderr.write(f"eval: {warning}")
    return document, markdown(document)


@dataclasses.dataclass(frozen=True)
class _Published:
    folder: Path
    paper: bool
    scenes: tuple[str, ...]
    seconds: float
    steps: int
    threads: int
    changes: dict[str, object]


def _published(choice: _Published) -> Outcome:
    from lerf_ros.config import Config, from_flat
    from lerf_ros.core.encoders import load_encoder
    from lerf_ros.eval.lerf_benchmark import run_lerf_dataset
    from lerf_ros.eval.mapping import node_config

    config = from_flat(choice.changes, node_config("paper.yaml") if choice.paper else Config())
    encoder = load_encoder(config.encoder)
    with progress() as bars:
        task = bars.add_task("evaluating", total=1.0)

        def told(scene: str, what: str, share: float) -> None:
            bars.update(task, completed=share, description=f"{scene}: {what}")

        return run_lerf_dataset(
            choice.folder, config, encoder, seconds=choice.seconds, steps=choice.steps, scenes=choice.scenes,
            threads=choice.threads, progress=told,
        )  # fmt: skip


def _beside(report: Path) -> Path:
    return report.with_suffix(report.suffix + ".md")


def _json(document: dict[str, Any]) -> str:
    import json

    return json.dumps(document, indent=1, allow_nan=False) + "\n"


def _write(report: Path, document: dict[str, Any], text: str) -> None:
    from lerf_ros.eval.records import write_whole

    write_whole(report, _json(document))
    write_whole(_beside(report), text)
