"""WorkloadSelector: which workloads of a namespace a policy is for."""

from __future__ import annotations

from typing import Annotated, ClassVar

import msgspec

from byway.kinds.labels import label_key, label_value
from byway.kinds.message import Check, Message

Labels = Annotated[dict[str, str], Check(label_key, keys=True), Check(label_value)]


class WorkloadSelector(Message, frozen=True, kw_only=True):
    """All labels must match; no label at all selects every workload."""

    MESSAGE: ClassVar[str] = "istio.type.v1beta1.WorkloadSelector"

    match_labels: Labels = msgspec.field(default_factory=dict)
