"""The admin API's answers: lists come in an object under their name, so that more can stand beside them one day."""

from __future__ import annotations

import msgspec

from byway.admin.port import CertificateStatus, Change, ProxyStatus, RolloutReport, Stage, StoreReport, Trouble
from byway.base.diagnostics import Diagnostic, Severity
from byway.telemetry.golden import Signals
from byway.telemetry.traces import TraceSummary


class WriteAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """What the control plane says to a write."""

    diagnostics: tuple[Diagnostic, ...] = ()
    changes: tuple[Change, ...] = ()
    rollout: RolloutReport | None = None
    stages: tuple[Stage, ...] = ()
    is_partial: bool = False

    @property
    def has_errors(self) -> bool:
        """Whether something of the write was refused; not all of it where it `is_partial`."""
        return any(diagnostic.severity is Severity.ERROR for diagnostic in self.diagnostics)

    @property
    def has_arrived(self) -> bool:
        """Whether every proxy that had to take the change took it."""
        return self.rollout is None or (self.rollout.n_acked >= self.rollout.n_affected and not self.rollout.refusals)


class Proxies(msgspec.Struct, frozen=True):
    """Of `/api/status`; `troubles` are the objects in trouble, `store` says whether what is written can be stored."""

    proxies: tuple[ProxyStatus, ...]
    troubles: tuple[Trouble, ...] = ()
    store: StoreReport = StoreReport()


class Analysis(msgspec.Struct, frozen=True):
    """Of `/api/analysis`."""

    diagnostics: tuple[Diagnostic, ...]


class Certificates(msgspec.Struct, frozen=True):
    """Of `/api/certs`."""

    certificates: tuple[CertificateStatus, ...]


class GoldenSignals(msgspec.Struct, frozen=True):
    """Of `/api/top`."""

    signals: tuple[Signals, ...]


class TraceList(msgspec.Struct, frozen=True):
    """Of `/api/traces`."""

    traces: tuple[TraceSummary, ...]
