"""Stock python-socketio clients, threaded and asyncio, behind one asynchronous face, so that every test is written once."""

import asyncio
import socket
import threading
from urllib.parse import urlsplit

import aiohttp
import requests
import socketio
from requests.adapters import HTTPAdapter

from cluster import PATIENCE

MODES = {"polling": ["polling"], "websocket": ["websocket"], "upgrade": ["polling", "websocket"]}
KINDS = ("threaded", "asyncio")


class Client:
    """Remembers what it receives; a test asks for events in any order and never misses one."""

    def __init__(self, namespace: str):
        self.namespace = namespace
        self.loop = asyncio.get_running_loop()
        self.received: dict[str, asyncio.Queue] = {}
        self.reason: asyncio.Future = self.loop.create_future()
        self.refused: list = []

    @property
    def sid(self) -> str:
        return self.client.get_sid(self.namespace)

    def queue(self, event: str) -> asyncio.Queue:
        return self.received.setdefault(event, asyncio.Queue())

    def heard(self, event: str, *args) -> None:
        self.loop.call_soon_threadsafe(self.queue(event).put_nowait, list(args))

    def gone(self, reason) -> None:
        self.loop.call_soon_threadsafe(lambda: self.reason.done() or self.reason.set_result(reason))

    def refuse(self, data) -> None:
        self.refused.append(data)

    async def next(self, event: str) -> list:
        """The arguments of the next event of that name."""
        async with asyncio.timeout(PATIENCE):
            return await self.queue(event).get()

    def pending(self, event: str) -> int:
        """How many events of that name have come and were not asked for yet."""
        return self.queue(event).qsize()

    async def call(self, event: str, *args) -> list:
        """Emits and returns the arguments of the ack."""
        answer = self.loop.create_future()
        settle = lambda *got: self.loop.call_soon_threadsafe(lambda: answer.done() or answer.set_result(list(got)))
        await self.emit(event, *args, callback=settle)
        async with asyncio.timeout(PATIENCE):
            return await answer

    async def ask(self, event: str, *args):
        """The one argument of the ack."""
        answer = await self.call(event, *args)
        assert len(answer) == 1, f"the ack of {event} has one argument: {answer}"
        return answer[0]


class FromAddress(HTTPAdapter):
    """Connections of `requests` that come from that loopback address."""

    def __init__(self, address):
        self.address = address
        super().__init__()

    def init_poolmanager(self, *args, **options):
        super().init_poolmanager(*args, source_address=(self.address, 0), **options)


class Threaded(Client):
    kind = "threaded"

    def settings(self, url, mode, address):
        if not address:
            return {}
        session = requests.Session()
        session.mount("http://", FromAddress(address))
        if mode == "polling":
            return {"http_session": session}
        target = urlsplit(url)
        return {
            "http_session": session,
            "websocket_extra_options": {"socket": socket.create_connection((target.hostname, target.port), source_address=(address, 0))},
        }

    async def connect(self, url, settings, **options):
        self.client = socketio.Client(reconnection=False, handle_sigint=False, **settings)
        self.quiet = threading.Event()
        self.client.on("*", self.heard, namespace=self.namespace)
        self.client.on("disconnect", self.gone, namespace=self.namespace)
        self.client.on("connect_error", self.refuse, namespace=self.namespace)
        await asyncio.to_thread(self.client.connect, url, namespaces=[self.namespace], wait_timeout=PATIENCE, **options)

    async def emit(self, event, *args, callback=None):
        await asyncio.to_thread(self.client.emit, event, args, namespace=self.namespace, callback=callback)

    def answer(self, event, reply):
        self.client.on(event, lambda *args: reply(*args), namespace=self.namespace)

    def ignore(self, event):
        """Never answers that event: the client's library acks as soon as a handler returns."""
        self.client.on(event, lambda *_: self.quiet.wait(), namespace=self.namespace)

    def leave_on(self, event):
        self.client.on(event, lambda *_: (threading.Thread(target=self.client.disconnect).start(), self.quiet.wait()), namespace=self.namespace)

    async def close(self):
        await asyncio.to_thread(self.client.disconnect)
        self.quiet.set()


class Asyncio(Client):
    kind = "asyncio"

    def settings(self, url, mode, address):
        self.session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(local_addr=(address, 0))) if address else None
        return {"http_session": self.session} if address else {}

    async def connect(self, url, settings, **options):
        self.client = socketio.AsyncClient(reconnection=False, handle_sigint=False, **settings)
        self.quiet = asyncio.Event()
        self.client.on("*", self.heard, namespace=self.namespace)
        self.client.on("disconnect", self.gone, namespace=self.namespace)
        self.client.on("connect_error", self.refuse, namespace=self.namespace)
        await self.client.connect(url, namespaces=[self.namespace], wait_timeout=PATIENCE, **options)

    async def emit(self, event, *args, callback=None):
        await self.client.emit(event, args, namespace=self.namespace, callback=callback)

    def answer(self, event, reply):
        async def handler(*args):
            return reply(*args)

        self.client.on(event, handler, namespace=self.namespace)

    def ignore(self, event):
        async def handler(*_):
            await self.quiet.wait()

        self.client.on(event, handler, namespace=self.namespace)

    def leave_on(self, event):
        async def handler(*_):
            self.leaving = asyncio.create_task(self.client.disconnect())
            await self.quiet.wait()

        self.client.on(event, handler, namespace=self.namespace)

    async def close(self):
        await self.client.disconnect()
        self.quiet.set()
        if self.session:
            await self.session.close()


async def open_client(url: str, kind: str = "asyncio", mode: str = "websocket", namespace: str = "/", address: str | None = None, **options) -> Client:
    """Connects, from that loopback address if one is given; options are those of `connect` (auth, headers)."""
    client = {"threaded": Threaded, "asyncio": Asyncio}[kind](namespace)
    await client.connect(url, client.settings(url, mode, address), transports=MODES[mode], **options)
    client.mode = mode
    return client
