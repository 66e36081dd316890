"""The two other sides of a measurement, pods and clients, as processes of their own.

All of them work on bare descriptors with an epoll of their own: an object or a system call more for each frame, and
the load would be what is measured, not the proxy. Run as ``python -m bench.traffic MODE …``; the bench itself uses
`bench.traffic.driver`.
"""
