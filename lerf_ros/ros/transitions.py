# SPDX-License-Identifier: Apache-2.0
"""Transitions that the node's state does not have are refused; rclpy as it is would end the node with an exception."""

import logging

from lifecycle_msgs.srv import ChangeState
from rclpy.impl.implementation_singleton import rclpy_implementation
from rclpy.lifecycle import LifecycleNode

RCLError: type[Exception] = rclpy_implementation.RCLError

_log = logging.getLogger(__name__)


def refuse_wrong_transitions(node: LifecycleNode) -> None:
    """Answer `~/change_state` with `success: false` where the transition is not possible, and log why."""
    service = node._service_change_state
    change = service.callback

    def guarded(request: ChangeState.Request, response: ChangeState.Response) -> ChangeState.Response:
        state = node._state_machine.current_state[1]
        try:
            answer: ChangeState.Response = change(request, response)
        except RCLError as error:
            wanted = request.transition.label or request.transition.id
            _log.warning("transition %r refused: the node is %s (%s)", wanted, state, str(error).splitlines()[0])
            response.success = False
            return response
        return answer

    service.callback = guarded
