"""The credentials of a host: the agent's own and one for each of its workloads, kept fresh in memory.

Private keys are made here and never leave the host, and are not on its disk but for gRPC clients without a proxy,
which can read theirs from nowhere else (`grpc_client`), and the agent's own (`own_credential`). The agent attests
itself on the control socket; with the certificate it gets there it asks over mutual TLS for those of its workloads
(Istio's impersonation). Every identity has a keeper, a task of its own, so a workload that the CA refuses holds up
nobody. A keeper renews at half of the life, retries with a bounded back-off, and looks at both clocks at least every
30 seconds, so that a jump of either is noticed.

What the CA answers is checked before it is believed: the chain must lead to a root that was pinned at the start, and
its leaf must carry the identity that was asked for and the key that was made for it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, Final, Protocol

import msgspec
import structlog
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from byway.base.clock import Clock
from byway.base.errors import BywayError, FaultError
from byway.identity.bundle import TrustBundle, trust_bundle, trusted_leaf
from byway.identity.certificate import CertificateFacts, certificates
from byway.identity.roles import agent_id
from byway.identity.rotation import Lease, remaining_life, renewal_wait_s, retry_delay_s
from byway.identity.spiffe import SpiffeId, TrustDomain

_log = structlog.get_logger("byway.agent")

_LOOK_S: Final = 30.0
_ATTEMPT_S: Final = 10.0
_DUE_S: Final = 1e-3

Listener = Callable[["Credential"], None]
Sleep = Callable[[float], Awaitable[None]]


class NotIssued(FaultError):
    """The CA did not give a certificate, or not one to be believed."""


class Credential(msgspec.Struct, frozen=True, kw_only=True):
    """An identity in use: what SDS serves and mutual TLS is spoken with. Never printed: it holds the private key."""

    identity: SpiffeId
    key_pem: bytes
    chain_pem: bytes
    bundle_pem: bytes
    facts: CertificateFacts

    def __repr__(self) -> str:
        return f"Credential({self.identity}, serial={self.facts.serial}, not_after={self.facts.not_after.isoformat()})"


class KeeperStatus(msgspec.Struct, frozen=True, kw_only=True):
    """How the keeping of one identity goes; `fault` is empty when all is well."""

    identity: SpiffeId
    credential: Credential | None
    n_failures: int
    fault: str


class Issuer(Protocol):
    """The way to the CA. Both calls return leaf, intermediates and (last) the roots as PEM, or raise `BywayError`."""

    async def attest(self, csr_pem: bytes, node: str, wished_s: int) -> tuple[str, ...]:
        """The agent's own certificate."""

    async def impersonate(self, csr_pem: bytes, target: SpiffeId, agent: Credential, wished_s: int) -> tuple[str, ...]:
        """The certificate of a workload on the agent's node."""


class _Keeper:
    """One identity: its credential, the lease on it, and how often in a row renewal has failed."""

    def __init__(self, identity: SpiffeId) -> None:
        self.identity = identity
        self.credential: Credential | None = None
        self.lease: Lease | None = None
        self.n_failures = 0
        self.fault = ""
        self.retry_at = 0.0  # on the monotonic clock; means something while n_failures > 0
        self.wake = asyncio.Event()
        self.ready = asyncio.Event()
        self.task: asyncio.Task[None] | None = None


