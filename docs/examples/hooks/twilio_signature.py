"""Lets a request through only if Twilio has signed it.

    [hooks.twilio]
    use = "twilio_signature:TwilioSignature"
    path = "/etc/splicer/hooks"
    options = { token = "${TWILIO_AUTH_TOKEN}", hosts = ["voice.example.com"] }

Twilio signs the URL that it was given: HMAC-SHA1 with the account's auth token, in Base64, as X-Twilio-Signature
(https://www.twilio.com/docs/usage/security). That is all of it for the WebSocket of a media stream and for a GET. What
a webhook's POST form adds to the signed text is in the body, which no hook sees: let the server behind it check that.
"""

from __future__ import annotations

import base64
import hashlib
import hmac

from splicer.hooks import Answer, Continue, Decision, Request


class TwilioSignature:
    """The hook.

    Args:
        token: the account's auth token.
        hosts: the hosts that Twilio was given; the client's Host must be one of them.
        websocket: the scheme in the URLs of media streams.
        plain: the scheme in other URLs.
    """

    def __init__(self, token: str, hosts: list[str], websocket: str = "wss", plain: str = "https") -> None:
        if not token:
            raise ValueError("the token is empty")
        self._token = token.encode()
        self._hosts = frozenset(host.lower() for host in hosts)
        self._schemes = {True: websocket, False: plain}

    async def on_request(self, request: Request) -> Decision:
        """Answer 403 unless the signature is right."""
        given = request.values("X-Twilio-Signature")
        if request.host.lower() not in self._hosts or len(given) != 1 or request.method != "GET":
            return Answer(403, b"not signed\n")
        url = f"{self._schemes[request.protocol is not None]}://{request.host}{request.target}"
        signed = hmac.new(self._token, url.encode("ascii"), hashlib.sha1).digest()
        if not hmac.compare_digest(base64.b64encode(signed), given[0].encode("latin-1")):
            return Answer(403, b"wrong signature\n")
        return Continue(remove_headers=("X-Twilio-Signature",), log={"twilio": "signed"})
