"""Reading a routing.toml from disk: its text, and the facts that the supervisor needs."""
