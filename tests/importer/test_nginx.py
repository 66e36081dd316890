"""What becomes of nginx's directives; the facts are of nginx 1.22, which `tests/parity` asks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from splicer.importer.directive import ImportFault
from splicer.importer.ledger import Verdict
from tests.importer.kit import Result, run, server

POD = "proxy_pass http://pod.example:8000;"


def one(directory: Path, *lines: str, before: str = "") -> dict[str, Any]:
    [route] = run("nginx", server(*lines, before=before), directory).routes
    return route


def test_locations_are_tried_in_nginxs_order(tmp_path: Path) -> None:
    lines = [
        "location /a { return 200; }",
        "location ~ ^/r1 { return 200; }",
        "location ^~ /longer { return 200; }",
        "location = /exact { return 200; }",
        "location ~* \\.PNG$ { return 200; }",
        "location /a/longer { return 200; }",
        "location ^~ /long { return 200; }",
    ]
    routes = run("nginx", server(*lines), tmp_path).routes
    patterns = [route.get("path") or route.get("prefix") or route.get("regex") for route in routes]
    assert patterns == ["/exact", "/longer", "/long", "^/r1", "(?i)\\.PNG$", "/a/longer", "/a"]


def test_a_prefix_below_one_without_regexes_is_told(tmp_path: Path) -> None:
    lines = ["location ^~ /a { return 200; }", "location /a/b { return 200; }", "location ~ x { return 200; }"]
    result = run("nginx", server(*lines), tmp_path)
    assert [route.get("prefix") for route in result.routes] == ["/a/b", "/a", None]
    assert result.verdict("location /a/b") is Verdict.DIFFERS


@pytest.mark.parametrize(
    ("location", "passed", "expected"),
    [
        ("/a/", "http://u.x:1", {"prefix": "/a/"}),
        ("/a/", "http://u.x:1/", {"prefix": "/a/", "strip_prefix": True}),
        ("/a/", "http://u.x:1/a/", {"prefix": "/a/"}),
        ("/a/", "http://u.x:1/b/", {"regex": "^/a/(?<rest>.*)$", "rewrite": "/b/{rest}"}),
        ("/a.b", "http://u.x:1/{b}", {"regex": "^/a\\.b(?<rest>.*)$", "rewrite": "/%7Bb%7D{rest}"}),
        ("= /a", "http://u.x:1/b", {"path": "/a", "rewrite": "/b"}),
        ("= /a", "http://u.x:1/a", {"path": "/a"}),
        ("/a/", "http://u.x:1$request_uri", {"prefix": "/a/"}),
        ("/a/", "http://u.x:1/b$is_args$args", {"prefix": "/a/", "rewrite": "/b"}),
        ("~ ^/a/(.*)$", "http://u.x:1/b/$1", {"regex": "^/a/(?<p1>.*)$", "rewrite": "/b/{p1}"}),
        ("~ ^/(?'p'[^/]+)(/.*)$", "http://u.x:1$2", {"regex": "^/(?<p>[^/]+)(?<p2>/.*)$", "rewrite": "{p2}"}),
    ],
)
def test_the_path_that_a_pod_gets(tmp_path: Path, location: str, passed: str, expected: dict[str, object]) -> None:
    route = one(
        tmp_path,
        f'location "{location}" {{ proxy_pass "{passed}"; }}'
        if "{" in passed
        else f"location {location} {{ proxy_pass {passed}; }}",
    )
    shown = {key: route[key] for key in ("path", "prefix", "regex", "rewrite", "strip_prefix") if key in route}
    assert shown == expected


def test_variables_that_choose_the_pod(tmp_path: Path) -> None:
    lines = [
        'set $zone "voice";',
        "location ~ ^/(?<pod>[a-z0-9-]+)/x { set $name $pod.agents; proxy_pass http://$name.$zone.svc.local:80/y; }",
    ]
    result = run("nginx", server(*lines), tmp_path)
    assert result.file["upstreams"]["pod"]["address"] == "{pod}.agents.voice.svc.local:80"
    assert result.routes[0]["rewrite"] == "/y"
    assert result.verdict("set $zone") is result.verdict("set $name") is Verdict.CARRIED


@pytest.mark.parametrize("word", ["$host", "$http_x_pod", "$arg_pod", "$cookie_pod"])
def test_a_host_that_the_client_chooses_is_lost_and_its_route_closed(tmp_path: Path, word: str) -> None:
    result = run(
        "nginx", server(f"location / {{ proxy_pass http://{word}:80; }}", "location /b { return 200 b; }"), tmp_path
    )
    assert result.route("all")["respond"]["status"] == 503
    assert result.verdict("proxy_pass") is Verdict.LOST


@pytest.mark.parametrize(
    "guard",
    [
        "auth_basic x;",
        "satisfy any;",
        "auth_request /gone;",
        "allow 10.0.0.0/8; deny 10.1.0.0/16; deny all;",
        "limit_except GET { allow 10.0.0.0/8; deny all; }",
        "access_by_lua_file /x.lua;",
        "if ($http_x_secret != yes) { return 403; }",
        "if ($bad) { return 444; }",
        "rewrite ^/a /b last;",
        "location ~ \\.php$ { deny all; }",
    ],
)
def test_a_location_without_its_guard_is_closed(tmp_path: Path, guard: str) -> None:
    result = run("nginx", server(f"location /admin/ {{ {guard} {POD} }}", f"location / {{ {POD} }}"), tmp_path)
    admin = result.route("admin")
    assert (admin["prefix"], admin["respond"]["status"]) == ("/admin/", 503)
    assert "upstream" not in admin
    assert "# closed, because" in result.imported.text
    assert result.counts()[Verdict.LOST] > 0
    assert result.route("all")["upstream"] == "pod"


def test_a_regex_that_re2_lacks_is_lost_and_shown(tmp_path: Path) -> None:
    result = run("nginx", server("location ~ ^/(?!a) { return 403; }", "location / { return 200; }"), tmp_path)
    entry = result.entry("location ~")
    assert entry.verdict is Verdict.LOST
    assert "its requests go to later routes" in entry.note
    assert [route["name"] for route in result.routes] == ["all"]


def test_access(tmp_path: Path) -> None:
    lines = ["deny 10.9.0.0/16;", "allow 10.0.0.0/8;", "allow 127.0.0.1;", "deny all;", f"location / {{ {POD} }}"]
    route = one(tmp_path, *lines)
    assert route["clients"] == ["10.0.0.0/8", "127.0.0.1/32"]
    assert route["clients_deny"] == ["10.9.0.0/16"]
    assert one(tmp_path, "deny 192.0.2.1;", f"location / {{ {POD} }}")["clients_deny"] == ["192.0.2.1/32"]
    assert one(tmp_path, "location / { deny all; }")["respond"] == {"status": 403}


@pytest.mark.parametrize(
    ("lines", "verdict"),
    [
        ("proxy_http_version 1.1;", Verdict.DEFAULT),
        ("proxy_http_version 1.0;", Verdict.DIFFERS),
        ("proxy_buffering off;", Verdict.DEFAULT),
        ("proxy_buffering on;", Verdict.DIFFERS),
        ("proxy_set_header X-Real-IP $remote_addr;", Verdict.DEFAULT),
        ("proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;", Verdict.DEFAULT),
        ("proxy_set_header X-Forwarded-Proto $http_x_forwarded_proto;", Verdict.DIFFERS),
        ("proxy_set_header X-Forwarded-Port $server_port;", Verdict.LOST),
        ("proxy_set_header X-Time $msec;", Verdict.LOST),
        ("proxy_set_header X-Team voice;", Verdict.CARRIED),
        ("proxy_cache zone;", Verdict.LOST),
        ("gzip on;", Verdict.LOST),
        ("sub_filter a b;", Verdict.LOST),
        ("client_body_buffer_size 1m;", Verdict.NO_NEED),
        ("frobnicate on;", Verdict.LOST),
    ],
)
def test_verdicts(tmp_path: Path, lines: str, verdict: Verdict) -> None:
    result = run("nginx", server(f"location / {{ {lines} {POD} }}"), tmp_path)
    assert result.verdict(lines.rstrip(";")) is verdict
    assert result.entry(lines.rstrip(";")).note or verdict is Verdict.CARRIED


def test_headers_for_the_pod(tmp_path: Path) -> None:
    fields = [
        "proxy_set_header Host app.example;",
        "proxy_set_header X-Caller $remote_addr;",
        "proxy_set_header X-Agent $http_user_agent;",
        "proxy_set_header X-Path $request_uri;",
        "proxy_set_header X-Pod $pod;",
        'proxy_set_header X-Debug "";',
        "proxy_hide_header X-Powered-By;",
        'add_header X-Edge "nginx {1}" always;',
    ]
    route = one(tmp_path, f"location ~ ^/(?<pod>[a-z]+)/ {{ {' '.join(fields)} {POD} }}")
    assert route["host"] == "app.example"
    assert route["request_headers"] == {
        "X-Caller": "{client}",
        "X-Agent": "{header:User-Agent}",
        "X-Path": "{target}",
        "X-Pod": "{pod}",
        "X-Debug": False,
    }
    assert route["response_headers"] == {"X-Powered-By": False, "X-Edge": "nginx {{1}}"}


def test_nginxs_own_host_where_none_is_set(tmp_path: Path) -> None:
    assert one(tmp_path, f"location / {{ {POD} }}")["host"] == "pod.example:8000"
    assert "host" not in one(tmp_path, f"proxy_set_header Host $host; location / {{ {POD} }}")


def test_header_lists_are_inherited_whole_or_not_at_all(tmp_path: Path) -> None:
    lines = ["proxy_set_header X-A a;", f"location /a {{ {POD} }}", f"location /b {{ proxy_set_header X-B b; {POD} }}"]
    result = run("nginx", server(*lines), tmp_path)
    assert result.route("a")["request_headers"] == {"X-A": "a"}
    assert result.route("b")["request_headers"] == {"X-B": "b"}


def test_deadlines_of_calls_and_of_plain_requests(tmp_path: Path) -> None:
    upgrade = "proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection"
    times = "proxy_connect_timeout 3s; proxy_read_timeout 1h;"
    lines = [
        f"location /calls {{ {times} {upgrade} upgrade; {POD} }}",
        f"location /both {{ {times} {upgrade} $connection_upgrade; {POD} }}",
        f"location /plain {{ {times} {POD} }}",
    ]
    before = "map $http_upgrade $connection_upgrade { default upgrade; '' close; }"
    result = run("nginx", server(*lines, before=before), tmp_path)
    times_of = {name: result.route(name)["deadlines"] for name in ("calls", "both", "plain")}
    assert times_of["calls"] == {
        "connect": "3s",
        "idle": "1h",
        "handshake": "10s",
        "response_idle": "1h",
        "attempts": "13s",
    }
    assert times_of["both"]["handshake"] == "1m"
    assert times_of["plain"] == {"connect": "3s", "response_idle": "1h", "handshake": "1h", "attempts": "1h3s"}
    assert result.route("calls")["upgrade"] == ["websocket"]
    assert result.verdict("map") is Verdict.DEFAULT


def test_a_fallback(tmp_path: Path) -> None:
    lines = [
        f"location / {{ {POD} error_page 502 503 404 = @other; proxy_intercept_errors on; }}",
        "location @other { proxy_pass http://other.example:9000; }",
    ]
    result = run("nginx", server(*lines), tmp_path)
    assert (result.routes[0]["fallback"], result.routes[0]["fallback_on"]) == ("other", [502, 503])
    assert result.verdict("error_page") is Verdict.LOST  # 404 never falls back
    lines[0] = lines[0].replace("proxy_intercept_errors on;", "")
    assert run("nginx", server(*lines), tmp_path).routes[0]["fallback_on"] == []


def test_error_pages(tmp_path: Path) -> None:
    lines = [
        "error_page 502 503 /busy;",
        "error_page 404 /404.html;",
        "location = /busy { default_type application/json; return 503 '{\"busy\":true}'; }",
        f"location / {{ {POD} }}",
    ]
    result = run("nginx", server(*lines), tmp_path)
    assert result.file["errors"] == [
        {"status": [502, 503], "body": '{"busy":true}', "content_type": "application/json"}
    ]
    assert result.verdict("error_page 404") is Verdict.LOST
    assert [route["name"] for route in result.routes] == ["all"]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("return 204;", {"respond": {"status": 204}}),
        ("return 404;", {"respond": {"status": 404}}),
        ("return 444;", {"respond": {"status": 403}}),
        (r"return 200 'a\nb';", {"respond": {"status": 200, "body": "a\nb", "content_type": "text/plain"}}),
        ("return 301 https://x.example$request_uri;", {"redirect": {"to": "https://x.example{target}", "status": 301}}),
        ("return https://x.example/;", {"redirect": {"to": "https://x.example/", "status": 302}}),
        ("return 302 /new?a=$arg_a;", {"respond": {"status": 503, "body": "this route was not imported whole\n"}}),
        ("return 200 $remote_addr;", {"respond": {"status": 503, "body": "this route was not imported whole\n"}}),
        ("stub_status;", {"respond": "status"}),
    ],
)
def test_answers(tmp_path: Path, words: str, expected: dict[str, object]) -> None:
    route = one(tmp_path, f"location / {{ {words} }}")
    assert {key: route[key] for key in ("respond", "redirect") if key in route} == expected


def test_a_redirect_to_the_clients_host_is_for_the_servers_names(tmp_path: Path) -> None:
    route = one(tmp_path, "server_name a.example *.b.example;", "return 301 https://$host$request_uri;")
    assert route["hosts"] == ["a.example"]
    assert route["redirect"] == {"to": "https://{host}{target}", "status": 301}


def test_rewrites(tmp_path: Path) -> None:
    lines = [
        f"location /a/ {{ rewrite ^/a/(.*)$ /b/$1 break; {POD} }}",
        f"location /c/ {{ rewrite ^/c/x/(.*)$ /y/$1 break; {POD} }}",
        "location /d/ { rewrite ^/d/(.*)$ /e/$1 permanent; }",
    ]
    result = run("nginx", server(*lines), tmp_path)
    assert (result.route("a")["regex"], result.route("a")["rewrite"]) == ("^/a/(?<p1>.*)$", "/b/{p1}")
    assert (result.route("c-2")["regex"], result.route("c-2")["rewrite"]) == ("^/c/x/(?<p1>.*)$", "/y/{p1}")
    assert result.routes.index(result.route("c-2")) < result.routes.index(result.route("c"))
    assert result.route("d")["redirect"] == {"to": "/e/{p1}?{query}", "status": 301}


def test_conditions(tmp_path: Path) -> None:
    lines = [
        "if ($http_x_forwarded_proto = http) { return 403; }",
        f"location /w {{ if ($http_upgrade != websocket) {{ return 426; }} proxy_set_header Upgrade $http_upgrade; "
        f"proxy_set_header Connection upgrade; {POD} }}",
        f"location /o {{ if ($request_method = OPTIONS) {{ return 204; }} {POD} }}",
    ]
    result = run("nginx", server(*lines), tmp_path)
    assert result.routes[0]["scheme"] == "http"
    assert result.route("w")["upgrade_only"] is True
    assert result.route("if-2")["methods"] == ["OPTIONS"]


def test_several_servers_of_an_upstream(tmp_path: Path) -> None:
    before = """
