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
    m.add("depth", 9, "d")
    assert m.add("image", 10, "i") == [{"image": "i", "info": "near", "depth": "d"}]


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
    assert m.add("image", 12, "b") == [{"image": "b", "info": "c"}]


def test_after_a_jump_back_in_time_matching_goes_on_whatever_arrives_first() -> None:
    m = matcher(slop=0)
    for order, stamp in (("cdi", 1000), ("idc", 10), ("cid", 20), ("dic", 30)):
        for stream in order:
            m.add({"c": "info", "d": "depth", "i": "image"}[stream], stamp, stream)
    assert m.matched == 4
    assert m.dropped == {}
