# SPDX-License-Identifier: Apache-2.0
"""Runs the evaluation: scenes over worker processes, results into a work folder, from which a later run goes on."""

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from lerf_ros.config import EncoderConfig
from lerf_ros.core.encoders import load_encoder
from lerf_ros.errors import EvaluationError
from lerf_ros.eval.configurations import ALL_SCENES, NAMES, Configuration, configuration
from lerf_ros.eval.exam import SceneExam
from lerf_ros.eval.pictures import copy_worst, write_failures
from lerf_ros.eval.records import SceneRecord, read_record, record_path, write_whole
from lerf_ros.eval.report import summary
from lerf_ros.eval.scenes import MAX_SCENES, check_seed, scene_spec
from lerf_ros.eval.workers import Pool

PROTOCOL: Final = 2
"""Raised whenever what is asked or how it is judged changes: results before and after are not to be mixed.

2: Scenes as `scenes.scene_spec` draws them, 30 views of the scripted scan each, and two novel views. Questions as
`questions.questions` asks them: pairs, categories, unique colours, and three kinds of absent phrases. An answer is
right on a right object's surface, within 2 cm and no nearer to another's (`truth.Truth`); in 2D with the hottest pixel
in its box (`views2d`). Rules as in `configurations`: the first counts, or for the baselines the one that localises
most; which rules a configuration has is part of its own digest, not of this number.
"""

SETTINGS_FILE: Final = "settings.json"
SOURCE_ROOMS: Final = ("config", "core", "eval", "sim")
SOURCE_FILES: Final = ("options.py",)

Told = Callable[[int, str, int, int], None]
"""Called with scene, configuration, results there are and results wanted."""


@dataclass(frozen=True)
class Plan:
    """What to evaluate.

    Attributes:
        scenes: for `default`, `single_view` and `multi_view`; `paper_scenes`: for the others.
        only: names of configurations; none: all.
        steps: of training instead of each configuration's own; 0: their own. For quick looks.
        work: folder of finished results.
        encoder: what is loaded in each worker.
    """

    scenes: int
    paper_scenes: int
    seed: int
    work: Path
    jobs: int = 2
    only: tuple[str, ...] = ()
    steps: int = 0
    encoder: EncoderConfig = field(default_factory=EncoderConfig)

    def configurations(self) -> list[Configuration]:
        """Return what is to be compared.

        Raises:
            EvaluationError: an unknown name, more scenes than a seed has, or a seed that is not for evaluation.
        """
        check_seed(self.seed)
        if max(self.scenes, self.paper_scenes) > MAX_SCENES:
            raise EvaluationError(f"a seed has {MAX_SCENES} scenes: take another seed for more")
        unknown = set(self.only) - set(NAMES)
        if unknown:
            raise EvaluationError(f"no configuration {', '.join(sorted(unknown))}: there are {', '.join(NAMES)}")
        names = [n for n in NAMES if n in (self.only or NAMES) and self.count(n) > 0]
        return [configuration(name, self.steps) for name in names]

    def count(self, name: str) -> int:
        """Return the number of scenes of a configuration."""
        return self.scenes if name in ALL_SCENES else self.paper_scenes


@dataclass(frozen=True)
class Job:
    """What a worker is told to do: one scene under some configurations."""

    scene: int
    names: tuple[str, ...]


def evaluate(plan: Plan, told: Told = lambda *_: None) -> dict[str, list[SceneRecord]]:
    """Run what is not in the work folder yet, and return all records wanted, by configuration.

    Results do not depend on `jobs` or on what was there before: each worker computes with one thread.

    Raises:
        EvaluationError: the folder belongs to another evaluation, or scenes failed (the others are finished first).
    """
    wanted = plan.configurations()
    claim(plan, wanted)
    results = [(scene, c.name) for c in wanted for scene in range(plan.count(c.name))]
    missing = {r for r in results if not record_path(plan.work, *r).is_file()}
    jobs = [
        Job(scene, names)
        for scene in range(max(plan.scenes, plan.paper_scenes))
        if (names := tuple(c.name for c in wanted if (scene, c.name) in missing))
    ]
    failures: list[str] = []
    done = len(results) - len(missing)
    told(-1, "", done, len(results))
    with closing(Pool(run_job, plan, plan.jobs).run(jobs)) as finished:
        for scene, name, fault in finished:
            if fault:
                failures.append(f"scene {scene}: {fault}")
                continue
            done += 1
            told(scene, name, done, len(results))
    if failures:
        raise EvaluationError("; ".join(failures) + f" (what is finished is kept in {plan.work})")
    return {c.name: [read_record(record_path(plan.work, s, c.name)) for s in range(plan.count(c.name))] for c in wanted}


