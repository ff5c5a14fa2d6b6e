"""The namespaces beside the table with python-socketio's clients."""

import pytest
import socketio.exceptions

from clients import KINDS, MODES

pytestmark = [pytest.mark.parametrize("kind", KINDS), pytest.mark.parametrize("mode", list(MODES)), pytest.mark.parametrize("node", [0, 1])]
BYTES = bytes([0, 0x1E, 0xFF])


async def test_wild(plain_cluster, connect, kind, mode, node):
    client = await connect(plain_cluster.nodes[node], kind, mode, "/wild")
    for event, *args in (["any name"], ["ünïcode 🐟", 1, "two", [3], None], ["binary", BYTES, {"b": [BYTES]}]):
        assert await client.call(event, *args) == [[event, *args]]
        assert await client.next("caught") == [[event, *args]]
        await client.emit(event, *args)
        assert await client.next("caught") == [[event, *args]]


async def refusal(connect, url, kind, mode, namespace, **options):
    with pytest.raises(socketio.exceptions.ConnectionError):
        await connect(url, kind, mode, namespace, **options)


async def test_auth(plain_cluster, connect, kind, mode, node, monkeypatch):
    url = plain_cluster.nodes[node]
    client = await connect(url, kind, mode, "/auth", auth={"token": "good"})
    assert client.sid
    refused = []
    monkeypatch.setattr("clients.Client.refuse", lambda _, data: refused.append(data))
    for auth in (None, {"token": "bad"}, {"token": "false"}):
        await refusal(connect, url, kind, mode, "/auth", auth=auth)
    assert refused[0] == refused[1] == {"message": "not authorized", "data": {"code": 401}}
    assert isinstance(refused[2]["message"], str) and refused[2]["message"] != "not authorized"


async def test_gone(plain_cluster, connect, kind, mode, node, monkeypatch):
    refused = []
    monkeypatch.setattr("clients.Client.refuse", lambda _, data: refused.append(data))
    await refusal(connect, plain_cluster.nodes[node], kind, mode, "/gone")
    assert refused == [{"message": "Invalid namespace"}]
