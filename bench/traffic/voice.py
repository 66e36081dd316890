"""Calls as telephones and pods make them: see `bench.traffic.paced`."""

from __future__ import annotations

from functools import partial

from bench.traffic import paced

prepare = partial(paced.prepare, pattern=paced.Pattern.VOICE)
