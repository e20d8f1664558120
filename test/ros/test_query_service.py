# SPDX-License-Identifier: Apache-2.0
"""What the service makes of requests, without DDS."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from geometry_msgs.msg import Point

from lerf_ros.config import Config
from lerf_ros.core import query as core_query
from lerf_ros.core.calibration import Calibration
from lerf_ros.core.query import QueryRequest
from lerf_ros.msg import QueryResult
from lerf_ros.ros.poses.tf_buffer import TfBuffer
from lerf_ros.ros.services import query as query_service
from lerf_ros.ros.services.query import QueryService
from lerf_ros.ros.settings import Settings
from lerf_ros.srv import Query


class SilentEncoder:
    """Has what the protocol asks for; is never called before there is a map."""

    name = "silent"
    sha256 = ""
    embed_dim = 4
    image_size = 8
    calibration = Calibration()

    def encode_images(self, crops: np.ndarray) -> np.ndarray:
        raise NotImplementedError

    def encode_texts(self, phrases: Sequence[str]) -> np.ndarray:
        raise NotImplementedError


def asked(monkeypatch: pytest.MonkeyPatch, request: Query.Request, buffer: TfBuffer | None = None) -> QueryRequest:
    """Return the core request a message becomes."""
    caught: list[QueryRequest] = []

    def answer(snapshot: object, core: QueryRequest, *_: object) -> tuple[()]:
        caught.append(core)
        return ()

    monkeypatch.setattr(query_service, "answer", answer)
    response = service(buffer=buffer)(request, Query.Response())
    assert caught, response.message
    return caught[0]


def service(snapshot: Any = lambda: None, buffer: TfBuffer | None = None) -> QueryService:
    return QueryService(Settings(Config()), SilentEncoder(), snapshot, buffer or TfBuffer(), lambda: 5_000_000_001)


def test_zero_corners_mean_everywhere(monkeypatch: pytest.MonkeyPatch) -> None:
    assert asked(monkeypatch, Query.Request(prompts=["a"])).region is None


def test_a_region_in_another_frame_is_searched_in_the_world(monkeypatch: pytest.MonkeyPatch) -> None:
    buffer = TfBuffer()
    T_base_shelf = np.array([[0, -1, 0, 10], [1, 0, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1.0]])
    buffer.add("base_link", "shelf", 0, T_base_shelf, static=True)
    request = Query.Request(
        prompts=["a"],
        region_frame="shelf",
        region_min=Point(x=0.0, y=1.0, z=2.0),
        region_max=Point(x=3.0, y=5.0, z=4.0),
    )
    low, high = asked(monkeypatch, request, buffer).region
    assert low == pytest.approx((5.0, 0.0, 2.0))
    assert high == pytest.approx((9.0, 3.0, 4.0))


@pytest.mark.parametrize(
    "request_",
    [
        Query.Request(prompts=["a", "b"], region_min=Point(x=1.0), region_max=Point(x=0.5, y=1.0, z=1.0)),
        Query.Request(prompts=["a", "b"], region_max=Point(x=float("nan"), y=1.0, z=1.0)),
        Query.Request(prompts=["a", "b"], region_max=Point(x=1.0, y=1.0, z=1.0), region_frame="nowhere"),
        Query.Request(prompts=["a", "b"], target_frame="nowhere"),
    ],
)
def test_a_bad_request_is_answered_with_a_reason(request_: Query.Request) -> None:
    response = service()(request_, Query.Response())
    assert [r.status for r in response.results] == [QueryResult.BAD_REQUEST] * 2
    assert [r.prompt for r in response.results] == ["a", "b"]
    assert "region" in response.message or "nowhere" in response.message


def test_no_prompts_is_a_bad_request() -> None:
    response = service()(Query.Request(), Query.Response())
    assert len(response.results) == 0
    assert "no prompts" in response.message


def test_a_raising_core_is_an_internal_error_not_a_dead_node(monkeypatch: pytest.MonkeyPatch) -> None:
    def explode(*_: object) -> None:
        raise ZeroDivisionError("oops")

    monkeypatch.setattr(query_service, "answer", explode)
    response = service()(Query.Request(prompts=["a"]), Query.Response())
    assert response.results[0].status == QueryResult.INTERNAL
    assert response.message == "ZeroDivisionError: oops"


def test_before_the_first_snapshot_the_answer_is_not_ready() -> None:
    response = service()(Query.Request(prompts=["red mug"]), Query.Response())
    assert response.results[0].status == core_query.Status.NOT_READY
    assert response.map_stamp.sec == 0
    assert response.header.frame_id == "base_link"


def test_an_answer_in_another_frame_is_stamped_with_now() -> None:
    buffer = TfBuffer()
    buffer.add("base_link", "tool", 0, np.eye(4), static=True)
    response = service(buffer=buffer)(Query.Request(prompts=["a"], target_frame="tool"), Query.Response())
    assert (response.header.frame_id, response.header.stamp.sec, response.header.stamp.nanosec) == ("tool", 5, 1)
