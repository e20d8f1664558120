# SPDX-License-Identifier: Apache-2.0
"""Each level of each subject of /diagnostics, produced on purpose."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace

import pytest
from diagnostic_msgs.msg import DiagnosticStatus

from lerf_ros.core.trainer import StepReport
from lerf_ros.ros.outputs.health import SUBJECTS, Finding, Level, findings
from lerf_ros.ros.outputs.look import CameraLook, Lately, Look, Recent, all_drops
from lerf_ros.ros.outputs.tally import QueryStats
from lerf_ros.ros.selfcheck.fault import Fault
from lerf_ros.runtime.stats import LoopCounters, LoopStats

OK, WARN, ERROR = Level.OK, Level.WARN, Level.ERROR
CAMERA = CameraLook("", "/wrist_camera/color/image_raw", 29.9, 0.03, True)


def stats(**changes: object) -> LoopStats:
    fresh = LoopCounters().read(
        keyframes=12, steps=500, mailbox_dropped=0, encoder_alive=True, trainer_alive=True, training="running"
    )
    return replace(fresh, **{"steps_per_s": 20.0, "snapshot_step": 490, "received": 1000, **changes})  # type: ignore[arg-type]


def look(**changes: object) -> Look:
    """Return a node that is well, but for what is given; what `LoopStats` has goes there."""
    inner = {name: changes.pop(name) for name in list(changes) if name in LoopStats.__dataclass_fields__}
    well = Look(
        active=True, cameras=(CAMERA,), image_timeout_s=1.0, stats=stats(**inner), drops={},
        lately=Lately(5, 150, {}, 0), points=20_000, stale_points=0, snapshot_period_s=3.0, memory_mb=900.0,
        free_mb=4000.0,
        queries=QueryStats(40, 0, 0, 0.02, 0.05, "", ""), faults=(),
    )  # fmt: skip
    return replace(well, **changes)  # type: ignore[arg-type]


def finding(subject: str, seen: Look) -> Finding:
    (found,) = (each for each in findings(seen) if each.subject == subject)
    return found


def lately(received: int = 100, skipped: int = 0, **drops: int) -> Lately:
    return Lately(5.0, received, drops, skipped)


def camera(silent_s: float, seen: bool = True) -> tuple[CameraLook, ...]:
    return (replace(CAMERA, silent_s=silent_s, seen=seen, hz=0.0),)


CASES: Mapping[str, tuple[str, dict[str, object], Level, str]] = {
    "camera well": ("camera", {}, OK, "29.9 images a second"),
    "camera silent": ("camera", {"cameras": camera(1.2)}, WARN, "no image for 1.2 s on /wrist_camera/color/image_raw"),
    "camera gone": ("camera", {"cameras": camera(5.2)}, ERROR, "no image for 5.2 s"),
    "camera about to come": ("camera", {"cameras": camera(0.5, False)}, OK, "waiting for the first image"),
    "camera late": ("camera", {"cameras": camera(2.0, False)}, WARN, "no image yet on /wrist_camera/color"),
    "camera never": ("camera", {"cameras": camera(20.0, False)}, ERROR, "is the topic remapped"),
    "camera inactive": ("camera", {"cameras": camera(99.0), "active": False}, OK, "inactive"),
    "slow camera by choice": ("camera", {"cameras": camera(4.0), "image_timeout_s": 5.0}, OK, "images a second"),
    "images well": ("images", {}, OK, "images are used"),
    "a few dropped": ("images", {"lately": lately(image_encoding=2)}, OK, "images are used"),
    "many dropped": ("images", {"lately": lately(image_size=30)}, WARN, "30 of 100 dropped in 5 s, for image_size"),
    "all dropped": (
        "images", {"lately": lately(image_size=99), "faults": (Fault("image_size", "is this its CameraInfo?"),)},
        ERROR, "for image_size: is this its CameraInfo?",
    ),
    "all unmatched": ("images", {"lately": lately(no_camera_info=100)}, ERROR, "check the remapping of camera_info"),
    "encoder busy": ("images", {"lately": lately(encoder_behind=90)}, OK, "images are used"),
    "images inactive": ("images", {"active": False}, OK, "inactive"),
    "transforms well": ("transforms", {}, OK, "every image got its pose"),
    "transforms late": ("transforms", {"lately": lately(tf_extrapolation=30)}, WARN, "30 of 100 dropped in 5 s"),
    "transforms missing": (
        "transforms", {"lately": lately(tf_unknown_frame=100), "faults": (Fault("tf_unknown_frame", "no frame 'x'"),)},
        ERROR, "tf_unknown_frame: no frame 'x'",
    ),
    "one publisher of transforms is bad": (
        "transforms", {"lately": Lately(5.0, 150, {}, 0, {"pose_not_rigid": 500}),
                       "faults": (Fault("pose_not_rigid", "it is all zero", "tool"),)},
        WARN, "500 transforms or poses refused in 5 s, for pose_not_rigid: it is all zero (tool)",
    ),
    "refused and missing": (
        "transforms", {"lately": Lately(5.0, 100, {"tf_extrapolation": 100}, 0, {"pose_not_rigid": 500})},
        ERROR, "100 of 100 dropped in 5 s, for tf_extrapolation",
    ),
    "pose gap": ("transforms", {"lately": lately(pose_gap=100)}, ERROR, "pose_gap"),
    "training well": ("training", {}, OK, "running, 20.0 steps a second, 12 keyframes"),
    "training paused": ("training", {"training": "paused"}, OK, "paused by ~/set_training"),
    "training waiting": ("training", {"training": "waiting"}, OK, "move the camera"),
    "training resting": ("training", {"training": "resting", "steps_per_s": 0.0}, OK, "resting"),
    "steps left out": ("training", {"lately": lately(skipped=7)}, WARN, "7 steps in 5 s were left out"),
    "no CPU": ("training", {"steps_per_s": 0.0}, WARN, "something else takes the CPU"),
    "trainer failed": ("training", {"fault": "trainer failed 5 times", "training": "stopped"}, ERROR, "trainer failed"),
    "thread died": ("training", {"encoder_alive": False}, ERROR, "a mapping thread has ended"),
    "training inactive": ("training", {"active": False, "steps_per_s": 0.0}, OK, "inactive"),
    "map well": ("map", {}, OK, "20000 points"),
    "no map": ("map", {"snapshot_step": -1, "points": 0}, OK, "no map yet"),
    "map old": ("map", {"snapshot_age_s": 30.0}, WARN, "queries are answered from a map of 30 s ago"),
    "map at rest": ("map", {"snapshot_age_s": 900.0, "training": "resting"}, OK, "900 s old"),
    "map stale": ("map", {"stale_points": 300}, WARN, "newer images contradict 300 of 20000 points"),
    "memory low": ("map", {"free_mb": 300.0}, WARN, "300 MB of memory are left"),
    "memory out": ("map", {"free_mb": 50.0, "stale_points": 3}, ERROR, "lower surface.max_points"),
    "memory unknown": ("map", {"free_mb": None}, OK, "points"),
    "queries well": ("queries", {}, OK, "40 answered"),
    "no queries": ("queries", {"queries": QueryStats(0, 0, 0, 0, 0, "", "")}, OK, "none asked yet"),
    "queries slow": ("queries", {"queries": QueryStats(40, 0, 0, 0.3, 0.9, "", "")}, WARN, "takes 0.90 s"),
    "one slow query": ("queries", {"queries": QueryStats(1, 0, 0, 2.0, 2.0, "", "")}, OK, "1 answered"),
    "query refused": ("queries", {"queries": QueryStats(40, 1, 0, 0, 0, "it is empty", "")}, WARN, "it is empty"),
    "query failed": ("queries", {"queries": QueryStats(40, 1, 1, 0, 0, "", "KeyError: 3")}, ERROR, "KeyError: 3"),
    "self-check well": ("self-check", {}, OK, "nothing suspicious"),
    "self-check": ("self-check", {"faults": (Fault("a", "one"), Fault("b", "two"))}, WARN, "a: one (and 1 more)"),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_each_level_says_what_to_do(case: str) -> None:
    subject, changes, level, text = CASES[case]
    found = finding(subject, look(**changes))
    assert (found.level, text in found.message) == (level, True), found.message


def test_every_level_that_there_is_was_produced() -> None:
    produced = {(subject, level) for subject, _, level, _ in CASES.values()}
    wanted = {(subject, level) for subject in ("camera", "images", "transforms", "training", "map", "queries")
              for level in Level}  # fmt: skip
    assert wanted | {("self-check", OK), ("self-check", WARN)} == produced
    assert {"camera", *SUBJECTS} == {subject for subject, _ in produced}


def test_levels_are_those_of_the_message() -> None:
    assert [bytes([level]) for level in Level] == [DiagnosticStatus.OK, DiagnosticStatus.WARN, DiagnosticStatus.ERROR]


def test_each_camera_is_a_subject_of_its_own() -> None:
    left, right = replace(CAMERA, name="left"), replace(CAMERA, name="right", silent_s=2.0)
    found = {each.subject: each.level for each in findings(look(cameras=(left, right)))}
    assert (found["camera left"], found["camera right"]) == (OK, WARN)
    assert list(found) == ["camera left", "camera right", *SUBJECTS]


def test_the_numbers_are_there_too() -> None:
    report = StepReport(500, 0.25, 0.25, 21.5, 0.25, 0.25, 128)
    seen = look(report=report, drops={"tf_loop": 3, "image_size": 2}, refused={"pose_not_rigid": 7},
                faults=(Fault("a", "one"),))  # fmt: skip
    values = {each.subject: each.values for each in findings(seen)}
    assert values["camera"]["images/s"] == "29.90"
    assert values["images"]["dropped: image_size"] == "2"
    assert values["transforms"] == {"dropped: tf_loop": "3", "refused: pose_not_rigid": "7"}
    assert values["training"]["time a step, ms"] == "50.0"
    assert {"loss", "PSNR, dB", "keyframes", "steps skipped"} <= set(values["training"])
    assert values["map"]["memory, MB"] == "900"
    assert values["queries"]["p95, ms"] == "50.0"
    assert values["self-check"] == {"a": "one"}


def test_one_fault_of_two_cameras_is_told_of_both() -> None:
    faults = (Fault("tf_unknown_frame", "no 'a'", "left"), Fault("tf_unknown_frame", "no 'b'", "right"))
    seen = look(faults=faults, lately=lately(tf_unknown_frame=100))
    values = {each.subject: each.values for each in findings(seen)}
    assert values["self-check"] == {"tf_unknown_frame (left)": "no 'a'", "tf_unknown_frame (right)": "no 'b'"}
    assert "no 'a' (left); no 'b' (right)" in finding("transforms", seen).message


def test_lately_is_what_the_last_five_seconds_added() -> None:
    now = [100.0]
    recent = Recent(lambda: now[0])
    assert recent.look(50, Counter(a=5), 1, Counter()) == Lately(0.0, 0, {}, 0)
    now[0] += 3
    assert recent.look(80, Counter(a=7, b=1), 1, Counter(c=4)) == Lately(3.0, 30, {"a": 2, "b": 1}, 0, {"c": 4})
    now[0] += 3  # the first is forgotten
    assert recent.look(90, Counter(a=7, b=2), 4, Counter(c=4)) == Lately(3.0, 10, {"b": 1}, 3)


def test_drops_of_all_who_count_are_added_up() -> None:
    made = stats(dropped={"tf_loop": 2, "no_depth": 1}, mailbox_dropped=4)
    assert all_drops(made, {"no_depth": 3}) == {"tf_loop": 2, "no_depth": 4, "encoder_behind": 4}
