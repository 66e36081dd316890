"""splicer: the edge proxy of a voice platform."""

__version__ = "0.1.0"
