"""From a routing.toml on disk to its text, and to what the supervisor must know of it."""
