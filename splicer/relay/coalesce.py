"""Coalescing frames: the decision whether to wait a moment, so that one wake-up serves several frames.

A wake-up costs more than a frame: the interrupt, the scheduler, Trio's loop, and the same at each peer that was asleep.
With a few hundred calls the relay would spend most of its time on wake-ups. Speech has a frame every 20 ms, and 0.1 ms
more is not noticed; it is by a program that waits for each answer, so frames are coalesced only if they are paced.
"""

from __future__ import annotations

COALESCE_WINDOW = 0.000125  # seconds for which the hub waits for more frames
_COALESCE_LIMIT = 0.001  # seconds of waits and batches before Trio's loop goes on
_RATE_WINDOW = 0.1  # seconds over which frames are counted
_MIN_FRAME_RATE = 3000  # frames a second, of all tunnels: with fewer, a window would hardly ever have two
_MAX_PACED_RATE = 250  # frames a second and tunnel: a call has 50 to 100 both ways, a closed loop of echoes a thousand
_HOLD_OFF_SECONDS = 0.005  # seconds without waits after a step of another task: handshakes must not be delayed
LARGE = 4096  # bytes: a larger piece is no frame of speech, and counts as one frame for each KiB


class FrameCoalescer:
    """Decides from the recent rate of frames.

    Args:
        now: seconds on the clock of `perf_counter`, as in all methods.
    """

    def __init__(self, now: float) -> None:
        self._counted = 0  # frames until `_since`
        self._since = now
        self._paced = False
        self._held = 0.0

    def hold(self, now: float) -> None:
        """Don't wait for `_HOLD_OFF_SECONDS`: another task has run."""
        self._held = now + _HOLD_OFF_SECONDS

    def until(self, now: float, frames: int, tunnels: int) -> float:
        """The time until which the hub may wait for more frames; 0.0: it should not wait.

        Args:
            now: the time.
            frames: the total number of frames so far.
            tunnels: the number of tunnels that have moved a byte lately; silent ones don't count.
        """
        passed = now - self._since
        if passed >= _RATE_WINDOW:
            rate = (frames - self._counted) / passed
            self._paced = _MIN_FRAME_RATE <= rate <= _MAX_PACED_RATE * tunnels
            self._counted, self._since = frames, now
        return now + _COALESCE_LIMIT if self._paced and now >= self._held else 0.0
