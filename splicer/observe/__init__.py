"""What is told of calls and processes: log lines, metrics, rows for operators."""
