# SPDX-License-Identifier: Apache-2.0
"""How the node is, judged: one finding a subject, each with a level and what a person can do about it.

A rule looks at one subject and returns what is wrong, worst first, or what is right. Rules know no messages.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

from lerf_ros.ros.outputs.look import CameraLook, Look

GONE: Final = 5.0
"""A camera silent for so many times the time-out is an error."""

ALL: Final = 0.95
"""Share of images lately that makes it an error to drop them."""

MANY: Final = 0.2
"""Share of images lately that makes it a warning."""

FEW: Final = 3
SLOW_QUERY_S: Final = 0.5
ENOUGH_QUERIES: Final = 10
OLD_MAP_S: Final = 10.0
LOW_MB: Final = 500.0
NO_MB: Final = 100.0
BUSY: Final = ("encoder_behind",)
"""Normal: frames wait for the encoder, and only the newest are worth its time."""

REMEDIES: Final = {
    "no_camera_info": "no CameraInfo came with the image's stamp: check the remapping of camera_info",
    "no_depth": "no depth came with the image's stamp: check the remapping of depth, or raise input.sync_slop_s",
    "mapping_stopped": "the mapping threads have ended: see the log, then deactivate, cleanup, configure, activate",
    "encoder_error": "the encoder failed: see the log",
    "trainer_error": "the trainer failed: see the log",
}
"""Of causes that the self-check says nothing about."""


class Level(IntEnum):
    """The numbers of diagnostic_msgs/DiagnosticStatus."""

    OK = 0
    WARN = 1
    ERROR = 2


@dataclass(frozen=True)
class Finding:
    """What is to be said about one subject.

    Attributes:
        subject: e.g. "transforms".
        level: how bad it is.
        message: for a person, remedy included.
        values: numbers behind it, by name.
    """

    subject: str
    level: Level
    message: str
    values: Mapping[str, str]


Verdict = tuple[Level, str]


def findings(look: Look) -> list[Finding]:
    """Return one finding a subject, always all of them."""
    cameras = [
        Finding(f"camera {c.name}".strip(), *_worst(_camera(c, look)), _camera_values(c)) for c in look.cameras
    ]
    return cameras + [
        Finding(subject, *_worst(rule(look)), values(look)) for subject, (rule, values) in SUBJECTS.items()
    ]


def _worst(verdicts: Iterator[Verdict]) -> Verdict:
    """Return the first of the worst; a rule's last word is what is right."""
    return max(verdicts, key=lambda verdict: verdict[0])


def _camera(camera: CameraLook, look: Look) -> Iterator[Verdict]:
    if not look.active:
        yield Level.OK, "inactive: activate the node to receive images"
        return
    if camera.silent_s > look.image_timeout_s:
        level = Level.ERROR if camera.silent_s > GONE * look.image_timeout_s else Level.WARN
        if camera.seen:
            yield level, (f"no image for {camera.silent_s:.1f} s on {camera.topic}: is the driver running, the cable "
                          f"in place? (ros2 topic hz {camera.topic})")  # fmt: skip
        else:
            yield level, (f"no image yet on {camera.topic}, {camera.silent_s:.1f} s after activation: is the driver "
                          f"running, and is the topic remapped? (ros2 topic info -v {camera.topic})")  # fmt: skip
    yield Level.OK, f"{camera.hz:.1f} images a second" if camera.seen else "waiting for the first image"


def _images(look: Look) -> Iterator[Verdict]:
    yield from _dropped(look, lambda cause: not _is_pose(cause) and cause not in BUSY)
    yield Level.OK, "images are used" if look.active else "inactive"


def _transforms(look: Look) -> Iterator[Verdict]:
    yield from _dropped(look, _is_pose)
    yield from _refused(look)
    yield Level.OK, "every image got its pose" if look.active else "inactive"


def _is_pose(cause: str) -> bool:
    return cause.startswith(("tf_", "pose_"))


