"""The documented graph is a graph of twenty services, and the code keeps to it."""

from __future__ import annotations

import importlib

from byway.demo import graph
from byway.demo.exchange import Service


def reached(service: str, seen: frozenset[str] = frozenset()) -> frozenset[str]:
    for callee in graph.callees(service) - seen:
        seen = reached(callee, seen | {callee})
    return seen


def test_there_are_twenty_services_all_reached_from_the_entry() -> None:
    assert len(set(graph.SERVICES)) == len(graph.SERVICES) == 20
    assert reached(graph.ENTRY) | {graph.ENTRY} == set(graph.SERVICES)


def test_no_service_calls_itself_over_others() -> None:
    for service in graph.SERVICES:
        assert service not in reached(service)


def test_every_request_of_the_graph_is_a_route_of_its_caller() -> None:
    for service in graph.SERVICES:
        module = importlib.import_module(f"byway.demo.services.{service.replace('-', '_')}")
        made: Service = module.service()
        routes = {f"{route.method} {route.path}" for route in made.routes()}
        assert {call.request for call in graph.CALLS if call.caller == service} <= routes


def test_a_caller_waits_longer_than_those_it_calls_and_than_an_injected_delay() -> None:
    for caller, callee in graph.EDGES:
        assert graph.timeout_s(caller) >= graph.timeout_s(callee) >= 8
