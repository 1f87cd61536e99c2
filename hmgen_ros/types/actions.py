"""What people can be seen or heard doing, alone or at the same time."""

from __future__ import annotations

from enum import IntEnum


class Action(IntEnum):
    """What a person can be seen or heard doing; the same codes as the message constants.

    Codes 1 to 8 are the thesis' eight actions (section 3.4); taking notes comes from the AMI corpus.
    Several may hold at once, so a person's state is a bit mask over codes (see :func:`action_mask`).
    """

    NONE = 0
    SPEAKING = 1
    LAUGHING = 2
    HEAD_GESTURE = 3
    HAND_GESTURE = 4
    STEPPING = 5
    WALKING = 6
    DRINKING = 7
    HAIR_TOUCHING = 8
    TAKING_NOTES = 9
    UNKNOWN = 255

    @property
    def label(self) -> str:
        """Lower-case name as it is published and printed, e.g. ``"hand_gesture"``."""
        return self.name.lower()


#: Actions that can hold at the same time as others: every code but NONE and UNKNOWN.
CONCURRENT_ACTIONS = tuple(a for a in Action if a not in (Action.NONE, Action.UNKNOWN))
#: Length of a probability vector indexed by action code (NONE included, UNKNOWN not).
NUM_ACTIONS = 1 + len(CONCURRENT_ACTIONS)
#: The mask of a person whose actions cannot be observed (occluded, out of view, no track).
UNKNOWN_MASK = 0x8000


def action_mask(*actions: Action) -> int:
    """Bit mask of concurrent actions: bit ``code`` is set for each action; 0 means none of them."""
    if Action.UNKNOWN in actions:
        return UNKNOWN_MASK
    return sum(1 << a for a in set(actions) if a is not Action.NONE)


def actions_of(mask: int) -> tuple[Action, ...]:
    """The actions in a mask, lowest code first; ``(UNKNOWN,)`` or ``(NONE,)`` where none is set."""
    if mask & UNKNOWN_MASK:
        return (Action.UNKNOWN,)
    return tuple(a for a in CONCURRENT_ACTIONS if mask >> a & 1) or (Action.NONE,)


def mask_label(mask: int) -> str:
    """Readable name of a mask, e.g. ``"speaking+hand_gesture"``, ``"none"`` or ``"unknown"``."""
    return "+".join(a.label for a in actions_of(mask))
