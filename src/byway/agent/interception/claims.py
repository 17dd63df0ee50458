"""Claims: names on this host that one living process holds, and that are free again the moment it is gone.

A claim is an abstract Unix socket: the kernel knows it within one network namespace, just like the bridges and subnets
that are claimed by it, and it leaves no file behind however its holder ends.
"""

from __future__ import annotations

import contextlib
import errno
import socket
from collections.abc import Iterator


@contextlib.contextmanager
def claimed(*names: str) -> Iterator[str]:
    """Holds the first of `names` that nobody holds; an empty string where all are taken."""
    for name in names:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as holder:
            try:
                holder.bind(f"\0byway/{name}")
            except OSError as error:
                if error.errno != errno.EADDRINUSE:
                    raise
                continue
            yield name
            return
    yield ""
