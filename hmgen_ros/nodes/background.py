"""A thread for answers that take longer than a tick, awaited by callbacks without holding up the executor.

rclpy resumes a coroutine whenever its executor is woken; a future of its own does not wake it when another
thread sets the result, so that is done here. Services and actions answered this way need a callback group of
their own: while a coroutine waits, its group is busy.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from rclpy.node import Node
from rclpy.task import Future

Answer = TypeVar("Answer")


class Background:
    """Works through what is asked, one after the other."""

    def __init__(self, node: Node, name: str) -> None:
        """With an idle thread.

        Args:
            node: whose callbacks wait.
            name: of the thread.
        """
        self._node = node
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix=name)
        self._waiting = 0

    @property
    def waiting(self) -> int:
        """What was asked and not yet answered."""
        return self._waiting

    async def run(self, work: Callable[[], Answer]) -> Answer:
        """The answer of ``work``, called in the thread; raises what it raises."""
        done: Future[None] = Future()
        self._waiting += 1
        try:
            task = self._thread.submit(work)
            task.add_done_callback(lambda _: self._tell(done))
            await done
            return task.result()
        finally:
            self._waiting -= 1

    def _tell(self, done: Future[None]) -> None:
        done.set_result(None)
        executor = self._node.executor
        if executor is not None:
            executor.wake()
