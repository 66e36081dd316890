"""The load of a measurement: pods and clients, each in their own processes.

All of them use bare descriptors and their own epoll: with one more object or system call for each frame, the
bench would measure the load instead of the proxy. Run as ``python -m bench.traffic MODE …``; the bench itself uses
`bench.traffic.driver`.
"""
