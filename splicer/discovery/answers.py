"""What the API server's answers say: objects, events, and refusals (a `Status`)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from splicer.discovery.failures import ApiFailure, Refused
from splicer.policy.json_fields import items, mapping, text
from splicer.policy.slices import EndpointSlice, NotASlice, read_slice

_REASONS = {401: "unauthorized", 403: "forbidden", 410: "gone", 429: "throttled"}
_LONGEST_MESSAGE = 300  # characters
_LONGEST_VERSION = 1024  # characters; it goes into the next request


def json_object(data: bytes) -> Mapping[str, Any]:
    """Parse a line or a body.

    Raises:
        ApiFailure: it is no JSON object.
    """
    try:
        value = json.loads(data)
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, dict):
        raise ApiFailure("garbage", f"no JSON object: {data[:60]!r}")
    return value


def slice_of(thing: object) -> EndpointSlice:
    """Read a slice.

    Raises:
        ApiFailure: it is none.
    """
    try:
        return read_slice(thing)
    except NotASlice as error:
        raise ApiFailure("garbage", str(error)) from None


def version_of(thing: Mapping[str, Any]) -> str:
    """The `resourceVersion` of an object or a list.

    Raises:
        ApiFailure: it has none.
    """
    version = text(mapping(thing.get("metadata")).get("resourceVersion"), _LONGEST_VERSION)
    if version is None:
        raise ApiFailure("garbage", "an object without a resourceVersion")
    return version


def refusal(status: int, body: bytes, retry_after: float) -> Refused:
    """The failure for an HTTP answer that is no 200; its body is a Status, unless a proxy made it."""
    try:
        thing = mapping(json.loads(body))
    except (ValueError, RecursionError):
        thing = {}
    default = "server_error" if status >= 500 else "error"
    return _refused(thing, status, _REASONS.get(status, default), retry_after)


def error_event(thing: Mapping[str, Any]) -> Refused:
    """The failure for an ERROR event, whose object is a Status."""
    code = thing.get("code")
    status = code if isinstance(code, int) else 0
    return _refused(thing, status, "gone" if status == 410 else "error", 0.0)


def _refused(thing: Mapping[str, Any], status: int, reason: str, retry_after: float) -> Refused:
    causes = items(mapping(thing.get("details")).get("causes"))
    if any(mapping(cause).get("reason") == "ResourceVersionTooLarge" for cause in causes):
        reason = "too_new"
    message = text(thing.get("message")) or "no reason given"
    return Refused(reason, f"{status}: {message[:_LONGEST_MESSAGE]}", status=status, retry_after=retry_after)
