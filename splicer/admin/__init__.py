"""The admin process: HTTP for operators, on its own address. It holds no state, and may be killed at any time."""
