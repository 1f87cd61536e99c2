"""Where behaviours of a tree find what is known: one behaviour writes it, all others read it."""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from typing import Any

from py_trees.behaviour import Behaviour
from py_trees.blackboard import Client
from py_trees.common import Access, Status

from hmgen_ros.behaviours.signals import Snapshot
from hmgen_ros.types import ActionForecast, Scene, SpeakerOutlook


class Keys(StrEnum):
    """Keys of the blackboard.

    The first four are written by :class:`ReadConversation`; the others by the conditions of the same names,
    each of which can be told to write another one, and hold a person's id, "" for nobody.
    """

    NOW_NS = "/hmgen/now_ns"
    SCENE = "/hmgen/scene"
    FORECAST = "/hmgen/forecast"
    NEXT_SPEAKER = "/hmgen/next_speaker"

    ABOUT_TO_SPEAK = "/hmgen/about_to_speak"
    ABOUT_TO_PAUSE = "/hmgen/about_to_pause"
    ADDRESSED_BY = "/hmgen/addressed_by"
    LAUGHING = "/hmgen/laughing"
    YIELD_TO = "/hmgen/yield_to"


_INPUTS = (Keys.NOW_NS, Keys.SCENE, Keys.FORECAST, Keys.NEXT_SPEAKER)


class ReadConversation(Behaviour):
    """Writes what is known to the blackboard; to be ticked before whatever reads it.

    FAILURE until people have been told of for the first time, also where nobody is there; then SUCCESS.
    """

    def __init__(self, name: str, source: Callable[[], Snapshot]) -> None:
        """With nothing written.

        Args:
            name: of the behaviour.
            source: tells what is known; called once a tick.
        """
        super().__init__(name)
        self._source = source
        self._blackboard = self.attach_blackboard_client(name)
        for key in _INPUTS:
            self._blackboard.register_key(key, Access.WRITE)

    def update(self) -> Status:
        """See the class."""
        found = self._source()
        for key, value in zip(
            _INPUTS, (found.now_ns, found.scene, found.forecast, found.speaker), strict=True
        ):
            self._blackboard.set(key, value)
        if found.scene is None:
            self.feedback_message = "no people have been told of yet"
            return Status.FAILURE
        self.feedback_message = f"{len(found.scene.people)} people"
        return Status.SUCCESS


class ConversationReader:
    """Reads the blackboard for one behaviour."""

    def __init__(self, client: Client) -> None:
        """Register the keys.

        Args:
            client: of the behaviour.
        """
        self._client = client
        for key in _INPUTS:
            client.register_key(key, Access.READ)

    def snapshot(self) -> Snapshot:
        """What was written last; nothing where nobody has written."""
        now_ns: int = self._get(Keys.NOW_NS) or 0
        scene: Scene | None = self._get(Keys.SCENE)
        forecast: ActionForecast | None = self._get(Keys.FORECAST)
        speaker: SpeakerOutlook | None = self._get(Keys.NEXT_SPEAKER)
        return Snapshot(now_ns, scene, forecast, speaker)

    def _get(self, key: Keys) -> Any:
        return self._client.get(key) if self._client.exists(key) else None
