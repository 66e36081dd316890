"""`DownstreamTlsContext` as `[tls.edge]`, `UpstreamTlsContext` as `tls` of an upstream."""

from __future__ import annotations

from collections.abc import Iterator

from splicer.importer.draft import Named
from splicer.importer.envoy.context import Context, leaf
from splicer.importer.ledger import Verdict
from splicer.importer.tls import PROFILE, add_certificate, profile_of
from splicer.importer.yaml_source import Node, mark_rest

_NOT_A_FILE = "a certificate is two files: write them, and name them by filename"
_VERSIONS = {"TLSv1_3": "1.3", "TLSv1_2": "1.2"}


def downstream(context: Context, socket: Node) -> bool:
    """Carry the TLS of a filter chain; whether it could be.

    Args:
        context: gets the profile.
        socket: its `transport_socket`.
    """
    config = socket.get("typed_config")
    common = config.get("common_tls_context")
    certificates = common.get("tls_certificates").each()
    pairs = [(each.get("certificate_chain", "filename"), each.get("private_key", "filename")) for each in certificates]
    if not pairs or any(not chain.text or not key.text for chain, key in pairs):
        context.lost(socket, _NOT_A_FILE)
        return False
    profile = profile_of(context.draft, PROFILE, f"{socket.file}:{socket.line}")
    for chain, key in pairs:
        add_certificate(profile, {"chain": chain.text, "key": key.text}, *leaf(chain), *leaf(key))
    profile.put("unknown_name", "first")
    authorities = common.get("validation_context", "trusted_ca", "filename")
    required = config.get("require_client_certificate")
    if authorities.text:
        profile.put("client_certificate", "require" if required.is_true else "request", *leaf(required))
        profile.put("client_ca", authorities.text, *leaf(authorities))
    elif required.is_true:
        context.closed.append("clients had to show a certificate")
    least = common.get("tls_params", "tls_minimum_protocol_version")
    if least.text in _VERSIONS:
        profile.put("min_version", _VERSIONS[least.text], *leaf(least))
    context.ledger.hold(profile.all_sources())
    mark_rest(context.ledger, common.get("alpn_protocols"), Verdict.DIFFERS, "clients are spoken to in HTTP/1.1")
    for node in (socket.get("name"), config.get("@type")):
        mark_rest(context.ledger, node, Verdict.NO_NEED, "it says what the table is")
    mark_rest(context.ledger, socket, Verdict.LOST, "there is no counterpart; see [tls.NAME] in docs/configuration.md")
    return True


_UNVERIFIED = (
    "Envoy verifies no certificate of a pod without trusted_ca, and no name without match_typed_subject_alt_names; "
    "splicer verifies both: write tls.ca and tls.names if the pods have others"
)


def upstream(context: Context, table: Named, socket: Node) -> bool:
    """Carry an `UpstreamTlsContext`; whether it could be.

    Args:
        context: gets the differences.
        table: the upstream.
        socket: the cluster's `transport_socket`.
    """
    config = socket.get("typed_config")
    common = config.get("common_tls_context")
    if (
        not config.get("@type").text.endswith(".UpstreamTlsContext")
        or common.get("validation_context", "trusted_ca", "inline_string").is_there
    ):
        return False
    authorities = common.get("validation_context", "trusted_ca", "filename")
    table.put(("tls", "ca"), authorities.text or "system", *leaf(authorities))
    for each in common.get("tls_certificates").each()[:1]:
        chain, key = each.get("certificate_chain", "filename"), each.get("private_key", "filename")
        if not chain.text or not key.text:
            return False
        table.put(("tls", "certificate"), {"chain": chain.text, "key": key.text}, *leaf(chain), *leaf(key))
    names = list(_names(common.get("validation_context")))
    if names:
        table.put(("tls", "names"), [name.text for name in names], *[source for name in names for source in leaf(name)])
    if config.get("sni").text:
        table.put(("tls", "sni"), config.get("sni").text, *leaf(config.get("sni")))
    least = common.get("tls_params", "tls_minimum_protocol_version")
    if least.text in _VERSIONS:
        table.put(("tls", "min_version"), _VERSIONS[least.text], *leaf(least))
    context.ledger.hold(table.all_sources())
    if not authorities.text or not names:
        context.differs(config.get("@type"), _UNVERIFIED)
    for node in (socket.get("name"), config.get("@type")):
        mark_rest(context.ledger, node, Verdict.NO_NEED, "it says what the table is")
    for matcher in common.get("validation_context", "match_typed_subject_alt_names").each():
        mark_rest(context.ledger, matcher.get("san_type"), Verdict.DEFAULT, "a name's kind follows from its form")
    mark_rest(context.ledger, common.get("alpn_protocols"), Verdict.DIFFERS, "pods are spoken to in HTTP/1.1")
    mark_rest(context.ledger, socket, Verdict.LOST, "there is no counterpart; see tls of an upstream")
    return True


def _names(validation: Node) -> Iterator[Node]:
    """The exact names that a certificate must have."""
    for each in validation.get("match_typed_subject_alt_names").each():
        if each.get("matcher", "exact").text:
            yield each.get("matcher", "exact")
    for each in (*validation.get("match_subject_alt_names").each(), *validation.get("verify_subject_alt_name").each()):
        if each.text or each.get("exact").text:
            yield each if each.text else each.get("exact")
