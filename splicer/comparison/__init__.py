"""`splicer diff`: what a change of the configuration does to requests.

Requests are made of both configurations' patterns, hosts and conditions (`questions`, `samples`); each configuration
says what it does with them (`outcome`), and those that go elsewhere are shown (`compare`).
"""
