"""Weights in the form in which a tick uses them.

A tick of a small model spends more time on the calling of operations than on numbers. Factors and orders of
rows that would each be an operation a tick are therefore worked into the weights beforehand.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from typing import Any, Generic, Self, TypeVar

import torch
from torch import Tensor, nn

Form = TypeVar("Form")


class Prepared(nn.Module, Generic[Form]):
    """A module whose weights have another form for ticks.

    While training, the form is to be asked for once a sequence, and gradients pass through it. Else it is
    made once and kept, until the weights are loaded, moved or trained; who changes them in another way calls
    :meth:`changed`.
    """

    _form: Form | None = None

    @abstractmethod
    def prepare(self) -> Form:
        """Make the form."""

    @property
    def prepared(self) -> Form:
        """The form."""
        if self.training or torch.is_grad_enabled():
            return self.prepare()
        if self._form is None:
            self._form = self.prepare()
        return self._form

    def changed(self) -> None:
        """The weights are others than before."""
        self._form = None

    def train(self, mode: bool = True) -> Self:
        """Begin or end training."""
        self.changed()
        return super().train(mode)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        self.changed()
        moved: Self = super()._apply(fn, recurse)
        return moved

    def _load_from_state_dict(self, *given: Any) -> None:
        self.changed()
        super()._load_from_state_dict(*given)
