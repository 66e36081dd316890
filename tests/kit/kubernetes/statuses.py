"""The `Status` objects with which a kube-apiserver 1.36 refuses; word for word as in tests/discovery/wire.txt."""

from __future__ import annotations

from typing import Any

from tests.kit.kubernetes.resources import Thing

_GROUP, _KIND = "discovery.k8s.io", "endpointslices"
_RESOURCE = f"{_KIND}.{_GROUP}"


def status(code: int, message: str, reason: str = "", details: Any = None) -> Thing:
    """A failure; a part that is empty is left out, as the API server does."""
    made: Thing = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "message": message}
    if reason:
        made["reason"] = reason
    if details:
        made["details"] = details
    return made | {"code": code}


def unauthorized() -> Thing:
    return status(401, "Unauthorized", "Unauthorized")


def forbidden(user: str, namespace: str, verb: str) -> Thing:
    message = (
        f'{_RESOURCE} is forbidden: User "{user}" cannot {verb} resource "{_KIND}" in API group "{_GROUP}" '
        f'in the namespace "{namespace}"'
    )
    return status(403, message, "Forbidden", {"group": _GROUP, "kind": _KIND})


def not_found(name: str) -> Thing:
    details = {"name": name, "group": _GROUP, "kind": _KIND}
    return status(404, f'{_RESOURCE} "{name}" not found', "NotFound", details)


def no_such_path() -> Thing:
    return status(404, "the server could not find the requested resource", "NotFound", {})


def expired_watch(asked: int, oldest: int) -> Thing:
    return status(410, f"too old resource version: {asked} ({oldest})", "Expired")


def expired_list() -> Thing:
    return status(410, "The resourceVersion for the provided list is too old.", "Expired")


def bad_version(text: str) -> Thing:
    return status(500, f'resourceVersion: Invalid value: "{text}": strconv.ParseUint: parsing "{text}": invalid syntax')


def bad_continue() -> Thing:
    problem = "continue key is not valid: invalid character 'i' looking for beginning of value"
    return status(400, f"invalid continue token: {problem}", "BadRequest")


def bad_selector(text: str) -> Thing:
    return status(400, f"unable to parse requirement: {text}", "BadRequest")


def match_is_missing() -> Thing:
    problem = "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan"
    causes = [
        {"reason": "FieldValueForbidden", "message": f"Forbidden: {problem}", "field": "resourceVersionMatch"},
    ]
    details = {"group": "meta.k8s.io", "kind": "ListOptions", "causes": causes}
    message = f'ListOptions.meta.k8s.io "" is invalid: resourceVersionMatch: Forbidden: {problem}'
    return status(422, message, "Invalid", details)


def not_acceptable() -> Thing:
    types = (
        "application/json, application/yaml, application/vnd.kubernetes.protobuf, "
        "application/json;stream=watch, application/vnd.kubernetes.protobuf;stream=watch"
    )
    return status(406, f"406: Not Acceptable\n\nAvailable representations: {types}", "NotAcceptable")


def too_many(seconds: int) -> Thing:
    return status(429, "too many requests, please try again later", "TooManyRequests", {"retryAfterSeconds": seconds})


def too_large(asked: int, present: int) -> Thing:
    message = f"Too large resource version: {asked}, current: {present}"
    cause = {"reason": "ResourceVersionTooLarge", "message": "Too large resource version"}
    return status(504, f"Timeout: {message}", "Timeout", {"causes": [cause], "retryAfterSeconds": 1})


def internal() -> Thing:
    return status(500, "Internal error occurred: the storage said no", "InternalError")
