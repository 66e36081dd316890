"""HTTP/1.1 without I/O, on h11: bytes in, values or errors out."""
