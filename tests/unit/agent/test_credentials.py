"""An agent keeps every credential of its host fresh, whatever one workload, the CA or the clocks do."""

from __future__ import annotations

import asyncio
import contextlib
import heapq
import itertools
import random
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from byway.agent.credentials import Credential, Credentials, NotIssued
from byway.authority.authority import Authority
from byway.authority.issuance import Terms
from byway.authority.signer import Signer
from byway.authority.vault import root_certificate
from byway.base.duration import Duration
from byway.identity.bundle import trust_bundle, trusted_leaf
from byway.identity.csr import proved_key
from byway.identity.roles import agent_id
from byway.identity.spiffe import SpiffeId, TrustDomain, workload_id

TD = TrustDomain("cluster.local")
WEB, LINK, ADMIN = (workload_id(TD, "default", name) for name in ("web", "link", "admin"))
DAY_S = 86_400.0


class VirtualTime:
    """Two clocks and a sleeper that move only when they are turned."""

    def __init__(self) -> None:
        self.wall = datetime(2030, 1, 1, tzinfo=UTC)
        self.steady = 0.0
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []
        self._n = 0

    def now(self) -> datetime:
        return self.wall

    def monotonic(self) -> float:
        return self.steady

    async def sleep(self, seconds: float) -> None:
        self._n += 1
        woken: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._sleepers, (self.steady + seconds, self._n, woken))
        await woken

    async def turn(self, seconds: float) -> None:
        """Lets so many seconds pass, sleeper by sleeper."""
        end = self.steady + seconds
        await self.settle()
        while self._sleepers and self._sleepers[0][0] <= end:
            at, _, woken = heapq.heappop(self._sleepers)
            if woken.done():
                continue
            self._pass(at - self.steady)
            woken.set_result(None)
            await self.settle()
        self._pass(end - self.steady)

    async def settle(self) -> None:
        """Lets everything run that can run without time passing."""
        for _ in range(12):
            await asyncio.sleep(0)

    def _pass(self, seconds: float) -> None:
        self.steady += seconds
        self.wall += timedelta(seconds=seconds)


class LocalIssuer:
    """A CA in the same process, with faults to switch on."""

    def __init__(self, authority: Authority, time: VirtualTime) -> None:
        self.authority = authority
        self.bundle = authority.bundle
        self.time = time
        self.attempts: list[tuple[float, SpiffeId]] = []
        self.refused: set[SpiffeId] = set()
        self.hanging: set[SpiffeId] = set()
        self.is_down = False
        self.answer: Callable[[SpiffeId, Any], tuple[SpiffeId, Any]] = lambda identity, key: (identity, key)

    async def attest(self, csr_pem: bytes, node: str, wished_s: int) -> tuple[str, ...]:
        return await self._issued(agent_id(TD), csr_pem, wished_s)

    async def impersonate(self, csr_pem: bytes, target: SpiffeId, agent: Credential, wished_s: int) -> tuple[str, ...]:
        trusted_leaf(agent.chain_pem, self.bundle, self.time.now())
        return await self._issued(target, csr_pem, wished_s)

    async def _issued(self, identity: SpiffeId, csr_pem: bytes, wished_s: int) -> tuple[str, ...]:
        self.attempts.append((self.time.steady, identity))
        if identity in self.hanging:
            await asyncio.Event().wait()
        if self.is_down or identity in self.refused:
            raise NotIssued("the CA answered UNAVAILABLE")
        identity, key = self.answer(identity, proved_key(csr_pem))
        chain = self.authority.issue(identity, key, wished_s=wished_s, via="test")
        return (chain.decode(), self.bundle.pem.decode())

    def times(self, identity: SpiffeId) -> list[float]:
        return [at for at, attempted in self.attempts if attempted == identity]


