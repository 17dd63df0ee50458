"""An Envoy that stays at home: started in a directory of its own, with nothing but a discovery stream on a Unix socket.

The directory is locked as long as its owner lives; one that is left behind by a kill is removed by the next owner.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import json
import os
import shutil
import tempfile
from pathlib import Path
from typing import Any, Final

from byway.base.errors import FaultError
from byway.model import names

STOP_S: Final = 2.0
_PREFIX: Final = "byway-prover-"
_LOG_TAIL_BYTES: Final = 2_000


class EnvoyNotStarted(FaultError):
    """The Envoy binary could not be run."""


class ResidentEnvoy:
    """One process and its directory. `start` may be called again after `stop`."""

    def __init__(self, binary: Path) -> None:
        self.binary = binary
        self._directory: Path | None = None
        self._lock: int | None = None
        self._process: asyncio.subprocess.Process | None = None

    @property
    def is_running(self) -> bool:
        """Whether the process is there."""
        return self._process is not None and self._process.returncode is None

    @property
    def pid(self) -> int | None:
        """The process id, while it runs."""
        return self._process.pid if self._process is not None and self._process.returncode is None else None

    @property
    def socket(self) -> Path:
        """Where the process will look for its discovery server."""
        if self._directory is None:
            _sweep()
            self._directory = Path(tempfile.mkdtemp(prefix=_PREFIX))
            self._lock = _locked(self._directory)
        return self._directory / "ads.sock"

    async def start(self) -> None:
        """Start the process; it dies with this one."""
        config = self.socket.with_name("bootstrap.json")
        config.write_text(json.dumps(bootstrap(self.socket)))
        setpriv = shutil.which("setpriv")  # without it, only a kill -9 of this process would leave Envoy behind
        guard = [setpriv, "--pdeathsig", "KILL"] if setpriv else []
        flags = ["--disable-hot-restart", "--concurrency", "1", "--log-level", "critical"]
        try:
            with self._log.open("wb") as log:
                self._process = await asyncio.create_subprocess_exec(
                    *guard,
                    str(self.binary),
                    "--config-path",
                    str(config),
                    *flags,
                    env={},  # this process's own may hold a store's password
                    stdin=asyncio.subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                )
        except OSError as error:
            raise EnvoyNotStarted(f"{self.binary} cannot be run: {error.strerror}") from error

    async def wait(self) -> str:
        """Waits for the end of the process; returns the last line of its log."""
        assert self._process is not None
        await self._process.wait()
        lines = self._log.read_bytes()[-_LOG_TAIL_BYTES:].decode(errors="replace").strip().splitlines()
        return lines[-1] if lines else f"exit code {self._process.returncode}"

    async def stop(self) -> None:
        """End the process."""
        process = self._process
        if process is None or process.returncode is not None:
            return
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        try:
            async with asyncio.timeout(STOP_S):
                await process.wait()
        except TimeoutError:
            process.kill()
            await process.wait()

    async def close(self) -> None:
        """End the process and remove its directory."""
        await self.stop()
        if self._directory is not None:
            await asyncio.to_thread(shutil.rmtree, self._directory, ignore_errors=True)
            self._directory = None
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    @property
    def _log(self) -> Path:
        return self.socket.with_name("envoy.log")


def _locked(directory: Path) -> int | None:
    """The lock on a directory, or None where another process holds it."""
    lock = os.open(directory / "lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(lock)
        return None
    return lock


def _sweep() -> None:
    """Remove the directories of owners that are gone."""
    for left in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
        with contextlib.suppress(OSError):  # another user's, or just being removed
            lock = _locked(left) if (left / "lock").exists() else None
            if lock is not None:
                shutil.rmtree(left, ignore_errors=True)
                os.close(lock)


def bootstrap(socket: Path) -> dict[str, Any]:
    """The bootstrap of an Envoy with nothing of its own, which asks the discovery server at `socket` for all."""
    ads = {"ads": {}, "resource_api_version": "V3"}
    grpc = {"envoy_grpc": {"cluster_name": names.AGENT_CLUSTER}}
    http2 = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
    endpoint = {"endpoint": {"address": {"pipe": {"path": str(socket)}}}}
    agent = {
        "name": names.AGENT_CLUSTER,
        "type": "STATIC",
        "connect_timeout": "1s",
        "typed_extension_protocol_options": {
            http2: {
                "@type": f"type.googleapis.com/{http2}",
                "explicit_http_config": {"http2_protocol_options": {}},
            }
        },
        "load_assignment": {"cluster_name": names.AGENT_CLUSTER, "endpoints": [{"lb_endpoints": [endpoint]}]},
    }
    return {
        "node": {"id": "prover", "cluster": "prover"},
        "dynamic_resources": {
            "ads_config": {
                "api_type": "DELTA_GRPC",
                "transport_api_version": "V3",
                "grpc_services": [grpc],
                "set_node_on_first_message_only": True,
            },
            "lds_config": ads,
            "cds_config": ads,
        },
        "static_resources": {"clusters": [agent]},
        "stats_config": {"stats_matcher": {"reject_all": True}},
        # What is accepted here must be what the fleet accepts.
        "layered_runtime": {"layers": [{"name": "mesh", "static_layer": names.PROXY_RUNTIME}]},
    }
