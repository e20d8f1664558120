# SPDX-License-Identifier: Apache-2.0
"""What `~/set_training` says, without a node."""

from concurrent.futures import Future

import pytest
from std_srvs.srv import SetBool

from lerf_ros.config import Config
from lerf_ros.ros.services.training import TrainingService
from lerf_ros.ros.settings import Settings


@pytest.mark.parametrize(
    ("go_on", "inactive", "told"),
    [
        (True, False, "training goes on"),
        (True, True, "training goes on once the node is activated"),
        (False, False, "training pauses; queries are still answered"),
        (False, True, "training pauses; queries are still answered"),
    ],
)
def test_an_inactive_node_does_not_claim_to_train(go_on: bool, inactive: bool, told: str) -> None:
    wishes: list[bool] = []

    def set_training(enabled: bool) -> "Future[None]":
        wishes.append(enabled)
        done: Future[None] = Future()
        done.set_result(None)
        return done

    service = TrainingService(Settings(Config()), set_training, lambda: inactive)
    response = service(SetBool.Request(data=go_on), SetBool.Response())
    assert response.success
    assert response.message == told
    assert wishes == [go_on]
