"""The process from which workers, spares, the admin process and readers of the file are forked."""
