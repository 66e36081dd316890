"""A kube-apiserver as far as a client of EndpointSlices can see it, over any stream of bytes.

What it answers is what a real one (1.36) answered, as tests/discovery/wire.txt has it; `Faults` are its own.
"""

from __future__ import annotations

import base64
import gzip
import json
import random
from collections.abc import Mapping
from http import HTTPStatus
from urllib.parse import parse_qsl, urlsplit

import h11
import trio
from attrs import define, field, frozen

from tests.kit.kubernetes import statuses
from tests.kit.kubernetes.controller import Controller
from tests.kit.kubernetes.faults import Fault, Faults, refusal
from tests.kit.kubernetes.resources import Plurals, Thing, document
from tests.kit.kubernetes.storage import BadSelector, Selects, Storage, selector
from tests.kit.kubernetes.watch import Watch, line

_PLURALS: Plurals = {"v1": {}, "discovery.k8s.io/v1": {"endpointslices": "EndpointSlice"}}
_PREFIX = "/apis/discovery.k8s.io/v1/namespaces/"
_USER = "system:serviceaccount:voice:splicer"
_GZIP_FROM = 128 * 1024  # bytes; a smaller body is sent as it is
_FRESH_SECONDS = 0.05  # a server that has just started knows no permissions for so long


@frozen
class Asked:
    """A request as it was heard."""

    time: float
    target: str
    headers: Mapping[str, str]
    status: int

    @property
    def is_watch(self) -> bool:
        return "watch=" in self.target


