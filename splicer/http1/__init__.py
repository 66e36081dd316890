"""h11 at work without I/O: bytes in, values or errors out."""
