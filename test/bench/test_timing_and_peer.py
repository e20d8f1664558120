# SPDX-License-Identifier: Apache-2.0
"""Sides take their turns in order; the peer's process answers, fails, dies and hangs without taking us along."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from bench.peer import Peer, PeerError, find_python
from bench.timing import interleave, repeated

SERVER = '''
import os, sys, time
sys.path.insert(0, {root!r})
from bench.peers.serve import serve

def fail():
    raise ValueError("not today")

def echo(**given):
    print("chatter of a library")
    return given

serve({{"echo": echo, "fail": fail, "die": lambda: os._exit(3), "hang": lambda: time.sleep(60)}})
'''
ROOT = Path(__file__).parents[2]


def test_sides_alternate_and_the_first_turn_does_not_count() -> None:
    order: list[str] = []

    def side(name: str) -> float:
        order.append(name)
        return float(len(order))

    found = interleave({"a": lambda: side("a"), "b": lambda: side("b")}, 3)
    assert order == ["a", "b"] * 4
    assert found == {"a": [3.0, 5.0, 7.0], "b": [4.0, 6.0, 8.0]}


def test_repeats_have_a_floor_and_a_ceiling() -> None:
    assert len(repeated(lambda: None, 3, limit_s=0.0)) == 3
    assert len(repeated(lambda: None, 3, limit_s=5.0)) == 30


@pytest.fixture
def peer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Peer]:
    monkeypatch.setattr("bench.peer.ROOT", tmp_path)  # where the interpreter looks for the server
    (tmp_path / "server.py").write_text(SERVER.format(root=str(ROOT)))
    with Peer(Path(sys.executable), tmp_path / "peer.log", "server") as peer:
        yield peer


def test_a_peer_answers_again_and_again_whatever_its_libraries_print(peer: Peer, tmp_path: Path) -> None:
    assert peer.call("echo", a=1, b=[2.5, "c"]) == {"a": 1, "b": [2.5, "c"]}
    assert peer.call("echo") == {}
    assert "chatter" in (tmp_path / "peer.log").read_text()


def test_a_peer_that_raises_says_what_and_goes_on(peer: Peer) -> None:
    with pytest.raises(PeerError, match=r"ValueError: not today; see .*peer\.log"):
        peer.call("fail")
    assert peer.call("echo", still=True) == {"still": True}


def test_a_peer_that_dies_or_hangs_is_told_from_one_that_answers(peer: Peer) -> None:
    with pytest.raises(PeerError, match=r"no answer within 0\.2 s"):
        peer.call("hang", timeout_s=0.2)
    peer._process.kill()
    with pytest.raises(PeerError, match="ended"):
        peer.call("echo")


def test_a_peer_that_ends_in_a_call_is_noticed(peer: Peer) -> None:
    with pytest.raises(PeerError, match="ended without an answer"):
        peer.call("die")


def test_without_an_environment_there_is_no_peer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bench.peer.ROOT", tmp_path)
    assert find_python(None) is None
    assert find_python(Path("/opt/python")) == Path("/opt/python")
    (tmp_path / ".venv-peers" / "bin").mkdir(parents=True)
    (tmp_path / ".venv-peers" / "bin" / "python").touch()
    assert find_python(None) == tmp_path / ".venv-peers" / "bin" / "python"
