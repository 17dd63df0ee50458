"""A gRPC service without generated code: it says which version it is and who called, and fails as often as it is asked to."""

from __future__ import annotations

import json
import os
import random
from concurrent import futures
from typing import Any

import grpc


def answer(request: bytes, context: grpc.ServicerContext) -> bytes:
    """The answer to one call; `fails-percent` in its metadata makes that share of calls fail."""
    told: dict[str, Any] = {key: value for key, value in context.invocation_metadata() if isinstance(value, str)}
    if random.random() * 100 < float(told.get("fails-percent", "0")):
        context.abort(grpc.StatusCode.UNAVAILABLE, "failed as asked")
    told |= {"version": os.environ["VERSION"]}
    return json.dumps(told).encode()


server = grpc.server(futures.ThreadPoolExecutor(8))
handlers = {"Get": grpc.unary_unary_rpc_method_handler(answer)}
server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("links.Links", handlers),))
server.add_insecure_port(f"{os.environ['BIND']}:{os.environ['PORT']}")
server.start()
server.wait_for_termination()
