"""Pictures of head motion: motion maps of real and generated windows, speeds and spectra."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from torch import Tensor

from hmgen_ros.evaluation.motion_metrics import Dynamics
from hmgen_ros.evaluation.motion_raster import RasterSettings, exponential_weights, motion_map
from hmgen_ros.types import TICK_HZ

#: Windows of each row of motion maps.
COLUMNS = 6
_DPI = 80
#: Colours of jaw, brows/eyes/nose and mouth on black.
_COLOURS = np.array([[0.35, 0.75, 1.0], [1.0, 0.85, 0.35], [1.0, 0.4, 0.5]])
#: Raster of the pictures: larger faces than those of the metrics, for eyes.
_SETTINGS = RasterSettings(canvas=160, face=42.0, lines=True)


def draw_motion_maps(windows: Mapping[str, Tensor], path: Path) -> Path:
    """A row of motion maps for each name; the brighter, the later.

    Args:
        windows: ``[W, T, 68, 2]`` in head frames, at least :data:`COLUMNS` each.
        path: the PNG to write; its folder must exist.

    Returns:
        The path.

    Raises:
        ValueError: a row has too few windows.
    """
    figure = Figure(figsize=(1.6 * COLUMNS, 1.6 * len(windows)), dpi=_DPI)
    axes = figure.subplots(len(windows), COLUMNS, squeeze=False)
    for row, (name, motion) in zip(axes, windows.items(), strict=True):
        if len(motion) < COLUMNS:
            raise ValueError(f"{name} has {len(motion)} windows, {COLUMNS} are drawn")
        chosen = motion[np.linspace(0, len(motion) - 1, COLUMNS).astype(int)]
        maps = motion_map(chosen, exponential_weights(chosen.shape[1]), _SETTINGS).numpy()
        for axis, one in zip(row, maps, strict=True):
            # The root lifts what is faint, or only the last frame would be seen.
            picture = np.einsum("chw,cx->hwx", np.sqrt(one), _COLOURS).clip(0.0, 1.0)
            axis.imshow(picture, interpolation="nearest")
            axis.set(xticks=[], yticks=[])
        row[0].set_ylabel(name)
    figure.tight_layout(pad=0.3)
    figure.savefig(path)
    return path


def draw_dynamics(windows: Mapping[str, Tensor], path: Path) -> Path:
    """Distribution of the yaw's speed and power spectrum of pitch, a line for each name.

    Args:
        windows: ``[W, T, 68, 2]`` in head frames.
        path: the PNG to write; its folder must exist.

    Returns:
        The path.
    """
    figure = Figure(figsize=(9.0, 3.4), dpi=_DPI)
    speeds, spectra = figure.subplots(1, 2)
    for name, motion in windows.items():
        found = Dynamics.of(motion)
        style = {"color": "black", "linewidth": 2.0} if name == "real" else {"linewidth": 1.0}
        yaw = np.degrees(found.changes[0][:, 0])
        speeds.plot(yaw, 1.0 - np.linspace(0.0, 1.0, len(yaw)), label=name, **style)
        frequency = np.fft.rfftfreq(motion.shape[1], 1.0 / TICK_HZ)[1:]
        spectra.plot(frequency, 10.0 * np.log10(found.power[:, 1] + 1e-12), label=name, **style)
    speeds.set(xscale="log", xlim=(0.1, 300.0), xlabel="speed of yaw, °/s", ylabel="share of ticks above it")
    spectra.set(xlabel="frequency of pitch, Hz", ylabel="power, dB")
    spectra.legend(fontsize=7)
    figure.tight_layout()
    figure.savefig(path)
    return path
