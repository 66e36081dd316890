"""routing.toml: from its text to one frozen `Config`, or to every fault that it has."""
