"""Importing a static configuration of Envoy, API v3 (https://www.envoyproxy.io/docs/envoy/latest/api-v3/api)."""
