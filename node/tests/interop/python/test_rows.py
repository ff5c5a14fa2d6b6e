"""Every row of the acceptance app's table with python-socketio's clients, threaded and asyncio, in every transport mode: on one node, across two, and
through nginx with sticky sessions from several addresses."""

import pytest

from clients import KINDS, MODES
from cluster import until

BYTES = bytes([0, 1, 2, 0x1E, 0x7F, 0x80, 0xFF])
VALUES = ["text, with ☃ and 🐟 and \u001e", 0, -1.5, 9007199254740991, True, False, None, [], {}, [1, [2, [3]]], {"a": {"b": [None, "c"]}}, BYTES, {"deep": [BYTES, {"file": BYTES}]}]
UNKNOWN_SID = "A" * 20
LONG = 120_000
MODE_NAMES = list(MODES)


def cases():
    for kind in KINDS:
        for mode in MODE_NAMES:
            for namespace in ("/", "/custom"):
                for place in ("one node", "across nodes"):
                    yield pytest.param((kind, mode, namespace, place), id=f"{kind}-{mode}-{namespace}-{place}")
            yield pytest.param((kind, mode, "/", "nginx"), id=f"{kind}-{mode}-nginx")


@pytest.fixture(params=list(cases()))
def t(request, plain_cluster, connect, room):
    """The clients of one test: on more than one node they go through all kinds and modes."""
    return Placement(plain_cluster, connect, room, *request.param)


class Placement:
    def __init__(self, cluster, connect, room, kind, mode, namespace, place):
        self.cluster, self.connect, self.room = cluster, connect, room
        self.kind, self.mode, self.namespace, self.place = kind, mode, namespace, place
        self.count = 0

    async def open(self, **options):
        index, self.count = self.count, self.count + 1
        kind, mode = self.kind, self.mode
        if self.place != "one node":
            kind = KINDS[(KINDS.index(kind) + index) % len(KINDS)]
            mode = MODE_NAMES[(MODE_NAMES.index(mode) + index) % len(MODE_NAMES)]
        if self.place == "nginx":
            client = await self.connect(self.cluster.nginx, kind, mode, self.namespace, address=f"127.0.{index}.{index + 2}", **options)
            client.node = await self.node_of(client)
        else:
            node = index % len(self.cluster.nodes) if self.place == "across nodes" else 0
            client = await self.connect(self.cluster.nodes[node], kind, mode, self.namespace, **options)
            client.node = node
        return client

    async def node_of(self, client):
        """The number of the node of a client that came through nginx: of two nodes, each answers with the other one's id."""
        if not hasattr(self.cluster, "others"):
            direct = [await self.connect(url) for url in self.cluster.nodes]
            self.cluster.others = [(await one.ask("bus-ping"))[0][0] for one in direct]
        return self.cluster.others.index((await client.ask("bus-ping"))[0][0])

    async def open_many(self, count, room=None):
        clients = [await self.open() for _ in range(count)]
        for client in clients:
            if room:
                await client.ask("join", room)
        return clients


async def fence(sender, room, members):
    """Every member has received what the sender's node sent before."""
    await sender.ask("emit-to", {"to": [room], "event": "fence", "args": []})
    for member in members:
        await member.next("fence")


async def test_auth_on_connect(t):
    auth = {"token": "good", "nested": {"list": [1, "two", None]}}
    assert await (await t.open(auth=auth)).next("auth") == [auth]
    assert await (await t.open()).next("auth") == [{}]


async def test_message(t):
    a, b = await t.open_many(2)
    for args in ([], ["one"], VALUES, [BYTES], [[BYTES, BYTES], "between", BYTES], [None, 1]):
        await a.emit("message", *args)
        assert await a.next("message-back") == args
    await b.ask("rooms")
    assert b.pending("message-back") == 0


async def test_message_with_ack(t):
    a = await t.open()
    for args in ([], ["one"], VALUES, [BYTES], [None], [[1, 2]], [{"b": BYTES}, BYTES], ["ä" * 40_000, bytes(200_000)]):
        assert await a.call("message-with-ack", *args) == args


async def test_join_leave_rooms(t):
    a = await t.open()
    assert await a.ask("rooms") == []
    assert await a.ask("join", "b") == ["b"]
    assert await a.ask("join", "a") == ["a", "b"]
    assert await a.ask("join", "ü 🐟") == ["a", "b", "ü 🐟"]
    assert await a.ask("join", "a") == ["a", "b", "ü 🐟"]
    assert await a.ask("rooms") == ["a", "b", "ü 🐟"]
    assert await a.ask("leave", "a") == ["b", "ü 🐟"]
    assert await a.ask("leave", "never joined") == ["b", "ü 🐟"]
    assert await (await t.open()).ask("rooms") == []


async def test_close_room(t):
    room = t.room()
    a, b, c = await t.open_many(3, room)
    await b.ask("join", "stays")
    assert await a.ask("close-room", room) is True
    for client in (a, b, c):

        async def out(client=client):
            return room not in await client.ask("rooms")

        await until("everybody is out", out)
    assert await b.ask("rooms") == ["stays"]
    assert await a.ask("count", room) == 0


