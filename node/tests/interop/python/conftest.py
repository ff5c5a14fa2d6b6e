import itertools
import os

import pytest

from clients import open_client
from cluster import Cluster


@pytest.fixture(scope="session")
def plain_cluster():
    """Two acceptance apps on one Redis."""
    running = Cluster()
    yield running
    running.down()


_rooms = itertools.count(1)


@pytest.fixture
def room():
    """Makes room names that no other test uses."""
    return lambda: f"room {next(_rooms)}"


@pytest.fixture
async def connect():
    """`connect(url, kind, mode, namespace, ...)` is a client that is closed at the end of the test."""
    opened = []

    async def connect_one(*args, **options):
        client = await open_client(*args, **options)
        opened.append(client)
        return client

    yield connect_one
    for client in opened:
        await client.close()


def pytest_terminal_summary(terminalreporter):
    """Leaves the sums where run.sh adds them up."""
    if counts := os.environ.get("SOCKEYE_INTEROP_COUNTS"):
        kinds = [len(terminalreporter.stats.get(kind, [])) for kind in ("passed", "failed", "error", "skipped")]
        with open(counts, "a", encoding="ascii") as file:
            file.write(f"{kinds[0]} {kinds[1] + kinds[2]} {kinds[3]}\n")
