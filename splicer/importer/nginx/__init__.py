"""Importing nginx.conf (https://nginx.org/en/docs/)."""
