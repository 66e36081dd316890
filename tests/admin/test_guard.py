"""Whom the admin address serves."""

from __future__ import annotations

import socket

import pytest

from splicer.admin.guard import check_host, check_origin
from splicer.errors import Forbidden
from splicer.model import RequestHead


def _head(host: str = "127.0.0.1:9901", method: str = "POST", **fields: str) -> RequestHead:
    headers = tuple((name.replace("_", "-").encode(), value.encode()) for name, value in fields.items())
    return RequestHead(method, "/drain", "/drain", None, host, "1.1", headers)


@pytest.mark.parametrize(
    "host", ["127.0.0.1:9901", "[::1]:9901", "10.0.0.7", "localhost:9901", "LOCALHOST", socket.gethostname()]
)
def test_an_address_or_an_own_name_is_served(host: str) -> None:
    check_host(_head(host))


# A page may have its own name resolve to this address (DNS rebinding), but its browser still sends that name.
@pytest.mark.parametrize("host", ["evil.test:9901", "127.0.0.1.evil.test", "localhost.evil.test", ""])
def test_a_name_that_others_can_give_is_refused(host: str) -> None:
    with pytest.raises(Forbidden, match="neither an address nor this machine's own name"):
        check_host(_head(host))


def test_a_command_line_client_sends_neither_field() -> None:
    check_origin(_head())


@pytest.mark.parametrize("origin", ["http://127.0.0.1:9901", "https://127.0.0.1:9901", "HTTP://127.0.0.1:9901"])
def test_a_page_of_this_address_may_change_something(origin: str) -> None:
    check_origin(_head(Origin=origin, Sec_Fetch_Site="same-origin", X_Splicer="1"))


@pytest.mark.parametrize("more", [{}, {"X_Splicer": "0"}, {"X_Splicer": ""}])
def test_it_says_so_by_a_field_that_no_form_can_send(more: dict[str, str]) -> None:
    with pytest.raises(Forbidden, match="X-Splicer: 1"):
        check_origin(_head(Origin="http://127.0.0.1:9901", Sec_Fetch_Site="same-origin", **more))


@pytest.mark.parametrize("origin", ["http://evil.test", "null", "http://127.0.0.1", "http://127.0.0.1:9901.evil.test"])
def test_another_ones_page_may_not(origin: str) -> None:
    with pytest.raises(Forbidden, match="Origin is another one"):
        check_origin(_head(Origin=origin))


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
def test_nor_one_whose_browser_says_so(site: str) -> None:
    with pytest.raises(Forbidden, match="another site's page"):
        check_origin(_head(Sec_Fetch_Site=site))


# It can't read what comes back.
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_what_changes_nothing_is_for_everybody(method: str) -> None:
    check_origin(_head(method=method, Origin="http://evil.test", Sec_Fetch_Site="cross-site"))
