"""What generators and syncers hear: numbers of windows of sound, on the clock of landmark tracks."""

from __future__ import annotations

from typing import Literal, get_args

from hmgen_ros.types.ticks import TICK_HZ

#: Mel-frequency cepstral coefficients, or the logarithms of mel bands.
Kind = Literal["mfcc", "logmel"]
KINDS: tuple[Kind, ...] = get_args(Kind)

SOUND_RATE = 16_000
#: Samples of a window, and from one to the next: 25 and 10 ms.
WINDOW, HOP = 400, 160
#: Numbers of a window, and windows a tick.
FEATURES, STEPS = 26, 4
TICK_SAMPLES = SOUND_RATE // TICK_HZ
#: The first window of a tick begins so many samples before it, the last one ends so many after it.
BEFORE = (WINDOW - HOP) // 2
AFTER = WINDOW - HOP - BEFORE
#: Seconds of sound after a tick that its features look at.
LOOK_AHEAD_S = AFTER / SOUND_RATE
