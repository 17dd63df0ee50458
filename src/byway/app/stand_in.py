"""Stand-in: what is in force of a guarding object that is held in quarantine and was never good here: a closed door.

An access policy that is absent would let everybody in; an absent demand for certificates leaves the door as a broader one
says. So each is stood in for by one for the same workloads, or for its namespace where its selector cannot be read. It
has the id of the object that it stands for, whatever the name: a namespace that cannot be written here has no workloads
here either.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

from byway.kinds.decode import decode
from byway.kinds.document import Document
from byway.kinds.resource import Resource, ResourceId
from byway.model.names import ANNOTATION_STAND_IN

CLOSED: Final = {
    "AuthorizationPolicy": "a policy that lets nobody in is in force",
    "PeerAuthentication": "STRICT mutual TLS is in force",
}
"""Who is stood in for, and what is in force then, in words."""
_SPECS: Final[dict[str, dict[str, Any]]] = {
    "AuthorizationPolicy": {},
    "PeerAuthentication": {"mtls": {"mode": "STRICT"}},
}
_METADATA: Final = {"name": "stand-in", "namespace": "default", "annotations": {ANNOTATION_STAND_IN: "true"}}
"""A name that can be written, whatever that of the object is; the annotation has it win over another one as broad."""


def stand_in(resource_id: ResourceId, document: Document) -> Resource | None:
    """The closed door for the workloads that the document selects, or all of its namespace; None where none is needed."""
    if resource_id.kind not in _SPECS:
        return None
    header = {"apiVersion": "security.istio.io/v1", "kind": resource_id.kind, "metadata": _METADATA}
    spec = document.body.get("spec")
    selector = spec.get("selector") if isinstance(spec, dict) else None
    for selecting in ({"selector": selector} if selector else {}, {}):
        body = {**header, "spec": {**selecting, **_SPECS[resource_id.kind]}}
        resource = decode(msgspec.structs.replace(document, body=body)).value
        if resource is not None:
            return msgspec.structs.replace(resource, id=resource_id)
    raise AssertionError("a stand-in without a selector decodes")
