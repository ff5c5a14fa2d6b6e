"""Unchanged Python workers, of several versions, and a Celery task reach clients on both nodes."""

import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from clients import open_client

HERE = Path(__file__).parent
ENVIRONMENTS = Path(os.environ.get("SOCKEYE_INTEROP_VENVS", HERE.parent / ".venv-versions"))
VERSIONS = [line.strip() for line in (HERE / "versions.txt").read_text().splitlines() if line.strip() and not line.startswith("#")]
NEWEST = VERSIONS[-1]
BYTES = bytes([0, 1, 0x1E, 0x7F, 0x80, 0xFF])
WIRE_BYTES = {"$bytes": BYTES.hex()}


class Worker:
    """One emitting process. Every call returns when the manager's method has."""

    def __init__(self, process):
        self.process = process

    async def do(self, method, *args, **options):
        self.process.stdin.write(json.dumps({"do": method, "args": args, **options}).encode() + b"\n")
        await self.process.stdin.drain()
        async with asyncio.timeout(15):
            line = await self.process.stdout.readline()
        assert line == b"done\n", "the worker's own traceback is on standard error"


@pytest.fixture(scope="session", params=[(kind, version) for version in VERSIONS for kind in ("sync", "async")], ids=lambda given: f"{given[1]} {given[0]}")
async def worker(request, plain_cluster):
    kind, version = request.param
    python = ENVIRONMENTS / version / "bin/python"
    process = await asyncio.create_subprocess_exec(
        python, HERE / "emit_worker.py", kind, plain_cluster.redis, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
    )
    started = Worker(process)
    started.version = tuple(int(part) for part in version.split("."))
    yield started
    process.stdin.close()
    await process.wait()


@pytest.fixture(scope="session")
async def everywhere(plain_cluster):
    """A WebSocket and a polling client on each node."""
    clients = [await open_client(url, "asyncio", mode) for url in plain_cluster.nodes for mode in ("websocket", "polling")]
    yield clients
    for client in clients:
        await client.close()


async def fence(worker, clients):
    await worker.do("emit", "fence", None)
    for client in clients:
        await client.next("fence")


async def received(worker, clients, event, *members):
    """The arguments that each member heard; every one heard the event once, and the others did not."""
    heard = [await client.next(event) for client in members]
    await fence(worker, clients)
    assert [client.pending(event) for client in clients] == [0] * len(clients)
    assert all(args == heard[0] for args in heard)
    return heard[0]


ONE = {
    "text": ("hello, ünïcode 🐟", ["hello, ünïcode 🐟"]),
    "dict": ({"a": [1, {"b": None}], "ü": True}, [{"a": [1, {"b": None}], "ü": True}]),
    "int": (42, [42]),
    "large int": (2**70, None),
    "float": (-1.5, [-1.5]),
    "bool": (False, [False]),
    "None": (None, []),
    "empty dict": ({}, [{}]),
    "empty text": ("", [""]),
}


@pytest.mark.parametrize("name", ONE)
async def test_one_value(worker, everywhere, name):
    given, expected = ONE[name]
    await worker.do("emit", "news", given)
    got = await received(worker, everywhere, "news", *everywhere)
    if expected is not None:
        assert got == expected
    else:
        assert len(got) == 1 and float(got[0]) == float(given)


LISTS = {"list": [1, "two", {"three": 3}], "empty list": [], "list of lists": [[1], [2]]}


@pytest.mark.parametrize("name", LISTS)
async def test_list(worker, everywhere, name):
    await worker.do("emit", "news", LISTS[name])
    # Up to 5.15.0 nothing on the bus tells a list from several arguments.
    assert await received(worker, everywhere, "news", *everywhere) == ([LISTS[name]] if worker.version >= (5, 15, 1) else LISTS[name])


@pytest.mark.parametrize("values", [["one", {"two": 2}], [["a", "list"], "and text"], [1, None, 3]], ids=str)
async def test_several_arguments(worker, everywhere, values):
    await worker.do("emit", "news", {"$tuple": values})
    assert await received(worker, everywhere, "news", *everywhere) == values


@pytest.mark.parametrize(
    ("given", "expected", "since"),
    [
        (WIRE_BYTES, [BYTES], (5, 14, 2)),
        ({"$bytes": ""}, [b""], (5, 14, 2)),
        ({"file": WIRE_BYTES, "more": [WIRE_BYTES, "text"]}, [{"file": BYTES, "more": [BYTES, "text"]}], (5, 14, 2)),
        ({"$tuple": ["name", WIRE_BYTES]}, ["name", BYTES], (5, 15, 1)),
        ([WIRE_BYTES, WIRE_BYTES], [[BYTES, BYTES]], (5, 15, 1)),
    ],
    ids=["bytes", "empty bytes", "nested bytes", "text and bytes", "list of bytes"],
)
async def test_bytes(worker, everywhere, given, expected, since):
    if worker.version < since:
        pytest.skip("that version cannot send this")
    await worker.do("emit", "news", given)
    assert await received(worker, everywhere, "news", *everywhere) == expected


