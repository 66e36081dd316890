"""The report of a run: a JSON file that can be read back, a Markdown page, plots."""
