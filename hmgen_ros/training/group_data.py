"""The meetings that forecasters of whole groups learn from and are measured on."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from lightning_fabric.fabric import Fabric
from numpy.typing import NDArray
from rich.console import Console

from hmgen_ros.data.ami import complete_meetings, headless_meetings
from hmgen_ros.data.preparation import PreparationConfig, Prepared, prepare
from hmgen_ros.generators.action_space import ActionSpace
from hmgen_ros.generators.group_attention import GroupAttention
from hmgen_ros.training.forecast_validation import ForecastValidation
from hmgen_ros.training.group_samples import GroupSamples, SampleConfig, collect, join
from hmgen_ros.training.group_validation import GroupValidation
from hmgen_ros.training.social_validation import SocialValidation, inception_net

#: Ticks of the futures that are described, as of the chapter's systems at T = 40.
TARGET = 40


@dataclass(frozen=True, slots=True)
class GroupData:
    """Meetings as symbols, ``[T, N]`` int64 each.

    Attributes:
        prepared: windows of the completely annotated training meetings.
        complete: those meetings.
        headless: training meetings without head annotation.
        windows: of the validation meetings.
        held_out: those meetings.
    """

    prepared: Prepared
    complete: list[NDArray[np.int64]]
    headless: list[NDArray[np.int64]]
    windows: Prepared
    held_out: list[NDArray[np.int64]]

    @classmethod
    def read(
        cls, corpus: Path, headless: bool, share: float, limit: int, space: ActionSpace | None = None
    ) -> GroupData:
        """Read the training and the validation part.

        Args:
            corpus: folder of rasters.
            headless: read the meetings without head annotation, too.
            share: the action space takes the most common joint actions up to this part of all ticks.
            limit: at most so many.
            space: the action space of a model that exists.

        Raises:
            hmgen_ros.data.ami.CorpusError: the data are missing or damaged.
        """
        preparation = PreparationConfig(target=TARGET, share=share, limit=limit, other=False)
        training = [meeting.masks for meeting in complete_meetings(corpus, "train")]
        held_out = [meeting.masks for meeting in complete_meetings(corpus, "validation")]
        prepared = prepare(training, preparation, space)
        more = [meeting.masks for meeting in headless_meetings(corpus, "train")] if headless else []
        encoded = ([prepared.space.encode_array(m) for m in part] for part in (training, more, held_out))
        complete, without_heads, validation = encoded
        windows = prepare(held_out, preparation, prepared.space)
        return cls(prepared, complete, without_heads, windows, validation)

    def samples(self, model: GroupAttention, quiet: float, seed: int) -> GroupSamples:
        """Samples of all training meetings."""
        chosen = SampleConfig(quiet, model.config.max_age, seed)
        parts = [collect(self.complete, False, model, chosen)]
        if self.headless:
            parts.append(collect(self.headless, True, model, chosen))
        return join(parts)

    def validation(
        self,
        folder: Path,
        fabric: Fabric,
        console: Console,
        windows: int = 500,
        stride: int = 100,
        samples: int = 32,
        sfid_iterations: int = 1000,
    ) -> GroupValidation:
        """What a forecaster is measured with.

        Args:
            folder: of the run folders, for the network behind SFID where none is shipped.
            fabric: the first process trains it.
            console: for the progress.
            windows: so many futures are described.
            stride: ticks between two forecasts.
            samples: futures of each forecast.
            sfid_iterations: of the training of that network.

        Raises:
            ValueError: a meeting is too short for one forecast.
        """
        net = inception_net(self.prepared, sfid_iterations, folder, fabric, console)
        return GroupValidation(
            ForecastValidation.of(self.held_out, stride, samples),
            SocialValidation.of(net, self.prepared, self.windows, windows),
        )
