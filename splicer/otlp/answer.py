"""A collector's answer to a batch of spans: ExportTraceServiceResponse of opentelemetry-proto."""

from __future__ import annotations

from collections.abc import Iterator

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5  # wire types of protobuf
_SIZES = {_FIXED64: 8, _FIXED32: 4}
_PARTIAL_SUCCESS, _REJECTED, _MESSAGE = 1, 1, 2
_LONGEST_VARINT = 10  # bytes


def partial_success(body: bytes) -> tuple[int, str]:
    """The number of spans that a collector has rejected, and why; (0, "") if it says nothing that can be read.

    Args:
        body: of an answer with a status of success.
    """
    rejected, message = 0, ""
    try:
        for number, value in _fields(body):
            if number == _PARTIAL_SUCCESS and isinstance(value, bytes):
                for inner, what in _fields(value):
                    if inner == _REJECTED and isinstance(what, int):
                        rejected = what if what < 1 << 63 else 0
                    elif inner == _MESSAGE and isinstance(what, bytes):
                        message = what.decode("utf-8", "replace")
    except ValueError:
        return 0, ""
    return rejected, message


def _fields(data: bytes) -> Iterator[tuple[int, int | bytes]]:
    """The fields of a message, fixed-size ones as bytes.

    Raises:
        ValueError: it isn't protobuf.
    """
    place = 0
    while place < len(data):
        tag, place = _varint(data, place)
        kind = tag & 7
        if kind == _VARINT:
            value, place = _varint(data, place)
            yield tag >> 3, value
            continue
        size = _SIZES.get(kind)
        if size is None:
            if kind != _BYTES:
                raise ValueError("an unknown wire type")
            size, place = _varint(data, place)
        if place + size > len(data):
            raise ValueError("the message ends too early")
        yield tag >> 3, data[place : place + size]
        place += size


def _varint(data: bytes, place: int) -> tuple[int, int]:
    number = 0
    for index, byte in enumerate(data[place : place + _LONGEST_VARINT]):
        number |= (byte & 127) << 7 * index
        if byte < 128:
            return number & (1 << 64) - 1, place + index + 1
    raise ValueError("a number without an end")
