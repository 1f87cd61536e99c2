"""The discriminators of the thesis' chapter 3: is this continuation of an interaction real?

Two streams with networks of their own, one that judges each person alone and one that judges the group
after pooling over people (3.7). The kinds of network are in :mod:`hmgen_ros.training.social_streams`.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from hmgen_ros.training.social_streams import NETWORKS, DiscriminatorConfig

__all__ = ["DiscriminatorConfig", "SocialDiscriminator"]


class SocialDiscriminator(nn.Module):
    """``D_indiv + λ_inter D_inter`` (3.7), with the streams of the configuration.

    Args:
        actions: size ``A`` of the action space.
        config: sizes and options.
    """

    def __init__(self, actions: int, config: DiscriminatorConfig | None = None) -> None:
        super().__init__()
        self.config = config or DiscriminatorConfig()
        network = NETWORKS[self.config.kind]
        self.networks = nn.ModuleDict(
            {name: network(actions, self.config, pooled=name == "inter") for name in self.config.streams}
        )

    def forward(self, observed: Tensor, future: Tensor, present: Tensor) -> Tensor:
        """Scores of continuations, high for real ones; arguments as of :meth:`stream_scores`.

        Returns:
            ``[B]`` or ``[M, B]``.
        """
        scores = self.stream_scores(observed, future, present)
        weights = {"indiv": 1.0, "inter": self.config.lambda_inter}
        return torch.stack([weights[name] * score for name, score in scores.items()]).sum(0)

    def stream_scores(self, observed: Tensor, future: Tensor, present: Tensor) -> dict[str, Tensor]:
        """Scores of each stream; "indiv" is the mean over the people present.

        Args:
            observed: ``[B, t_obs, N, A]`` one-hot; zero rows where a person was not seen.
            future: ``[B, T, N, A]`` one-hot or soft; or ``[M, B, T, N, A]``, several continuations of the
                same observed parts, which cost less together.
            present: ``[B, N]`` bool; the others are left out, whatever their rows say.

        Returns:
            ``[B]`` or ``[M, B]`` by stream; a person or group that is not there scores 0 in "indiv".

        Raises:
            ValueError: the shapes fit neither the configuration nor each other.
        """
        several = future if future.dim() == 5 else future.unsqueeze(0)
        self._check(observed, several, present)
        x, y = observed.transpose(0, 1), several.movedim(2, 0)  # [t_obs, B, N, A], [T, M, B, N, A]
        scores = {name: network(x, y, present) for name, network in self.networks.items()}
        if "indiv" in scores:
            people = present.sum(-1).clamp(min=1)
            scores["indiv"] = scores["indiv"].masked_fill(~present, 0.0).sum(-1) / people
        return scores if future.dim() == 5 else {name: score[0] for name, score in scores.items()}

    def _check(self, observed: Tensor, future: Tensor, present: Tensor) -> None:
        batch, people, actions = observed.shape[0], observed.shape[-2], observed.shape[-1]
        wanted = (batch, self.config.steps, people, actions)
        if (
            observed.shape[1] != self.config.observed
            or future.shape[1:] != wanted
            or present.shape != (batch, people)
        ):
            raise ValueError(
                f"observed {tuple(observed.shape)}, future {tuple(future.shape)} and present "
                f"{tuple(present.shape)} do not fit {self.config.observed} and {self.config.steps} ticks"
            )
