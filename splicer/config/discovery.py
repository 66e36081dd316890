"""``discovery`` of an upstream, and ``[kubernetes]``: whether and where Kubernetes is asked for endpoints."""

from __future__ import annotations

import re
from collections.abc import Iterable
from ipaddress import ip_address
from urllib.parse import urlsplit

from splicer.config.addresses import is_host_name, is_ip, port_number, split_port
from splicer.config.reader import Fault
from splicer.config.scalars import BadValue, show, text
from splicer.model import Service, Upstream, authority
from splicer.patterns import Template
from splicer.policy.allowed import is_localhost

IN_CLUSTER = "in-cluster"

_LABEL = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")
_PORT_NAME = re.compile(r"(?=.*[a-z])[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")  # RFC 6335 §5.1, as Kubernetes has it
_DOMAIN = "svc"
_EXAMPLE = '"SERVICE.NAMESPACE.svc.cluster.local:8000", or "{pod}." in front of it'


def port_of(port: str) -> int | str:
    """The port of an upstream's address: a number, or the name of a port of a Service."""
    return port if _PORT_NAME.fullmatch(port) else port_number(port)


def service_of(host: Template, port: int | str) -> Service:
    """The Service that an upstream's address names.

    Args:
        host: the host of the address.
        port: its port.

    Raises:
        BadValue: it names none, or the URL could choose it.
    """
    labels = host.text.lower().removesuffix(".").split(".")
    at = next((index for index, label in enumerate(labels) if label == _DOMAIN and index > 1), 0)
    if at not in (2, 3):
        raise _no_service(host, port)
    name, namespace = labels[at - 2 : at]
    for label, what in ((name, "Service"), (namespace, "namespace"), (".".join(labels[at + 1 :]), "cluster's domain")):
        if "{" in label:
            raise BadValue(
                f'"kubernetes": {_as_written(host, label)} stands where the {what} does; '
                "only the pod's label can come from the URL"
            )
    if not (_LABEL.fullmatch(name) and _LABEL.fullmatch(namespace)):
        raise _no_service(host, port)
    return Service(namespace, name, port, of_pod=at == 3)


def _no_service(host: Template, port: int | str) -> BadValue:
    what = show(authority(host.text, port))
    return BadValue(f'"kubernetes" needs an address such as {_EXAMPLE}; {what} names no Service')


# A capture's name may have capital letters, which `label` has lost.
def _as_written(host: Template, label: str) -> str:
    at = host.text.lower().index(label)
    return host.text[at : at + len(label)]


def service_faults(host: Template, port: int | str, discovery: str, *, fixed: bool) -> tuple[Fault, ...]:
    """The faults of an upstream's `discovery` beside its address.

    Args:
        host: the host of the address.
        port: its port.
        discovery: "dns" or "kubernetes".
        fixed: whether ``[resolver.hosts]`` gives the host's addresses.
    """
    if discovery == "kubernetes":
        try:
            service_of(host, port)
        except BadValue as fault:
            return (Fault(("discovery",), str(fault)),)
        if isinstance(port, str) and fixed:
            what = f"port {show(port)} is a name, and [resolver.hosts] gives addresses alone"
            return (Fault(("address",), f"{what}; write the port's number"),)
    elif isinstance(port, str):
        return (Fault(("address",), f'port {show(port)} is a name; that needs discovery = "kubernetes"'),)
    return ()


def api_url(value: object) -> str:
    """The URL of an API server, or "in-cluster": the token is sent only by https, or to this machine."""
    word = text(value)
    if word == IN_CLUSTER:
        return word
    example = f'write "{IN_CLUSTER}", or a URL such as "https://10.0.0.1:443"'
    try:
        parts = urlsplit(word)
    except ValueError:
        raise BadValue(f"{show(word)} is no URL; {example}") from None
    host, port = split_port(parts.netloc)
    rest = parts.query or parts.fragment or "@" in parts.netloc
    if parts.scheme not in ("http", "https") or rest or not (is_ip(host) or is_host_name(host)):
        raise BadValue(f"{show(word)} is no URL of a server; {example}")
    if port is not None:
        port_number(port)
    if parts.scheme == "http" and not _is_loopback(host):
        raise BadValue(f"{show(word)} would send the token in the clear; write https://")
    return word.rstrip("/")


def _is_loopback(host: str) -> bool:
    return ip_address(host).is_loopback if is_ip(host) else is_localhost(host.lower().removesuffix("."))


def needs_discovery(upstreams: Iterable[Upstream]) -> bool:
    """Whether a configuration with these upstreams needs the discovery process."""
    return any(upstream.service is not None or upstream.is_judged for upstream in upstreams)
