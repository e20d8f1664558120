# SPDX-License-Identifier: Apache-2.0
"""The story of the demonstration: scan, ask while scanning, ask everything, grasp one thing by its name."""

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import rclpy

from lerf_ros.demo.client import DemoClient
from lerf_ros.demo.judge import STATUS_NAMES, Judge
from lerf_ros.demo.questions import Question
from lerf_ros.msg import GraspTarget, QueryResult

SETTLED_STEPS = 600
SETTLE_TIMEOUT_S = 45.0
ASK_EVERY_S = 1.0
SCAN_TIMEOUT_S = 150.0
LIFT_M, HOLD_S, LIFTED_M = 0.12, 2.0, 0.08
MAX_ATTEMPTS = 3
#: What a person would try first with a parallel gripper; the rest follow.
EASY = ("can", "box", "apple", "ball", "bottle", "duck", "mug", "screwdriver", "hammer", "spoon")


@dataclass(frozen=True)
class PhraseRow:
    """One line of the report."""

    phrase: str
    kind: str
    expected: str
    status: str
    probability: float
    relevancy: float
    error_m: float | None
    right: bool
    query_ms: float


@dataclass
class GraspRow:
    """One attempt to take something by its name."""

    phrase: str
    object: str
    score: float
    gained_m: float = 0.0
    held_m: float = 0.0
    lifted: bool = False
    message: str = ""


@dataclass
class Story:
    """All that is measured."""

    phrases: list[PhraseRow] = field(default_factory=list)
    grasps: list[GraspRow] = field(default_factory=list)
    first_correct_s: float | None = None
    scan_s: float = 0.0
    busy_query_ms: list[float] = field(default_factory=list)

    def as_dict(self) -> dict[str, Any]:
        """Return what the report holds of it."""
        return {"phrases": [asdict(row) for row in self.phrases], "grasps": [asdict(row) for row in self.grasps]}


class Session:
    """Runs the story through one client; `check` raises when a process has died."""

    def __init__(self, client: DemoClient, judge: Judge, check: Callable[[], None], say: Callable[[str], None]) -> None:
        self.client, self.judge, self._check, self._say = client, judge, check, say
        self.story = Story()
        self.results: dict[str, QueryResult] = {}

    def scan(self, questions: Sequence[Question]) -> None:
        """Let the arm look around; ask all along, until a first answer is right.

        Raises:
            TimeoutError: the scan does not end.
        """
        start = time.monotonic()
        done = self.client.scan()
        while not done.done():  # type: ignore[no-untyped-call]
            if time.monotonic() - start > SCAN_TIMEOUT_S:
                raise TimeoutError(f"the scan did not end within {SCAN_TIMEOUT_S:g} s")
            self._wait_and_ask(questions)
        outcome = done.result()  # type: ignore[no-untyped-call]
        if not outcome.success:
            raise RuntimeError(f"the scan failed: {outcome.message}")
        self.story.scan_s = time.monotonic() - start

    def settle(self, questions: Sequence[Question]) -> None:
        """Wait until a snapshot stands on enough training after the scan, or for a bounded time."""
        begin, deadline = self.client.status.step, time.monotonic() + SETTLE_TIMEOUT_S
        while self.client.status.snapshot_step < begin + SETTLED_STEPS and time.monotonic() < deadline:
            self._wait_and_ask(questions)

    def _wait_and_ask(self, questions: Sequence[Question]) -> None:
        """Let a second pass; until there has been a right answer, ask for one thing after another meanwhile."""
        self._check()
        until = time.monotonic() + ASK_EVERY_S
        while (left := until - time.monotonic()) > 0:
            rclpy.spin_once(self.client, timeout_sec=left)
        if self.story.first_correct_s is None:
            present = [q for q in questions if q.objects]
            self.judge.place(self.client.objects)
            self._ask_early(present[len(self.story.busy_query_ms) % len(present)])

    def _ask_early(self, question: Question) -> None:
        asked = time.monotonic()
        result = self.client.ask([question.phrase]).results[0]
        self.story.busy_query_ms.append(1e3 * (time.monotonic() - asked))
        right, _ = self.judge.is_right(question, result)
        if right and self.client.first_image_s is not None:
            self.story.first_correct_s = time.monotonic() - self.client.first_image_s
            first = self.story.first_correct_s
            self._say(f'first right answer {first:.1f} s after the first image: "{question.phrase}"')

    def ask_all(self, questions: Sequence[Question]) -> None:
        """Ask every question, alone, and judge the answers."""
        self.judge.place(self.client.objects)
        for question in questions:
            asked = time.monotonic()
            result = self.client.ask([question.phrase]).results[0]
            elapsed_ms = 1e3 * (time.monotonic() - asked)
            right, error = self.judge.is_right(question, result)
            self.results[question.phrase] = result
            self.story.phrases.append(
                PhraseRow(
                    question.phrase, question.kind, "FOUND" if question.objects else "NOT_FOUND",
                    STATUS_NAMES[result.status], round(float(result.probability), 4),
                    round(float(result.relevancy), 4), None if error is None else round(error, 4), right,
                    round(elapsed_ms, 2),
                )
            )  # fmt: skip

    def grasp_one(self, questions: Sequence[Question]) -> None:
        """Take a thing that was found, by its name; try another when the first cannot be taken."""
        for question in self._candidates(questions)[:MAX_ATTEMPTS]:
            answer = self.client.ask([question.phrase], plan_grasps=True, max_targets=3).results[0]
            if not answer.targets:
                name = self.judge.scene.spec.objects[question.objects[0]].name
                self.story.grasps.append(GraspRow(question.phrase, name, 0.0, message=answer.message or "no target"))
                continue
            row = self._attempt(question, answer.targets[0])
            self.story.grasps.append(row)
            self._say(f'grasp "{row.phrase}": {"lifted" if row.lifted else "failed"} ({row.message})')
            if row.lifted:
                return

    def _candidates(self, questions: Sequence[Question]) -> list[Question]:
        """Return what was rightly found and can be taken, easiest first."""
        objects = self.judge.scene.spec.objects
        right = {row.phrase for row in self.story.phrases if row.right}
        named = [q for q in questions if q.phrase in right and q.kind == "colour+category" and len(q.objects) == 1]
        named = [q for q in named if objects[q.objects[0]].category in EASY]
        return sorted(named, key=lambda q: EASY.index(objects[q.objects[0]].category))

    def _attempt(self, question: Question, target: GraspTarget) -> GraspRow:
        index = question.objects[0]
        row = GraspRow(question.phrase, self.judge.scene.spec.objects[index].name, round(float(target.score), 4))
        heights: list[tuple[float, float]] = []

        def watch() -> None:
            self.judge.place(self.client.objects)
            heights.append((time.monotonic(), self.judge.height_gain_m(index)))

        self.client.on_truth = watch
        try:
            done = self.client.grasp(target, LIFT_M, HOLD_S)
        finally:
            self.client.on_truth = lambda: None
        end = time.monotonic()
        held = [gain for at, gain in heights if end - at <= HOLD_S]
        row.message = done.message
        row.gained_m = round(max((gain for _, gain in heights), default=0.0), 4)
        row.held_m = round(float(np.min(held)) if held else 0.0, 4)
        row.lifted = row.held_m >= LIFTED_M
        return row
