"""`splicer top`: calls, pods and workers as they are now, in a terminal, with keys to close and to drain."""
