"""The demo's addresses in 127.0.0.0/8. The demo's routing.toml has the same."""

from __future__ import annotations

from typing import Final

PODS: Final = {f"voice-agent-{index}": f"127.0.0.{10 + index}" for index in range(5)}
POD_PORT: Final = 8000
ROUTER: Final = "smart-router"
ROUTER_HOST: Final = "127.0.0.20"
ROUTER_PORT: Final = 8080
EDGE_HOST: Final = "127.0.0.1"
ADMIN: Final = "127.0.0.20:9901"