class Host:
    """An agent's credentials with the time and the CA they live by."""

    def __init__(self, life_s: float = DAY_S) -> None:
        self.time = VirtualTime()
        key = ec.generate_private_key(ec.SECP256R1())
        root = root_certificate(key, TD, self.time.now(), 1)
        bundle = trust_bundle(root.public_bytes(Encoding.PEM))
        life = Duration.of(seconds=life_s)
        authority = Authority(Signer(key, root, bundle), TD, self.time, terms=Terms(usual=life, longest=life))
        self.issuer = LocalIssuer(authority, self.time)
        dice = random.Random(7)
        self.credentials = Credentials(
            "host-a", TD, self.issuer, bundle, clock=self.time, jitter=dice.random, sleep=self.time.sleep
        )

    @contextlib.asynccontextmanager
    async def running(self, *identities: SpiffeId) -> AsyncIterator[None]:
        for identity in identities:
            self.credentials.hold(identity)
        run = asyncio.create_task(self.credentials.run())
        try:
            await self.time.settle()
            yield
        finally:
            run.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await run

    def serial(self, identity: SpiffeId) -> str:
        credential = self.credentials.current(identity)
        assert credential is not None
        return credential.facts.serial


async def test_the_agent_comes_first_and_its_workloads_at_once_after_it() -> None:
    """No time passes between start and the last certificate, and nobody asks before the agent is attested."""
    host = Host()
    async with host.running(WEB, LINK):
        assert [identity for _, identity in host.issuer.attempts] == [agent_id(TD), WEB, LINK]
        assert [at for at, _ in host.issuer.attempts] == [0.0] * 3
        web = host.credentials.current(WEB)
        assert web is not None
        assert web.bundle_pem == host.issuer.authority.bundle.pem
        assert trusted_leaf(web.chain_pem, host.issuer.authority.bundle, host.time.now()).identity == WEB
        assert b"PRIVATE KEY" in web.key_pem
        assert "PRIVATE" not in repr(web)


async def test_a_certificate_is_renewed_around_half_of_its_life_again_and_again() -> None:
    """With a life of 60 s, five minutes see at least eight rotations, each 24 to 36 s after the one before."""
    host = Host(life_s=60)
    async with host.running(WEB):
        await host.time.turn(300)
    times = host.issuer.times(WEB)
    gaps = [later - earlier for earlier, later in itertools.pairwise(times)]
    assert len(gaps) >= 8
    assert all(23 <= gap <= 37 for gap in gaps)
    assert len(set(gaps)) > 1


async def test_every_rotation_makes_a_new_key() -> None:
    """A key lives no longer than its certificate."""
    host = Host(life_s=60)
    seen: list[Credential] = []
    host.credentials.subscribe(seen.append)
    async with host.running(WEB):
        await host.time.turn(100)
    keys = [credential.key_pem for credential in seen]
    assert len(keys) == len(set(keys)) >= 6


async def test_a_workload_that_is_refused_holds_up_nobody() -> None:
    """The others rotate as ever; the refused one is tried again in bounded, growing steps."""
    host = Host(life_s=3600)
    host.issuer.refused.add(ADMIN)
    async with host.running(ADMIN, WEB):
        await host.time.turn(3600)
        assert host.credentials.current(ADMIN) is None
        assert len(host.issuer.times(WEB)) >= 2
        status = {status.identity: status for status in host.credentials.statuses()}
        assert status[ADMIN].fault == "the CA answered UNAVAILABLE"
        assert (status[WEB].fault, status[WEB].n_failures) == ("", 0)
        times = host.issuer.times(ADMIN)
        gaps = [later - earlier for earlier, later in itertools.pairwise(times)]
        assert gaps[0] <= 0.5
        assert all(0.2 <= gap <= 5 for gap in gaps)
        host.issuer.refused.clear()
        await host.time.turn(5)
        assert host.credentials.current(ADMIN) is not None


async def test_a_workload_whose_request_hangs_holds_up_nobody() -> None:
    """Each identity has a task of its own."""
    host = Host(life_s=60)
    host.issuer.hanging.add(ADMIN)
    async with host.running(ADMIN, WEB):
        await host.time.turn(120)
        assert len(host.issuer.times(WEB)) >= 3
        assert len(host.issuer.times(ADMIN)) == 1


