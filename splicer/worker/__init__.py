"""A worker process: it accepts, and runs the nursery in which every call lives."""
