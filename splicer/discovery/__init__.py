"""The discovery process: it finds endpoints and publishes them; it may be killed at any time."""