upstream ips { server 10.0.0.1:80; server 10.0.0.2:80; keepalive 8; }
upstream weighted { server a.x:80 weight=3; server b.x:81; server c.x:80 backup; }
upstream hashed { ip_hash; server 10.0.0.1:80; server 10.0.0.2:80; }
"""
    lines = [
        f"location /{name} {{ proxy_set_header Host $host; proxy_pass http://{name}; }}"
        for name in ("ips", "weighted", "hashed")
    ]
    result = run("nginx", server(*lines, before=before), tmp_path)
    assert result.file["resolver"]["hosts"]["ips.upstream"] == ["10.0.0.1", "10.0.0.2"]
    assert result.route("ips")["retries"] == 1
    assert result.route("weighted")["upstream"] == {"weighted-a-x": 3, "weighted-b-x": 1}
    assert (result.route("weighted")["fallback"], result.route("weighted")["fallback_on"]) == ("weighted-backup", [])
    assert result.route("hashed")["hash_on"] == "client"
    assert result.verdict("keepalive 8") is Verdict.NO_NEED


def test_limits(tmp_path: Path) -> None:
    before = "limit_req_zone $binary_remote_addr zone=r:1m rate=10r/s; limit_conn_zone $binary_remote_addr zone=c:1m;"
    lines = [
        f"location / {{ limit_req zone=r burst=20 nodelay; limit_conn c 7; client_max_body_size 50m; {POD} }}",
        f"location /get {{ limit_except GET {{ deny all; }} {POD} }}",
    ]
    result = run("nginx", server(*lines, before=before), tmp_path)
    assert result.route("all")["rate_limit"] == {"rate": "10/s", "burst": 21, "by": "client"}
    assert result.route("all")["body_bytes"] == "50MiB"
    assert result.file["limits"]["connections_per_client"] == 7
    assert result.route("get")["methods"] == ["GET"]


def test_servers_and_their_hosts(tmp_path: Path) -> None:
    text = """events {} http {
server { listen 80; server_name a.example; location /x { return 200 a; } }
server { listen 80; server_name *.b.example .c.example; location / { return 200 b; } }
server { listen 80; server_name ~^d; location / { return 200 d; } }
server { listen 80 default_server; server_name e.example; location / { return 200 e; } }
server { listen 81; location / { return 200 f; } }
}"""
    result = run("nginx", text, tmp_path)
    assert [(route["name"], route.get("hosts")) for route in result.routes] == [
        ("a-x", ["a.example"]),
        ("a-none", ["a.example"]),
        ("b-all", ["*.b.example", "c.example", "*.c.example"]),
        ("e-all", None),
    ]
    assert result.verdict("server_name ~^d") is Verdict.LOST
    assert result.verdict("listen 81") is Verdict.LOST
    other = run("nginx", text, tmp_path, port=81)
    assert other.file["server"]["listen"] == "0.0.0.0:81"
    with pytest.raises(ImportFault, match="no server listens on port 82"):
        run("nginx", text, tmp_path, port=82)


def test_the_resolver_and_trusted_proxies(tmp_path: Path) -> None:
    before = (
        "resolver 10.0.0.1 [::1]:54 valid=30s ipv6=off; resolver_timeout 5s; set_real_ip_from 10.0.0.0/8; "
        "real_ip_header X-Forwarded-For; keepalive_timeout 65;"
    )
    file = run("nginx", server(f"location / {{ {POD} }}", before=before), tmp_path).file
    assert file["resolver"] == {"nameservers": ["10.0.0.1", "[::1]:54"], "max_ttl": "30s", "ipv6": False}
    assert file["server"]["trusted_proxies"] == ["10.0.0.0/8"]
    assert (file["deadlines"]["resolve"], file["deadlines"]["keepalive"]) == ("5s", "1m5s")


def test_names_without_a_domain(tmp_path: Path) -> None:
    text = server("location / { proxy_pass http://app:80; }")
    assert run("nginx", text, tmp_path).verdict("proxy_pass") is Verdict.DIFFERS
    result = run("nginx", text, tmp_path, domain="voice.svc.cluster.local")
    assert result.file["upstreams"]["app"]["address"] == "app.voice.svc.cluster.local:80"


def test_the_environment_is_filled_in(tmp_path: Path) -> None:
    text = server(
        'location / { proxy_pass http://${HOST}:${PORT}${request_uri}; add_header X "$NAME" always; }',
        before="resolver ${DNS} valid=5s;",
    )
    result: Result = run(
        "nginx", text, tmp_path, environ={"HOST": "a.x", "PORT": "80", "NAME": "n", "DNS": "10.0.0.1 10.0.0.2"}
    )
    assert result.file["upstreams"]["a"]["address"] == "a.x:80"
    assert result.file["resolver"]["nameservers"] == ["10.0.0.1", "10.0.0.2"]
    assert result.routes[0]["response_headers"] == {"X": "n"}
    assert result.entry("proxy_pass").directive.text == "proxy_pass http://a.x:80${request_uri}"


def test_proxy_headers(tmp_path: Path) -> None:
    text = server("listen 8080 proxy_protocol;", f"location / {{ {POD} }}").replace("listen 8080;\n", "")
    assert run("nginx", text, tmp_path).file["server"]["listen"] == {
        "address": "0.0.0.0:8080",
        "proxy_protocol": "required",
    }
    believed = text.replace("location", "set_real_ip_from 10.0.0.0/8; real_ip_header proxy_protocol; location")
    server_section = run("nginx", believed, tmp_path).file["server"]
    assert server_section == {"listen": {"address": "0.0.0.0:8080", "proxy_protocol": ["10.0.0.0/8"]}}


def test_limits_of_endpoints(tmp_path: Path) -> None:
    before = "upstream u { server 10.0.0.1:80 max_conns=7; server 10.0.0.2:80; }"
    file = run("nginx", server("location / { proxy_pass http://u; }", before=before), tmp_path).file
    assert (file["upstreams"]["u"]["max_tunnels"], file["upstreams"]["u"]["max_requests"]) == (7, 7)


def test_failures_of_endpoints(tmp_path: Path) -> None:
    before = "upstream u { server 10.0.0.1:80 max_fails=3 fail_timeout=30s; server 10.0.0.2:80 max_fails=0; }"
    result = run("nginx", server("location / { proxy_pass http://u; }", before=before), tmp_path)
    expected = {"consecutive_errors": 3, "base_ejection_time": "30s", "statuses": []}
    assert result.file["upstreams"]["u"]["outlier_detection"] == expected
    assert result.verdict("server 10.0.0.1:80") is result.verdict("server 10.0.0.2:80") is Verdict.DIFFERS


def test_a_server_without_its_guard_is_closed(tmp_path: Path) -> None:
    result = run("nginx", server("if ($http_x_secret != yes) { return 403; }", f"location / {{ {POD} }}"), tmp_path)
    assert result.route("all")["respond"]["status"] == 503


def test_an_internal_location_is_not_found_from_outside(tmp_path: Path) -> None:
    lines = ["location = /_ask { internal; proxy_pass http://a.x:80; }", f"location / {{ {POD} }}"]
    assert run("nginx", server(*lines), tmp_path).route("ask")["respond"] == {"status": 404}


TLS = """events {} http {
ssl_protocols TLSv1.3; ssl_session_timeout 1d; ssl_stapling on;
server { listen 80; listen [::]:80; server_name a.example; return 301 https://$host$request_uri; }
server { listen 443 ssl http2 default_server; server_name a.example; CLIENTS
  ssl_certificate /c/a.pem; ssl_certificate_key /c/a.key; location / { proxy_pass http://pod.example:80; } }
server { listen 443 ssl; server_name b.example; CLIENTS
  ssl_certificate b.pem; ssl_certificate_key b.key; location / { proxy_pass http://pod.example:81; } }
}"""


def test_certificates(tmp_path: Path) -> None:
    result = run("nginx", TLS.replace("CLIENTS", ""), tmp_path)
    assert result.file["server"]["listen"] == [{"address": "0.0.0.0:443", "tls": "edge"}, "0.0.0.0:80", "[::]:80"]
    assert result.file["tls"]["edge"] == {
        "certificates": [
            {"chain": "/c/a.pem", "key": "/c/a.key"},
            {"chain": "/etc/nginx/b.pem", "key": "/etc/nginx/b.key"},
        ],
        "unknown_name": "first",
        "min_version": "1.3",
    }
    assert [(route.get("scheme"), route.get("hosts")) for route in result.routes[:2]] == [
        ("http", ["a.example"]),
        ("http", None),
    ]
    assert result.verdict("ssl_stapling") is Verdict.LOST
    assert result.verdict("ssl_session_timeout") is Verdict.NO_NEED


def test_certificates_of_clients(tmp_path: Path) -> None:
    rule = "ssl_verify_client on; ssl_client_certificate /c/ca.pem; ssl_crl /c/crl.pem;"
    edge = run("nginx", TLS.replace("CLIENTS", rule), tmp_path).file["tls"]["edge"]
    assert (edge["client_certificate"], edge["client_ca"], edge["client_crl"]) == ("require", "/c/ca.pem", "/c/crl.pem")
    one = run("nginx", TLS.replace("CLIENTS", rule, 1).replace("CLIENTS", ""), tmp_path)
    statuses = {route["name"]: route.get("respond", {}).get("status") for route in one.routes if "scheme" not in route}
    assert statuses == {"a-all": 503, "b-all": None}


def test_a_profile_without_certificates_is_no_listener_of_tls(tmp_path: Path) -> None:
    text = TLS.replace("CLIENTS", "").replace("/c/a.pem", "/c/$ssl_server_name").replace("b.pem", "$x")
    result = run("nginx", text, tmp_path)
    assert result.file["server"]["listen"][0] == "0.0.0.0:443"
    assert "tls" not in result.file
    assert all("scheme" not in route for route in result.routes)
    assert result.verdict("return 301") is Verdict.LOST


def test_ssl_without_a_listener_needs_nothing(tmp_path: Path) -> None:
    result = run("nginx", server(f"location / {{ {POD} }}", before="ssl_protocols TLSv1.2;"), tmp_path)
    assert result.verdict("ssl_protocols") is Verdict.NO_NEED


def test_tls_to_pods(tmp_path: Path) -> None:
    verified = (
        "proxy_ssl_verify on; proxy_ssl_trusted_certificate ca.pem; proxy_ssl_name agents.example; "
        "proxy_ssl_certificate /c/a.pem; proxy_ssl_certificate_key /c/a.key; proxy_ssl_server_name on;"
    )
    lines = [
        f"location /a {{ {verified} proxy_pass https://a.x; }}",
        "location /b { proxy_pass https://b.x:8443/; }",
        "location /c { proxy_pass https://group; }",
        "location /d { proxy_ssl_trusted_certificate $ca; proxy_pass https://b.x:8443; }",
    ]
    before = "upstream group { server 10.0.0.1:443; server 10.0.0.2:443; }"
    result = run("nginx", server(*lines, before=before), tmp_path)
    upstreams = result.file["upstreams"]
    assert upstreams[result.route("a")["upstream"]] == {
        "address": "a.x:443",
        "tls": {
            "ca": "/etc/nginx/ca.pem",
            "certificate": {"chain": "/c/a.pem", "key": "/c/a.key"},
            "names": ["agents.example"],
            "sni": "agents.example",
        },
    }
    assert upstreams[result.route("b")["upstream"]] == {"address": "b.x:8443", "tls": {"ca": "system"}}
    assert upstreams["group"]["tls"] == {"ca": "system", "names": ["group"], "sni": "group"}
    assert result.verdict("proxy_pass https://b.x:8443/") is Verdict.DIFFERS
    assert result.verdict("proxy_ssl_server_name") is Verdict.DEFAULT
    assert result.verdict("proxy_ssl_certificate /c") is Verdict.CARRIED
