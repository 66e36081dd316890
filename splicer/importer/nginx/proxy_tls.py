"""`proxy_pass https://…` and `proxy_ssl_…`, as `tls` of an upstream."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from splicer.importer.draft import Named
from splicer.importer.ledger import Verdict
from splicer.importer.nginx.context import Context
from splicer.importer.nginx.place import Place
from splicer.importer.nginx.source import Statement
from splicer.importer.nginx.tls import OLD_VERSIONS, path_of

_UNVERIFIED = (
    "nginx verifies no certificate of a pod unless proxy_ssl_verify is on; splicer always does, by the authorities of "
    "this machine: write tls.ca if the pods have others"
)
_NO_NEED: Mapping[str, str] = {
    "proxy_ssl_session_reuse": "sessions are resumed where pods allow it",
    "proxy_ssl_verify_depth": "OpenSSL's limit holds",
    "proxy_ssl_server_name": "pods are always asked by their name",
}
_LOST: Mapping[str, str] = {
    "proxy_ssl_ciphers": "Mozilla's intermediate list is used; ciphers of tls takes this one",
    "proxy_ssl_password_file": "keys have no passphrase: decrypt it, and protect the file",
    "proxy_ssl_conf_command": "there is no counterpart",
}
_PLAIN = "no imported proxy_pass speaks https"


def secure(context: Context, place: Place, upstreams: Sequence[Named], statement: Statement, name: str | None) -> None:
    """Have upstreams speak TLS with their pods.

    Args:
        context: gets the differences.
        place: the location.
        upstreams: those of its `proxy_pass`.
        statement: the `proxy_pass`.
        name: what pods' certificates have to say, where it is not the host of the address.
    """
    scope = place.scope
    authorities, verify = scope.last("proxy_ssl_trusted_certificate"), scope.last("proxy_ssl_verify")
    chain, key = scope.last("proxy_ssl_certificate"), scope.last("proxy_ssl_certificate_key")
    named, revoked, versions = (
        scope.last("proxy_ssl_name"),
        scope.last("proxy_ssl_crl"),
        scope.last("proxy_ssl_protocols"),
    )
    wanted = named.first if named is not None and "$" not in named.first else name
    if verify is None or verify.first != "on":
        context.ledger.differs(statement, _UNVERIFIED)
    for upstream in upstreams:
        path = path_of(authorities.first) if authorities is not None else "system"
        upstream.put(("tls", "ca"), path, *[each for each in (authorities, verify) if each is not None], statement)
        if chain is not None and key is not None:
            pair = {"chain": path_of(chain.first), "key": path_of(key.first)}
            upstream.put(("tls", "certificate"), pair, chain, key)
        if wanted is not None:
            sources = [named] if named is not None else []
            upstream.put(("tls", "names"), [wanted], *sources)
            upstream.put(("tls", "sni"), wanted, *sources)
        if revoked is not None:
            upstream.put(("tls", "crl"), path_of(revoked.first), revoked)
        if versions is not None and not {*OLD_VERSIONS, "TLSv1.2"} & set(versions.args):
            upstream.put(("tls", "min_version"), "1.3", versions)


def rest(context: Context, statements: Sequence[Statement]) -> None:
    """Give each `proxy_ssl_…` without a verdict one.

    Args:
        context: gets it.
        statements: all of the source.
    """
    used = any(upstream.get("tls", "ca") for upstream in context.draft.upstreams.values())
    for each in statements:
        if not each.name.startswith("proxy_ssl_") or context.ledger.is_marked(each):
            continue
        if not used or (each.name == "proxy_ssl_verify" and each.first == "off"):
            context.ledger.mark(each, Verdict.NO_NEED, _PLAIN if not used else "see proxy_pass")
        elif each.name in _NO_NEED or each.name == "proxy_ssl_protocols":
            context.ledger.mark(each, Verdict.DEFAULT, _NO_NEED.get(each.name, "TLS 1.2 and 1.3 are spoken"))
        else:
            context.ledger.lost(each, _LOST.get(each.name, "there is no counterpart; see tls of an upstream"))
