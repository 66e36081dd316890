"""Reports on calls and processes: log lines, metrics, rows for operators."""
