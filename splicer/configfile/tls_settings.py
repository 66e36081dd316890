"""The TLS profiles of a configuration as the tls processes get them: paths and words."""

from __future__ import annotations

from splicer.config.schema import Config
from splicer.config.tls import server_profile
from splicer.ipc.tls_messages import PodProfile, TlsSettings
from splicer.pod_tls import PodTls


def tls_settings(config: Config, workers: int) -> TlsSettings:
    """All profiles that are used.

    Args:
        config: the configuration.
        workers: the number of workers.
    """
    used = {listener.tls for listener in config.server.listen}
    servers = {name: server_profile(profile) for name, profile in config.tls.items() if name in used}
    pods = {name: _pods(upstream.tls) for name, upstream in config.upstreams.items() if upstream.tls is not None}
    count = workers if config.server.tls_workers == "auto" else config.server.tls_workers
    return TlsSettings(count, servers, pods) if servers or pods else TlsSettings()


def _pods(tls: PodTls) -> PodProfile:
    return PodProfile(tls.ca, tls.certificate, tls.min_version, tls.ciphers, tls.crl)
