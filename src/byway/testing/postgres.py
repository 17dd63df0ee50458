"""A PostgreSQL server of its own for a test: real, unprivileged, on a Unix socket in its own folder, and removed."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import threading
import time
from pathlib import Path
from typing import Any, Final

_START_S: Final = 30.0
_USERS: Final = ("postgres", "nobody")


class PostgresMissing(Exception):
    """There is no server program on this machine."""


class PostgresServer:
    """One server; `start` and `stop` may be called again and again, the data stay until `remove`."""

    def __init__(self, port: int = 5432) -> None:
        self._programs = _programs()
        self._user = _user()
        self.folder = Path(tempfile.mkdtemp(prefix="byway-pg-", dir="/tmp"))
        self._data = self.folder / "data"
        self._port = port
        self._process: subprocess.Popen[bytes] | None = None
        if self._user is not None:
            os.chown(self.folder, self._user.pw_uid, self._user.pw_gid)
        self._run("initdb", "-D", str(self._data), "-U", "byway", "-A", "trust", "-E", "UTF8", "--no-locale", "-N")

    def url(self, database: str = "postgres") -> str:
        """Where it is; the folder of its socket stands for the host."""
        return f"postgresql://byway@/{database}?host={self.folder}&port={self._port}"

    @property
    def log(self) -> str:
        """What it has said."""
        return (self.folder / "log").read_text(errors="replace")

    def start(self) -> None:
        """Starts it and waits until it answers."""
        command = [
            *(str(self._programs / "postgres"), "-D", str(self._data), "-k", str(self.folder)),
            *("-p", str(self._port), "-c", "listen_addresses=", "-c", "fsync=off", "-c", "max_connections=60"),
        ]
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=self.folder, **self._as_user()
            )
        deadline, never = time.monotonic() + _START_S, threading.Event()
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"PostgreSQL does not start: {self.log[-1000:]}")
            never.wait(0.05)

    def stop(self, *, is_crash: bool = False) -> None:
        """Ends it and everybody's connections; as a crash does, where that is wanted."""
        if self._process is not None:
            # SIGQUIT: it ends at once, its children too, and recovers at the next start.
            self._process.send_signal(signal.SIGQUIT if is_crash else signal.SIGINT)
            self._process.wait(_START_S)
            self._process = None

    def execute(self, statement: str, database: str = "postgres") -> None:
        """One statement, by an administrator."""
        self._run("psql", "-X", "-q", "-v", "ON_ERROR_STOP=1", "-c", statement, self.url(database))

    def remove(self) -> None:
        """Ends it and removes all that it has."""
        self.stop(is_crash=True)
        shutil.rmtree(self.folder)

    def _answers(self) -> bool:
        found = subprocess.run(
            [str(self._programs / "pg_isready"), "-q", "-h", str(self.folder), "-p", str(self._port)], check=False
        )
        return found.returncode == 0

    def _run(self, program: str, *arguments: str) -> None:
        done = subprocess.run(
            [str(self._programs / program), *arguments],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
            cwd=self.folder,
            **self._as_user(),
        )
        if done.returncode != 0:
            raise RuntimeError(f"{program}: {done.stderr}")

    def _as_user(self) -> dict[str, Any]:
        if self._user is None:
            return {}
        return {"user": self._user.pw_uid, "group": self._user.pw_gid, "extra_groups": []}


def _programs() -> Path:
    """The folder of the newest server's programs."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"), key=lambda path: int(path.parts[-3]))
    on_path = shutil.which("postgres")
    if found:
        return found[-1].parent
    if on_path is not None:
        return Path(on_path).resolve().parent
    raise PostgresMissing("there is no PostgreSQL server (apt-get install postgresql)")


def _user() -> pwd.struct_passwd | None:
    """Whom to run it as: the server refuses root."""
    if os.geteuid() != 0:
        return None
    for name in _USERS:
        try:
            return pwd.getpwnam(name)
        except KeyError:
            continue
    raise PostgresMissing("there is no unprivileged user to run PostgreSQL as")
