"""Whether torch can compute on a device, said in a line before models are loaded."""

from __future__ import annotations

import torch


def check_device(name: str) -> None:
    """Try a torch device, such as ``cpu`` or ``cuda:0``.

    Raises:
        ValueError: there is no such device, or this build of torch cannot use it.
    """
    try:
        torch.zeros(1, device=name)
    except (AssertionError, RuntimeError) as error:
        # A build without CUDA asserts that it has it.
        why = str(error).partition("\n")[0]
        raise ValueError(
            f"device {name!r} cannot be used ({why}); take cpu or a GPU of this machine"
        ) from error
