"""What the nodes around a predictor share: people in, one model, a forecast a tick."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, Generic, Protocol, TypeVar

from rclpy.parameter import Parameter

from hmgen_ros.msg import People
from hmgen_ros.nodes.base import HmgenNode, SetupError
from hmgen_ros.nodes.conversions import scene_from_people
from hmgen_ros.nodes.qos import PREDICTIONS
from hmgen_ros.timing import StageTimes
from hmgen_ros.torch_device import check_device
from hmgen_ros.types import Scene


class Forecaster(Protocol):
    """What is served: see hmgen_ros.generators.group_forecaster and head_forecaster."""

    def reset(self) -> None:
        """Forget everybody."""

    def warm_up(self) -> None:
        """Run once, so that the first real tick is as fast as the rest."""


Served = TypeVar("Served", bound=Forecaster)


class PredictorNode(HmgenNode, Generic[Served]):
    """Feeds the people of each tick to a forecaster.

    Attributes:
        times: stages of a tick.
    """

    def __init__(self, name: str, local: bool, overrides: list[Parameter[Any]] | None) -> None:
        """See HmgenNode."""
        super().__init__(name, local, overrides)
        self.times = StageTimes()
        self._forecaster: Served | None = None
        self._present = 0

    @property
    def awaits_people(self) -> bool:
        """Whether there is nothing to do without people."""
        return True

    @abstractmethod
    def load(self) -> Served:
        """Make the forecaster from the parameters; raises ValueError, RuntimeError or OSError."""

    @abstractmethod
    def forecast(self, forecaster: Served, scene: Scene) -> None:
        """Forecast from one more tick and publish."""

    def setup(self) -> None:
        """Load and warm the model."""
        try:
            check_device(self.param("device"))
            self._forecaster = self.load()
            self._forecaster.warm_up()
        except (ValueError, RuntimeError, OSError) as error:
            raise SetupError(f"the predictor cannot start: {error}") from error

    def teardown(self) -> None:
        """Drop the model."""
        self._forecaster = None

    def start(self) -> None:
        """Subscribe to the people; nobody is remembered from before."""
        super().start()
        if self._forecaster is not None:
            self._forecaster.reset()
        if not self.local:
            self.subscribe(People, "people", PREDICTIONS, self._on_people, awaited=self.awaits_people)

    def _on_people(self, message: People) -> None:
        scene, bad = scene_from_people(message)
        for error in bad:
            self.warn(error.cause, f"ignored a part of people: {error}")
        self.predict(scene)

    def predict(self, scene: Scene) -> None:
        """Forecast from one more tick and publish."""
        self._present = len(scene.people)
        if self._forecaster is not None:
            self.forecast(self._forecaster, scene)
            self.observe_latency(scene.stamp_ns)

    def details(self) -> dict[str, object]:
        """Which model runs where, for how many, and its time."""
        named = {f"stage/{name}_ms": f"{ms:.2f}" for name, ms in self.times.mean_ms().items()}
        return {
            "model": self.param("model"),
            "device": self.param("device"),
            "people": self._present,
            **named,
        }
