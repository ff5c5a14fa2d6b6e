"""A Celery worker whose task emits to browsers: the module that `celery -A celery_tasks worker` runs."""

import os

import celery
import socketio

app = celery.Celery("tasks", broker=os.environ["REDIS_URL"], backend=os.environ["REDIS_URL"])
external = socketio.RedisManager(os.environ["REDIS_URL"], write_only=True)


@app.task
def announce(event, data, room=None):
    external.emit(event, data, room=room)
    return room


@app.task
def announce_bytes(event, hexadecimal, room=None):
    external.emit(event, {"file": bytes.fromhex(hexadecimal)}, room=room)
