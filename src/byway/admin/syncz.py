"""Istio's `/debug/syncz`: what each proxy was sent and has taken, in the shape that istioctl and Kiali read."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from byway.admin.port import ProxyStatus

_FIELDS: Final = {"clusters": "cluster", "listeners": "listener", "routes": "route", "endpoints": "endpoint"}


def syncz(proxies: Iterable[ProxyStatus], version: str) -> list[dict[str, str]]:
    """One entry for each connected proxy; sent and acknowledged are equal where they are in sync."""
    return [_entry(proxy, version) for proxy in proxies if proxy.connected]


def _entry(proxy: ProxyStatus, version: str) -> dict[str, str]:
    entry = {
        "cluster_id": "Kubernetes",
        "proxy": f"{proxy.instance}.{proxy.namespace}",
        "proxy_type": proxy.kind,
        "istio_version": version,
    }
    for kind, field in _FIELDS.items():
        word = proxy.sync.get(kind, "SYNCED" if proxy.in_sync else "STALE")
        entry[f"{field}_sent"] = "" if word == "NOT SENT" else "current"
        entry[f"{field}_acked"] = {"SYNCED": "current", "NOT SENT": ""}.get(word, "earlier")
    return entry
