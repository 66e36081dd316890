"""The relay: it moves the bytes of tunnels, after the 101."""
