"""What the command line decides, one struct a process; empty strings and zeros mean the default.

Importing this module is cheap: the rooms that bring in gRPC and Envoy's messages are imported when something runs.
"""

from __future__ import annotations

import msgspec


class ControlPlaneSettings(msgspec.Struct, frozen=True, kw_only=True):
    """`byway serve`: addresses are HOST:PORT. `owner_pid`: end when that process is gone.

    `store` is the `postgresql://` URL of a store that several share, `ca` the directory of their CA; else both are in `state`.

    `sampling` is the share of requests that are traced where no MeshConfig says otherwise, in percent; 0: none.
    """

    mesh: str
    state: str
    envoy: str = ""
    admin: str = "127.0.0.1:15014"
    xds: str = "127.0.0.1:15012"
    certificate_life_s: float = 0
    sampling: float = 0.0
    owner_pid: int = 0
    store: str = ""
    ca: str = ""


class AgentSettings(msgspec.Struct, frozen=True, kw_only=True):
    """`byway agent`: `control_plane` is its xDS and CSR address, or several with commas.

    `owner_pid`: end all, in order, when it is gone.
    """

    mesh: str
    state: str
    envoy: str = ""
    control_plane: str = "127.0.0.1:15012"
    certificate_life_s: float = 0
    owner_pid: int = 0


class LocalSettings(msgspec.Struct, frozen=True, kw_only=True):
    """`byway demo` and `byway up`: an empty `file` is the packaged fleet. `for_s` None: until told to stop."""

    mesh: str = ""
    file: str = ""
    state: str = ""
    envoy: str = ""
    proxy: str = ""
    for_s: float | None = None
    rate: float = 0.0
    ingress: str = ""
    admin: str = "127.0.0.1:15014"
    xds: str = "127.0.0.1:15012"
    certificate_life_s: float = 0
