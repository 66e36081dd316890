"""The access log in the combined format of nginx and Apache: a line for each exchange, and for each call at its end.

https://nginx.org/en/docs/http/ngx_http_log_module.html#log_format, https://httpd.apache.org/docs/2.4/logs.html#combined
"""

from __future__ import annotations

import re
import time
from functools import lru_cache

from attrs import define, field

from splicer.observe.access_log import AccessLog
from splicer.observe.line_writer import LineWriter
from splicer.record import Record
from splicer.relay.api import TunnelView

_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_MOST_REQUEST, _MOST_HEADER = 2048, 512  # bytes in the line, so that it is shorter than `line_writer.LONGEST`
_ESCAPED = re.compile(r"[^ !#-\[\]-~]")
_UPGRADED = 101  # only HTTP/1.1 can be upgraded (RFC 9110 §7.8)


@define
class CombinedLog(AccessLog):
    """Writes exchanges and calls in the combined format, and other events as `AccessLog` does.

    Args:
        lines: the writer of the lines in the combined format.
    """

    lines: LineWriter = field(kw_only=True)

    def tunnel_opened(self, record: Record) -> None:
        """See `Observer`. A call has one line, at its end."""

    def tunnel_goes_on(self, tunnel: TunnelView[Record]) -> None:
        """A call has one line, at its end."""

    def tunnel_closed(self, record: Record) -> None:
        """See `Observer`."""
        self._write(record)

    def exchange_ended(self, record: Record) -> None:
        """See `Observer`."""
        self._write(record)

    def _write(self, record: Record) -> None:
        if record.logged:
            headers = dict(record.headers)
            self.lines.write(
                f'{record.client} - - [{_date(int(time.time()))}] "{self._request_line(record)}" '
                f'{record.status or 0:03} {record.to_client} "{_header(headers.get("header_referer"))}" '
                f'"{_header(headers.get("header_user_agent"))}"'
            )

    def _request_line(self, record: Record) -> str:
        if record.method is None:
            return "-"
        target = record.path or ""
        if self.query and record.query is not None:
            target += f"?{record.query}"
        version = record.version or ("1.1" if record.status == _UPGRADED else None)
        return quoted(f"{record.method} {target}", _MOST_REQUEST) + (f" HTTP/{version}" if version else "")


def quoted(text: str, most: int) -> str:
    r"""A text as it stands between quotes, as nginx escapes it: a byte that is not printable ASCII becomes \xHH.

    Args:
        text: the text.
        most: the most characters of the result.
    """
    if len(text) <= most and text.isascii() and not _ESCAPED.search(text):
        return text
    parts, length = list[str](), 0
    for byte in text[:most].encode("utf-8", "replace"):
        part = chr(byte) if not _ESCAPED.match(chr(byte)) else f"\\x{byte:02X}"
        length += len(part)
        if length > most - len("..."):
            return "".join((*parts, "..."))
        parts.append(part)
    return "".join(parts)


def _header(value: str | None) -> str:
    return "-" if value is None else quoted(value, _MOST_HEADER)


# Month names are English whatever the locale.
@lru_cache(maxsize=1)
def _date(second: int) -> str:
    now = time.gmtime(second)
    return f"{now.tm_mday:02}/{_MONTHS[now.tm_mon - 1]}/{now.tm_year}:{time.strftime('%H:%M:%S', now)} +0000"
