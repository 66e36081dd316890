"""Which endpoints there are, and which one to take."""
