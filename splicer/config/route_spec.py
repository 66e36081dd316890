"""The keys of a ``[[routes]]`` table.

A new key is a field of `RouteSpec` here, and one of the same name in `model.Route`, which holds the value in use. A key
whose value has another form or name in `model.Route` is converted in `routes`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from types import MappingProxyType

from attrs import frozen

from splicer.config import kinds, route_parsers
from splicer.config.authorize import AUTHORIZE, AuthorizeSpec
from splicer.config.conditions import HEADER_CONDITIONS, QUERY_CONDITIONS
from splicer.config.deadlines import ROUTE_DEADLINES
from splicer.config.edits import HEADERS, HOST
from splicer.config.keys import key
from splicer.config.kinds import Kind
from splicer.config.rate_limit import RATE_LIMIT
from splicer.config.redirect import REDIRECT
from splicer.config.respond import RESPOND
from splicer.config.split import HASH_ON, UPSTREAM, Weights
from splicer.config.tls import PEER_NAMES
from splicer.edits import HeaderEdits, Redirect, Value
from splicer.model import Network, Respond, StatusPage
from splicer.patterns import Condition, HashOn, PathPattern, Template
from splicer.rates import RateLimit


def _pattern(word: str, words: str) -> Kind[PathPattern]:
    parse = {"path": route_parsers.path, "prefix": route_parsers.prefix, "regex": route_parsers.regex}[word]
    return Kind(parse, lambda pattern: pattern.text.partition(" ")[2], kinds.TEXT.schema, words)


_HOST = kinds.text(route_parsers.host, "host")
_METHOD = kinds.text(route_parsers.method, "method")
_ORIGIN = kinds.text(route_parsers.origin, "origin")
_PROTOCOL = kinds.text(route_parsers.protocol, "protocol")
_FALLBACK_STATUS = Kind(route_parsers.fallback_status, kinds.unchanged, kinds.integer(500, 599).schema, "status")
_REWRITE = Kind(route_parsers.rewrite, lambda template: template.text, kinds.TEXT.schema, "path with `{captures}`")

_UPSTREAM = ("upstream",)


@frozen
class RouteSpec:
    """One table, each key parsed on its own; upstreams are still names. See `model.Route`."""

    name: str = key(kinds.NAME, "The route's name in logs and metrics; unique.", default="", required=True)
    path: PathPattern | None = key(_pattern("path", "string"), "The whole path of a request.", default=None)
    prefix: PathPattern | None = key(
        _pattern("prefix", "string"), "The beginning of the path of a request.", default=None
    )
    regex: PathPattern | None = key(
        _pattern("regex", "RE2 expression"),
        "An expression that is searched for in the path of a request: write `^` for the start. The text that a named "
        "group such as `(?<pod>[^/]+)` matches is a capture.",
        default=None,
    )
    hosts: tuple[str, ...] = key(
        kinds.list_of(_HOST, "hosts", empty="leave the key out for any host"),
        'The hosts that a request may be for, such as `"a.example"` or `"*.b.example"`; port and case do not count.',
        default=(),
        absent="any",
    )
    methods: tuple[str, ...] = key(
        kinds.list_of(_METHOD, "methods", empty="leave the key out for any method"),
        "The methods that are served (HEAD with GET); others get 405. Routes with the same pattern, hosts and "
        "conditions (`scheme`, `headers`, `query`) share the methods between them.",
        default=(),
        absent="any",
    )
    scheme: str | None = key(
        kinds.choice("http", "https"),
        "The scheme by which clients come. It is `http` unless TLS ends here, or one of `trusted_proxies` says so by "
        "`X-Forwarded-Proto`.",
        default=None,
        absent="any",
    )
    headers: tuple[Condition, ...] = key(
        HEADER_CONDITIONS,
        "The header fields that a request must have, each by name and condition: a string that is the whole value, "
        "`{ prefix = \"...\" }`, `{ regex = '...' }` (RE2, searched for), `true` (present) or `false` (absent).",
        default=(),
        absent="any",
    )
    query: tuple[Condition, ...] = key(
        QUERY_CONDITIONS,
        "The parameters that the query of a request must have, with the same conditions. Names and values are compared "
        "decoded; the first parameter of a name counts.",
        default=(),
        absent="any",
    )
    clients: tuple[Network, ...] | None = key(
        kinds.list_of(kinds.NETWORK, "networks", empty="nobody could use the route; leave the key out for any client"),
        "The networks that clients may come from; others get 403. Behind `trusted_proxies` the address that these "
        "proxies report counts.",
        default=None,
        absent="any",
    )
    client_names: tuple[str, ...] = key(
        PEER_NAMES,
        "Of these, the client's certificate must have one, as in `[tls.NAME]`; others get 403.",
        default=(),
        absent="any",
    )
    clients_deny: tuple[Network, ...] = key(
        kinds.list_of(kinds.NETWORK, "networks", empty="leave the key out to deny nobody"),
        "The networks that clients may not come from, even if they are among `clients`; they get 403.",
        default=(),
    )
    encoded_slash: str | None = key(
        kinds.choice("refuse", "forward"),
        "Whether a path with an encoded slash, `%2F`, gets 400 or is forwarded to the pod unchanged.",
        default=None,
        absent='`"refuse"` beside `clients`, `clients_deny`, `client_names` or `origins`, else `"forward"`',
    )
    rate_limit: RateLimit | None = key(
        RATE_LIMIT,
        "How many requests are served: a table of its own. Others get 429. Each worker has its share of the rate.",
        default=None,
    )
    log: bool = key(kinds.BOOLEAN, "Whether requests are in the access log.", default=True)
    respond: Respond | StatusPage | None = key(
        RESPOND,
        'An answer without a pod: a table of its own, or `"status"` for the page of nginx\'s stub_status.',
        default=None,
    )
    redirect: Redirect | None = key(REDIRECT, "An answer that leads the client elsewhere.", default=None)
    response_headers: HeaderEdits | None = key(
        HEADERS,
        "Header fields of every answer on this route: a string replaces the field or adds it, `false` removes it.",
        default=None,
    )
    hooks: tuple[str, ...] = key(
        kinds.list_of(kinds.NAME, "names", empty="leave the key out for no hook"),
        "The hooks that decide about requests, by their names under `[hooks]`, in this order: before an authorizer is "
        "asked, and before a pod is.",
        default=(),
        absent="none",
        beside=_UPSTREAM,
    )
    authorize: AuthorizeSpec | None = key(
        AUTHORIZE,
        "Another server, which is asked whether a request may go on, and to which pod: a table of its own.",
        default=None,
        beside=_UPSTREAM,
    )
    upstream: str | Weights | None = key(
        UPSTREAM,
        "The upstream that requests go to, by its name under `[upstreams]`; or several, each with its weight, as in "
        "`{ stable = 95, canary = 5 }`.",
        default=None,
    )
    hash_on: HashOn | None = key(
        HASH_ON,
        "The part of a request that decides among several upstreams: equal values lead to the same one. A request "
        "without it goes to any.",
        default=None,
        absent="chance decides",
        beside=_UPSTREAM,
    )
    rewrite: Template | None = key(
        _REWRITE,
        "The whole path that the pod gets instead, with `{captures}`; the client's query is kept unless this has one.",
        default=None,
        beside=_UPSTREAM,
    )
    strip_prefix: bool = key(
        kinds.BOOLEAN,
        "Whether the pod gets the path without the route's `prefix`.",
        default=False,
        beside=_UPSTREAM,
    )
    host: Value | None = key(
        HOST, "The `Host` that the pod gets.", default=None, absent="the client's", beside=_UPSTREAM
    )
    request_headers: HeaderEdits | None = key(
        HEADERS,
        "Header fields of the request that the pod gets: a string replaces the field or adds it, `false` removes it.",
        default=None,
        beside=_UPSTREAM,
    )
    upgrade: tuple[str, ...] = key(
        kinds.list_of(_PROTOCOL, "protocols", empty="leave the key out to tunnel nothing"),
        'The protocols to which a request may switch, such as `"websocket"`: its connection becomes a tunnel.',
        default=(),
        beside=_UPSTREAM,
    )
    upgrade_only: bool = key(
        kinds.BOOLEAN, "Whether a request that does not ask for one of them gets 426.", default=False, beside=_UPSTREAM
    )
    origins: tuple[str, ...] = key(
        kinds.list_of(_ORIGIN, "origins", empty="no browser could call; leave the key out for any origin"),
        'The pages from which browsers may upgrade, such as `"https://app.example"` or `"https://*.app.example"`; '
        "others get 403. A request without an `Origin` is no browser's, and passes.",
        default=(),
        absent="any",
        beside=("upstream", "upgrade"),
    )
    max_tunnels: int | None = key(
        kinds.integer(1),
        "How many tunnels the route may have at once, over all workers; further calls get 503.",
        default=None,
        absent="no limit",
        beside=("upstream", "upgrade"),
    )
    fallback: str | None = key(
        kinds.TEXT,
        "Another upstream, tried if the first can't be reached or answers with one of `fallback_on`; a POST goes "
        "there only if no byte of it was sent.",
        default=None,
        beside=_UPSTREAM,
    )
    fallback_on: tuple[int, ...] = key(
        kinds.list_of(_FALLBACK_STATUS, "statuses from 500 to 599"),
        "The statuses of a pod's answer after which another endpoint, or the fallback, is tried.",
        default=(502, 503, 504),
        beside=_UPSTREAM,
        beside_any=("fallback", "retries"),
    )
    retries: int = key(
        kinds.integer(0, 5),
        "How many more endpoints of an upstream are tried before the fallback; and how many of the fallback's.",
        default=0,
        beside=_UPSTREAM,
    )
    body_bytes: float | None = key(
        kinds.unless("unlimited", math.inf, kinds.size(1)),
        "The size of the body of a plain HTTP request; a larger one gets 413.",
        default=None,
        absent="that of `[limits]`",
        beside=_UPSTREAM,
    )
    deadlines: Mapping[str, float] = key(
        ROUTE_DEADLINES,
        "The deadlines that differ from `[deadlines]` on this route: any but `head` and `drain`.",
        default=MappingProxyType({}),
        absent="those of `[deadlines]`",
        beside=_UPSTREAM,
    )

    @property
    def weights(self) -> Weights:
        """The names of all upstreams with their weights; one alone has the weight 1."""
        return ((self.upstream, 1),) if isinstance(self.upstream, str) else self.upstream or ()

    @property
    def encoded_slash_in_force(self) -> str:
        """The effective value: by default a route that refuses clients refuses what a pod may read as another path."""
        guarded = self.clients is not None or self.clients_deny or self.client_names or self.origins
        return self.encoded_slash or ("refuse" if guarded else "forward")