@define
class Server:
    """The API server of one cluster.

    Args:
        token: what a client must send, as it is now; None: nobody needs one (as behind `kubectl proxy`).
        namespaces: those that the token's owner may list and watch.
        bookmarks: seconds between two of them.
    """

    storage: Storage = field(factory=Storage)
    faults: Faults = field(factory=Faults)
    token: str | None = "token-1"
    namespaces: set[str] = field(factory=lambda: {"voice"})
    bookmarks: float = 60.0
    asked: list[Asked] = field(factory=list)
    watches: set[Watch] = field(factory=set)
    started: float = float("-inf")
    _connections: set[trio.CancelScope] = field(factory=set)
    _sound: trio.Event = field(factory=trio.Event)  # set: packets arrive
    random: random.Random = field(factory=lambda: random.Random(3))
    controller: Controller = field(init=False)

    def __attrs_post_init__(self) -> None:
        self.controller = Controller(self.storage)
        self._sound.set()

    def start_again(self) -> None:
        """What a new process of the server knows: nothing of what happened before, and no permission yet."""
        self.storage.compact()
        self.started = trio.current_time()

    def mute(self, on: bool) -> None:
        """Swallow all packets of the server's, or no longer; what it says meanwhile arrives later, as TCP has it."""
        if on:
            self._sound = trio.Event()
        else:
            self._sound.set()

    def drop_all(self) -> None:
        """Cut every connection, as `kill -9` does."""
        for scope in list(self._connections):
            scope.cancel()

    async def serve(self, stream: trio.abc.Stream) -> None:
        """Answer on one connection until it is over."""
        with trio.CancelScope() as scope:
            self._connections.add(scope)
            try:
                await self._serve(stream)
            except (trio.BrokenResourceError, trio.ClosedResourceError, h11.RemoteProtocolError, _Cut):
                pass
            finally:
                self._connections.discard(scope)
                await trio.aclose_forcefully(stream)

    async def _serve(self, stream: trio.abc.Stream) -> None:
        await self._sound.wait()
        connection = h11.Connection(h11.SERVER)
        while True:
            event = connection.next_event()
            if event is h11.NEED_DATA:
                connection.receive_data(bytes(await stream.receive_some(65536)))
            elif isinstance(event, h11.Request):
                await self._answer(_Exchange(self, stream, connection, event))
            elif isinstance(event, h11.ConnectionClosed) or event is h11.PAUSED:
                if connection.our_state is not h11.DONE:
                    return
                connection.start_next_cycle()

    async def send(self, stream: trio.abc.Stream, data: bytes) -> None:
        await self._sound.wait()
        await stream.send_all(data)

    async def _answer(self, exchange: _Exchange) -> None:
        path = exchange.path
        if (found := document(path, _PLURALS)) is not None:
            await exchange.send(200, found)
            return
        namespace, _, rest = path.removeprefix(_PREFIX).partition("/")
        if not path.startswith(_PREFIX) or rest.split("/")[0] != "endpointslices":
            await exchange.send(404, statuses.no_such_path())
            return
        verb = "watch" if exchange.is_watch else "get" if "/" in rest else "list"
        if (refused := self._refused(exchange, namespace, verb)) is not None:
            await exchange.send(refused["code"], refused)
        elif verb == "get":
            name = rest.partition("/")[2]
            thing = self.storage.get(namespace, name)
            await (exchange.send(404, statuses.not_found(name)) if thing is None else exchange.send(200, _typed(thing)))
        else:
            await self._list_or_watch(exchange, namespace)

    def _refused(self, exchange: _Exchange, namespace: str, verb: str) -> Thing | None:
        if self.token is not None:
            said = exchange.headers.get("authorization")
            if said is None:
                return statuses.forbidden("system:anonymous", namespace, verb)
            if said != f"Bearer {self.token}":
                return statuses.unauthorized()
            if namespace not in self.namespaces or trio.current_time() < self.started + _FRESH_SECONDS:
                return statuses.forbidden(_USER, namespace, verb)
        if exchange.headers.get("accept", "*/*").split(";")[0] == "text/plain":
            return statuses.not_acceptable()
        return None

    async def _list_or_watch(self, exchange: _Exchange, namespace: str) -> None:
        query = exchange.query
        fault = self.faults.take("watch" if exchange.is_watch else "list")
        if fault is not None and fault.kind == "reset":
            raise _Cut
        try:
            selects = selector(query.get("labelSelector", ""))
            asked = int(query.get("resourceVersion") or 0)
        except BadSelector as error:
            await exchange.send(400, statuses.bad_selector(str(error)))
        except ValueError:
            await exchange.send(500, statuses.bad_version(query["resourceVersion"]))
        else:
            if fault is not None and fault.kind in ("answer", "too_large"):
                verb = "watch" if exchange.is_watch else "list"
                thing = refusal(fault, namespace, verb, asked, self.storage.version)
                await exchange.send(thing["code"], thing, retry_after=fault.retry_after)
            elif exchange.is_watch:
                await self._watch(exchange, namespace, selects, asked, fault)
            else:
                await self._list(exchange, namespace, selects, asked, fault)

    async def _list(
        self, exchange: _Exchange, namespace: str, selects: Selects, asked: int, fault: Fault | None
    ) -> None:
        query = exchange.query
        if query.get("resourceVersionMatch") == "Exact" and asked < self.storage.oldest:
            await exchange.send(410, statuses.expired_list())
            return
        items = [each for each in self.storage.objects(namespace) if selects(each["metadata"].get("labels", {}))]
        metadata: Thing = {"resourceVersion": str(self.storage.version)}
        if "continue" in query:
            try:
                token = json.loads(base64.urlsafe_b64decode(query["continue"] + "=="))
            except ValueError:
                await exchange.send(400, statuses.bad_continue())
                return
            metadata["resourceVersion"] = str(token["rv"])
            if token["rv"] < self.storage.oldest:
                await exchange.send(410, statuses.expired_list())
                return
            items = [each for each in items if each["metadata"]["name"] > token["start"]]
        limit = int(query.get("limit") or 0)
        if 0 < limit < len(items):
            token = {"v": "meta.k8s.io/v1", "rv": int(metadata["resourceVersion"])}
            token["start"] = items[limit - 1]["metadata"]["name"]
            metadata["continue"] = base64.urlsafe_b64encode(json.dumps(token).encode()).decode().rstrip("=")
            metadata["remainingItemCount"] = len(items) - limit
            items = items[:limit]
        listed = {"kind": "EndpointSliceList", "apiVersion": "discovery.k8s.io/v1", "metadata": metadata}
        await exchange.send(200, listed | {"items": items}, fault=fault)

    async def _watch(
        self, exchange: _Exchange, namespace: str, selects: Selects, asked: int, fault: Fault | None
    ) -> None:
        query = exchange.query
        initial = query.get("sendInitialEvents") == "true"
        if initial and query.get("resourceVersionMatch") != "NotOlderThan":
            await exchange.send(422, statuses.match_is_missing())
            return
        await exchange.begin()
        watch = Watch(
            self.storage,
            namespace,
            selects,
            position=asked,
            initial=initial or asked == 0,
            bookmarks=self.bookmarks if query.get("allowWatchBookmarks") in ("true", "1") else None,
            seconds=float(query.get("timeoutSeconds") or self.random.uniform(1800, 3600)),
        )
        if fault is not None:
            watch.spoil(fault)
        self.watches.add(watch)
        whole = False
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(exchange.notice_end, nursery.cancel_scope)
                whole = await exchange.say(watch)
                nursery.cancel_scope.cancel()
        finally:
            self.watches.discard(watch)
        if watch.cut or not whole:
            raise _Cut
        await exchange.finish()


