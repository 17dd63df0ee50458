"""Where the agent keeps things on disk: one state directory a mesh, one directory in it for each workload.

`run/<instance>/` belongs to the agent's user. Only its `proxy/` belongs to Envoy's user: Envoy is started in it and
names its sockets relative to it, so that it needs no way through the directories above, and a Unix socket's limit of
107 characters does not bite.
"""

from __future__ import annotations

import contextlib
import os
import stat
from pathlib import Path
from typing import Final

import msgspec

_SOCKET_PATH_LIMIT: Final = 100


class WorkloadLayout(msgspec.Struct, frozen=True):
    """The files of one workload."""

    root: Path

    @property
    def proxy(self) -> Path:
        """Envoy's working directory, owned by Envoy's user."""
        return self.root / "proxy"

    @property
    def bootstrap(self) -> Path:
        """Envoy's bootstrap configuration."""
        return self.proxy / "bootstrap.json"

    @property
    def agent_socket(self) -> Path:
        """Where Envoy finds its agent."""
        return self.proxy / "agent.sock"

    @property
    def admin_socket(self) -> Path:
        """Where the agent finds Envoy's admin interface."""
        return self.proxy / "admin.sock"

    @property
    def client(self) -> Path:
        """What a gRPC client finds in place of an Envoy, owned by the application's user."""
        return self.root / "grpc"

    def log(self, process: str) -> Path:
        """What a process prints: `envoy.log`, `app.log`."""
        return self.root / f"{process}.log"

    def record(self, process: str) -> Path:
        """The pid and start time of a process that may outlive the agent."""
        return self.root / f"{process}.process"

    @property
    def resolv_conf(self) -> Path:
        """The resolver configuration of the workload."""
        return self.root / "resolv.conf"

    @property
    def nsswitch_conf(self) -> Path:
        """The name service order of the workload: files, then DNS, with no daemon of the host in between."""
        return self.root / "nsswitch.conf"


class Layout(msgspec.Struct, frozen=True):
    """The files of one mesh on this host."""

    state: Path

    @property
    def plan(self) -> Path:
        """What the agent runs."""
        return self.state / "plan.json"

    @property
    def api_socket(self) -> Path:
        """The agent's own HTTP API."""
        return self.state / "agent.sock"

    @property
    def run(self) -> Path:
        """Everything that lives only as long as the mesh does."""
        return self.state / "run"

    @property
    def network(self) -> Path:
        """What was made in the host's network, for its removal."""
        return self.run / "network.json"

    @property
    def dns(self) -> Path:
        """The DNS server's working directory and name table."""
        return self.run / ".dns"

    def record(self, process: str) -> Path:
        """The pid and start time of a process that serves the whole host: `dns`, `agent`."""
        return self.run / f".{process}.process"

    def log(self, process: str) -> Path:
        """What such a process prints."""
        return self.run / f".{process}.log"

    @property
    def credential(self) -> Path:
        """The agent's own credential, kept across its restarts."""
        return self.run / ".agent.credential"

    def workload(self, instance: str) -> WorkloadLayout:
        """The files of one workload."""
        return WorkloadLayout(self.run / instance)

    def remembered(self) -> tuple[str, ...]:
        """The instances that have a run directory, also those that the plan no longer holds."""
        if not self.run.is_dir():
            return ()
        return tuple(sorted(p.name for p in self.run.iterdir() if p.is_dir() and not p.name.startswith(".")))


def private_directory(path: Path, owner: int | None = None) -> None:
    """Makes the directory `path`, mode 0700, owned by `owner` where the agent may give it away."""
    path.mkdir(parents=True, exist_ok=True, mode=0o700)
    path.chmod(0o700)
    if owner is not None and os.geteuid() == 0:
        os.chown(path, owner, owner)


def write_whole(path: Path, content: bytes, owner: int | None = None, mode: int = 0o600) -> None:
    """Replaces the file at `path` in one step; readers see the old or the new content, a link at `path` is not
    followed. A file that is like this already is left alone: an agent that comes back needs no room on a full disk.
    """
    if _is_written(path, content, owner, mode):
        return
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    with contextlib.suppress(FileNotFoundError):
        fresh.unlink()
    fd = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, mode)
    with os.fdopen(fd, "wb") as file:
        if owner is not None and os.geteuid() == 0:
            os.fchown(fd, owner, owner)
        file.write(content)
    fresh.replace(path)


def _is_written(path: Path, content: bytes, owner: int | None, mode: int) -> bool:
    try:
        # Whatever somebody has put there must neither lead elsewhere nor make the agent wait.
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return False
    with os.fdopen(fd, "rb") as file:
        status = os.fstat(fd)
        wanted = os.geteuid() if owner is None or os.geteuid() != 0 else owner
        is_like = stat.S_ISREG(status.st_mode) and status.st_uid == wanted and not stat.S_IMODE(status.st_mode) & ~mode
        return is_like and status.st_size == len(content) and file.read(len(content) + 1) == content


def is_socket(path: Path) -> bool:
    """Whether a Unix socket stands at `path`."""
    try:
        return stat.S_ISSOCK(path.lstat().st_mode)
    except FileNotFoundError:
        return False


class SocketPath:
    """A path by which the Unix socket at `path` can be bound or dialled, however long its directories' names are.

    A long path goes through a descriptor of its directory, which stays open until `close`.
    """

    def __init__(self, path: Path) -> None:
        self._fd = -1
        self.text = str(path)
        if self.is_too_long(path):
            self._fd = os.open(path.parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
            self.text = f"/proc/self/fd/{self._fd}/{path.name}"

    @staticmethod
    def is_too_long(path: Path) -> bool:
        """Whether another process could not dial `path` as it stands."""
        return len(str(path)) > _SOCKET_PATH_LIMIT

    def close(self) -> None:
        """Lets the directory go."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
