"""Stock Python clients that do what js/support/remote.mjs tells them, a line of JSON each on standard input and output.

Socket.IO with python-socketio 4 (Engine.IO 3), whose API differs from today's; Engine.IO alone with any version of python-engineio."""

import base64
import json
import queue
import sys
import threading

import engineio
import socketio
from socketio import packet

clients = {}
writing = threading.Lock()


def wrap(value):
    """Bytes travel as {"$bytes": base64}."""
    if isinstance(value, bytes):
        return {"$bytes": base64.b64encode(value).decode()}
    if isinstance(value, (list, tuple)):
        return [wrap(item) for item in value]
    return {key: wrap(item) for key, item in value.items()} if isinstance(value, dict) else value


def unwrap(value):
    return base64.b64decode(value["$bytes"]) if "$bytes" in value else value


def say(line):
    with writing:
        print(json.dumps(wrap(line)), flush=True)


class Client(socketio.Client):
    def __init__(self, name, namespace):
        super().__init__(reconnection=False)
        self.name, self.namespace, self.answered, self.left = name, namespace, set(), False
        self.joined = queue.Queue()
        # A thread for every message, which is its default, mixes up their order.
        trigger = self.eio._trigger_event
        self.eio._trigger_event = lambda *args, **options: trigger(*args, **{**options, "run_async": False})

    def _handle_connect(self, namespace):
        super()._handle_connect(namespace)
        if (namespace or "/") == self.namespace:
            self.joined.put(None)

    def _handle_error(self, namespace, data=None):
        super()._handle_error(namespace, data)
        self.joined.put(data)

    def _handle_event(self, namespace, id, data):
        """Every event, before anybody acks it: the library itself would at once."""
        if id is None:
            say({"client": self.name, "heard": data})
        elif data[0] in self.answered:
            say({"client": self.name, "asked": data[0], "args": data[1:], "ack": id})

    def _handle_disconnect(self, namespace):
        self.left = True
        say({"client": self.name, "gone": "io server disconnect"})
        super()._handle_disconnect(namespace)

    def _handle_eio_disconnect(self):
        super()._handle_eio_disconnect()
        if not self.left:
            say({"client": self.name, "gone": "transport close"})

    def ack(self, number, args):
        self._send_packet(packet.Packet(packet.ACK, namespace=self.namespace, id=number, data=args, binary=None))


def open_client(order):
    url, namespace = order["url"], order.get("namespace", "/")
    client = clients[order["client"]] = Client(order["client"], namespace)
    client.connect(f"{url}?{order['query']}" if order.get("query") else url, headers=order.get("headers") or {}, transports=order["transports"], namespaces=[namespace])
    refusal = client.joined.get(timeout=15)
    if refusal is not None:
        client.disconnect()
        return {"error": refusal if isinstance(refusal, dict) else {"message": refusal}}
    return {"ok": client.eio.sid if namespace == "/" else f"{namespace}#{client.eio.sid}"}


def echo(order):
    client, echoes = engineio.Client(), queue.Queue()
    client.on("message", echoes.put)
    client.connect(order["url"], transports=order["transports"], engineio_path=order["path"].strip("/"))
    got = []
    for message in order["args"]:
        client.send(message)
        got.append(echoes.get(timeout=15))
    client.disconnect()
    return {"ok": got}


def obey(order):
    do, client = order["do"], clients.get(order["client"])
    if do == "open":
        return open_client(order)
    if do == "echo":
        return echo(order)
    if do == "emit":
        client.emit(order["event"], tuple(order["args"]), namespace=client.namespace)
    elif do == "call":
        client.emit(order["event"], tuple(order["args"]), namespace=client.namespace, callback=lambda *args: say({"id": order["id"], "ok": args}))
    elif do == "answer":
        client.answered.add(order["event"])
    elif do == "ack":
        client.ack(order["ack"], order["args"])
    elif do == "close":
        client.disconnect()
    return None


def answer(order):
    try:
        result = obey(order)
    except Exception as error:  # whatever it is, the test is told
        result = {"error": {"message": repr(error)}}
    if result and "id" in order:
        say({"id": order["id"], **result})


for line in sys.stdin:
    order = json.loads(line, object_hook=unwrap)
    # What takes its time must not hold up what other clients are told; the orders to one client keep their order.
    if order["do"] in ("open", "echo", "close"):
        threading.Thread(target=answer, args=(order,), daemon=True).start()
    else:
        answer(order)
