"""The values that flow through the house: frames in, people in the middle, forecasts out.

Every type here is a frozen dataclass without behaviour beyond validation, so that a bag replay, a
camera and a test can all feed the same code. Stamps are integer nanoseconds of the source's clock and
are carried through unchanged; arrays are numpy, images are BGR.
"""

from hmgen_ros.types.actions import (
    CONCURRENT_ACTIONS,
    NUM_ACTIONS,
    UNKNOWN_MASK,
    Action,
    action_mask,
    actions_of,
    mask_label,
)
from hmgen_ros.types.counts import (
    Counts,
)
from hmgen_ros.types.forecasts import (
    ActionForecast,
    ActionOutlook,
    HeadMotion,
    SpeakerOutlook,
)
from hmgen_ros.types.seen import (
    AudioChunk,
    Face,
    Frame,
    HeadPose,
    Person,
    Presence,
    PresenceEvent,
    Scene,
)
from hmgen_ros.types.ticks import (
    NUM_LANDMARKS,
    TICK_HZ,
    TICK_NS,
)

__all__ = [
    "CONCURRENT_ACTIONS",
    "NUM_ACTIONS",
    "NUM_LANDMARKS",
    "TICK_HZ",
    "TICK_NS",
    "UNKNOWN_MASK",
    "Action",
    "ActionForecast",
    "ActionOutlook",
    "AudioChunk",
    "Counts",
    "Face",
    "Frame",
    "HeadMotion",
    "HeadPose",
    "Person",
    "Presence",
    "PresenceEvent",
    "Scene",
    "SpeakerOutlook",
    "action_mask",
    "actions_of",
    "mask_label",
]