def _dropped(look: Look, mine: Callable[[str], bool]) -> Iterator[Verdict]:
    """Say what most of the images lately were dropped for, among the causes asked for."""
    lately = look.lately
    drops = {cause: count for cause, count in lately.drops.items() if mine(cause)}
    total = sum(drops.values())
    if total < FEW:
        return
    share = total / max(lately.received, total)
    level = Level.ERROR if share >= ALL else Level.WARN if share >= MANY else Level.OK
    cause = max(drops, key=lambda c: drops[c])
    why = _told(look, cause) or REMEDIES.get(cause) or "see the self-check and the log"
    yield level, f"{total} of {max(lately.received, total)} dropped in {lately.seconds:.0f} s, for {cause}: {why}"


def _refused(look: Look) -> Iterator[Verdict]:
    """Say what transforms and poses were refused for; images may be none the worse, as others send good ones."""
    refused = look.lately.refused
    if total := sum(refused.values()):
        cause = max(refused, key=lambda c: refused[c])
        why = _told(look, cause) or "see the self-check and the log"
        yield Level.WARN, f"{total} transforms or poses refused in {look.lately.seconds:.0f} s, for {cause}: {why}"


def _told(look: Look, cause: str) -> str:
    """Return what the self-check says of a cause, of each camera."""
    return "; ".join(fault.said for fault in look.faults if fault.name == cause)


def _training(look: Look) -> Iterator[Verdict]:
    stats = look.stats
    if stats.fault or stats.training == "stopped" or not (stats.encoder_alive and stats.trainer_alive):
        yield Level.ERROR, (f"{stats.fault or 'a mapping thread has ended'}: see the log; to begin anew, deactivate, "
                            "cleanup, configure, activate (save the map first)")  # fmt: skip
    if look.lately.skipped:
        yield Level.WARN, (f"{look.lately.skipped} steps in {look.lately.seconds:.0f} s were left out, for loss or "
                           "gradient was not finite: check depth and poses; lower train.grid_lr")  # fmt: skip
    if look.active and stats.training == "running" and not stats.steps_per_s and stats.steps:
        yield Level.WARN, "no step in the last seconds: something else takes the CPU (see top), or queries never pause"
    if not look.active:
        yield Level.OK, "inactive: the map is kept and answers; activate the node to train"
    elif stats.training == "paused":
        yield Level.OK, "paused by ~/set_training; call it with true to go on"
    elif stats.training == "waiting":
        yield Level.OK, "waiting for a first keyframe: move the camera over the workspace"
    else:
        yield Level.OK, f"{stats.training}, {stats.steps_per_s:.1f} steps a second, {stats.keyframes} keyframes"


def _map(look: Look) -> Iterator[Verdict]:
    stats = look.stats
    if look.free_mb is not None and look.free_mb < LOW_MB:
        level = Level.ERROR if look.free_mb < NO_MB else Level.WARN
        yield level, (f"{look.free_mb:.0f} MB of memory are left on this machine: lower surface.max_points or "
                      "keyframes.max_count, or end other programs")  # fmt: skip
    old = max(OLD_MAP_S, 3 * look.snapshot_period_s)
    if look.active and stats.training == "running" and stats.snapshot_step >= 0 and stats.snapshot_age_s > old:
        yield Level.WARN, (f"queries are answered from a map of {stats.snapshot_age_s:.0f} s ago: publishing is behind."
                           " Raise runtime.threads, or lower surface.max_points")  # fmt: skip
    if look.stale_points:
        yield Level.WARN, (f"newer images contradict {look.stale_points} of {look.points} points: queries there say "
                           "STALE until it is relearned; let the camera look there")  # fmt: skip
    if stats.snapshot_step < 0:
        yield Level.OK, "no map yet"
    yield Level.OK, f"{look.points} points, {stats.snapshot_age_s:.0f} s old"


