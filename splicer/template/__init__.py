"""The process from which workers, the admin process, the discovery process and readers of the file are forked."""
