"""The vault: file descriptors that outlive a worker."""
