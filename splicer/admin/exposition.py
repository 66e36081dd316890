"""The text of a scrape, in Prometheus's format (text/plain; version=0.0.4)."""

from __future__ import annotations

from collections.abc import Iterable

from splicer.observe.samples import Family, Sample, number_text


def exposition(families: Iterable[Family]) -> bytes:
    """The text of these families."""
    lines: list[str] = []
    for family in families:
        name = f"{family.name}_total" if family.kind == "counter" else family.name
        text = family.text.replace("\\", r"\\").replace("\n", r"\n")
        lines += (f"# HELP {name} {text}\n", f"# TYPE {name} {family.kind}\n", *map(_line, family.samples))
    return "".join(lines).encode()


def _line(sample: Sample) -> str:
    labels = ",".join(f'{name}="{_escaped(value)}"' for name, value in sorted(sample.labels.items()))
    return f"{sample.name}{f'{{{labels}}}' if labels else ''} {number_text(sample.value)}\n"


def _escaped(value: str) -> str:
    return value.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"")
