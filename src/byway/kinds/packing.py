"""Packing: a document in memory for as long as its resource is there.

What a resource says, its typed spec holds; the document as it was written is wanted seldom (`get -o yaml`, a place in a
diagnostic), and as JSON, let alone parsed, it would be most of what a large mesh takes. Documents look alike, so against a
preset of what nearly all have in them they pack into a fifth or less, in some microseconds. What is packed never leaves the
process, so the preset may change.
"""

from __future__ import annotations

import zlib
from typing import Final

from byway.kinds.document import Document, document_from_json, document_json

_LEVEL: Final = 3
_WINDOW: Final = -12  # 4 KiB, without header and checksum
_MEMORY: Final = 4

_PRESET: Final = b"".join(
    (
        b'"spec.http[0].match[0].uri.prefix":[8,7],"spec.http[0].route[0].destination.host":[9,7],"spec.hosts[0]":[7,5],',
        b'"spec.host":[6,3],"spec.trafficPolicy":[8,1],"spec.subsets[0].labels.version":[9,5],"spec.rules[0].from[0].source.',
        b'principals[0]":[10,9],"spec.rules[0].to[0].operation.paths[0]":[11,9],"spec.selector.matchLabels.app":[7,5],',
        b'"spec.ports":[10,3],"spec.ports[0]":[11,5],"spec.ports[0].targetPort":[12,5],"spec.ports[0].name":[13,7],',
        b'"spec.ports[0].port":[13,7],"spec.address":[7,3],"spec.ports.http":[9,5],"spec.labels":[10,3],"spec.labels.app":[11,5],',
        b'"spec.labels.version":[12,5],"spec.locality":[15,3],"spec.serviceAccount":[16,3],"positions":{"":[1,1],',
        b'"apiVersion":[1,1],"kind":[2,1],"metadata":[3,1],"metadata.name":[4,3],"metadata.namespace":[5,3],',
        b'"metadata.labels":[6,3],"metadata.annotations":[9,3],"spec":[6,1],"spec.clusterIP":[7,3],"spec.selector":[8,3]',
        b'"rules":[{"from":[{"source":{"principals":["cluster.local/ns/default/sa/"]}}],"to":[{"operation":{"paths":["/"',
        b'"apiVersion":"security.istio.io/v1","kind":"AuthorizationPolicy","selector":{"matchLabels":{"app":"',
        b'{"body":{"apiVersion":"v1","kind":"Service","metadata":{"name":"web","namespace":"default"},"spec":{"clusterIP":"',
        b'240.240.0.1","ports":[{"name":"http","port":80,"targetPort":8080}],"selector":{"app":"web"}}},"file":"","positions":{}}',
        b'{"body":{"apiVersion":"networking.istio.io/v1","kind":"WorkloadEntry","metadata":{"name":"web-0","namespace":"',
        b'default"},"spec":{"address":"10.0.0.1","ports":{"http":8080},"labels":{"app":"web","version":"v1",',
        b'"service.istio.io/workload-name":"web-v1","security.istio.io/tlsMode":"istio"},"locality":"","serviceAccount":"web"}},',
        b'"file":"","positions":{}}',
    )
)
"""What documents have in common, what is commonest last."""


def packed(document: Document) -> bytes:
    """The document in few bytes; the same bytes for the same document."""
    packer = zlib.compressobj(_LEVEL, zlib.DEFLATED, _WINDOW, _MEMORY, zlib.Z_DEFAULT_STRATEGY, _PRESET)
    return packer.compress(document_json(document)) + packer.flush()


def unpacked(content: bytes) -> Document:
    """The document that was packed."""
    return document_from_json(zlib.decompressobj(_WINDOW, _PRESET).decompress(content))
