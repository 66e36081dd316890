"""Protection of the admin address: it serves operators, but no web page that is open in their browsers."""

from __future__ import annotations

import socket
from ipaddress import ip_address

from splicer.errors import Forbidden
from splicer.model import RequestHead
from splicer.routing.hosts import host_name

_OWN_NAMES = frozenset({"localhost", host_name(socket.gethostname())})
_HARMLESS = frozenset({"GET", "HEAD"})
_OWN_HEADER = b"x-splicer"  # no form can send it, and no script of another site without a preflight, which is refused
_OWN_SITES = frozenset({b"same-origin", b"none"})  # Sec-Fetch-Site (W3C Fetch Metadata §2.4)


# A web page can make its own name resolve to this address, and its scripts can then read answers from here (DNS
# rebinding). But the browser sends that name as Host, which is refused here; an IP address can't be rebound.
def check_host(head: RequestHead) -> None:
    """Refuse a Host that others control.

    Raises:
        Forbidden: the Host is neither an address nor this machine's own name.
    """
    name = host_name(head.host)
    if name in _OWN_NAMES:
        return
    try:
        ip_address(name.strip("[]"))
    except ValueError:
        raise Forbidden(f"the Host {head.host!r} is neither an address nor this machine's own name") from None


# A page of another site can't read answers from here, but it can make the browser send a request, which could end a
# call.
def check_origin(head: RequestHead) -> None:
    """Refuse a request that changes something and comes from another site's page (RFC 6454 §7).

    Raises:
        Forbidden: its Origin is not this address.
    """
    if head.method in _HARMLESS:
        return
    host = head.host.lower().encode()
    own = (b"http://" + host, b"https://" + host)
    if any(origin.lower() not in own for origin in head.values(b"origin")):
        raise Forbidden("the Origin is another one than this address")
    if any(site not in _OWN_SITES for site in head.values(b"sec-fetch-site")):
        raise Forbidden("the request comes from another site's page")
    if head.values(b"origin") and head.values(_OWN_HEADER) != [b"1"]:
        raise Forbidden("a page that changes something sends X-Splicer: 1")
