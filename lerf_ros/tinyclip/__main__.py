# SPDX-License-Identifier: Apache-2.0
"""Makes the bundled encoder from nothing but a seed: python -m lerf_ros.tinyclip all (or one step of it)."""

import json
import logging
from pathlib import Path
from typing import Annotated

import typer

from lerf_ros.tinyclip.vocabulary import TEST_SEED, TRAIN_SEED, VALIDATION_SEED

app = typer.Typer(add_completion=False, no_args_is_help=True, help=__doc__)

Work = Annotated[Path, typer.Option(help="Crops, checkpoints and logs go here (several GB)")]
Folder = Annotated[Path, typer.Option(help="The model folder to write or judge")]
DEFAULT_WORK = Path("out/tinyclip")
DEFAULT_FOLDER = Path(__file__).resolve().parent.parent / "models" / "tinyclip"


@app.callback()
def _logging() -> None:
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s: %(message)s")


@app.command()
def generate(
    work: Work = DEFAULT_WORK,
    scenes: Annotated[int, typer.Option(help="Training scenes, about 160 crops each")] = 1120,
    processes: Annotated[int, typer.Option(help="Rendering processes")] = 2,
) -> None:
    """Renders the training crops."""
    from lerf_ros.tinyclip import crops

    crops.generate(work / "crops", first_seed=TRAIN_SEED, n_scenes=scenes, processes=processes)


@app.command()
def train(
    work: Work = DEFAULT_WORK,
    folder: Folder = DEFAULT_FOLDER,
    steps: Annotated[int, typer.Option(help="Optimiser steps of 128 crops")] = 5600,
    learning_rate: Annotated[float, typer.Option(help="Highest learning rate of the cosine schedule")] = 8e-4,
    seed: Annotated[int, typer.Option(help="Seed of weights and batches")] = 0,
    threads: Annotated[int, typer.Option(help="torch threads")] = 1,
    bfloat16: Annotated[bool, typer.Option(help="bfloat16 autocast (fast on CPUs with avx512_bf16)")] = True,
) -> None:
    """Trains from the crops; goes on from the last checkpoint if there is one."""
    from lerf_ros.tinyclip.train import TrainConfig
    from lerf_ros.tinyclip.train import train as run

    config = TrainConfig(steps=steps, learning_rate=learning_rate, seed=seed, threads=threads, bfloat16=bfloat16)
    run(config, work / "crops", work / "run", folder)


@app.command()
def evaluate(
    folder: Folder = DEFAULT_FOLDER,
    work: Work = DEFAULT_WORK,
    seen_scenes: Annotated[int, typer.Option(help="Test scenes of pairs seen in training")] = 26,
    held_scenes: Annotated[int, typer.Option(help="Test scenes of withheld pairs")] = 30,
    validation: Annotated[bool, typer.Option(help="Validation seeds instead of test seeds")] = False,
) -> None:
    """Scores the model on unseen scenes and writes `scores.json` below the working folder."""
    from lerf_ros.tinyclip.evaluate import score_scenes, summary

    first = VALIDATION_SEED if validation else TEST_SEED
    told = {
        "seen": summary(score_scenes(folder, first + 10_000, seen_scenes, "seen")),
        "held": summary(score_scenes(folder, first + 20_000, held_scenes, "held")),
    }
    work.mkdir(parents=True, exist_ok=True)
    (work / f"scores_{'validation' if validation else 'test'}.json").write_text(json.dumps(told, indent=1) + "\n")
    typer.echo(json.dumps(told, indent=1))


@app.command()
def calibrate(
    folder: Folder = DEFAULT_FOLDER,
    processes: Annotated[int, typer.Option(help="Scenes mapped at once")] = 2,
) -> None:
    """Fits the map from evidence to probability on trained maps of its own scenes; writes `calibration.json`."""
    from lerf_ros.tinyclip.calibrate import collect, write

    typer.echo(write(folder, collect(folder, processes=processes)))


@app.command()
def card(
    work: Work = DEFAULT_WORK,
    folder: Folder = DEFAULT_FOLDER,
    scenes: Annotated[int, typer.Option(help="Training scenes")] = 1120,
    note: Annotated[str, typer.Option(help="A sentence about this run")] = "",
) -> None:
    """Writes the model card from the run's configuration and the test scores."""
    from lerf_ros.tinyclip.card import write_card

    write_card(folder, work, scenes, note)


@app.command(name="all")
def everything(work: Work = DEFAULT_WORK, folder: Folder = DEFAULT_FOLDER) -> None:
    """generate, train, calibrate, evaluate, card."""
    import open_clip  # noqa: F401  (with osmesa it must be imported before MuJoCo)

    generate(work)
    train(work, folder)
    calibrate(folder)
    evaluate(folder, work)
    card(work, folder)


if __name__ == "__main__":
    app()
