# SPDX-License-Identifier: Apache-2.0
from lerf_ros.ros.cameras.sync import StampMatcher


def matcher(slop: int = 2, size: int = 3) -> StampMatcher[str]:
    return StampMatcher("image", ["info", "depth"], slop, size)


def test_exact_stamps_match_whatever_the_order_of_arrival() -> None:
    m = matcher(slop=0)
    assert m.add("depth", 10, "d") == []
    assert m.add("image", 10, "i") == []
    assert m.add("info", 10, "c") == [{"image": "i", "info": "c", "depth": "d"}]
    assert m.matched == 1
    assert m.dropped == {}


def test_the_nearest_within_the_slop_is_taken() -> None:
    m = matcher()
    m.add("info", 8, "far")
    m.add("info", 11, "near")
    m.add("depth", 11, "d")
    assert m.add("image", 10, "i") == [{"image": "i", "info": "near", "depth": "d"}]


def test_what_may_still_be_nearer_is_waited_for() -> None:
    """A depth camera twice as fast: its image before comes first, the one of the same moment a little later."""
    m: StampMatcher[str] = StampMatcher("image", ["depth"], 20, 3)
    m.add("depth", 89, "of before")
    assert m.add("image", 100, "i") == []
    assert m.add("depth", 101, "of the moment") == [{"image": "i", "depth": "of the moment"}]


def test_one_before_is_taken_once_nothing_nearer_can_come() -> None:
    m: StampMatcher[str] = StampMatcher("image", ["depth"], 20, 3)
    m.add("depth", 95, "d")
    assert m.add("image", 100, "i") == []
    assert m.add("depth", 128, "e") == [{"image": "i", "depth": "d"}]


def test_it_is_not_waited_for_longer_than_there_is_room() -> None:
    m: StampMatcher[str] = StampMatcher("image", ["depth"], 20, 2)
    m.add("depth", 99, "the last one ever")
    sets = [m.add("image", 100 + n, f"i{n}") for n in range(5)]
    assert sets == [[], [], *([{"image": f"i{n}", "depth": "the last one ever"}] for n in range(3))]
    assert m.dropped == {}


def test_clearing_forgets_what_waits_and_no_count() -> None:
    m = matcher(slop=0)
    for stream in ("info", "depth", "image"):
        m.add(stream, 10, stream)
    m.add("image", 20, "i")
    m.clear()
    assert m.add("info", 20, "c") == m.add("depth", 20, "d") == []
    assert m.add("image", 20, "again") == [{"image": "again", "info": "c", "depth": "d"}]
    assert m.matched == 2


def test_beyond_the_slop_nothing_matches_and_the_image_is_counted() -> None:
    m = matcher()
    m.add("info", 10, "c")
    m.add("image", 10, "i")
    assert m.add("depth", 13, "d") == [], "depth has gone past the image"
    assert m.dropped == {"no_depth": 1}
    assert m.closest_miss_ns == {"depth": 3}


def test_images_without_partners_are_bounded_and_counted() -> None:
    m = matcher(size=3)
    for stamp in range(10):
        m.add("image", 100 * stamp, "i")
    assert m.dropped == {"no_info": 7}


def test_several_images_complete_at_once_in_order() -> None:
    m = matcher()
    for stamp in (10, 20):
        m.add("image", stamp, f"i{stamp}")
        m.add("info", stamp, f"c{stamp}")
    assert m.add("depth", 20, "d20") == [{"image": "i20", "info": "c20", "depth": "d20"}]
    assert m.dropped == {"no_depth": 1}


def test_one_info_may_serve_two_images_within_its_slop() -> None:
    m: StampMatcher[str] = StampMatcher("image", ["info"], 5, 3)
    m.add("info", 10, "c")
    assert m.add("image", 8, "a") == [{"image": "a", "info": "c"}]
    assert m.add("image", 12, "b") == []
    assert m.add("info", 30, "d") == [{"image": "b", "info": "c"}]


def test_after_a_jump_back_in_time_matching_goes_on_whatever_arrives_first() -> None:
    m = matcher(slop=0)
    for order, stamp in (("cdi", 1000), ("idc", 10), ("cid", 20), ("dic", 30)):
        for stream in order:
            m.add({"c": "info", "d": "depth", "i": "image"}[stream], stamp, stream)
    assert m.matched == 4
    assert m.dropped == {}


def test_misses_are_those_since_the_last_match() -> None:
    m: StampMatcher[str] = StampMatcher("image", ["depth"], 2, 2)
    m.add("image", 7, "i")
    m.add("depth", 10, "d")
    assert m.closest_miss_ns == {"depth": 3}
    m.add("image", 10, "i")
    assert (m.matched, m.closest_miss_ns) == (1, {})
    for stamp in (20, 30, 40, 50):
        m.add("image", stamp, "i")
    assert m.closest_miss_ns == {}, "depth has stopped: the last one there was is no near miss"
    m.add("depth", 65, "d")
    assert m.closest_miss_ns == {"depth": 15}
    m.clear()
    assert m.closest_miss_ns == {}