async def test_an_agent_that_cannot_attest_itself_is_retried_and_its_workloads_follow() -> None:
    """Its workloads do not ask in vain meanwhile, and are there in the very moment that it is."""
    host = Host()
    host.issuer.is_down = True
    async with host.running(WEB):
        await host.time.turn(60)
        assert host.issuer.times(WEB) == []
        assert host.credentials.statuses()[1].n_failures == 0
        assert len(host.issuer.times(agent_id(TD))) >= 10
        host.issuer.is_down = False
        await host.time.turn(5)
        assert host.credentials.current(WEB) is not None
        assert host.issuer.times(WEB) == host.issuer.times(agent_id(TD))[-1:]


async def test_a_ca_that_is_away_for_hours_costs_nothing_but_retries() -> None:
    """Certificates of a day outlive it, the retries are at most one a minute, and all is renewed when it is back."""
    host = Host()
    async with host.running(WEB):
        before = host.serial(WEB)
        await host.time.turn(9 * 3600)
        host.issuer.is_down = True
        n_before = len(host.issuer.attempts)
        await host.time.turn(6 * 3600)
        assert host.serial(WEB) == before
        assert 300 <= len(host.issuer.times(WEB)) <= 6 * 3600 / 30
        assert len(host.issuer.attempts) - n_before <= 2 * 6 * 3600 / 30
        host.issuer.is_down = False
        await host.time.turn(60)
        assert host.serial(WEB) != before


async def test_an_expired_agent_attests_itself_again_before_its_workloads_ask() -> None:
    """After an outage longer than a life, the agent begins anew and the workloads wait for it."""
    host = Host(life_s=60)
    async with host.running(WEB):
        host.issuer.is_down = True
        await host.time.turn(300)
        n_attempts = len(host.issuer.attempts)
        host.issuer.is_down = False
        await host.time.turn(6)
        assert [identity for _, identity in host.issuer.attempts[n_attempts:]][:2] == [agent_id(TD), WEB]
        web = host.credentials.current(WEB)
        assert web is not None
        assert web.facts.not_after > host.time.now()


@pytest.mark.parametrize("jump", [timedelta(hours=13), timedelta(days=365), timedelta(hours=-1), timedelta(days=-200)])
async def test_a_clock_that_jumps_is_noticed_within_half_a_minute(jump: timedelta) -> None:
    """Forward past the half of the life, or back to before it began: a new certificate is there soon."""
    host = Host()
    if jump < timedelta(0):  # the CA's root must not be of the future either
        host.time.wall += timedelta(days=300)
    async with host.running(WEB):
        before = host.serial(WEB)
        await host.time.turn(60)
        assert host.serial(WEB) == before
        host.time.wall += jump
        await host.time.turn(31)
        web = host.credentials.current(WEB)
        assert web is not None
        assert web.facts.serial != before
        assert web.facts.not_before <= host.time.now() <= web.facts.not_after


@pytest.mark.parametrize(
    ("answer", "fault"),
    [
        (lambda identity, key: (ADMIN, key), "instead of"),
        (lambda identity, key: (identity, ec.generate_private_key(ec.SECP256R1()).public_key()), "another key"),
    ],
)
async def test_a_certificate_of_another_identity_or_key_is_not_believed(answer: Any, fault: str) -> None:
    """What comes back must be what was asked for."""
    host = Host()
    async with host.running():
        host.issuer.answer = answer
        host.credentials.hold(WEB)
        await host.time.settle()
        assert host.credentials.current(WEB) is None
        assert fault in host.credentials.statuses()[1].fault


