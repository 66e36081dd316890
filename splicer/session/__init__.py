"""Serves one client connection: its requests, their attempts, its tunnel."""
