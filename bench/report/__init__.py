"""What becomes of a run's figures: a file that can be read again, a page to read, plots."""
