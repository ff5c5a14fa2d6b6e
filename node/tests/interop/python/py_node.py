"""A python-socketio node, as its users write one, in the same cluster: the part of the acceptance app's table that its public API can do."""

import argparse
import asyncio
import signal

import socketio
from aiohttp import web

parser = argparse.ArgumentParser()
parser.add_argument("--listen", required=True)
parser.add_argument("--bus", required=True)
options = parser.parse_args()

sio = socketio.AsyncServer(async_mode="aiohttp", client_manager=socketio.AsyncRedisManager(options.bus), namespaces=["/", "/custom"], cors_allowed_origins=[])


def serve(namespace):
    def on(handler):
        sio.on(handler.__name__.replace("_", "-"), handler, namespace=namespace)

    def rooms_of(sid):
        return sorted(room for room in sio.rooms(sid, namespace) if room != sid)

    @on
    async def connect(sid, environ, auth):
        await sio.emit("auth", auth or {}, to=sid, namespace=namespace)

    @on
    async def message_with_ack(sid, *args):
        return args

    @on
    async def join(sid, room):
        await sio.enter_room(sid, room, namespace)
        return rooms_of(sid)

    @on
    async def rooms(sid):
        return rooms_of(sid)

    @on
    async def emit_to(sid, given):
        await sio.emit(given["event"], tuple(given["args"]), room=given.get("to") or None, skip_sid=given.get("except"), namespace=namespace)
        return True

    @on
    async def call(sid, given):
        try:
            answer = await sio.call(given["event"], tuple(given["args"]), to=given["sid"], timeout=given["timeout_ms"] / 1000, namespace=namespace)
        except socketio.exceptions.TimeoutError:
            return {"error": "timeout"}
        return {"ok": [] if answer is None else list(answer) if isinstance(answer, tuple) else [answer]}

    @on
    async def move(sid, given):
        if "join" in given:
            await sio.enter_room(given["sid"], given["join"], namespace)
        else:
            await sio.leave_room(given["sid"], given["leave"], namespace)
        return True

    @on
    async def close_room(sid, room):
        await sio.close_room(room, namespace)
        return True

    @on
    async def kick(sid, who):
        await sio.disconnect(who, namespace)
        return True


async def main():
    for namespace in ("/", "/custom"):
        serve(namespace)
    app = web.Application()
    sio.attach(app)
    app.router.add_get("/healthz", lambda _: asyncio.sleep(0, web.Response(text="ok")))
    runner = web.AppRunner(app)
    await runner.setup()
    host, port = options.listen.rsplit(":", 1)
    site = web.TCPSite(runner, host, int(port))
    await site.start()
    print(f"listening on {host}:{site._server.sockets[0].getsockname()[1]}", flush=True)
    ended = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, ended.set)
    await ended.wait()


asyncio.run(main())
