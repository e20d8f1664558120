# SPDX-License-Identifier: Apache-2.0
"""Which frame hangs on which: chains between two frames, and why there is none."""

from collections.abc import Mapping

from lerf_ros.errors import PoseError

MAX_DEPTH = 100  # frames in a chain; a longer one is a loop


def chains(parents: Mapping[str, str], target: str, source: str) -> tuple[list[str], list[str]]:
    """Return the frames from `target` and from `source` up to their nearest common ancestor, which is in neither.

    Raises:
        PoseError: cause ``tf_unknown_frame``, ``tf_disconnected`` or ``tf_loop``.
    """
    if target == source:
        return [], []
    to_target, to_source = _ancestry(parents, target), _ancestry(parents, source)
    common = next((frame for frame in to_source if frame in to_target), None)
    if common is None:
        known = {*parents, *parents.values()}
        unknown = [frame for frame in (target, source) if frame not in known]
        if unknown:
            names = ", ".join(sorted(known)) or "none"
            raise PoseError("tf_unknown_frame", f"no transform names the frame {unknown[0]!r} (known: {names})")
        raise PoseError("tf_disconnected", f"{target!r} and {source!r} are in two trees that nothing connects")
    return to_target[: to_target.index(common)], to_source[: to_source.index(common)]


def _ancestry(parents: Mapping[str, str], frame: str) -> list[str]:
    """Return `frame` and its ancestors, nearest first."""
    chain = [frame]
    while (parent := parents.get(chain[-1])) is not None:
        if parent in chain or len(chain) > MAX_DEPTH:
            raise PoseError("tf_loop", f"transforms form a loop: {' <- '.join([*chain, parent])}")
        chain.append(parent)
    return chain
