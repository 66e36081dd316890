"""The vault: it keeps calls' file descriptors, which outlive a worker."""
