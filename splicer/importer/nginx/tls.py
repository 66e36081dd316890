"""`ssl_…` of servers, as `[tls.edge]`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from splicer.importer.draft import Named
from splicer.importer.ledger import Verdict
from splicer.importer.nginx.context import Context
from splicer.importer.nginx.scope import Scope
from splicer.importer.nginx.source import Statement
from splicer.importer.tls import PROFILE, add_certificate, profile_of

_PREFIX = "/etc/nginx/"  # of paths that are not absolute
OLD_VERSIONS = ("SSLv2", "SSLv3", "TLSv1", "TLSv1.1")
_NO_NEED: Mapping[str, str] = {
    "ssl": "listen says it",
    "ssl_session_cache": "each tls process remembers sessions itself",
    "ssl_session_timeout": "each tls process remembers sessions itself",
    "ssl_session_ticket_key": "sessions are resumed within one tls process",
    "ssl_prefer_server_ciphers": "the server's order holds",
    "ssl_dhparam": "keys are exchanged by elliptic curves",
    "ssl_ecdh_curve": "OpenSSL's curves hold",
    "ssl_buffer_size": "a record is as long as what there is to send",
    "ssl_verify_depth": "OpenSSL's limit holds",
    "ssl_early_data": "no early data is taken",
    "ssl_reject_handshake": "unknown_name says what a client without a known name gets",
}
_LOST: Mapping[str, str] = {
    "ssl_stapling": "no OCSP answer is stapled: most authorities have given OCSP up",
    "ssl_stapling_verify": "no OCSP answer is stapled",
    "ssl_stapling_file": "no OCSP answer is stapled",
    "ssl_stapling_responder": "no OCSP answer is stapled",
    "ssl_trusted_certificate": "it is for stapling; write client_ca for clients' certificates",
    "ssl_conf_command": "there is no counterpart",
    "ssl_password_file": "keys have no passphrase: decrypt it, and protect the file",
    "ssl_ocsp": "write client_crl for revoked certificates",
}
_CIPHERS = 'Mozilla\'s intermediate list is used; ciphers = "…" of [tls.edge] takes this one'
_PLAIN = "no imported server listens with ssl"
_VERIFY = {"on": "require", "optional": "request"}


def tls(context: Context, servers: Sequence[Scope], statements: Sequence[Statement]) -> None:
    """Make the profile of the servers that listen with `ssl`, and give each `ssl_…` its verdict.

    Args:
        context: gets the profile; whether it has the rule for clients' certificates.
        servers: those that listen so, the default one first.
        statements: all of the source.
    """
    if servers:
        profile = profile_of(context.draft, PROFILE, servers[0].statements[0].place if servers[0].statements else "")
        for server in servers:
            _certificates(context, profile, server)
        if profile.get("certificates"):
            profile.put("unknown_name", "first")
        _versions(context, profile, servers)
        _clients(context, profile, servers)
    held = {id(each) for profile in context.draft.tls.values() for each in profile.all_sources()}
    for each in statements:
        if each.name.startswith("ssl_") or each.name == "ssl":
            if id(each) in held or context.ledger.is_marked(each):
                continue
            _rest(context, each, bool(servers))


def _certificates(context: Context, profile: Named, server: Scope) -> None:
    chains, keys = server.all("ssl_certificate"), server.all("ssl_certificate_key")
    for chain, key in zip(chains, keys, strict=False):
        if "$" in chain.first or "$" in key.first or ":" in key.first:
            for each in (chain, key):
                context.ledger.lost(each, "a certificate is a file: list all of them, and the server name decides")
            continue
        add_certificate(profile, {"chain": path_of(chain.first), "key": path_of(key.first)}, chain, key)


def path_of(path: str) -> str:
    """An absolute path, as nginx finds the file."""
    return path if path.startswith("/") else _PREFIX + path


def _versions(context: Context, profile: Named, servers: Sequence[Scope]) -> None:
    found = list({id(each): each for server in servers if (each := server.last("ssl_protocols"))}.values())
    for each in found:
        if any(old in each.args for old in OLD_VERSIONS):
            context.ledger.differs(each, "TLS 1.2 and 1.3 are spoken, nothing older")
    if found and all("TLSv1.2" not in each.args and not set(OLD_VERSIONS) & set(each.args) for each in found):
        profile.put("min_version", "1.3", *found)
    else:
        for each in found:
            context.ledger.mark(each, Verdict.DEFAULT, "TLS 1.2 and 1.3 are spoken")
    tickets = [each for server in servers if (each := server.last("ssl_session_tickets"))]
    if tickets and all(each.first == "off" for each in tickets):
        profile.put("session_tickets", False, *tickets)


def _clients(context: Context, profile: Named, servers: Sequence[Scope]) -> None:
    """The rule for clients' certificates, if all servers have the same; else their routes are closed (`GUARDS`)."""
    rules = [server.last("ssl_verify_client") for server in servers]
    words = {rule.first if rule is not None else "off" for rule in rules}
    verify = _VERIFY.get(next(iter(words))) if len(words) == 1 else None
    authorities = servers[0].last("ssl_client_certificate") if servers else None
    if verify is None or authorities is None:
        return
    profile.put("client_certificate", verify, *[rule for rule in rules if rule is not None])
    profile.put("client_ca", path_of(authorities.first), *server_all(servers, "ssl_client_certificate"))
    if (revoked := servers[0].last("ssl_crl")) is not None:
        profile.put("client_crl", path_of(revoked.first), *server_all(servers, "ssl_crl"))
    context.verifies = True


def server_all(servers: Sequence[Scope], name: str) -> list[Statement]:
    """The directives of this name that hold in some servers."""
    return [each for server in servers for each in server.all(name)]


def _rest(context: Context, statement: Statement, secure: bool) -> None:
    name = statement.name
    if not secure:
        context.ledger.mark(statement, Verdict.NO_NEED, _PLAIN)
    elif name in _NO_NEED or (name in ("ssl_verify_client", "ssl_stapling") and statement.first == "off"):
        context.ledger.mark(statement, Verdict.NO_NEED, _NO_NEED.get(name, "it is off"))
    elif name == "ssl_ciphers":
        context.ledger.differs(statement, _CIPHERS)
    elif name == "ssl_session_tickets":
        context.ledger.mark(statement, Verdict.DEFAULT, "sessions may be resumed")
    else:
        context.ledger.lost(statement, _LOST.get(name, "there is no counterpart; see [tls.NAME]"))
