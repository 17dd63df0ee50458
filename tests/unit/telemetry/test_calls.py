"""Known calls: learned by workload, forgotten after a day, bounded, and the same after they were kept."""

from __future__ import annotations

import msgspec

from byway.model.egress import Call
from byway.telemetry.calls import FORGOTTEN_S, Caller, Calls, Remembered, sighting
from byway.telemetry.flow import UNKNOWN
from tests.unit.telemetry.test_service_graph import CALL

WEB, ADMIN = Caller("default", "web"), Caller("default", "admin")
LINKS, USERS, DB = Call("links", 8080), Call("users", 8080), Call("db", 3306, is_tcp=True)


def test_a_call_is_new_once_and_stands_first_when_it_was_seen_last() -> None:
    calls = Calls()
    assert [calls.seen(WEB, call, at) for call, at in ((LINKS, 1), (USERS, 2), (LINKS, 3))] == [True, True, False]
    assert calls.of(WEB) == (LINKS, USERS)
    assert calls.of(ADMIN) == ()


def test_an_older_report_changes_nothing() -> None:
    calls = Calls()
    calls.seen(WEB, LINKS, 5)
    assert not calls.seen(WEB, LINKS, 3)
    assert calls.remembered() == (Remembered(WEB, LINKS, 5),)


def test_what_was_not_seen_for_a_day_is_forgotten() -> None:
    calls = Calls()
    calls.seen(WEB, LINKS, 0)
    calls.seen(WEB, USERS, 10)
    assert calls.expire(FORGOTTEN_S) == 0
    assert calls.expire(FORGOTTEN_S + 1) == 1
    assert calls.of(WEB) == (USERS,)
    assert calls.expire(FORGOTTEN_S * 2) == 1
    assert calls.of(WEB) == ()


def test_the_longest_unseen_goes_where_there_is_no_room() -> None:
    """The workload's own at its limit; anybody's at the limit of all."""
    calls = Calls(per_workload=2, in_all=3)
    for at, call in enumerate((LINKS, USERS, LINKS, DB)):
        calls.seen(WEB, call, at)
    assert calls.of(WEB) == (DB, LINKS)
    calls.seen(ADMIN, LINKS, 10)
    calls.seen(ADMIN, USERS, 11)
    assert (calls.of(WEB), calls.of(ADMIN), len(calls)) == ((DB,), (USERS, LINKS), 3)


def test_what_was_kept_is_known_again_but_not_what_is_too_old_or_from_the_future() -> None:
    calls = Calls()
    calls.seen(WEB, LINKS, 10)
    calls.seen(ADMIN, DB, 20)
    calls.seen(WEB, USERS, FORGOTTEN_S * 9)
    content = msgspec.json.encode(calls.remembered())
    again = Calls()
    again.restore(msgspec.json.decode(content, type=tuple[Remembered, ...]), FORGOTTEN_S + 15)
    assert again.remembered() == (Remembered(ADMIN, DB, 20), Remembered(WEB, USERS, FORGOTTEN_S + 15))


def test_a_report_of_the_callers_own_side_tells_the_service() -> None:
    """One of the server's side does not: it says nothing that the caller's proxy asked for."""
    found = sighting(CALL, 3.0)
    assert found is not None
    assert (found.caller, found.host, found.is_tcp) == (WEB, "links.default.svc.cluster.local", False)
    assert sighting(msgspec.structs.replace(CALL, protocol="grpc"), 3.0) == found
    assert sighting(msgspec.structs.replace(CALL, reporter="destination"), 3.0) is None
    assert sighting(msgspec.structs.replace(CALL, destination_service=UNKNOWN), 3.0) is None
