"""A worker as its author would write it: python-socketio's write-only manager, unchanged. One JSON line on standard input is one call.

Values that JSON has no form for are written as {"$bytes": hex} and {"$tuple": [...]}.
"""

import asyncio
import json
import sys

import socketio


def value(given):
    if isinstance(given, dict):
        if "$bytes" in given:
            return bytes.fromhex(given["$bytes"])
        if "$tuple" in given:
            return tuple(value(one) for one in given["$tuple"])
        return {key: value(one) for key, one in given.items()}
    if isinstance(given, list):
        return [value(one) for one in given]
    return given


def calls():
    for line in sys.stdin:
        call = json.loads(line)
        yield call.pop("do"), value(call.pop("args")), value(call)


def threaded(url):
    manager = socketio.RedisManager(url, write_only=True)
    for method, args, options in calls():
        getattr(manager, method)(*args, **options)
        print("done", flush=True)


async def asynchronous(url):
    manager = socketio.AsyncRedisManager(url, write_only=True)
    for method, args, options in calls():
        await getattr(manager, method)(*args, **options)
        print("done", flush=True)


if __name__ == "__main__":
    kind, url = sys.argv[1:]
    threaded(url) if kind == "sync" else asyncio.run(asynchronous(url))