def _queries(look: Look) -> Iterator[Verdict]:
    queries = look.queries
    if queries.failure:
        yield Level.ERROR, f"a query failed within the last minute: {queries.failure}. Please report it, with the log"
    if queries.p95_s > SLOW_QUERY_S and queries.count >= ENOUGH_QUERIES:
        yield Level.WARN, (f"one query in twenty takes {queries.p95_s:.2f} s or more: have runtime.pause_for_queries "
                           "on, lower runtime.max_cpu_fraction, or ask fewer phrases at once")  # fmt: skip
    if queries.refusal:
        yield Level.WARN, f"a query was refused within the last minute: {queries.refusal}"
    yield Level.OK, f"{queries.count} answered" if queries.count else "none asked yet"


def _self_check(look: Look) -> Iterator[Verdict]:
    if look.faults:
        more = f" (and {len(look.faults) - 1} more)" if len(look.faults) > 1 else ""
        yield Level.WARN, f"{look.faults[0]}{more}"
    yield Level.OK, "nothing suspicious"


def _camera_values(camera: CameraLook) -> dict[str, str]:
    return {"topic": camera.topic, "images/s": f"{camera.hz:.2f}",
            "last image, s ago": f"{camera.silent_s:.2f}" if camera.seen else "none"}  # fmt: skip


def _image_values(look: Look) -> dict[str, str]:
    stats = look.stats
    own = {f"dropped: {c}": str(n) for c, n in sorted(look.drops.items()) if not _is_pose(c)}
    return {"received": str(stats.received), "not moved": str(stats.not_moved),
            "callback p95, ms": f"{1e3 * stats.callback_p95_s:.2f}", **own}  # fmt: skip


def _transform_values(look: Look) -> dict[str, str]:
    dropped = {f"dropped: {c}": str(n) for c, n in sorted(look.drops.items()) if _is_pose(c)}
    return dropped | {f"refused: {c}": str(n) for c, n in sorted(look.refused.items())}


def _training_values(look: Look) -> dict[str, str]:
    stats, report = look.stats, look.stats.report
    learned = {} if report is None else {"loss": f"{report.loss:.4g}", "PSNR, dB": f"{report.psnr_db:.2f}"}
    step_ms = f"{1e3 / stats.steps_per_s:.1f}" if stats.steps_per_s else "none"
    return {"state": stats.training, "steps": str(stats.steps), "steps/s": f"{stats.steps_per_s:.2f}",
            "time a step, ms": step_ms, **learned, "keyframes": str(stats.keyframes),
            "steps skipped": str(stats.steps_skipped), "encoding, s": f"{stats.encode_s:.3f}",
            "stamp to keyframe, s": f"{stats.keyframe_latency_s:.3f}",
            "stamp to map, s": f"{stats.map_latency_s:.3f}"}  # fmt: skip


def _map_values(look: Look) -> dict[str, str]:
    return {"points": str(look.points), "stale points": str(look.stale_points), "step": str(look.stats.snapshot_step),
            "age, s": f"{look.stats.snapshot_age_s:.1f}", "memory, MB": f"{look.memory_mb:.0f}",
            "free memory, MB": "unknown" if look.free_mb is None else f"{look.free_mb:.0f}"}  # fmt: skip


def _query_values(look: Look) -> dict[str, str]:
    queries = look.queries
    return {"count": str(queries.count), "refused": str(queries.refused), "failed": str(queries.failed),
            "p50, ms": f"{1e3 * queries.p50_s:.1f}", "p95, ms": f"{1e3 * queries.p95_s:.1f}"}  # fmt: skip


def _warning_values(look: Look) -> dict[str, str]:
    return {fault.key: fault.text for fault in look.faults}


SUBJECTS: Final[Mapping[str, tuple[Callable[[Look], Iterator[Verdict]], Callable[[Look], dict[str, str]]]]] = {
    "images": (_images, _image_values),
    "transforms": (_transforms, _transform_values),
    "training": (_training, _training_values),
    "map": (_map, _map_values),
    "queries": (_queries, _query_values),
    "self-check": (_self_check, _warning_values),
}
"""How each is judged, and the numbers shown with it."""
