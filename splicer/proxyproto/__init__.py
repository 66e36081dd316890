"""The PROXY protocol, versions 1 and 2: how a load balancer says whose connection it passes on.

The source of all of it is HAProxy's doc/proxy-protocol.txt (2020/03/05).
"""