async def test_a_ca_that_was_not_pinned_is_not_believed() -> None:
    """Neither a foreign CA with its own root, nor one that shows the pinned root and signs with another."""
    host, stranger = Host(), Host()
    own = host.issuer.authority
    host.issuer.authority = stranger.issuer.authority
    async with host.running():
        assert host.credentials.agent is None
        assert "no root that is believed" in host.credentials.statuses()[0].fault
        host.issuer.bundle = stranger.issuer.bundle
        await host.time.turn(2)
        assert host.credentials.agent is None
        assert "root-cert.pem" in host.credentials.statuses()[0].fault
        host.credentials.pin(own.bundle | stranger.issuer.authority.bundle)
        await host.time.settle()
        assert host.credentials.agent is not None


async def test_new_roots_are_believed_once_they_are_pinned() -> None:
    """Everything is asked for anew, so that each credential carries the new bundle."""
    host, successor = Host(), Host()
    async with host.running(WEB):
        before = host.serial(WEB)
        host.credentials.pin(host.issuer.authority.bundle | successor.issuer.authority.bundle)
        host.issuer.authority, host.issuer.bundle = successor.issuer.authority, successor.issuer.bundle
        await host.time.turn(10)
        web = host.credentials.current(WEB)
        assert web is not None
        assert web.facts.serial != before
        assert web.bundle_pem == successor.issuer.authority.bundle.pem


async def test_identities_come_and_go_while_the_agent_runs() -> None:
    """What is released is forgotten, key and all, and never asked for again."""
    host = Host(life_s=60)
    async with host.running(WEB):
        host.credentials.hold(LINK)
        host.credentials.hold(LINK)
        await host.time.settle()
        assert len(host.issuer.times(LINK)) == 1
        host.credentials.release(WEB)
        host.credentials.release(WEB)
        assert host.credentials.current(WEB) is None
        n_attempts = len(host.issuer.times(WEB))
        await host.time.turn(120)
        assert len(host.issuer.times(WEB)) == n_attempts
        assert len(host.issuer.times(LINK)) >= 3


async def test_a_retry_can_be_asked_for() -> None:
    """When a workload has just been registered, its certificate need not wait for the back-off."""
    host = Host()
    host.issuer.refused.add(WEB)
    async with host.running(WEB):
        await host.time.turn(100)
        n_attempts = len(host.issuer.attempts)
        host.issuer.refused.clear()
        host.credentials.retry(WEB)
        await host.time.settle()
        assert host.credentials.current(WEB) is not None
        host.credentials.retry(WEB)
        host.credentials.retry(ADMIN)
        await host.time.settle()
        assert len(host.issuer.attempts) == n_attempts + 1


async def test_every_listener_is_told_of_every_rotation_though_another_fails() -> None:
    """One bad listener is the log's business; one that is unsubscribed hears no more."""
    host = Host(life_s=60)
    told: list[SpiffeId] = []

    def bad(credential: Credential) -> None:
        raise ValueError("listener's own fault")

    host.credentials.subscribe(bad)
    unsubscribe = host.credentials.subscribe(lambda credential: told.append(credential.identity))
    async with host.running(WEB):
        assert told == [agent_id(TD), WEB]
        unsubscribe()
        await host.time.turn(60)
        assert told == [agent_id(TD), WEB]
        assert len(host.issuer.times(WEB)) >= 2


async def test_waiting_for_a_credential_has_a_bound_and_says_what_went_wrong() -> None:
    """The reason of the last failure stands in the error."""
    host = Host()
    host.issuer.refused.add(WEB)
    async with host.running(WEB):
        with pytest.raises(NotIssued, match="UNAVAILABLE"):
            await host.credentials.obtained(WEB, timeout_s=0.01)
        with pytest.raises(NotIssued, match="not held"):
            await host.credentials.obtained(ADMIN, timeout_s=0.01)
        assert (await host.credentials.obtained(agent_id(TD), timeout_s=0.01)).identity == agent_id(TD)


async def test_an_agent_that_stops_leaves_no_task_behind() -> None:
    """Every keeper ends with the run."""
    before = asyncio.all_tasks()
    host = Host()
    async with host.running(WEB, LINK):
        assert len(asyncio.all_tasks()) > len(before)
    await host.time.settle()
    assert asyncio.all_tasks() == before
