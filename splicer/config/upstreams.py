"""``[upstreams.NAME]``: a named address, whose host may take captures from the URL."""

from __future__ import annotations

from types import MappingProxyType

from attrs import evolve, frozen

from splicer.config import kinds, scalars
from splicer.config.addresses import is_host_name, is_ip, split_port
from splicer.config.discovery import port_of, service_faults, service_of
from splicer.config.fixed_hosts import Hosts, fixed_addresses, settle_allow
from splicer.config.health_check import HEALTH_CHECK
from splicer.config.keys import key, shared
from splicer.config.outlier_detection import OUTLIER_DETECTION
from splicer.config.reader import Fault, Reader
from splicer.config.scalars import BadValue, show, text
from splicer.config.slow_start import WINDOW, slow_start_faults
from splicer.config.upstream_tls import POD_TLS, placeholder_faults
from splicer.health import HealthCheck, OutlierDetection
from splicer.model import Network, Upstream, authority
from splicer.patterns import Template
from splicer.pod_tls import PodTls
from splicer.routing.template import CaptureTemplate, parse_template

_MOST = 1_000_000  # at one endpoint; more would be a slip of the finger


def upstream_address(value: object) -> tuple[Template, int | str]:
    """Host template and port of "host:port"; the port may be the name of a port of a Service.

    Invariant: the text after the last capture of a host contains a domain, so that the file and not the URL chooses the
    domain (design §5).
    """
    word = text(value)
    if "://" in word:
        raise BadValue(f"write host:port without {show(word.partition('://')[0] + '://')}")
    host, port = split_port(word)
    if port is None and host.count(":") > 1 and not word.startswith("["):
        raise BadValue(f'{show(word)} is ambiguous; write an IPv6 address in brackets: "[::1]:8080"')
    if port is None:
        raise BadValue(f"{show(word)} has no port; write for example {show(word + ':8080')}")
    if "{" in port:
        raise BadValue("a port can't come from a capture: the URL must not choose it")
    try:
        template = parse_template(host)
    except ValueError as error:
        raise BadValue(str(error)) from None
    _check_host(template)
    return template, port_of(port)


def _check_host(host: CaptureTemplate) -> None:
    if not host.captures:
        if not (is_ip(host.text) or is_host_name(host.text)):
            raise BadValue(f"{show(host.text)} is neither a host name nor an IP address")
        return
    last = host.parts[-1]
    suffix = last if isinstance(last, str) else ""
    if not suffix.partition(".")[2]:
        raise BadValue(
            f"{show(host.text)} lets the URL choose the domain; "
            'end it in one of your own, such as "{pod}.voice-agent.svc.cluster.local"'
        )
    if not is_host_name(host.render(dict.fromkeys(host.captures, "x"))):
        raise BadValue(f"{show(host.text)} makes no host name")


@frozen
class UpstreamSpec:
    """The keys of one table; see `model.Upstream`."""

    address: tuple[Template, int | str] = key(
        kinds.Kind(
            upstream_address, lambda address: authority(address[0].text, address[1]), kinds.TEXT.schema, "host and port"
        ),
        "The address of the pods: a name or an IP address. The name may use captures of the route's `regex`, each of "
        'them one DNS label, as in `"{pod}.voice-agent.svc.cluster.local:8000"`.',
    )
    discovery: str = key(
        kinds.choice("dns", "kubernetes"),
        "Who is asked for endpoints: name servers, or the API server of the cluster, which tells at once of a pod that "
        "comes or goes. With the latter, the port of `address` may be the name of a port.",
        default="dns",
    )
    allow: tuple[Network, ...] | None = key(
        kinds.list_of(
            kinds.NETWORK, "networks", empty="no pod could be reached; leave the key out to allow any address"
        ),
        "The networks in which a pod's address must lie. Loopback needs to be named, here or as the address itself; "
        "link-local, multicast and metadata addresses are never dialled.",
        default=None,
        absent="any",
    )
    balance: str = key(
        kinds.choice("least-tunnels", "round-robin", "random"),
        "How the next call's address is chosen among several. One that has just failed is tried last.",
        default="least-tunnels",
    )
    proxy_protocol: str | None = key(
        kinds.choice("v1", "v2"),
        "Begin each connection with a PROXY header of this version, which names the client. No connection is then used "
        "for a second request.",
        default=None,
    )
    max_tunnels: int | None = key(
        kinds.integer(1, _MOST),
        "How many tunnels one endpoint may have at once, over all workers. A full one is left out; if all are full, "
        "the fallback serves, or the answer is 503. A route's `max_tunnels` is something else.",
        default=None,
        absent="no limit",
    )
    max_requests: int | None = key(
        kinds.integer(1, _MOST),
        "How many plain HTTP requests may be under way at one endpoint. Tunnels don't count.",
        default=None,
        absent="no limit",
    )
    slow_start: float | None = key(
        WINDOW,
        "For so long a pod that has become ready is taken for busier than it is, and less and less so: it does not get "
        "all of the next calls. Only with `discovery` and `least-tunnels`.",
        default=None,
    )
    outlier_detection: OutlierDetection | None = key(
        OUTLIER_DETECTION,
        "An endpoint whose last requests all failed is left alone for some time; see [below](#endpoints-that-fail).",
        default=None,
    )
    health_check: HealthCheck | None = key(
        HEALTH_CHECK,
        "Each endpoint is asked regularly whether it is well: by a connect, or a GET; see [below](#health-checks).",
        default=None,
    )
    tls: PodTls | None = key(
        POD_TLS,
        "Speak TLS with the pods, and verify that each is who it should be; see [below](#tls-to-pods).",
        default=None,
    )


UPSTREAM = Reader(UpstreamSpec)


def spec_of(upstream: Upstream) -> UpstreamSpec:
    """The equivalent table: the inverse of `read_upstream`."""
    discovery = "dns" if upstream.service is None else "kubernetes"
    return UpstreamSpec(
        address=(upstream.host, upstream.port_text), discovery=discovery, **shared(upstream, UpstreamSpec)
    )


def read_upstream(
    name: str, table: object, hosts: Hosts = MappingProxyType({})
) -> tuple[Upstream | None, tuple[Fault, ...]]:
    """One upstream, or None and its faults.

    Args:
        name: its key under ``[upstreams]``.
        table: the value that TOML gave.
        hosts: the table ``[resolver.hosts]``.
    """
    reading = UPSTREAM.read(table)
    spec, faults = reading.value, reading.faults
    try:
        scalars.name(name)
    except BadValue as fault:
        faults = (Fault((), str(fault)), *faults)
    if spec is None or faults:
        return None, faults
    (host, port), allow = spec.address, spec.allow
    if not host.captures:
        allow, faults = settle_allow(host.text, allow, hosts)
    fixed = not host.captures and bool(fixed_addresses(host.text, hosts))
    faults += service_faults(host, port, spec.discovery, fixed=fixed)
    faults += () if spec.tls is None else tuple(placeholder_faults(spec.tls, host))
    if faults:
        return None, faults
    service = service_of(host, port) if spec.discovery == "kubernetes" else None
    number = port if isinstance(port, int) else 0
    upstream = Upstream(name, host, number, service=service, **shared(evolve(spec, allow=allow), Upstream))
    faults = slow_start_faults(upstream)
    return None if faults else upstream, faults
