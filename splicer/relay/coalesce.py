"""Whether to let frames gather: one wake-up then serves several.

A wake-up costs more than a frame: the interrupt, the scheduler, Trio's loop, and the same again at each peer that was
asleep. With a few hundred calls the relay spends most of its time on waking up. People who talk send a frame every
20 ms and don't notice a tenth of a millisecond; a program that waits for an answer before it goes on does, so frames
gather only where they are paced.
"""

from __future__ import annotations

COALESCE_WINDOW = 0.000125  # seconds that frames gather for
_COALESCE_LIMIT = 0.001  # seconds of waits and turns, until Trio gets its turn
_RATE_WINDOW = 0.1  # seconds over which frames are counted
_MIN_FRAME_RATE = 3000  # frames a second, of all tunnels: with fewer, hardly two would meet in a window
_MAX_PACED_RATE = 250  # frames a second and tunnel: a call has 50 to 100 both ways; who waits for echoes has a thousand
_HOLD_OFF_SECONDS = (
    0.005  # seconds without waits after a step of another task: handshakes take a few, and shall not wait
)
LARGE = 4096  # bytes: a piece of more is no frame of speech, and counts as one for each KiB


class FrameCoalescer:
    """Judges from what passed lately.

    Args:
        now: seconds on the clock of `perf_counter`, as in all calls.
    """

    def __init__(self, now: float) -> None:
        self._counted = 0  # frames until `_since`
        self._since = now
        self._paced = False
        self._held = 0.0

    def hold(self, now: float) -> None:
        """Others have work to do."""
        self._held = now + _HOLD_OFF_SECONDS

    def until(self, now: float, frames: int, tunnels: int) -> float:
        """Up to when the hub may wait for more frames; 0.0: it should not.

        Args:
            now: the time.
            frames: that there have been in all.
            tunnels: how many there are that have moved a byte lately; the silent ones of a thousand say nothing.
        """
        passed = now - self._since
        if passed >= _RATE_WINDOW:
            rate = (frames - self._counted) / passed
            self._paced = _MIN_FRAME_RATE <= rate <= _MAX_PACED_RATE * tunnels
            self._counted, self._since = frames, now
        return now + _COALESCE_LIMIT if self._paced and now >= self._held else 0.0
