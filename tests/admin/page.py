"""The text for Prometheus, as a scrape of an edge in memory gets it."""

from __future__ import annotations

from pathlib import Path

from prometheus_client.metrics_core import Metric
from prometheus_client.parser import text_string_to_metric_families

from splicer.admin.scrape import Scrape
from splicer.admin.tls_state import TlsState
from tests.admin.rig import Rig
from tests.deploy.families import FAMILIES

Both = tuple[int, int]  # bytes to the pod, and to the client


class Page:
    """One scrape, parsed."""

    def __init__(self, raw: bytes) -> None:
        self.text = raw.decode()
        self.families: dict[str, Metric] = {}
        for family in text_string_to_metric_families(self.text):
            name = f"{family.name}_total" if family.type == "counter" else family.name
            assert name not in self.families, f"{name} comes twice"
            self.families[name] = family

    def __getitem__(self, series: str) -> float:
        """The value of a series, written `name` or `name value value` (of its labels, in order)."""
        name, *values = series.split()
        found = self.all(name)
        return found[tuple(value.strip('"') for value in values)]

    def all(self, name: str) -> dict[tuple[str, ...], float]:
        """All series of a family by the values of their labels, in the order of the list."""
        labels = FAMILIES[f"splicer_{name}"].labels
        samples = self.families[f"splicer_{name}"].samples
        found = {tuple(sample.labels[label] for label in labels): sample.value for sample in samples}
        assert len(found) == len(samples), f"{name} has a series twice"
        return {key: value for key, value in found.items() if not labels or any(key)}

    @property
    def bytes(self) -> Both:
        return int(self["tunnel_bytes_total to_pod"]), int(self["tunnel_bytes_total to_client"])


def scraper(admin: Rig, directory: Path | None) -> Scrape:
    tls = TlsState(admin.board, admin.facts)
    return Scrape(
        admin.board, admin.workers, admin.facts, admin.current, admin.drains, admin.exporter, tls, lambda: 0, directory
    )


async def scraped(admin: Rig, directory: Path | None) -> Page:
    return Page(await scraper(admin, directory)())
