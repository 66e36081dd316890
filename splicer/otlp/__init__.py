"""Spans on their way to a collector: what a worker tells, what it means, its encoding, and its export (OTLP)."""
