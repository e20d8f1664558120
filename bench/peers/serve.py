# SPDX-License-Identifier: Apache-2.0
"""Answers requests of `bench.peer.Peer`: one JSON object a line in, one out. Ends when its input does."""

import json
import os
import sys
import traceback
from collections.abc import Callable, Mapping
from typing import Any


def serve(functions: Mapping[str, Callable[..., Any]]) -> None:
    """Call functions by name until the input ends. What they print goes to the log, not among the answers."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    for line in sys.stdin:
        request = json.loads(line)
        try:
            answer = {"result": functions[request["call"]](**request["with"])}
        except Exception as error:
            traceback.print_exc()
            answer = {"error": f"{type(error).__name__}: {error}"}
        answers.write(json.dumps(answer) + "\n")
        answers.flush()


def versions() -> dict[str, str]:
    """Return what the peer is."""
    import importlib.metadata

    return {name: importlib.metadata.version(name) for name in ("nerfstudio", "torch")}


def _functions() -> dict[str, Callable[..., Any]]:
    from bench.peers import hash_encoding, nerfacto

    return {
        "versions": versions,
        "hash_prepare": hash_encoding.prepare,
        "hash_once": hash_encoding.once,
        "nerfacto_load": nerfacto.load,
        "nerfacto_steps": nerfacto.steps,
        "nerfacto_train": nerfacto.train,
        "nerfacto_render": nerfacto.render,
        "nerfacto_forget": nerfacto.forget,
    }


if __name__ == "__main__":
    serve(_functions())
