"""Configurations that hypothesis draws: each key, alone and beside others."""

from __future__ import annotations

import math
from ipaddress import IPv4Address, IPv6Address, ip_network

import attrs
from hypothesis import strategies as st

from splicer.config.addresses import ListenAddress, is_ip
from splicer.config.discovery import service_of
from splicer.config.error_pages import ErrorPage, by_status
from splicer.config.listener import EVERYBODY, Listener
from splicer.config.schema import Config, KubernetesSettings, Limits, LogSettings, ResolverSettings, ServerSettings
from splicer.config.tls import TlsProfile
from splicer.config.tracing import TracingSettings, collector
from splicer.edits import Edits, HeaderEdits, Redirect
from splicer.health import HealthCheck, OutlierDetection
from splicer.hook_settings import HookSettings
from splicer.model import Deadlines, Network, Respond, Route, Split, StatusPage, Upstream
from splicer.patterns import Condition, HashOn, PathPattern
from splicer.pod_tls import PodTls
from splicer.rates import Rate, RateLimit
from splicer.routing.conditions import condition
from splicer.routing.location import parse_location
from splicer.routing.passthrough import Passthrough
from splicer.routing.pattern import PrefixPath, compile_pattern
from splicer.routing.template import CaptureTemplate, parse_template
from splicer.routing.value import parse_value
from splicer.tls_facts import CertificateFiles
from tests.config.authorizers import authorizers

