"""What the endpoint snapshot says of an endpoint: Kubernetes' conditions of it, and verdicts of the discovery process.

Flags are plain integers, for they are tested for each request.
"""

from __future__ import annotations

from typing import NamedTuple

READY = 1  # these three: the conditions of an EndpointSlice (discovery.k8s.io/v1, EndpointConditions)
SERVING = 2
TERMINATING = 4
UNHEALTHY = 8  # its health check fails
EJECTED = 16  # too many calls in a row have failed
SUSPECT = 32  # some have failed; it is not ejected yet
PROBATION = 64  # it has returned from an ejection: the next failure ejects it again


class KnownEndpoint(NamedTuple):
    """One endpoint of a Service.

    Args:
        pod: the pod's name; "": unknown.
        address: a numeric IP address.
        port: the TCP port.
        flags: READY, SERVING and TERMINATING.
        zone: where it runs, such as "asia-south1-a"; "": unknown.
        since: when it was first seen to be ready, on the monotonic clock, seconds; 0: always, as far as is known.
    """

    pod: str
    address: str
    port: int
    flags: int
    zone: str = ""
    since: float = 0.0


class Verdict(NamedTuple):
    """What the discovery process has found out about an address.

    Args:
        flags: UNHEALTHY, EJECTED, SUSPECT and PROBATION.
        until: when its ejection ends, on the monotonic clock, seconds.
        lapses: when UNHEALTHY does, unless it is checked again, on the same clock.
        ejections: its ejections in a row, which decide how long the next one is.
    """

    flags: int = 0
    until: float = 0.0
    lapses: float = 0.0
    ejections: int = 0
