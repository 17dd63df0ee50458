"""The control socket: `<state>/control.sock`, where the agent of this host gets its first certificate.

Its security is the file system's: the directory is entered by its owner alone, and so is the socket opened.
"""

from __future__ import annotations

import os
import socket
import stat
from pathlib import Path
from typing import Final

import grpc.aio

from byway.authority.private_files import private_directory
from byway.authority.server import CertificateService
from byway.base.errors import FaultError
from byway.identity.certificate_service import MAX_REQUEST_BYTES

_MAX_PATH_BYTES: Final = 107
_MAX_CONCURRENT: Final = 64


class UnusableSocket(FaultError):
    """The control socket cannot be opened where it should be."""


async def control_socket_server(path: Path, service: CertificateService) -> grpc.aio.Server:
    """A started server on `path`; its owner stops it."""
    if len(os.fsencode(path)) > _MAX_PATH_BYTES:
        raise UnusableSocket(
            f"{path} is longer than the {_MAX_PATH_BYTES} bytes of a socket's path (choose another --state)"
        )
    private_directory(path.parent)
    _remove_stale(path)
    options = [("grpc.max_receive_message_length", 2 * MAX_REQUEST_BYTES)]
    server = grpc.aio.server(options=options, maximum_concurrent_rpcs=_MAX_CONCURRENT)
    server.add_generic_rpc_handlers((service.control_socket_handler(),))
    _bind(server, path)
    await server.start()
    return server


def _bind(server: grpc.aio.Server, path: Path) -> None:
    try:
        server.add_insecure_port(f"unix:{path}")
        path.chmod(0o600)  # until here the directory alone has kept others out
    except (OSError, RuntimeError) as fault:
        raise UnusableSocket(f"cannot listen on {path}: {fault}") from fault


def _remove_stale(path: Path) -> None:
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(mode):
        raise UnusableSocket(f"{path} is not a socket (remove it)")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(1.0)
        try:
            probe.connect(str(path))
        except OSError:
            path.unlink(missing_ok=True)  # its process is gone
            return
    raise UnusableSocket(f"another control plane listens on {path} (stop it first: byway down)")