ODD = ["${A}", "$${", "$", "{", "a b", '"', "'", "\\n", "é", "#", "]"]
addresses = st.ip_addresses().map(str)
seconds = st.just(math.inf) | st.sampled_from([0.001, 90.0, 3600.0]) | st.integers(1, 10**15).map(lambda ms: ms / 1000)
deadlines = st.builds(Deadlines, **dict.fromkeys(attrs.fields_dict(Deadlines), seconds))
sizes = st.sampled_from([1, 2**10, 2**20, 2**30]).flatmap(
    lambda unit: st.integers(1, (2**63 - 1) // unit).map(lambda count: count * unit)
)
names = st.lists(st.sampled_from([*ODD, "x", "y"]), min_size=1, max_size=4).map("".join)


def network(address: IPv4Address | IPv6Address, bits: int) -> Network:
    return ip_network((address, min(bits, address.max_prefixlen)), strict=False)


networks = st.lists(st.builds(network, st.ip_addresses(), st.integers(0, 128)), max_size=3).map(tuple)
networks_if_any = st.none() | networks.filter(len)

introductions = st.tuples(networks_if_any | st.just(EVERYBODY)) | st.tuples(
    st.just(EVERYBODY), st.sampled_from(["aws"])
)


@st.composite
def servers(draw: st.DrawFn) -> ServerSettings:
    ports = draw(st.lists(st.integers(1, 65535), min_size=3, max_size=5, unique=True))
    admin, metrics, *listen = (ListenAddress(draw(addresses), port) for port in ports)
    return ServerSettings(
        tuple(Listener(address, *draw(introductions)) for address in listen),
        draw(st.integers(1, 128)) if draw(st.booleans()) else "auto",
        draw(st.sampled_from([None, admin])),
        draw(st.sampled_from([None, metrics])),
        draw(networks),
        draw(st.integers(1, 64)) if draw(st.booleans()) else "auto",
        draw(st.booleans()),
    )


field_values = st.lists(st.sampled_from(["a", "${B}", "~;\t"]), min_size=1, max_size=3).map(
    lambda parts: "".join(parts) + "."
)
headers = st.dictionaries(st.sampled_from(["X-A", "x-a", "$$|`"]), field_values).map(
    lambda table: tuple((name.encode(), value.encode()) for name, value in table.items())
)


def responds(instead: st.SearchStrategy[Respond | None]) -> st.SearchStrategy[Respond]:
    bodies = st.text() | st.lists(st.sampled_from(ODD)).map("".join)
    statuses = st.sampled_from([200, 404, 599])
    full = st.builds(Respond, statuses, bodies.map(str.encode), field_values, headers, instead, instead)
    return full | st.builds(
        Respond, st.sampled_from([204, 304]), headers=headers, draining=instead, unprotected=instead
    )


logs = st.builds(LogSettings, st.just("combined"), seconds, st.booleans()) | st.builds(
    LogSettings,
    st.sampled_from(["auto", "json", "console"]),
    seconds,
    st.booleans(),
    st.lists(st.sampled_from(["user-agent", "x$|`", "x-call-id"]), unique=True).map(tuple),
)
rate_limits = st.builds(
    RateLimit,
    st.builds(Rate, st.integers(1, 10**6), st.sampled_from("smh")),
    st.integers(1, 10**6),
    st.sampled_from(["client", "route", "header:x-$|`"]),
)
PATTERNS: list[PathPattern] = [
    *(compile_pattern("path", path) for path in ("/", "/${A:-b}", "/a'\"$${\\")),
    *(compile_pattern("prefix", path) for path in ("/", "/api/", "/%20${")),
    *(compile_pattern("regex", regex) for regex in ("", r"^/a\\${2}\x{41}$", "/ \n\x00\x7fé\u2028'''\"\"\"", "^/${1}")),
]
POD = compile_pattern("regex", "^/ws/pod/(?<pod>[^/]+)(?<rest>/.*)$")


def settled(upstream: Upstream) -> Upstream:
    """As `load` makes it: an address in the file is in its own `allow`."""
    if upstream.host.captures or not is_ip(upstream.host.text):
        return upstream
    return attrs.evolve(upstream, allow=(ip_network(upstream.host.text), *(upstream.allow or ())))


def _discovered(
    host: CaptureTemplate, port: int | str, allow: tuple[Network, ...] | None, slow_start: float | None
) -> Upstream:
    number, service = port if isinstance(port, int) else 0, service_of(host, port)
    return Upstream("", host, number, allow, service=service, slow_start=None if service.of_pod else slow_start)


times = st.integers(1, 10**9).map(lambda ms: ms / 1000)
outlier_detections = st.builds(
    lambda errors, statuses, times, percent: OutlierDetection(errors, statuses, min(times), max(times), percent),
    st.integers(1, 1000),
    st.frozensets(st.integers(500, 599), max_size=3),
    st.tuples(times, times),
    st.integers(1, 100),
)
health_checks = st.just(HealthCheck()) | st.builds(
    HealthCheck,
    st.sampled_from(["/", "/health?deep=1", "/{a}", "/${A}", "/$${"]),
    st.none() | st.integers(1, 65535),
    st.sampled_from([1.0, 10.0, 3600.0]),
    st.sampled_from([0.001, 1.0]),
    st.integers(1, 100),
    st.integers(1, 100),
)
HOSTS = ["api", "127.0.0.1", "::1", "a.test."]
upstreams = st.dictionaries(
    names,
    st.builds(
        Upstream,
        st.just(""),
        st.sampled_from([*HOSTS, "{pod}.pods.test", "x-{pod}.pods.test"]).map(parse_template),
        st.integers(1, 65535),
        networks_if_any,
        st.sampled_from(["least-tunnels", "round-robin", "random"]),
        st.sampled_from([None, "v1", "v2"]),
        *[st.none() | st.integers(1, 1_000_000)] * 2,
        outlier_detection=st.none() | outlier_detections,
        health_check=st.none() | health_checks,
    )
    | st.builds(
        _discovered,
        st.sampled_from(["a.b.svc", "a.b.svc.test.", "c.a.b.svc.test", "x-{pod}.a.b.svc.test"]).map(parse_template),
        st.integers(1, 65535) | st.sampled_from(["http", "p-1"]),
        networks_if_any,
        st.sampled_from([None, 1.0, 90.0, 3600.0]),
    )
    | st.builds(
        Upstream,
        st.just(""),
        st.sampled_from(["{pod}.pods.test", "a.test."]).map(parse_template),
        st.just(443),
        tls=st.builds(
            PodTls,
            st.sampled_from(["system", "/${A}"]),
            st.sampled_from([None, CertificateFiles("/a b"), CertificateFiles(chain="/a", key="/b")]),
            st.sampled_from([("{host}",), ("spiffe://a/b", "*.{host}")]),
            st.sampled_from(["{host}", "", "a.test"]),
            st.sampled_from(["1.2", "1.3"]),
        ),
    ),
    max_size=4,
).map(lambda table: {name: attrs.evolve(settled(upstream), name=name) for name, upstream in table.items()})


TESTS: list[Condition] = [
    *(condition("", "is", text) for text in ("", "1", "${A}", "$${", 'é"')),
    *(condition("", kind, text) for kind in ("prefix", "regex") for text in ("${1}", "a b", "\\\\$")),
    condition("", "present"),
    condition("", "absent"),
]


def named(names: list[str]) -> st.SearchStrategy[tuple[Condition, ...]]:
    tests = st.dictionaries(st.sampled_from(names), st.sampled_from(TESTS), max_size=3)
    return tests.map(lambda table: tuple(attrs.evolve(test, name=name) for name, test in table.items()))


header_tests = named(["x-a", "origin", "$$|`"])
query_tests = named(["A", "a", "é b", "${A}", '"'])


def splits(usable: list[Upstream], pattern: PathPattern) -> st.SearchStrategy[Split]:
    share = st.tuples(st.sampled_from(usable), st.integers(1, 1_000_000))
    shares = st.lists(share, min_size=1, unique_by=lambda share: share[0].name).map(tuple)
    captures = [HashOn("capture", name) for name in sorted(pattern.captures)]
    named = [HashOn("header", "x-$|"), HashOn("query", "${a b"), HashOn("cookie", "X"), HashOn("client")]
    return st.builds(Split, shares, st.none() | st.sampled_from([*named, *captures]))


VALUE_TEXTS = ["a", "${{A}} $${{", "{{}}", "{client}-{header:X-A}", "{host}{target}"]
LOCATIONS = ["https://a.test/$${{", "http://a.test:81{target}", "/x?{query}", "{scheme}://a.test/{{"]


def header_edits(texts: list[str]) -> st.SearchStrategy[HeaderEdits | None]:
    values = st.none() | st.sampled_from(texts).map(parse_value)
    tables = st.dictionaries(st.sampled_from([b"X-A", b"Server", b"$$|`"]), values, max_size=3)
    return tables.map(lambda table: HeaderEdits(tuple(table.items())) if table else None)


@st.composite
def routes(
    draw: st.DrawFn, index: int, known: dict[str, Upstream], inherited: Deadlines, hooks: dict[str, HookSettings]
) -> Route:
    pattern = draw(st.just(POD) | st.sampled_from(PATTERNS))
    usable = [upstream for upstream in known.values() if upstream.host.captures <= pattern.captures]
    route = Route(
        index,
        f"{index} {draw(names)}",
        pattern,
        inherited,
        hosts=tuple(draw(st.lists(st.sampled_from(["a.test", "*.a.test", "[::1]"])))),
        methods=tuple(draw(st.lists(st.sampled_from(["GET", "M-SEARCH"])))),
        scheme=draw(st.sampled_from([None, "http", "https"])),
        headers=draw(header_tests),
        query=draw(query_tests),
        clients=draw(networks_if_any),
        clients_deny=draw(networks),
        encoded_slash=draw(st.sampled_from(["refuse", "forward"])),
        rate_limit=draw(st.none() | rate_limits),
        log=draw(st.booleans()),
    )
    texts = [*VALUE_TEXTS, *["{rest}"] * ("rest" in pattern.captures)]
    answer_edits = draw(header_edits(texts))
    if not usable or draw(st.booleans()):
        route = attrs.evolve(route, edits=Edits(response=answer_edits) if answer_edits else None)
        if draw(st.booleans()):
            to = parse_location(draw(st.sampled_from(LOCATIONS)))
            return attrs.evolve(route, redirect=Redirect(to, draw(st.sampled_from([301, 302, 308]))))
        answers = st.just(StatusPage.STUB_STATUS) | responds(st.none() | responds(st.none()))
        return attrs.evolve(route, respond=draw(answers))
    split = draw(st.none() | splits(usable, pattern))
    host = draw(st.none() | st.sampled_from(["a.test", "{host}:81"]).map(parse_value))
    edits = Edits(host, draw(header_edits(texts)), answer_edits)
    fallback = draw(st.none() | st.sampled_from(usable))
    fixed = [upstream for upstream in known.values() if not upstream.host.captures]
    authorize = draw(st.none() | authorizers(fixed, fallback is not None)) if fixed else None
    retries = draw(st.integers(0, 5))
    upgrade = draw(st.sampled_from([(), ("websocket",), ("h2c", "x/$")]))
    targets = ["/", "/x?y=$", "/{{a}}/$${{b"] + ["{rest}", "/${rest}"] * bool(pattern.captures)
    rewrite = draw(st.none() | st.sampled_from(targets).map(parse_template))
    stripped = rewrite is None and isinstance(pattern, PrefixPath) and draw(st.booleans())
    return attrs.evolve(
        route,
        edits=edits if edits != Edits() else None,
        deadlines=attrs.evolve(draw(deadlines), head=inherited.head, drain=inherited.drain, tls=inherited.tls),
        hooks=tuple(draw(st.lists(st.sampled_from(list(hooks.values())), max_size=2))) if hooks else (),
        authorize=authorize,
        upstream=draw(st.sampled_from(usable)) if split is None else split.shares[0][0],
        split=split,
        fallback=fallback,
        fallback_on=draw(st.frozensets(st.integers(500, 599))) if fallback or retries else route.fallback_on,
        retries=retries,
        upgrade=upgrade,
        upgrade_only=bool(upgrade) and draw(st.booleans()),
        origins=draw(st.sampled_from([(), ("https://a.test", "http://*.b.test:81")])) if upgrade else (),
        max_tunnels=draw(st.none() | st.integers(1, 2**63 - 1)) if upgrade else None,
        rewrite=rewrite,
        strip_prefix=pattern.prefix if stripped and isinstance(pattern, PrefixPath) else None,
        body_bytes=draw(st.none() | st.just(math.inf) | sizes),
    )


error_pages = st.lists(
    st.builds(
        ErrorPage,
        st.lists(st.integers(400, 599), min_size=1, max_size=2, unique=True).map(tuple),
        st.sampled_from(["", "${A}", "$$", "é"]).map(str.encode),
        field_values,
    ),
    max_size=2,
    unique_by=lambda page: page.status[0],
).map(lambda pages: tuple(pages) if len(by_status(tuple(pages))) == sum(len(page.status) for page in pages) else ())


option_values = st.one_of(
    st.sampled_from(["", "${A}", "$${", "é"]),
    st.integers(-(2**62), 2**62),
    st.floats(-1e18, 1e18),
    st.booleans(),
    st.lists(st.sampled_from(["a", "${"]), max_size=2).map(tuple),
)
options = st.dictionaries(st.sampled_from(["a", "b_1"]), option_values).map(dict.items).map(tuple)
seconds_of_hooks = st.sampled_from([0.001, 0.2, 10.0])
hook_settings = st.one_of(
    st.builds(
        HookSettings,
        st.just(""),
        st.sampled_from(["a:B", "a.b_1:C"]),
        st.sampled_from([None, "/etc/x", "/${A}"]),
        options,
        st.sampled_from([(), ("pod",), ("a", "é")]),
        seconds_of_hooks,
    ),
    st.builds(HookSettings, st.just(""), st.just("a:B"), deadline=seconds_of_hooks, on_failure=st.just("continue")),
)
hooks = st.dictionaries(names, hook_settings, max_size=3).map(
    lambda tables: {name: attrs.evolve(hook, name=name) for name, hook in tables.items()}
)
texts = st.sampled_from(["", "a", "${A}", "$${", "é"])
ascii_texts = st.sampled_from(["", "a", "${A}", "$${ b"])
tracings = st.none() | st.one_of(
    st.builds(
        TracingSettings,
        endpoint=st.none(),
        sample=st.floats(0, 1),
        trust=st.sampled_from(["proxies", "anyone", "nobody"]),
        propagate=st.lists(st.sampled_from(["w3c", "b3", "b3-multi"]), min_size=1).map(tuple),
    ),
    st.builds(
        TracingSettings,
        endpoint=st.sampled_from(["http://a.test/v1/traces", "https://[::1]:4318/${A}?b=$${"]).map(collector),
        sample=st.sampled_from([0.0, 1e-9, 0.05, 1.0]),
        tunnel=st.sampled_from(["link", "child", "off"]),
        service=texts.filter(len),
        attributes=st.dictionaries(st.sampled_from(["a.b", "${", "é"]), texts).map(dict.items).map(tuple),
        headers=st.dictionaries(st.sampled_from(["x-a", "$$|`"]), ascii_texts).map(dict.items).map(tuple),
        compression=st.sampled_from(["gzip", "none"]),
    ),
)


certificate_files = st.sampled_from(
    [CertificateFiles("/certs/${A}"), CertificateFiles(chain="/a b.pem", key="/é.key"), CertificateFiles("/")]
)
client_names = st.lists(st.sampled_from(["a.test", "*.b.test", "spiffe://a/${", "10.0.0.1"]), max_size=2).map(tuple)
profiles = st.dictionaries(
    st.sampled_from(["edge", "a b", "${A}"]),
    st.builds(
        TlsProfile,
        st.lists(certificate_files, min_size=1, max_size=2).map(tuple),
        st.sampled_from(["refuse", "first"]),
        st.sampled_from(["1.2", "1.3"]),
        texts,
        st.booleans(),
    )
    | st.builds(
        TlsProfile,
        st.lists(certificate_files, min_size=1, max_size=2).map(tuple),
        client_certificate=st.sampled_from(["request", "require"]),
        client_ca=st.just("/ca"),
        client_crl=st.sampled_from([None, "/crl${"]),
        client_names=client_names,
        forward_certificate=st.sampled_from(["off", "summary", "full"]),
    ),
    max_size=2,
)


def passthroughs(known: dict[str, Upstream], inherited: Deadlines) -> st.SearchStrategy[tuple[Passthrough, ...]]:
    plain = [upstream for upstream in known.values() if not upstream.host.captures and upstream.tls is None]
    if not plain:
        return st.just(())
    own = st.fixed_dictionaries({}, optional={"idle": seconds, "connect": seconds}).map(
        lambda given: attrs.evolve(inherited, **given)
    )
    names = st.lists(st.sampled_from(["a.test", "*.a.test", "_b"]), min_size=1, max_size=2, unique=True).map(tuple)
    return st.lists(st.builds(Passthrough, names, st.sampled_from(plain), own), max_size=1).map(tuple)


@st.composite
def configs(draw: st.DrawFn) -> Config:
    known, inherited = draw(upstreams), draw(deadlines)
    passed, server = draw(passthroughs(known, inherited)), draw(servers())
    known_hooks = draw(hooks)
    nameservers = st.lists(st.tuples(addresses, st.integers(1, 65535))).map(tuple)
    fixed = st.dictionaries(st.sampled_from(["a", "a.b", "_x.test"]), st.lists(addresses, min_size=1).map(tuple))
    return Config(
        attrs.evolve(server, listen=tuple(attrs.evolve(each, passthrough=bool(passed)) for each in server.listen)),
        inherited,
        Limits(
            draw(st.integers(1, 2**63 - 1)),
            draw(st.integers(1024, 65536)),
            draw(st.none() | sizes),
            connections_per_client=draw(st.none() | st.integers(1, 2**63 - 1)),
        ),
        draw(logs),
        ResolverSettings(draw(nameservers), draw(seconds), draw(st.booleans()), draw(fixed)),
        KubernetesSettings(
            draw(st.sampled_from(["in-cluster", "http://127.0.0.1:8001", "https://[::1]:6443/x"])),
            draw(st.sampled_from(["/token", "${A}"])),
        ),
        known,
        tuple(draw(routes(index, known, inherited, known_hooks)) for index in range(1, draw(st.integers(2, 4)))),
        draw(error_pages),
        passed,
        known_hooks,
        draw(profiles),
        draw(tracings),
    )
