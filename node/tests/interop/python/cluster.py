"""A cluster of acceptance apps on one Redis, started by deploy/local/cluster.sh: the same script that a user runs."""

import asyncio
import os
import re
import shutil
import subprocess
import tempfile
import time
import urllib.request
from pathlib import Path

ROOT = Path(__file__).resolve().parents[4]
SCRIPT = ROOT / "deploy/local/cluster.sh"
TARGET = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
PATIENCE = 15 * float(os.environ.get("SOCKEYE_INTEROP_PATIENCE", "1"))


def acceptance() -> str:
    """The server to test."""
    if named := os.environ.get("SOCKEYE_ACCEPTANCE"):
        return named
    for profile in ("debug", "release"):
        if (built := TARGET / profile / "examples/acceptance").exists():
            return str(built)
    raise RuntimeError("build the acceptance example first, or name it in SOCKEYE_ACCEPTANCE")


class Cluster:
    """Redis, nodes and nginx. `flags` go to every node."""

    def __init__(self, nodes: int = 2, flags: tuple[str, ...] = ()):
        self.dir = tempfile.mkdtemp(prefix="cluster-", dir=os.environ.get("SOCKEYE_INTEROP_DIR"))
        command = [SCRIPT, "up", "--dir", self.dir, "--nodes", str(nodes), "--binary", acceptance(), "--no-admin", "--", *flags]
        output = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
        addresses = dict(line.split(maxsplit=1) for line in output.splitlines())
        self.redis, self.nginx = addresses["redis"], addresses["nginx"]
        self.nodes = [addresses[f"node{n + 1}"] for n in range(nodes)]

    def down(self) -> None:
        subprocess.run([SCRIPT, "down", "--dir", self.dir], check=True)
        if not os.environ.get("SOCKEYE_INTEROP_KEEP"):
            shutil.rmtree(self.dir, ignore_errors=True)

    def metric(self, node: int, name: str) -> float:
        """The samples of a node's /metrics whose name matches the regular expression, added up."""
        text = urllib.request.urlopen(f"{self.nodes[node]}/metrics").read().decode()
        samples = re.findall(r"^([a-zA-Z_:][\w:]*)(?:\{.*\})? (\S+)$", text, re.MULTILINE)
        return sum(float(value) for found, value in samples if re.fullmatch(name, found))


async def until(what: str, probe, limit: float = PATIENCE):
    """Calls `probe`, an ordinary or a coroutine function, until it returns something true, and returns that."""
    deadline = time.monotonic() + limit
    while True:
        result = probe()
        if asyncio.iscoroutine(result):
            result = await result
        if result:
            return result
        assert time.monotonic() < deadline, f"waited {limit} s in vain: {what}"
        await asyncio.sleep(0.01)
