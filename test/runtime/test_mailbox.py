# SPDX-License-Identifier: Apache-2.0
import threading
import time
from concurrent.futures import Future

import pytest

from lerf_ros.errors import MappingStoppedError
from lerf_ros.runtime.cpu_share import CpuShare
from lerf_ros.runtime.mailbox import CommandQueue, Mailbox


def test_mailbox_keeps_order_and_drops_the_oldest() -> None:
    box: Mailbox[int] = Mailbox(2)
    assert [box.put(i) for i in range(4)] == [0, 0, 1, 1]
    assert box.dropped == 2
    assert len(box) == 2
    assert [box.get(0), box.get(0), box.get(0)] == [2, 3, None]


def test_get_waits_no_longer_than_its_timeout() -> None:
    begin = time.monotonic()
    assert Mailbox[int](1).get(0.05) is None
    assert 0.04 < time.monotonic() - begin < 2.0


def test_close_wakes_a_waiting_reader_and_refuses_more() -> None:
    box: Mailbox[int] = Mailbox(1)
    got: list[int | None] = []
    reader = threading.Thread(target=lambda: got.append(box.get()))
    reader.start()
    box.close()
    reader.join(5)
    assert got == [None]
    with pytest.raises(MappingStoppedError, match="stopped"):
        box.put(1)


def test_mailbox_under_two_threads_loses_nothing_uncounted() -> None:
    box: Mailbox[int] = Mailbox(3)
    total = 20_000
    received: list[int] = []

    def read() -> None:
        while (item := box.get(5)) is not None and item >= 0:
            received.append(item)

    reader = threading.Thread(target=read)
    reader.start()
    for i in range(total):
        box.put(i)
    while len(box):
        time.sleep(0.001)
    box.put(-1)
    reader.join(10)
    assert not reader.is_alive()
    assert received == sorted(set(received)), "out of order or twice"
    assert len(received) + box.dropped == total
    assert received[-1] == total - 1, "the newest is never the one dropped"


def test_two_writers_are_counted_exactly() -> None:
    box: Mailbox[int] = Mailbox(1)
    writers = [threading.Thread(target=lambda: [box.put(1) for _ in range(5000)]) for _ in range(2)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(10)
    assert box.dropped == 9999


def test_commands_run_in_order_and_answer_by_future() -> None:
    queue = CommandQueue()
    order: list[int] = []

    def fail() -> None:
        order.append(2)
        raise ValueError("two")

    first: Future[str] = queue.submit(lambda: order.append(1) or "one")
    second = queue.submit(fail)
    third = queue.submit(lambda: order.append(3))
    assert queue.wait(0)
    assert queue.run_pending() == 3
    assert first.result(0) == "one"
    with pytest.raises(ValueError, match="two"):
        second.result(0)
    assert third.result(0) is None
    assert order == [1, 2, 3]
    assert not queue.wait(0)


def test_a_command_whose_caller_gave_up_is_not_run() -> None:
    queue = CommandQueue()
    ran: list[int] = []
    future = queue.submit(lambda: ran.append(1))
    with pytest.raises(TimeoutError):
        future.result(timeout=0.01)
    assert future.cancel()
    assert queue.run_pending() == 0
    assert ran == []


def test_close_fails_what_is_pending_and_refuses_more() -> None:
    queue = CommandQueue()
    future = queue.submit(lambda: 1)
    queue.close("gone fishing")
    with pytest.raises(MappingStoppedError, match="gone fishing"):
        future.result(0)
    with pytest.raises(MappingStoppedError, match="gone fishing"):
        queue.submit(lambda: 2)
    assert not queue.wait(5)


@pytest.mark.parametrize(
    ("threads", "alone", "encoder", "trainer"), [(1, 1, 1, 1), (2, 2, 1, 1), (5, 5, 2, 3), (8, 8, 4, 4)]
)
def test_cpu_share(threads: int, alone: int, encoder: int, trainer: int) -> None:
    share = CpuShare(threads)
    assert share.trainer(busy=True) == alone
    assert share.encoder(busy=True) == encoder
    assert share.trainer(busy=True) == trainer
    assert share.encoder(busy=False) == encoder
    assert share.trainer(busy=True) == alone
    share.trainer(busy=False)
    assert share.encoder(busy=True) == alone


def test_a_fast_source_drops_its_own_and_starves_no_other() -> None:
    box: Mailbox[tuple[str, int]] = Mailbox(4, source_of=lambda item: item[0])
    box.put(("slow", 0))
    dropped = sum(box.put(("fast", n)) for n in range(100))
    assert dropped == box.dropped == 97
    assert box.put(("slow", 1)) == 1, "room is made by the one that takes most"
    assert [box.get(0) for _ in range(4)] == [("slow", 0), ("fast", 98), ("fast", 99), ("slow", 1)]


def test_more_sources_than_room_take_turns() -> None:
    box: Mailbox[str] = Mailbox(2, source_of=lambda item: item)
    for item in "abcabc":
        box.put(item)
    assert [box.get(0), box.get(0)] == ["b", "c"]
    assert box.dropped == 4


def test_a_shorter_queue_drops_of_the_source_that_has_most() -> None:
    box: Mailbox[str] = Mailbox(5, source_of=lambda item: item[0])
    for item in ("a1", "b1", "b2", "b3", "a2"):
        box.put(item)
    box.resize(3)
    assert [box.get(0) for _ in range(3)] == ["b2", "b3", "a2"]
    assert box.dropped == 2
