"""What a workload's gRPC client finds in place of an Envoy: a bootstrap, a door to discovery, and its certificate as files.

The gRPC library reads certificates from files only, so here, and for such workloads only, a private key is on the disk: in a
directory of the workload's user, mode 0700, as long as the mesh runs. The library looks at the files every few seconds and
takes a key only together with the certificate that fits it, so they may be replaced one by one.
https://github.com/grpc/proposal/blob/master/A27-xds-global-load-balancing.md#xdsclient-and-bootstrap-file
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import msgspec

from byway.agent.layout import SocketPath, private_directory, write_whole
from byway.agent.plan import WorkloadPlan
from byway.base.errors import UsageError
from byway.model.names import GRPC_CERTIFICATES

if TYPE_CHECKING:
    from byway.agent.credentials import Credential  # which brings in gRPC, too much for a command line

Json = dict[str, Any]

BOOTSTRAP_FILE: Final = "bootstrap.json"
SOCKET_FILE: Final = "agent.sock"
VIEW: Final = Path("/run/byway")
"""Where a process of another user than the agent's sees its own directory: it could not walk the private ones above it."""

_CHAIN_FILE: Final = "cert-chain.pem"
_KEY_FILE: Final = "key.pem"
_ROOTS_FILE: Final = "root-cert.pem"
_REFRESH_S: Final = 5


def grpc_bootstrap(workload: WorkloadPlan, folder: Path) -> Json:
    """The bootstrap of a client that sees the workload's directory at `folder`."""
    return {
        "xds_servers": [
            {
                "server_uri": f"unix:{folder / SOCKET_FILE}",
                "channel_creds": [{"type": "insecure"}],  # whoever may open the socket is the workload
                "server_features": ["xds_v3"],
            }
        ],
        "node": {
            "id": workload.proxy_id,
            "cluster": workload.proxy_cluster,
            "metadata": {
                "GENERATOR": "grpc",
                "INSTANCE": workload.instance,
                "NAMESPACE": workload.namespace,
                "WORKLOAD": workload.workload,
            },
        },
        "certificate_providers": {
            GRPC_CERTIFICATES: {
                "plugin_name": "file_watcher",
                "config": {
                    "certificate_file": str(folder / _CHAIN_FILE),
                    "private_key_file": str(folder / _KEY_FILE),
                    "ca_certificate_file": str(folder / _ROOTS_FILE),
                    "refresh_interval": f"{_REFRESH_S}s",
                },
            }
        },
    }


def bootstrap_json(workload: WorkloadPlan, folder: Path) -> bytes:
    """The bootstrap as a file holds it; raises where no client could dial the socket by its path."""
    if workload.kind != "grpc":
        hint = (
            f"write `proxy: grpc` under services.{workload.labels.get('app') or workload.workload} in the mesh's file"
        )
        raise UsageError(f"{workload.instance} has an Envoy that does this for its application ({hint})")
    if SocketPath.is_too_long(folder / SOCKET_FILE):
        raise UsageError(f"{folder / SOCKET_FILE} is too long for a socket (choose a shorter --state)")
    return msgspec.json.format(msgspec.json.encode(grpc_bootstrap(workload, folder)), indent=2)


class ClientFiles:
    """The directory of one workload's gRPC client."""

    def __init__(self, folder: Path, owner: int | None) -> None:
        self.folder = folder
        self._owner = owner

    @property
    def socket(self) -> Path:
        """The door to discovery."""
        return self.folder / SOCKET_FILE

    def prepare(self, bootstrap: bytes) -> None:
        """Makes the directory, and puts the bootstrap there."""
        private_directory(self.folder, self._owner)
        write_whole(self.folder / BOOTSTRAP_FILE, bootstrap, self._owner)

    def rotate(self, credential: Credential) -> None:
        """Replaces the certificate, its key and the roots."""
        private_directory(self.folder, self._owner)
        for name, content in (
            (_ROOTS_FILE, credential.bundle_pem),
            (_CHAIN_FILE, credential.chain_pem),
            (_KEY_FILE, credential.key_pem),
        ):
            write_whole(self.folder / name, content, self._owner)
