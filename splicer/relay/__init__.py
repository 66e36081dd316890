"""Bytes after the 101."""