async def test_room(worker, everywhere, room):
    name = room()
    members = [everywhere[0], everywhere[3]]
    for client in members:
        await client.ask("join", name)
    await worker.do("emit", "news", "to the room", room=name)
    assert await received(worker, everywhere, "news", *members) == ["to the room"]
    await worker.do("emit", "news", "to one client", to=everywhere[2].sid)
    assert await received(worker, everywhere, "news", everywhere[2]) == ["to one client"]


async def test_list_of_rooms(worker, everywhere, room):
    one, two = room(), room()
    for client, rooms in zip(everywhere, ([one], [one, two], [], [two])):
        for name in rooms:
            await client.ask("join", name)
    await worker.do("emit", "news", "union", room=[one, two])
    assert await received(worker, everywhere, "news", everywhere[0], everywhere[1], everywhere[3]) == ["union"]


async def test_skip_sid(worker, everywhere):
    await worker.do("emit", "news", "not to one", skip_sid=everywhere[0].sid)
    assert await received(worker, everywhere, "news", *everywhere[1:]) == ["not to one"]
    await worker.do("emit", "news", "not to two", skip_sid=[everywhere[0].sid, everywhere[2].sid])
    assert await received(worker, everywhere, "news", everywhere[1], everywhere[3]) == ["not to two"]


async def test_namespace(worker, everywhere, plain_cluster, connect, room):
    custom = [await connect(url, "threaded", "websocket", "/custom") for url in plain_cluster.nodes]
    await worker.do("emit", "news", "custom", namespace="/custom")
    for client in custom:
        assert await client.next("news") == ["custom"]
    name = room()
    await custom[1].ask("join", name)
    await worker.do("emit", "news", "custom room", namespace="/custom", room=name)
    assert await custom[1].next("news") == ["custom room"]
    await fence(worker, everywhere)
    assert [client.pending("news") for client in (*everywhere, *custom)] == [0] * 6


async def test_room_operations(worker, everywhere, plain_cluster, room):
    name = room()
    for client in everywhere:
        await worker.do("enter_room", client.sid, "/", name)
    await fence(worker, everywhere)
    assert await everywhere[0].ask("count", name) == 4
    await worker.do("leave_room", everywhere[1].sid, "/", name)
    await fence(worker, everywhere)
    assert await everywhere[0].ask("sockets", name) == sorted(client.sid for client in everywhere if client is not everywhere[1])
    await worker.do("close_room", name, "/")
    await fence(worker, everywhere)
    assert await everywhere[0].ask("count", name) == 0


async def test_order_and_number(worker, plain_cluster, connect, room):
    # Over WebSocket: how many packets a Python client takes in one poll is another test's business.
    clients = [await connect(url, "asyncio", "websocket") for url in plain_cluster.nodes]
    name = room()
    for client in clients:
        await client.ask("join", name)
    for number in range(300):
        await worker.do("emit", "n", number, room=name)
    await worker.do("emit", "end", None, room=name)
    for client in clients:
        await client.next("end")
        assert [(await client.next("n"))[0] for _ in range(300)] == list(range(300))
        assert client.pending("n") == 0


async def test_celery(plain_cluster, everywhere, room):
    """A task, run by a real worker, reaches clients on both nodes."""
    name = room()
    members = [everywhere[1], everywhere[2]]
    for client in members:
        await client.ask("join", name)
    environment = {**os.environ, "REDIS_URL": f"{plain_cluster.redis}/0"}
    worker = subprocess.Popen(
        [sys.executable, "-m", "celery", "-A", "celery_tasks", "worker", "-P", "solo", "--without-mingle", "--without-gossip", "-l", "warning"],
        cwd=HERE, env=environment,
    )
    try:
        command = "import celery_tasks as t, json, sys; t.announce.delay('news', {'done': [1, 2]}).get(timeout=60); t.announce.delay('news', 'to the room', sys.argv[1]).get(timeout=60); t.announce_bytes.delay('news', '00ff', sys.argv[1]).get(timeout=60)"
        caller = await asyncio.create_subprocess_exec(sys.executable, "-c", command, name, cwd=HERE, env=environment)
        assert await caller.wait() == 0
        for client in everywhere:
            assert await client.next("news") == [{"done": [1, 2]}]
        for client in members:
            assert await client.next("news") == ["to the room"]
            assert await client.next("news") == [{"file": b"\x00\xff"}]
        assert [client.pending("news") for client in everywhere] == [0] * 4
    finally:
        worker.terminate()
        worker.wait(timeout=30)
