"""Calls with the timing of telephones and pods; see `bench.traffic.paced`."""

from __future__ import annotations

from functools import partial

from bench.traffic import paced

prepare = partial(paced.prepare, pattern=paced.Pattern.VOICE)