class Credentials:
    """All credentials of one agent. `run` does the work; everything else may be called before and during it."""

    def __init__(
        self,
        node: str,
        trust_domain: TrustDomain,
        issuer: Issuer,
        pinned: TrustBundle,
        *,
        clock: Clock,
        jitter: Callable[[], float],
        sleep: Sleep = asyncio.sleep,
        wished_s: int = 0,
    ) -> None:
        self._node = node
        self._issuer = issuer
        self._pinned = pinned
        self._clock = clock
        self._jitter = jitter
        self._sleep = sleep
        self._wished_s = wished_s
        self._agent = _Keeper(agent_id(trust_domain))
        self._workloads: dict[SpiffeId, _Keeper] = {}
        self._listeners: list[Listener] = []
        self._tasks: asyncio.TaskGroup | None = None

    async def run(self) -> None:
        """Keeps all credentials fresh until cancelled."""
        try:
            async with asyncio.TaskGroup() as tasks:
                self._tasks = tasks
                for keeper in (self._agent, *self._workloads.values()):
                    self._start(keeper)
        finally:
            self._tasks = None

    def adopt(self, credential: Credential) -> None:
        """Goes on with a credential of the agent that an earlier run of it obtained, until it is to be renewed."""
        self._renewed(self._agent, credential)

    def hold(self, identity: SpiffeId) -> None:
        """Begins to keep a credential for `identity`."""
        if identity not in self._workloads and identity != self._agent.identity:
            keeper = self._workloads[identity] = _Keeper(identity)
            self._start(keeper)

    def release(self, identity: SpiffeId) -> None:
        """Forgets `identity` and its key."""
        keeper = self._workloads.pop(identity, None)
        if keeper is not None and keeper.task is not None:
            keeper.task.cancel()

    def pin(self, pinned: TrustBundle) -> None:
        """Replaces the roots that are believed, and asks for everything anew."""
        self._pinned = pinned
        for keeper in self._keepers():
            keeper.lease = None
            self._hurry(keeper)

    def retry(self, identity: SpiffeId) -> None:
        """Ends the wait after a failure, when there is reason to hope (the workload has just been registered)."""
        keeper = self._keeper(identity)
        if keeper is not None and keeper.n_failures:
            self._hurry(keeper)

    @property
    def pinned(self) -> TrustBundle:
        """The roots that are believed."""
        return self._pinned

    @property
    def agent(self) -> Credential | None:
        """The agent's own credential."""
        return self._agent.credential

    def current(self, identity: SpiffeId) -> Credential | None:
        """The credential in use, None until the first is there."""
        keeper = self._keeper(identity)
        return keeper.credential if keeper else None

    async def obtained(self, identity: SpiffeId, timeout_s: float) -> Credential:
        """The credential of `identity`, awaited for at most `timeout_s` seconds; raises `NotIssued`."""
        keeper = self._keeper(identity)
        if keeper is None:
            raise NotIssued(f"{identity} is not held by this agent")
        try:
            async with asyncio.timeout(timeout_s):
                await keeper.ready.wait()
        except TimeoutError:
            raise NotIssued(
                f"no certificate for {identity} in {timeout_s:g} s: {keeper.fault or 'no answer'}"
            ) from None
        assert keeper.credential is not None
        return keeper.credential

    def subscribe(self, listener: Listener) -> Callable[[], None]:
        """Calls `listener` with every new credential, until the returned function is called."""
        self._listeners.append(listener)
        return lambda: self._listeners.remove(listener)

    def statuses(self) -> tuple[KeeperStatus, ...]:
        """How each identity fares, the agent's first."""
        return tuple(
            KeeperStatus(identity=k.identity, credential=k.credential, n_failures=k.n_failures, fault=k.fault)
            for k in self._keepers()
        )

    def _keepers(self) -> Iterable[_Keeper]:
        return (self._agent, *self._workloads.values())

    def _keeper(self, identity: SpiffeId) -> _Keeper | None:
        return self._agent if identity == self._agent.identity else self._workloads.get(identity)

    def _start(self, keeper: _Keeper) -> None:
        if self._tasks is not None:
            keeper.task = self._tasks.create_task(self._keep(keeper), name=f"credential of {keeper.identity}")

    def _hurry(self, keeper: _Keeper) -> None:
        keeper.retry_at = 0.0
        keeper.wake.set()

    async def _keep(self, keeper: _Keeper) -> None:
        while True:
            wait_s = self._wait_s(keeper)
            if wait_s > _DUE_S:
                await self._pause(keeper, min(wait_s, _LOOK_S))
            else:
                await self._renew(keeper)

    def _wait_s(self, keeper: _Keeper) -> float:
        now, monotonic = self._clock.now(), self._clock.monotonic()
        if keeper is not self._agent and not self._is_attested():
            return _LOOK_S  # the agent's first certificate wakes all keepers
        if keeper.n_failures:
            return keeper.retry_at - monotonic
        return renewal_wait_s(keeper.lease, now, monotonic) if keeper.lease else 0.0

    def _is_attested(self) -> bool:
        agent = self._agent.credential
        return agent is not None and self._clock.now() < agent.facts.not_after

    async def _pause(self, keeper: _Keeper, seconds: float) -> None:
        sleeping = asyncio.ensure_future(self._sleep(seconds))
        waking = asyncio.ensure_future(keeper.wake.wait())
        try:
            done, _ = await asyncio.wait((sleeping, waking), return_when=asyncio.FIRST_COMPLETED)
            if sleeping in done:
                sleeping.result()
        finally:
            sleeping.cancel()
            waking.cancel()
            keeper.wake.clear()

    async def _renew(self, keeper: _Keeper) -> None:
        try:
            async with asyncio.timeout(_ATTEMPT_S):
                credential = await self._requested(keeper.identity)
        except BywayError as fault:
            self._failed(keeper, str(fault))
        except TimeoutError:
            self._failed(keeper, f"no answer in {_ATTEMPT_S:g} s")
        except Exception as fault:  # noqa: BLE001 - one identity's surprise must not end the keeping of the others
            _log.exception("credential not renewed", identity=str(keeper.identity))
            self._failed(keeper, f"{type(fault).__name__}: {fault}")
        else:
            self._renewed(keeper, credential)

    async def _requested(self, identity: SpiffeId) -> Credential:
        key = ec.generate_private_key(ec.SECP256R1())
        csr_pem = signing_request(key, identity)
        if identity == self._agent.identity:
            chain = await self._issuer.attest(csr_pem, self._node, self._wished_s)
        elif self._agent.credential is None:
            raise NotIssued("the agent has no certificate of its own yet")
        else:
            chain = await self._issuer.impersonate(csr_pem, identity, self._agent.credential, self._wished_s)
        return self._believed(identity, key, chain)

    def _believed(self, identity: SpiffeId, key: ec.EllipticCurvePrivateKey, chain: tuple[str, ...]) -> Credential:
        *links, roots = (link.encode("ascii", "replace") for link in chain)
        bundle = trust_bundle(roots) & self._pinned
        if not bundle.roots:
            raise NotIssued("the CA's root is none of those pinned here (is root-cert.pem of another mesh?)")
        chain_pem = b"".join(links)
        facts = trusted_leaf(chain_pem, bundle, self._clock.now())
        if facts.identity != identity:
            raise NotIssued(f"the CA answered with a certificate of {facts.identity} instead of {identity}")
        if certificates(chain_pem)[0].public_key() != key.public_key():
            raise NotIssued("the CA answered with a certificate for another key")
        key_pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        return Credential(identity=identity, key_pem=key_pem, chain_pem=chain_pem, bundle_pem=bundle.pem, facts=facts)

    def _failed(self, keeper: _Keeper, fault: str) -> None:
        keeper.n_failures += 1
        keeper.fault = fault
        life_s = remaining_life(keeper.lease, self._clock.now()).total_seconds() if keeper.lease else 0.0
        delay_s = retry_delay_s(keeper.n_failures, self._jitter(), life_s)
        keeper.retry_at = self._clock.monotonic() + delay_s
        _log.warning(
            "credential not renewed",
            identity=str(keeper.identity),
            reason=fault,
            n_failures=keeper.n_failures,
            retry_in_s=round(delay_s, 2),
        )

    def _renewed(self, keeper: _Keeper, credential: Credential) -> None:
        keeper.credential = credential
        keeper.n_failures, keeper.fault = 0, ""
        keeper.lease = Lease(
            not_before=credential.facts.not_before,
            not_after=credential.facts.not_after,
            received_at=self._clock.now(),
            received_monotonic=self._clock.monotonic(),
            jitter=self._jitter(),
        )
        keeper.ready.set()
        if keeper is self._agent:
            for workload in self._workloads.values():
                self._hurry(workload)
        for listener in tuple(self._listeners):
            self._tell(listener, credential)

    def _tell(self, listener: Listener, credential: Credential) -> None:
        try:
            listener(credential)
        except Exception:  # noqa: BLE001 - a listener's fault is logged, and the next listener told
            _log.exception("listener failed", identity=str(credential.identity))


def signing_request(key: ec.EllipticCurvePrivateKey, identity: SpiffeId) -> bytes:
    """A certificate request for `identity`, signed with `key`. The CA takes the key from it and nothing else."""
    names: list[Any] = [x509.UniformResourceIdentifier(str(identity))]
    builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([]))
    csr = builder.add_extension(x509.SubjectAlternativeName(names), critical=True).sign(key, hashes.SHA256())
    return csr.public_bytes(Encoding.PEM)
