"""The supervisor: listeners, signals, workers, upgrades."""