def run_job(plan: Plan) -> Callable[[Job], Iterator[tuple[int, str]]]:
    """Return what a worker does with each job: it yields scene and configuration as each result is written."""
    encoder = load_encoder(plan.encoder)
    code = code_digest()

    def run(job: Job) -> Iterator[tuple[int, str]]:
        exam = SceneExam(job.scene, scene_spec(plan.seed, job.scene), encoder, code)
        for name in job.names:
            record, found, snapshot = exam.run(configuration(name, plan.steps))
            write_failures(plan.work / "pictures", exam, record, found, snapshot)
            write_whole(record_path(plan.work, job.scene, name), record.to_json())
            yield job.scene, name

    return run


def claim(plan: Plan, wanted: Sequence[Configuration]) -> None:
    """Make the work folder this evaluation's own, or check that it is.

    Raises:
        EvaluationError: it holds results of other settings, files of something else, or a damaged settings file.
    """
    path = plan.work / SETTINGS_FILE
    mine: dict[str, Any] = {"protocol": PROTOCOL, "seed": plan.seed, "encoder": encoder_digest(plan.encoder)}
    digests = {c.name: c.digest for c in wanted}
    theirs: dict[str, Any] = {}
    if path.is_file():
        theirs = _settings(path)
        other = [key for key, value in mine.items() if theirs[key] != value]
        other += [name for name, digest in digests.items() if theirs["configurations"].get(name, digest) != digest]
        if other:
            raise EvaluationError(f"{plan.work} holds results of another {', '.join(other)}: give another --work "
                                  "folder, or delete it")
    elif plan.work.exists() and (not plan.work.is_dir() or any(plan.work.iterdir())):
        raise EvaluationError(f"{plan.work} is not an evaluation's folder: give another --work folder")
    document = {**mine, "configurations": {**theirs.get("configurations", {}), **digests}}
    write_whole(path, json.dumps(document, indent=1, sort_keys=True) + "\n")


def _settings(path: Path) -> dict[str, Any]:
    """Return what a work folder says it was made with.

    Raises:
        EvaluationError: the file is damaged.
    """
    try:
        found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        for key in ("protocol", "seed", "encoder"):
            found[key]
        found["configurations"].items()
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise EvaluationError(f"{path} does not say what the results beside it were made with ({error!r}): give "
                              f"another --work folder, or delete {path.parent}") from error
    return found


def encoder_digest(config: EncoderConfig) -> str:
    """Return what identifies an encoder with its calibration."""
    encoder = load_encoder(config)
    told = (encoder.name, encoder.sha256, repr(encoder.calibration))
    return hashlib.sha256(repr(told).encode()).hexdigest()[:16]


def code_digest() -> str:
    """Return a fingerprint of the source that decides results."""
    root = Path(__file__).resolve().parents[1]
    rooms = (p for room in SOURCE_ROOMS for p in (root / room).rglob("*.py"))
    files = sorted((*rooms, *(root / name for name in SOURCE_FILES)))
    digest = hashlib.sha256()
    for path in files:
        digest.update(f"{path.relative_to(root)}\0".encode() + path.read_bytes())
    return digest.hexdigest()[:16]


def document_of(plan: Plan, records: dict[str, list[SceneRecord]], pictures: Path) -> dict[str, Any]:
    """Return the report of an evaluation; pictures of the worst failures are copied to `pictures`."""
    encoder = load_encoder(plan.encoder)
    found = {name: summary(configuration(name, plan.steps), each, plan.seed) for name, each in records.items()}
    worst: list[tuple[str, str]] = []
    for name, each in records.items():
        worst += copy_worst(plan.work, pictures, each, found[name]["rule"])
    return {
        "seed": plan.seed,
        "scenes": plan.scenes,
        "paper_scenes": plan.paper_scenes,
        "protocol": PROTOCOL,
        "encoder": f"{encoder.name} {encoder.sha256[:12]}",
        "code": sorted({r.code for each in records.values() for r in each}),
        "configurations": found,
        "pictures": [(f"{pictures.name}/{name}", text) for name, text in worst],
    }
