"""From a request's method, host and path to its route: pure, and fast enough for every request."""
