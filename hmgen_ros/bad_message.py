"""What is raised where a message cannot be used."""

from __future__ import annotations


class BadMessage(ValueError):
    """A message that cannot be used.

    Attributes:
        cause: short name to count it by.
    """

    def __init__(self, cause: str, text: str) -> None:
        super().__init__(text)
        self.cause = cause
