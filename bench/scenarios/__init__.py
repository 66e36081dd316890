"""The kinds of load, in the order in which a whole run has them."""

from __future__ import annotations

from bench.scenarios.base import Scenario
from bench.scenarios.bulk import Bulk
from bench.scenarios.even import Even
from bench.scenarios.frames import Burst, Frames
from bench.scenarios.handshakes import Handshakes
from bench.scenarios.http import Http
from bench.scenarios.idle import Idle
from bench.scenarios.reload import Kill, Reload
from bench.scenarios.saturate import Saturate
from bench.scenarios.scale import Scale
from bench.scenarios.start import Start
from bench.scenarios.storm import Storm
from bench.scenarios.tls import Tls

ALL: dict[str, Scenario] = {
    scenario.name: scenario
    for scenario in (
        Frames(),
        Even(),
        Burst(),
        Saturate(),
        Bulk(),
        Handshakes(),
        Storm(),
        Idle(),
        Tls(),
        Start(),
        Http(),
        Reload(),
        Kill(),
        Scale(),
    )
}
