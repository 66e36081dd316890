"""Matching a request's method, host and path to a route: pure, and fast enough to run for every request."""
