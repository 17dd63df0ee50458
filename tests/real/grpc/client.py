"""A plain gRPC program: it dials its first argument, and makes calls as it is told on its input.

A line is `{"n": 100, "metadata": {...}, "timeout": 5}`; the answer is the last reply, and counts by version or status.
"""

from __future__ import annotations

import json
import sys
from collections import Counter

import grpc
import grpc.experimental

target, credentials = sys.argv[1:3]
if credentials == "xds":
    fallback = grpc.experimental.insecure_channel_credentials()  # type: ignore[no-untyped-call]
    channel = grpc.secure_channel(target, grpc.xds_channel_credentials(fallback))
else:
    channel = grpc.insecure_channel(target)
get = channel.unary_unary("/links.Links/Get", bytes, bytes)

for line in sys.stdin:
    order = json.loads(line)
    counts: Counter[str] = Counter()
    reply: dict[str, str] = {}
    said = ""
    for _ in range(order["n"]):
        try:
            metadata = tuple(order.get("metadata", {}).items())
            reply = json.loads(get(b"", metadata=metadata, timeout=order.get("timeout", 20)))
            counts[reply["version"]] += 1
        except grpc.RpcError as error:
            counts[error.code().name] += 1
            said = error.details() or ""
    print(json.dumps({"counts": counts, "reply": reply, "said": said}), flush=True)