class _Cut(Exception):
    """The connection is to be closed as it is."""


class _Exchange:
    """One request, and the means to answer it."""

    def __init__(
        self, server: Server, stream: trio.abc.Stream, connection: h11.Connection, request: h11.Request
    ) -> None:
        self._server, self._stream, self._connection = server, stream, connection
        self.target = request.target.decode()
        url = urlsplit(self.target)
        self.path = url.path.rstrip("/") or "/"
        self.query = dict(parse_qsl(url.query))
        self.headers = {name.decode(): value.decode() for name, value in request.headers}
        self.is_watch = self.query.get("watch") in ("true", "1")

    async def send(
        self, status: int, thing: Thing, *, retry_after: int | None = None, fault: Fault | None = None
    ) -> None:
        """A whole answer."""
        body = line(thing)
        headers = self._headers()
        if status == 403:
            headers.append(("X-Content-Type-Options", "nosniff"))
        if retry_after is not None:
            headers.append(("Retry-After", str(retry_after)))
        if "gzip" in self.headers.get("accept-encoding", "") and len(body) >= _GZIP_FROM:
            body = gzip.compress(body)
            headers.append(("Content-Encoding", "gzip"))
        if fault is not None and fault.kind == "garbage":
            body = body[: len(body) // 2] + b"\n"
        headers.append(("Content-Length", str(len(body))))
        await self._head(status, headers)
        if fault is not None and fault.kind == "cut":
            await self._send(h11.Data(body[: fault.size]))
            raise _Cut
        await self._send(h11.Data(body))
        await self._send(h11.EndOfMessage())

    async def begin(self) -> None:
        """The head of a watch."""
        await self._head(200, [*self._headers(), ("Transfer-Encoding", "chunked")])

    async def say(self, watch: Watch) -> bool:
        """Send the lines of a watch to its end, in chunks whose borders are anywhere; False: the client is gone."""
        try:
            while (data := await watch.next()) is not None:
                cuts = sorted(self._server.random.choices(range(len(data) + 1), k=2))
                for piece in filter(None, (data[: cuts[0]], data[cuts[0] : cuts[1]], data[cuts[1] :])):
                    await self._send(h11.Data(piece))
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            return False
        return True

    async def finish(self) -> None:
        await self._send(h11.EndOfMessage())

    async def notice_end(self, scope: trio.CancelScope) -> None:
        """Cancel the scope when the client has closed the connection."""
        try:
            while await self._stream.receive_some(65536):
                pass
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            pass
        scope.cancel()

    def _headers(self) -> list[tuple[str, str]]:
        return [("Cache-Control", "no-cache, private"), ("Content-Type", "application/json")]

    async def _head(self, status: int, headers: list[tuple[str, str]]) -> None:
        self._server.asked.append(Asked(trio.current_time(), self.target, self.headers, status))
        await self._send(h11.Response(status_code=status, reason=HTTPStatus(status).phrase, headers=headers))

    async def _send(self, event: h11.Event) -> None:
        data = self._connection.send(event)
        if data:
            await self._server.send(self._stream, data)


def _typed(thing: Thing) -> Thing:
    """An object that stands alone says what it is; the items of a list don't."""
    return {"kind": "EndpointSlice", "apiVersion": "discovery.k8s.io/v1"} | thing
