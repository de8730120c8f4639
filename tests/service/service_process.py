"""A service in a process of its own, as a user starts it."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import httpx

ENDED = {"done", "failed"}
PATIENCE_S = 300
"""Nothing is measured here: on a busy machine everything takes long."""


class ServiceProcess:
    """Runs `affectline serve` on a free port.

    Args:
        folder: of the service.
        options: of the command line.
    """

    def __init__(self, folder: Path, *options: str) -> None:
        command = [sys.executable, "-m", "affectline", "serve", "--port", "0", "--folder", str(folder), "--offline"]
        self.folder = folder
        self.log = folder.with_name(f"{folder.name}.log")
        with self.log.open("ab") as log:
            self.process = subprocess.Popen([*command, *options], stdout=subprocess.PIPE, stderr=log, text=True)
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line.startswith("affectline serves http://"), self.log.read_text()
        self.url = line.split()[2]
        self.client = httpx.Client(base_url=self.url, timeout=PATIENCE_S)

    @property
    def address(self) -> str:
        """Host and port."""
        return self.url.removeprefix("http://")

    def connection(self) -> socket.socket:
        """Return a plain connection, for what no client would send."""
        host, port = self.address.split(":")
        return socket.create_connection((host, int(port)), timeout=PATIENCE_S)

    def upload(self, path: Path, name: str | None = None) -> httpx.Response:
        """Send a file."""
        with path.open("rb") as file:
            return self.client.post("/v1/analyses", files={"file": (name or path.name, file)})

    def state(self, job_id: str) -> dict[str, Any]:
        """Return what the service says of a job."""
        return dict(self.client.get(f"/v1/analyses/{job_id}").raise_for_status().json())

    def wait(self, job_id: str) -> dict[str, Any]:
        """Return what the service says of a job when it has ended."""
        for _ in range(PATIENCE_S * 5):
            state = self.state(job_id)
            if state["state"] in ENDED:
                return state
            time.sleep(0.2)
        raise AssertionError(state)

    def will_log(self, text: str) -> bool:
        """Return whether something comes to stand in the log; an answer may be heard before that."""
        for _ in range(PATIENCE_S * 5):
            if text in self.log.read_text():
                return True
            time.sleep(0.2)
        return False

    def stop(self) -> int:
        """Ask the service to stop, and return its exit code."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        return self._gone()

    def kill(self) -> int:
        """End the service at once: it can do nothing any more."""
        self.process.kill()
        return self._gone()

    def _gone(self) -> int:
        self.client.close()
        if self.process.stdout is not None:
            self.process.stdout.close()
        return self.process.wait(timeout=PATIENCE_S)


def upload_head(service: ServiceProcess, length: int) -> bytes:
    """Return the head of a request that uploads a video, for a plain connection."""
    kind = f"Content-Type: video/mp4\r\nContent-Length: {length}"
    return f"POST /v1/analyses HTTP/1.1\r\nHost: {service.address}\r\n{kind}\r\n\r\n".encode()
