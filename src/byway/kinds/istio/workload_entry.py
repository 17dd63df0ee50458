"""WorkloadEntry: one instance that serves, whichever kind of machine it runs on."""

from __future__ import annotations

from typing import Annotated, ClassVar

import msgspec

from byway.kinds.hosts import ip_address
from byway.kinds.istio.selector import Labels
from byway.kinds.labels import dns_label, optional_dns_name
from byway.kinds.message import Between, Check, Message, Port


class WorkloadEntry(Message, frozen=True, kw_only=True):
    """`ports` says, for each port name, where on the address it is served; Services select entries by their labels."""

    MESSAGE: ClassVar[str] = "istio.networking.v1alpha3.WorkloadEntry"
    REQUIRED: ClassVar[tuple[str, ...]] = ("address",)

    address: Annotated[str, Check(ip_address)] = ""
    ports: Annotated[dict[str, Port], Check(dns_label, keys=True)] = msgspec.field(default_factory=dict)
    labels: Labels = msgspec.field(default_factory=dict)
    network: str = ""
    locality: str = ""
    weight: Annotated[int, Between(0, 2**32 - 1)] = 0
    service_account: Annotated[str, Check(optional_dns_name)] = ""
