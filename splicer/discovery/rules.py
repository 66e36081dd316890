"""What follows from a failure: how long to wait, whether to list or to watch, and whether what is known is current."""

from __future__ import annotations

import math
import random
from enum import Enum, auto

from attrs import frozen

from splicer.discovery.backoff import Backoff
from splicer.discovery.failures import ApiFailure, Refused

# A server that has just started answers a good token with 403 until it knows the roles (seen with 1.36: for 50 ms), so
# it is asked again before that is believed.
_FORBIDDEN_PAUSES = (0.2, 0.8, 2.0)  # seconds
_FORBIDDEN_INTERVAL = 30.0  # seconds between two attempts when it is believed
_TOO_NEW_PAUSE = 1.0  # seconds that the server asks for, more or less
_GONE_WINDOW = 10.0  # seconds in which a second 410 is answered by a pause
_LONGEST_RETRY_AFTER = 60.0  # seconds
_WATCHES = 3  # so many watches in a row may get a 5xx from the same version; then there is a list


class Effect(Enum):
    """What a failure does to what is known."""

    NONE = auto()
    FAILING = auto()  # it counts for some seconds more
    LOST = auto()
    DENIED = auto()  # as LOST, and a person has to do something


@frozen
class Verdict:
    """What to do after a failure.

    Args:
        pause: seconds to wait.
        list: whether all is to be listed again; else what was tried is tried again.
        effect: on what is known.
    """

    pause: float
    list: bool
    effect: Effect


class Rules:
    """The rules of one reflector: some failures count the ones before them.

    Args:
        rng: draws the pauses.
    """

    def __init__(self, rng: random.Random) -> None:
        self._backoff = Backoff(rng)
        self._gone = -math.inf
        self._unauthorized = 0
        self._forbidden = 0
        self._server_errors = 0

    def succeeded(self) -> None:
        """A list is complete, or a watch has begun to work."""
        self._unauthorized = self._forbidden = self._server_errors = 0

    def after(self, failure: ApiFailure, now: float) -> Verdict:
        """The verdict on a failure.

        Args:
            failure: what has happened.
            now: on any clock, in seconds.
        """
        match failure.reason:
            case "gone":
                again, self._gone = now - self._gone < _GONE_WINDOW, now
                return Verdict(self._backoff.pause(now) if again else 0.0, True, Effect.NONE)
            case "silence":
                return Verdict(0.0, True, Effect.NONE)
            case "unauthorized":
                self._unauthorized += 1
                if self._unauthorized == 1:  # the token may have been replaced just now
                    return Verdict(0.0, False, Effect.FAILING)
                return Verdict(self._backoff.pause(now), False, Effect.DENIED)
            case "forbidden":
                self._forbidden += 1
                if self._forbidden <= len(_FORBIDDEN_PAUSES):
                    return Verdict(_FORBIDDEN_PAUSES[self._forbidden - 1], False, Effect.FAILING)
                return Verdict(_FORBIDDEN_INTERVAL, False, Effect.DENIED)
            case "too_new":
                return Verdict(max(_TOO_NEW_PAUSE, self._backoff.pause(now)), True, Effect.LOST)
            case "garbage" | "error":
                return Verdict(self._backoff.pause(now), True, Effect.LOST)
            case "throttled" if isinstance(failure, Refused):
                asked = min(failure.retry_after, _LONGEST_RETRY_AFTER)
                return Verdict(max(asked, self._backoff.pause(now)), False, Effect.FAILING)
            case "server_error":
                self._server_errors += 1
                return Verdict(self._backoff.pause(now), self._server_errors >= _WATCHES, Effect.FAILING)
            case _:
                return Verdict(self._backoff.pause(now), False, Effect.FAILING)
