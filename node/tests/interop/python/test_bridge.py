"""With --bridge python the nodes live in one cluster with a python-socketio node: emits, rooms, disconnects and acks, both ways, once each."""

import asyncio
import subprocess
import sys
from pathlib import Path

import pytest

from cluster import Cluster, until

BYTES = bytes([0, 1, 0x1E, 0x80, 0xFF])
PAYLOADS = {
    "no arguments": [],
    "text": ["hello, ünïcode 🐟"],
    "dict": [{"a": [1, {"b": None}], "ü": True}],
    "numbers": [42, -1.5, 0],
    "list": [[1, "two", {"three": 3}]],
    "empty list": [[]],
    "several": ["one", {"two": 2}, [3], None],
    "bytes": [BYTES],
    "empty bytes": [b""],
    "nested bytes": [{"file": BYTES, "more": [BYTES, "text"]}],
    "text and bytes": ["name", BYTES, BYTES],
}


@pytest.fixture(scope="session")
def mixed():
    """Two acceptance apps and a Python node on one Redis."""
    cluster = Cluster(flags=("--bridge", "python"))
    node = subprocess.Popen([sys.executable, Path(__file__).with_name("py_node.py"), "--listen", "127.0.0.1:0", "--bus", cluster.redis], stdout=subprocess.PIPE, text=True)
    line = node.stdout.readline()
    assert line.startswith("listening on "), line
    cluster.python = f"http://{line.split()[-1]}"
    yield cluster
    node.terminate()
    node.wait(timeout=30)
    cluster.down()


@pytest.fixture(params=["/", "/custom"])
async def world(request, mixed, connect):
    """Clients by the node they are on: `python`, `one`, `two`."""

    class World:
        namespace = request.param

        async def another(self, node, kind="asyncio", mode="websocket"):
            urls = {"python": mixed.python, "one": mixed.nodes[0], "two": mixed.nodes[1]}
            return await connect(urls[node], kind, mode, self.namespace)

    world = World()
    # A Python node listens to the bus from its first client on.
    world.python = await world.another("python")
    world.one, world.two = await world.another("one"), await world.another("two", "threaded", "upgrade")
    world.all = [world.python, world.one, world.two]

    async def hears(client):
        await client.ask("emit-to", {"event": "warm", "args": []})
        return all(other.pending("warm") for other in world.all)

    for client in world.all:
        await until("everybody hears everybody", lambda: hears(client))
    for client in world.all:
        client.received.pop("warm", None)
    return world


@pytest.fixture(params=["python", "one", "two"])
def sender(request, world):
    """A client on each kind of node in turn."""
    return getattr(world, request.param)


async def fence(sender, clients):
    await sender.ask("emit-to", {"event": "fence", "args": []})
    for client in clients:
        await client.next("fence")


async def heard_once(sender, everyone, event, members, args):
    for client in members:
        assert await client.next(event) == args
    await fence(sender, everyone)
    assert [client.pending(event) for client in everyone] == [0] * len(everyone)


@pytest.mark.parametrize("name", PAYLOADS)
async def test_emit_to_everyone(world, sender, name):
    await sender.ask("emit-to", {"event": "news", "args": PAYLOADS[name]})
    await heard_once(sender, world.all, "news", world.all, PAYLOADS[name])


async def test_emit_to_rooms_and_sids(world, sender, room):
    one, two = room(), room()
    await world.python.ask("join", one)
    await world.one.ask("join", one)
    await world.one.ask("join", two)
    await world.two.ask("join", two)
    await sender.ask("emit-to", {"to": [one], "event": "news", "args": ["one room", BYTES]})
    await heard_once(sender, world.all, "news", [world.python, world.one], ["one room", BYTES])
    await sender.ask("emit-to", {"to": [one, two], "event": "news", "args": ["union"]})
    await heard_once(sender, world.all, "news", world.all, ["union"])
    await sender.ask("emit-to", {"to": [one, two], "except": [world.python.sid, world.two.sid], "event": "news", "args": ["less two"]})
    await heard_once(sender, world.all, "news", [world.one], ["less two"])
    for client in world.all:
        await sender.ask("emit-to", {"to": [client.sid], "event": "news", "args": ["one sid"]})
        await heard_once(sender, world.all, "news", [client], ["one sid"])


async def test_broadcast_reaches_python(world):
    await world.one.emit("broadcast", "news", 1, BYTES)
    await heard_once(world.one, world.all, "news", [world.python, world.two], [1, BYTES])


async def test_order(world, sender):
    for number in range(200):
        await sender.ask("emit-to", {"event": "n", "args": [number]})
    for client in world.all:
        numbers = [(await client.next("n"))[0] for _ in range(200)]
        # The threaded client starts a thread for every event and promises no order.
        assert (sorted(numbers) if client.kind == "threaded" else numbers) == list(range(200))
    await fence(sender, world.all)
    assert [client.pending("n") for client in world.all] == [0, 0, 0]


ANSWERS = {"none": [], "one": ["answer"], "several": ["answer", {"b": None}, [1, 2]], "a list": [[1, 2]], "null and more": [None, 1]}


@pytest.mark.parametrize("name", ANSWERS)
async def test_acks_travel_both_ways(world, name):
    for client in world.all:
        client.answer("question", lambda *args: tuple(ANSWERS[name]))
    for caller in world.all:
        for callee in world.all:
            answer = await caller.ask("call", {"sid": callee.sid, "event": "question", "args": ["of", {"several": 1}, BYTES], "timeout_ms": 15_000})
            # A Python node takes an answer of one null, and of a list alone, as they come: only what it cannot tell apart is left out here.
            assert answer == {"ok": ANSWERS[name]}, f"{caller.kind} to {callee.kind}"


async def test_a_call_that_nobody_answers_times_out(world):
    world.python.ignore("question")
    world.one.ignore("question")
    assert await world.one.ask("call", {"sid": world.python.sid, "event": "question", "args": [], "timeout_ms": 300}) == {"error": "timeout"}
    assert await world.python.ask("call", {"sid": world.one.sid, "event": "question", "args": [], "timeout_ms": 300}) == {"error": "timeout"}


async def test_enter_and_leave_room(world, sender, room):
    name = room()
    for client in world.all:
        assert await sender.ask("move", {"sid": client.sid, "join": name}) is True

        async def inside(client=client):
            return name in await client.ask("rooms")

        await until("it is in the room", inside)
    await sender.ask("emit-to", {"to": [name], "event": "news", "args": ["inside"]})
    await heard_once(sender, world.all, "news", world.all, ["inside"])
    for client in world.all:
        await world.python.ask("move", {"sid": client.sid, "leave": name})

        async def outside(client=client):
            return name not in await client.ask("rooms")

        await until("it is out of the room", outside)


async def test_close_room(world, sender, room):
    name = room()
    for client in world.all:
        await client.ask("join", name)
    assert await sender.ask("close-room", name) is True
    for client in world.all:

        async def outside(client=client):
            return name not in await client.ask("rooms")

        await until("it is out of the room", outside)


async def test_disconnect(world, sender):
    for node in ("python", "one", "two"):
        victim = await world.another(node)
        assert await sender.ask("kick", victim.sid) is True
        async with asyncio.timeout(15):
            assert await victim.reason == "server disconnect"
    for client in world.all:
        assert await client.call("message-with-ack", "alive") == ["alive"]
