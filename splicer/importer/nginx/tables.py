"""Directives whose fate needs no look at the rest of the file."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from splicer.importer.ledger import Ledger, Verdict
from splicer.importer.nginx.source import Statement

_PROCESSES = "nginx's own processes; server.workers says how many splicer has"
_SOCKETS = "splicer sets its sockets itself"
_BUFFERS = "splicer has no such buffer"
_FILES = "splicer serves no files"
_CACHE = "splicer caches no answers; leave that to the application, or to a CDN in front"
_BODIES = "splicer changes no bodies"
_SCRIPT = "splicer runs no scripts of nginx's"

NO_NEED: Mapping[str, str] = {
    **dict.fromkeys(
        (
            "worker_processes",
            "worker_rlimit_nofile",
            "worker_priority",
            "worker_cpu_affinity",
            "worker_shutdown_timeout",
        ),
        _PROCESSES,
    ),
    **dict.fromkeys(
        ("events", "worker_connections", "use", "multi_accept", "accept_mutex", "daemon", "master_process"), _PROCESSES
    ),
    **dict.fromkeys(
        ("user", "pid", "lock_file", "load_module", "thread_pool", "pcre_jit", "env"), "nginx's own process"
    ),
    **dict.fromkeys(("sendfile", "tcp_nopush", "tcp_nodelay", "aio", "directio", "sendfile_max_chunk"), _SOCKETS),
    **dict.fromkeys(
        ("reset_timedout_connection", "proxy_socket_keepalive", "so_keepalive", "lingering_close"), _SOCKETS
    ),
    **dict.fromkeys(
        ("client_body_temp_path", "proxy_temp_path", "fastcgi_temp_path", "uwsgi_temp_path", "scgi_temp_path"), _BUFFERS
    ),
    **dict.fromkeys(
        (
            "client_body_buffer_size",
            "client_header_buffer_size",
            "proxy_buffers",
            "proxy_buffer_size",
            "postpone_output",
        ),
        _BUFFERS,
    ),
    **dict.fromkeys(
        ("proxy_busy_buffers_size", "proxy_max_temp_file_size", "output_buffers", "connection_pool_size"), _BUFFERS
    ),
    **dict.fromkeys(
        (
            "types",
            "types_hash_max_size",
            "types_hash_bucket_size",
            "variables_hash_max_size",
            "variables_hash_bucket_size",
        ),
        "nginx's own tables",
    ),
    **dict.fromkeys(
        ("server_names_hash_bucket_size", "server_names_hash_max_size", "map_hash_bucket_size", "map_hash_max_size"),
        "nginx's own tables",
    ),
    **dict.fromkeys(("proxy_headers_hash_max_size", "proxy_headers_hash_bucket_size"), "nginx's own tables"),
    **dict.fromkeys(("index", "autoindex", "open_file_cache", "log_not_found", "etag", "if_modified_since"), _FILES),
    "http": "its directives stand in this report",
    "include": "its directives stand in this report (mime.types is for files, which splicer does not serve)",
    "server": "its locations are routes",
    "keepalive_requests": "a client's connection ends by deadlines.keepalive alone",
    "keepalive_disable": "no browser of today needs it",
    "error_log": "splicer logs JSON to stdout; splicer's log has every failed attempt",
    "proxy_set_body": "",
    "resolver_timeout": "",
    "server_tokens": "splicer sends no Server of its own",
}

# By name and value; "*" is any value.
DEFAULT: Mapping[tuple[str, str], str] = {
    ("proxy_http_version", "1.1"): "pods are spoken to in HTTP/1.1",
    ("proxy_buffering", "off"): "answers are streamed",
    ("proxy_request_buffering", "off"): "bodies are streamed",
    ("chunked_transfer_encoding", "*"): "splicer frames bodies itself",
    ("proxy_redirect", "off"): "a Location is passed on as it is",
    ("proxy_ignore_client_abort", "off"): "a pod's request ends when its client has left",
    ("proxy_pass_request_headers", "on"): "all end-to-end fields are passed on",
    ("proxy_pass_request_body", "on"): "bodies are passed on",
    ("proxy_cache", "off"): "nothing is cached",
    ("proxy_cache_bypass", "*"): "nothing is cached",
    ("proxy_no_cache", "*"): "nothing is cached",
    ("gzip", "off"): "nothing is compressed",
    ("auth_basic", "off"): "nobody is asked for a password",
    ("auth_request", "off"): "nobody is asked",
    ("server_tokens", "*"): "splicer sends no Server of its own",
    ("merge_slashes", "on"): "slashes are merged for matching",
    ("underscores_in_headers", "on"): "such fields are passed on, unless they forge one of the edge's own",
    ("ignore_invalid_headers", "on"): "an invalid field is refused with 400",
    ("real_ip_header", "X-Forwarded-For"): "that is the field that trusted_proxies are believed in",
    ("real_ip_recursive", "on"): "the first address from the right that is not trusted is the client's",
    ("proxy_intercept_errors", "off"): "a pod's answer is passed on",
    ("limit_req_status", "429"): "splicer answers 429",
    ("recursive_error_pages", "off"): "an error page has no error page",
    ("port_in_redirect", "*"): "a redirect within the host is a path",
    ("server_name_in_redirect", "*"): "a redirect within the host is a path",
    ("absolute_redirect", "*"): "a redirect within the host is a path (RFC 9110 §10.2.2)",
    ("default_type", "*"): "",
    ("charset", "off"): "",
}

DIFFERS: Mapping[str, str] = {
    "proxy_buffering": "answers are streamed; nothing is buffered",
    "proxy_request_buffering": "bodies are streamed; nothing is buffered",
    "proxy_http_version": "pods are spoken to in HTTP/1.1",
    "proxy_send_timeout": "no counterpart: a pod that takes no bytes is cut when its connection is dead",
    "send_timeout": "deadlines.response_idle is the wait for a client, too",
    "log_format": 'splicer logs one JSON object for each exchange; log.format = "combined" is nginx\'s combined',
    "access_log": 'the log is on stdout, JSON or log.format = "combined"; a collector writes files',
    "real_ip_recursive": "the first address from the right that is not trusted is the client's, as with on",
    "ignore_invalid_headers": "an invalid field is refused with 400",
    "underscores_in_headers": "such fields are passed on, unless they forge one of the edge's own",
    "large_client_header_buffers": "limits.head_bytes is for the whole head, 32 KiB",
    "merge_slashes": "slashes are merged for matching; the pod gets the client's",
    "lingering_timeout": "splicer waits for a client's last bytes itself",
    "lingering_time": "splicer waits for a client's last bytes itself",
}

LOST: Mapping[str, str] = {
    **dict.fromkeys(("root", "alias", "try_files", "error_page_file", "expires", "charset", "dav_methods"), _FILES),
    **dict.fromkeys(
        (
            "gzip",
            "gzip_types",
            "gzip_vary",
            "gzip_proxied",
            "gzip_min_length",
            "gzip_comp_level",
            "gzip_disable",
            "brotli",
        ),
        "splicer compresses nothing; have the application or the load balancer do it",
    ),
    **dict.fromkeys(("gzip_buffers", "gzip_http_version", "gzip_static", "gunzip"), "splicer compresses nothing"),
    **dict.fromkeys(
        ("proxy_cache", "proxy_cache_path", "proxy_cache_valid", "proxy_cache_key", "proxy_cache_use_stale"), _CACHE
    ),
    **dict.fromkeys(
        ("proxy_cache_lock", "proxy_cache_methods", "proxy_cache_min_uses", "proxy_ignore_headers"), _CACHE
    ),
    **dict.fromkeys(
        ("sub_filter", "sub_filter_once", "sub_filter_types", "add_before_body", "ssi", "image_filter"), _BODIES
    ),
    **dict.fromkeys(
        ("proxy_cookie_domain", "proxy_cookie_path", "proxy_cookie_flags"), "splicer rewrites no Set-Cookie"
    ),
    **dict.fromkeys(("fastcgi_pass", "uwsgi_pass", "scgi_pass", "grpc_pass", "memcached_pass"), "pods speak HTTP/1.1"),
    **dict.fromkeys(("js_import", "js_set", "perl", "perl_set"), _SCRIPT),
    "proxy_redirect": "a Location is passed on as it is; have the pod write it, by its Host",
    "proxy_bind": "the kernel chooses the source address",
    "proxy_method": "the method is passed on as it is",
    "proxy_pass_header": "Date and Server are passed on as pods send them; others need no word",
    "mirror": "requests are not copied",
    "stream": "splicer is an HTTP proxy; TCP is for another program",
    "mail": "splicer is an HTTP proxy",
    "map": "write a route for each value, with conditions (headers, query, hosts)",
    "geo": "write clients and clients_deny on routes",
    "split_clients": "write upstream = { a = 95, b = 5 } on the route",
    "http2": "clients are spoken to in HTTP/1.1; a load balancer in front may speak HTTP/2",
    "opentracing": "see tracing in docs/configuration.md",
}

# By the beginning of a name, for what has no entry of its own.
FAMILIES: Mapping[str, str] = {
    "proxy_cache_": _CACHE,
    "gzip_": "splicer compresses nothing",
    "brotli_": "splicer compresses nothing",
    "auth_basic_user_file": "have an authorizer ask for the password (authorize), or the application",
    "fastcgi_": "pods speak HTTP/1.1",
    "uwsgi_": "pods speak HTTP/1.1",
    "scgi_": "pods speak HTTP/1.1",
    "grpc_": "gRPC needs another proxy",
    "lua_": _SCRIPT,
    "js_": _SCRIPT,
    "http3": "clients are spoken to in HTTP/1.1",
    "http2_": "clients are spoken to in HTTP/1.1; a load balancer in front may speak HTTP/2",
    "otel": "see tracing in docs/configuration.md",
}

# Without these a route would serve what nginx refuses, so it is closed.
GUARDS: Mapping[str, str] = {
    "auth_basic": "have an authorizer ask for the password (authorize), or the application",
    "auth_jwt": "have an authorizer check the token (authorize), or the application",
    "auth_digest": "have an authorizer ask for the password (authorize)",
    "satisfy": "all of clients, clients_deny and authorize hold, never one of them alone",
    "valid_referers": "for WebSockets write origins; a Referer protects nothing",
    "secure_link": "have an authorizer check the link (authorize)",
    "access_by_lua": "have an authorizer decide (authorize)",
    "access_by_lua_block": "have an authorizer decide (authorize)",
    "access_by_lua_file": "have an authorizer decide (authorize)",
    "js_access": "have an authorizer decide (authorize)",
    "modsecurity": "have a web application firewall in front",
    "ssl_verify_client": "one rule holds for all names of a listener: have servers with another one on their own port",
    "limit_except": "write methods on the route",
    "deny": "",
    "auth_request": "the location that it asks could not be imported as an authorizer",
}


def mark_simple(ledger: Ledger, statements: Iterator[Statement]) -> None:
    """Give a verdict to each directive that the tables alone decide about."""
    for statement in statements:
        name, value = statement.name, " ".join(statement.args)
        why = DEFAULT.get((name, value), DEFAULT.get((name, "*")))
        if why is not None:
            ledger.mark(statement, Verdict.DEFAULT, why) if why else None
        elif name in DIFFERS and value != "off":
            ledger.differs(statement, DIFFERS[name])
        elif NO_NEED.get(name):
            ledger.mark(statement, Verdict.NO_NEED, NO_NEED[name])
            _with_block(ledger, statement)
        elif (why := LOST.get(name) or (None if name in GUARDS else _by_family(name))) is not None:
            _lost_with_block(ledger, statement, why)


def _by_family(name: str) -> str | None:
    return next((why for family, why in FAMILIES.items() if name.startswith(family)), None)


def _with_block(ledger: Ledger, statement: Statement) -> None:
    if statement.name in ("types", "events"):
        for inner in statement.block or ():
            ledger.mark(inner, Verdict.NO_NEED, NO_NEED[statement.name])


def _lost_with_block(ledger: Ledger, statement: Statement, why: str) -> None:
    if statement.name != "map":  # what a map is for decides: see servers
        ledger.lost(statement, why)
        for inner in statement.block or ():
            _lost_with_block(ledger, inner, why)
