"""The story of one client connection."""
