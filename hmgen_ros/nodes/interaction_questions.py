"""The service ``~/predict_interaction``: futures of the people in view, or of a history that is told."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from functools import partial
from typing import Any, TypeAlias

import numpy as np
from rclpy.callback_groups import ReentrantCallbackGroup

from hmgen_ros.generators.group_forecaster import GroupForecast, GroupForecaster, GroupMoment
from hmgen_ros.generators.group_question import BadQuestion, GroupQuestion, answer
from hmgen_ros.nodes.background import Background
from hmgen_ros.nodes.base import HmgenNode
from hmgen_ros.nodes.forecast_conversion import action_message, interaction_message, speaker_message
from hmgen_ros.srv import PredictInteraction

# rosidl gives the parts of a service no type that a checker could follow.
Request: TypeAlias = Any
Response: TypeAlias = Any

#: Questions that may wait for an answer.
_MOST_WAITING = 16


class InteractionQuestions:
    """Serves a node's forecaster to whoever asks; predictions at 25 Hz go on meanwhile."""

    def __init__(self, node: HmgenNode, forecaster: Callable[[], GroupForecaster | None]) -> None:
        """Offer the service.

        Args:
            node: with the parameters ``horizon_s`` and ``samples``.
            forecaster: the present one, None where there is none.
        """
        self._node, self._forecaster = node, forecaster
        self._background = Background(node, "questions")
        node.create_service(
            PredictInteraction,
            "~/predict_interaction",
            self._answer,
            callback_group=ReentrantCallbackGroup(),
        )

    async def _answer(self, request: Request, response: Response) -> Response:
        try:
            question = self._question(request)
            forecaster, present = self._present()
            found = await self._background.run(partial(answer, forecaster, present, question))
        except BadQuestion as error:
            self._node.warn("bad_question", f"a question has no answer: {error}")
            response.message = str(error)
        except Exception:
            self._node.warn("internal_error", f"a defect in an answer:\n{traceback.format_exc()}")
            response.message = f"a defect in {self._node.get_name()}; its log tells more"
        else:
            told = question.masks is not None
            _fill(response, found, "" if told or present is None else present.frame_id)
        return response

    def _question(self, request: Request) -> GroupQuestion:
        if self._background.waiting >= _MOST_WAITING:
            raise BadQuestion(f"{_MOST_WAITING} questions wait already: ask again later")
        node = self._node
        return question_from_request(request, node.param("horizon_s"), node.param("samples"))

    def _present(self) -> tuple[GroupForecaster, GroupMoment | None]:
        with self._node.lock:
            forecaster = self._forecaster() if self._node.active else None
            if forecaster is None:
                raise BadQuestion(f"{self._node.get_name()} is not active: activate it first")
            return forecaster, forecaster.moment


def question_from_request(request: Request, horizon_s: float, samples: int) -> GroupQuestion:
    """What is asked.

    Args:
        request: the message.
        horizon_s: for a horizon of 0, s.
        samples: for 0 samples.

    Raises:
        BadQuestion: it cannot be answered by anybody.
    """
    ids, told = tuple(request.person_ids), np.asarray(request.history, np.uint16)
    masks = None
    if len(told):
        if not ids or len(told) % len(ids):
            raise BadQuestion(
                f"the history has {len(told)} values, which is no whole number of ticks of {len(ids)} people"
            )
        masks = told.reshape(-1, len(ids))
    return GroupQuestion(ids, masks, request.horizon or horizon_s, request.samples or samples, request.seed)


def _fill(response: Response, found: GroupForecast, frame_id: str) -> None:
    response.success = True
    response.interaction = interaction_message(found.forecast, frame_id)
    response.actions = [action_message(action, frame_id) for action in found.actions]
    response.next_speaker = speaker_message(found.speaker, frame_id)