async def test_emit_to_room(t):
    room = t.room()
    members = await t.open_many(3, room)
    stranger = await t.open()
    for args in (VALUES, [BYTES], []):
        assert await members[0].ask("emit-to", {"to": [room], "event": "news", "args": args}) is True
        for client in members:
            assert await client.next("news") == args
    await fence(members[0], room, members)
    await fence(members[0], stranger.sid, [stranger])
    assert [client.pending("news") for client in (*members, stranger)] == [0, 0, 0, 0]


async def test_emit_to_union_and_sids(t):
    one, two = t.room(), t.room()
    a, b, c, d = await t.open_many(4)
    for client, rooms in ((a, [one]), (b, [one, two]), (c, [two])):
        for name in rooms:
            await client.ask("join", name)
    await a.ask("emit-to", {"to": [one, two, d.sid, b.sid], "event": "news", "args": [1]})
    for client in (a, b, c, d):
        assert await client.next("news") == [1]
        await fence(a, client.sid, [client])
        assert client.pending("news") == 0


async def test_emit_to_everyone(t):
    clients = await t.open_many(3)
    event = f"all {t.room()}"
    await clients[0].ask("emit-to", {"to": [], "event": event, "args": ["empty"]})
    for client in clients:
        assert await client.next(event) == ["empty"]
    await clients[0].ask("emit-to", {"event": event, "args": ["absent"]})
    for client in clients:
        assert await client.next(event) == ["absent"]


async def test_emit_to_except(t):
    room, excluded = t.room(), t.room()
    a, b, c, d = await t.open_many(4, room)
    await b.ask("join", excluded)
    await a.ask("emit-to", {"to": [room], "except": [excluded, c.sid], "event": "news", "args": [1]})
    for client in (a, d):
        assert await client.next("news") == [1]
    await fence(a, room, [a, b, c, d])
    assert [client.pending("news") for client in (a, b, c, d)] == [0, 0, 0, 0]


async def test_emit_to_local(t):
    room = t.room()
    clients = await t.open_many(3, room)
    await clients[0].ask("emit-to", {"to": [room], "event": "news", "args": ["here", BYTES], "local": True})
    for client in clients:
        if client.node == clients[0].node:
            assert await client.next("news") == ["here", BYTES]
    await fence(clients[0], room, clients)
    assert [client.pending("news") for client in clients] == [0, 0, 0]


async def test_broadcast(t):
    room = t.room()
    a, b, c = await t.open_many(3, room)
    event = f"all {room}"
    for args in (VALUES, []):
        await a.emit("broadcast", event, *args)
        for client in (b, c):
            assert await client.next(event) == args
    await fence(a, room, [a, b, c])
    assert [client.pending(event) for client in (a, b, c)] == [0, 0, 0]


async def test_call(t):
    a, b = await t.open_many(2)
    b.answer("question", lambda *args: ("answer", *args))
    b.answer("nothing", lambda: None)
    a.answer("self", lambda: "me")
    assert await a.ask("call", {"sid": b.sid, "event": "question", "args": VALUES, "timeout_ms": 10_000}) == {"ok": ["answer", *VALUES]}
    assert await a.ask("call", {"sid": b.sid, "event": "question", "args": [BYTES], "timeout_ms": 10_000}) == {"ok": ["answer", BYTES]}
    assert await a.ask("call", {"sid": b.sid, "event": "nothing", "args": [], "timeout_ms": 10_000}) == {"ok": []}
    assert await a.ask("call", {"sid": a.sid, "event": "self", "args": [], "timeout_ms": 10_000}) == {"ok": ["me"]}


async def test_call_timeout(t):
    a, b = await t.open_many(2)
    b.ignore("question")
    assert await a.ask("call", {"sid": b.sid, "event": "question", "args": [], "timeout_ms": 200}) == {"error": "timeout"}


async def test_call_disconnected(t):
    a, b, c = await t.open_many(3)
    assert await a.ask("call", {"sid": UNKNOWN_SID, "event": "question", "args": [], "timeout_ms": LONG}) == {"error": "disconnected"}
    for client in (b, c):
        client.leave_on("leave-now")
        assert await a.ask("call", {"sid": client.sid, "event": "leave-now", "args": [], "timeout_ms": LONG}) == {"error": "disconnected"}


async def test_call_all(t):
    room = t.room()
    clients = await t.open_many(4, room)
    for name, client in zip("abc", clients):
        client.answer("who", lambda x, name=name: (name, x, BYTES))
    clients[3].ignore("who")
    answer = await clients[0].ask("call-all", {"room": room, "event": "who", "args": [1], "timeout_ms": 1500})
    assert sorted(answer["ok"]) == [["a", 1, BYTES], ["b", 1, BYTES], ["c", 1, BYTES]]
    assert answer["missing"] == 1
    clients[3].answer("who", lambda x: None)
    answer = await clients[1].ask("call-all", {"room": room, "event": "who", "args": [2], "timeout_ms": LONG})
    assert sorted(answer["ok"]) == [[], ["a", 2, BYTES], ["b", 2, BYTES], ["c", 2, BYTES]]
    assert answer["missing"] == 0
    assert await clients[0].ask("call-all", {"room": t.room(), "event": "who", "args": [], "timeout_ms": LONG}) == {"ok": [], "missing": 0}


