"""`direct_response` and `redirect`."""

from __future__ import annotations

import base64
import binascii

from splicer.importer.draft import RouteDraft
from splicer.importer.envoy.context import Context, leaf
from splicer.importer.paths import escaped, rest_of
from splicer.importer.yaml_source import Node

_CODES = {
    "MOVED_PERMANENTLY": 301,
    "FOUND": 302,
    "SEE_OTHER": 303,
    "TEMPORARY_REDIRECT": 307,
    "PERMANENT_REDIRECT": 308,
}


def direct_response(context: Context, route: RouteDraft, node: Node) -> None:
    """A fixed answer."""
    status = node.get("status").number() or 200
    route.put(("respond", "status"), status, *leaf(node.get("status")))
    body = node.get("body")
    text = body.get("inline_string")
    coded = body.get("inline_bytes")
    if text.is_there:
        route.put(("respond", "body"), text.text, *leaf(text))
        route.put(("respond", "content_type"), "text/plain")
    elif coded.is_there:
        try:
            route.put(("respond", "body"), base64.b64decode(coded.text).decode(), *leaf(coded))
            route.put(("respond", "content_type"), "text/plain")
        except (binascii.Error, UnicodeDecodeError):
            context.lost(coded, "a body is UTF-8 text")
    else:
        context.lost(body, "write the text of the file as body")


def redirect(context: Context, route: RouteDraft, node: Node) -> None:
    """A redirect: a part that it does not name is the request's."""
    scheme = "https" if node.get("https_redirect").is_true else node.get("scheme_redirect").text
    host, port = node.get("host_redirect").text, node.get("port_redirect").text
    path = node.get("path_redirect").text or _path(route, node)
    strip = node.get("strip_query").is_true
    target = "{target}" if not path and not strip else path or "{path}"
    if path and not strip and "?" not in path:
        target = f"{path}?{{query}}"
    where = f"{scheme or '{scheme}'}://{host or '{host}'}{f':{port}' if port else ''}" if scheme or host or port else ""
    code = _CODES.get(node.get("response_code").text, 301)
    regex = node.get("regex_rewrite")
    if regex.is_there:
        context.lost(regex, "write a regex with named groups and redirect = { to = ... }")
        route.closed.append("its redirect could not be imported")
        return
    route.put("redirect", {"to": f"{where}{target}", "status": code}, *leaf(node))
    if "{scheme}" in where:
        context.differs(node, "the scheme is that which server.trusted_proxies report")


def _path(route: RouteDraft, node: Node) -> str:
    rewrite = node.get("prefix_rewrite")
    return escaped(rewrite.text) + rest_of(route) if rewrite.is_there else ""
