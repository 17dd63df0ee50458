"""What is made of bursts and counts of instructions: shares of the bare pair, and errors that few bad rounds do not move."""

from __future__ import annotations

from typing import Any

from bench import cost, instructions
from bench.latency import CONNECTIONS, Visit
from bench.load import Seen
from bench.pieces import PIECES, everything
from bench.twin import Side, Twin, point_at, server_address, vip

NAMES = ("bare", "live", "whole", "nothing", *(piece.name for piece in PIECES))


def a_round(slowness: float, **cpu: float) -> cost.Round:
    """A round in which a request takes each pair so much processor time in ms, or 1; all so many times slower."""
    return {
        (name, n): Visit(
            Seen(n_requests=1000, seconds=1, n_errors=0, p50_us=100 * slowness * cpu.get(name, 1), p99_us=900),
            slowness * cpu.get(name, 1),
        )
        for name in NAMES
        for n in CONNECTIONS
    }


def values(rounds: list[cost.Round]) -> dict[str, float]:
    return {result.name: result.value for result in cost.figures(rounds)}


def test_a_piece_costs_what_the_pair_costs_less_without_it() -> None:
    found = values([a_round(slowness, whole=1.2, live=1.2, metrics=1.1, access_log=1.5) for slowness in (1, 3, 2)])
    assert found["cost_live_to_bare"] == 1.2
    assert found["cost_metrics"] == 10
    assert found["cost_access_log"] == 30, "what is put in costs what it adds"


def test_a_bad_round_among_many_moves_neither_figure_nor_error() -> None:
    rounds = [a_round(1, whole=1.2, metrics=1.1) for _ in range(9)]
    disturbed = [*rounds[1:], a_round(1, whole=9, metrics=1.1)]
    assert cost.figures(disturbed) == cost.figures(rounds)


def test_instructions_of_both_sides_are_a_share_of_the_bare_pairs() -> None:
    counts = {"bare": (100.0, 100.0), "whole": (110.0, 130.0), "metrics": (105.0, 115.0)}
    found = {result.name: result.value for result in instructions.figures(counts)}
    assert found == {"instructions_whole_to_bare": 1.2, "instructions_metrics": 10}


def a_side(*clusters: Any) -> Side:
    manager = {
        "@type": "type.googleapis.com/a.HttpConnectionManager", "access_log": [], "rds": {"route_config_name": "out"},
        "http_filters": [{"name": "envoy.filters.http.on_demand"}, {"name": "router", "typed_config": {}}],
    }  # fmt: skip
    listeners = [{"filter_chains": [{"name": "http", "filters": [{"typed_config": manager}]}]}]
    route: Any = {"route": {"retry_policy": {}}, "typed_per_filter_config": {"byway.filters.http.deny": {}}}
    host = {"domains": ["server:8080", "240.240.1.2:8080"], "routes": [route]}
    bootstrap = {
        "stats_config": {"stats_matcher": {}},
        "static_resources": {"listeners": listeners, "clusters": [*clusters]},
    }
    return Side(bootstrap, {"out": {"name": "out", "virtual_hosts": [host]}})


def test_a_twin_without_anything_keeps_the_router_and_nothing_else_of_its_filters() -> None:
    twin = Twin(a_side(), a_side())
    whole = twin.copied()
    everything(twin)
    assert [[f["name"] for f in m["http_filters"]] for side in twin.sides for m in side.managers()] == [["router"]] * 2
    assert all("access_log" not in manager for side in twin.sides for manager in side.managers())
    assert [route for side in twin.sides for route in side.every_route()] == [{"route": {}}] * 2
    assert len(whole.client.managers()[0]["http_filters"]) == 2, "a copy is another one"


def test_a_twins_caller_calls_the_twins_server() -> None:
    endpoints = {"endpoints": [{"address": {"socket_address": {"address": "10.0.0.1", "port_value": 8080}}}]}
    caller = a_side({"name": "outbound|8080||server", "load_assignment": endpoints})
    point_at(caller, server_address(caller), "10.0.0.9")
    assert server_address(caller) == "10.0.0.9"
    assert vip(caller, 8080) == "240.240.1.2:8080"
