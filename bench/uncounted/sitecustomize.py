"""On an edge's PYTHONPATH, this makes its workers count nothing of what happens to calls."""

import sys

if "splicer.worker" in sys.orig_argv:
    from splicer.observe import metrics
    from splicer.upstream.status import EndpointStates

    def _nothing(*_: object) -> None:
        pass

    for _name in ("tunnel_opened", "tunnel_over", "exchange_ended", "connection_refused", "crashed"):
        assert hasattr(metrics.Metrics, _name), _name  # noqa: S101 - a measurement of nothing is worse
        setattr(metrics.Metrics, _name, _nothing)
    for _counting, _name in ((EndpointStates, "learn"), (metrics._ResolverCounts, "count")):
        assert hasattr(_counting, _name), _name  # noqa: S101
        setattr(_counting, _name, _nothing)
