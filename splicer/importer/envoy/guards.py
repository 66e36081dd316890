"""Filters that protect routes: one that can't be carried closes what it protected."""

from __future__ import annotations

from collections.abc import Mapping

# Without these a route would serve what Envoy refuses, so it is closed.
GUARDS: Mapping[str, str] = {
    "jwt_authn": "have an authorizer check the token (authorize), or the application",
    "rbac": "write clients, clients_deny and methods on the routes, or have an authorizer decide (authorize)",
    "oauth2": "have an authorizer do it (authorize), or the application",
    "basic_auth": "have an authorizer ask for the password (authorize)",
    "api_key_auth": "have an authorizer check the key (authorize)",
    "ext_authz": "write authorize on the routes",
    "ext_proc": "have an authorizer decide (authorize), or the application",
    "csrf": "for WebSockets write origins",
    "geoip": "write clients and clients_deny",
}