async def test_sockets_and_count(t):
    room = t.room()
    assert await (await t.open()).ask("sockets", room) == []
    clients = await t.open_many(3, room)
    sids = sorted(client.sid for client in clients)
    for client in clients:
        assert await client.ask("sockets", room) == sids
        assert await client.ask("count", room) == 3
    await clients[1].ask("leave", room)
    assert await clients[0].ask("count", room) == 2
    await clients[2].close()

    async def gone():
        return await clients[0].ask("count", room) == 1

    await until("the disconnected one is gone", gone)
    assert await clients[0].ask("sockets", room) == [clients[0].sid]


async def test_kick(t):
    a, b, c = await t.open_many(3)
    for client in (b, c):
        assert await a.ask("kick", client.sid) is True
        assert await client.reason == "server disconnect"
    assert await a.ask("kick", UNKNOWN_SID) is True
    assert await a.call("message-with-ack", 1) == [1]


async def test_move(t):
    room = t.room()
    clients = await t.open_many(3)
    for client in clients:
        assert await clients[0].ask("move", {"sid": client.sid, "join": room}) is True

        async def inside(client=client):
            return room in await client.ask("rooms")

        await until("it is in the room", inside)
    assert await clients[0].ask("move", {"sid": UNKNOWN_SID, "join": room}) is True
    assert await clients[0].ask("count", room) == 3


async def test_session(t):
    a, b = await t.open_many(2)
    assert await a.ask("get-session") == {}
    session = {"user": "Ann", "list": [1, {"two": None}]}
    assert await a.ask("save-session", session) is True
    assert await a.ask("get-session") == session
    assert await a.ask("save-session", {"other": True}) is True
    assert await a.ask("get-session") == {"other": True}
    assert await b.ask("get-session") == {}


async def test_env(t):
    a = await t.open(headers={"X-Test-Header": "value of it"})
    assert await a.ask("env", "x-test-header") == "value of it"
    assert await a.ask("env", "X-TEST-HEADER") == "value of it"
    assert await a.ask("env", "query:EIO") == "4"
    assert await a.ask("env", "x-absent") is None
    assert await a.ask("env", "query:absent") is None
    assert await a.ask("env", "x-forwarded-for") == ("127.0.0.2" if t.place == "nginx" else None)


async def test_transport(t):
    a = await t.open()
    assert await a.ask("transport") == ("polling" if t.mode == "polling" else "websocket")


async def test_bus_ping(t):
    answers = await (await t.open()).ask("bus-ping", "x", 2, {"y": None})
    assert len(answers) == 1
    assert isinstance(answers[0][0], str)
    assert answers[0][1:] == ["x", 2, {"y": None}]


async def test_sleep(t):
    a = await t.open()
    order = []
    slept = a.loop.create_task(a.call("sleep", 300))
    slept.add_done_callback(lambda _: order.append("slow"))
    assert await a.call("message-with-ack", 1) == [1]
    order.append("quick")
    assert await slept == []
    assert order == ["quick", "slow"]


async def test_crash(t):
    a = await t.open()
    before = t.cluster.metric(a.node, ".*panic.*")
    acked = []
    await a.emit("crash", callback=lambda *args: acked.append(args))
    assert await a.call("message-with-ack", "alive") == ["alive"]
    await until("the panic is counted", lambda: t.cluster.metric(a.node, ".*panic.*") > before)
    assert await a.call("message-with-ack", "still") == ["still"]
    assert acked == []


async def test_left(t):
    watchers = await t.open_many(2, "watchers")
    goes, kicked = await t.open_many(2)
    # Over WebSocket the client may close its connection before it has sent the packet that says so.
    leaving = {"client namespace disconnect"} if goes.mode == "polling" else {"client namespace disconnect", "transport close"}
    sids = {goes.sid: leaving, kicked.sid: {"server namespace disconnect"}}
    await goes.close()
    await watchers[0].ask("kick", kicked.sid)
    for watcher in watchers:
        told = {}
        while sids.keys() - told.keys():
            [[sid, reason]] = await watcher.next("left")
            told[sid] = reason
        assert all(told[sid] in reasons for sid, reasons in sids.items()), told


@pytest.mark.parametrize("kind", KINDS)
async def test_a_burst_over_polling(plain_cluster, connect, room, kind):
    name = room()
    client = await connect(plain_cluster.nodes[0], kind, "polling")
    await client.ask("join", name)
    sender = await connect(plain_cluster.nodes[1], "asyncio", "websocket")
    for number in range(100):
        await sender.emit("emit-to", {"to": [name], "event": "n", "args": [number]})
    assert sorted([(await client.next("n"))[0] for _ in range(100)]) == list(range(100))
