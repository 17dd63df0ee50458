"""The certificates in use: what connected agents say that their workloads hold, their own, and what was issued here.

An agent reports each workload's certificate whoever issued it, so that they are known after a restart, and at another
control plane than the one that signed. What was issued here counts for those whose agent is not connected here.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime

from byway.admin.port import CertificateStatus
from byway.agent.frames import WorkloadReport
from byway.authority.certificate_log import CertificateLog, IssuedCertificate
from byway.base.clock import timestamp
from byway.identity.certificate import CertificateFacts


def leaves(
    log: CertificateLog, reports: Iterable[WorkloadReport], agents: Mapping[str, CertificateFacts], now: datetime
) -> tuple[CertificateStatus, ...]:
    """The leaves in use; `agents` are the verified certificates of connected agents, by node.

    A channel outlives the certificate that it was opened with, so of an agent's the latest that is known here counts.
    """
    issued = {entry.serial: entry for entry in log.current(now)}
    found = [_reported(report, log, issued.get(report.serial)) for report in reports if report.serial]
    identities = {str(facts.identity) for facts in agents.values()}
    latest = {e.node: e.not_after for e in issued.values() if e.identity in identities}
    for node, facts in agents.items():
        if now < facts.not_after and facts.not_after > latest.get(node, facts.not_before):
            found.append(_presented(facts))
    serials = {certificate.serial for certificate in found}
    for entry in issued.values():
        is_told = entry.node in agents and entry.identity not in identities
        if entry.serial not in serials and not is_told and not _is_older(entry, agents):
            found.append(_issued(entry, log))
    return tuple(found)


def _is_older(entry: IssuedCertificate, agents: Mapping[str, CertificateFacts]) -> bool:
    facts = agents.get(entry.node)
    return facts is not None and str(facts.identity) == entry.identity and facts.not_after > entry.not_after


def _reported(report: WorkloadReport, log: CertificateLog, issued: IssuedCertificate | None) -> CertificateStatus:
    return CertificateStatus(
        kind="leaf",
        identity=report.identity,
        instance=report.instance,
        serial=report.serial,
        not_before=timestamp(datetime.fromisoformat(report.begins)),
        not_after=timestamp(datetime.fromisoformat(report.expires)),
        n_rotations=log.n_rotations(issued) if issued else 0,
    )


def _presented(facts: CertificateFacts) -> CertificateStatus:
    return CertificateStatus(
        kind="leaf",
        identity=str(facts.identity),
        serial=facts.serial,
        not_before=timestamp(facts.not_before),
        not_after=timestamp(facts.not_after),
    )


def _issued(entry: IssuedCertificate, log: CertificateLog) -> CertificateStatus:
    return CertificateStatus(
        kind="leaf",
        identity=entry.identity,
        serial=entry.serial,
        not_before=timestamp(entry.issued_at),
        not_after=timestamp(entry.not_after),
        n_rotations=log.n_rotations(entry),
    )
