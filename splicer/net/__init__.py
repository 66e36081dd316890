"""Sockets and name resolution."""
