"""geo-service: the country of an address. Its table holds the networks set aside for examples (RFC 5737, RFC 3849)."""

from __future__ import annotations

import ipaddress
from typing import Final

from byway.demo.exchange import Answer, DeclinedError, Request, Route, json_answer

_TABLE: Final = {
    ipaddress.ip_network("192.0.2.0/25"): "Freedonia",
    ipaddress.ip_network("192.0.2.128/25"): "Sylvania",
    ipaddress.ip_network("198.51.100.0/24"): "Ruritania",
    ipaddress.ip_network("203.0.113.0/24"): "Grand Fenwick",
    ipaddress.ip_network("2001:db8::/32"): "Syldavia",
}


def country(address: str) -> str:
    """The country of an address; ValueError where it is none."""
    place = ipaddress.ip_address(address)
    known = (name for network, name in _TABLE.items() if place in network)
    return next(known, "here" if place.is_private else "elsewhere")


class GeoService:
    """Keeps nothing but its table."""

    def routes(self) -> tuple[Route, ...]:
        """Look up an address."""
        return (Route("GET", "/countries", _found),)


def service() -> GeoService:
    """A fresh geo-service."""
    return GeoService()


def _found(request: Request) -> Answer:
    address = request.query.get("address", "")
    try:
        return json_answer({"country": country(address)})
    except ValueError:
        # The address is what a visitor's proxies claim: nonsense is no reason to refuse the visit.
        if not address:
            raise DeclinedError(400, "the query needs an address") from None
        return json_answer({"country": "nowhere"})
