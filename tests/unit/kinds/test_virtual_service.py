"""VirtualService: what is supported is read as Istio means it, all else is refused at its field."""

from __future__ import annotations

# ruff: noqa: E501  # one line is one case
from typing import Any

import pytest

from byway.base.duration import Duration
from byway.kinds.istio.destination import Destination, PortSelector
from byway.kinds.istio.string_match import StringMatch

ROUTE = "route: [{destination: {host: docs}}]"
FULL = """\
hosts: [docs, "*.example.com", 10.0.0.9]
gateways: [mesh, edge/public]
http:
- name: beta
  match:
  - name: m
    uri: {prefix: /api}
    ignoreUriCase: true
    method: {exact: GET}
    authority: {regex: "docs.*"}
    headers: {x-beta-user: {exact: "true"}, cookie: {}}
    withoutHeaders: {x-no: {}}
    queryParams: {q: {exact: ""}}
    sourceLabels: {app: web}
    gateways: [mesh]
    port: 8080
  route:
  - destination: {host: docs, subset: v2, port: {number: 80}}
    weight: 95
    headers: {response: {add: {x-from: v2}}}
  - destination: {host: docs}
    weight: 5.0
  rewrite: {uri: /v2, authority: docs.blue}
  timeout: 1m30s
  retries: {attempts: 3, perTryTimeout: 0.5s, retryOn: "5xx, reset,503", backoff: 25ms}
  fault:
    delay: {percentage: {value: 0.5}, fixedDelay: 5s}
    abort: {percentage: {value: 100}, httpStatus: 555}
  headers:
    request: {set: {":authority": other, x-a: "%%5 %DOWNSTREAM_REMOTE_ADDRESS% %REQ(x:y)%"}, remove: [x-b]}
"""


def test_every_supported_field_is_read(reading: Any) -> None:
    spec = reading.spec("VirtualService", FULL)
    (route,) = spec.http
    (match,) = route.match
    assert spec.hosts == ("docs", "*.example.com", "10.0.0.9")
    assert spec.gateways == ("mesh", "edge/public")
    assert match.uri == StringMatch(prefix="/api")
    assert match.headers == {"x-beta-user": StringMatch(exact="true"), "cookie": StringMatch()}
    assert match.query_params["q"].exact == ""
    assert not match.query_params["q"].is_presence
    assert (match.ignore_uri_case, match.port, match.source_labels) == (True, 8080, {"app": "web"})
    assert route.route[0].destination == Destination(host="docs", subset="v2", port=PortSelector(number=80))
    assert [split.weight for split in route.route] == [95, 5]
    assert route.timeout == Duration.of(seconds=90)
    assert route.retries.per_try_timeout == Duration.of(milliseconds=500)
    assert (route.fault.delay.percentage.value, route.fault.abort.http_status) == (0.5, 555)
    assert route.headers.request.remove == ("x-b",)
    assert route.headers.response is None


def test_one_without_hosts_may_be_a_delegate(reading: Any) -> None:
    assert reading.spec("VirtualService", f"http: [{{{ROUTE}}}]").hosts == ()


def test_a_timeout_of_nothing_switches_it_off(reading: Any) -> None:
    assert reading.spec("VirtualService", f"http: [{{timeout: 0s, {ROUTE}}}]").http[0].timeout == Duration(0)


def test_the_old_percent_is_read_with_a_warning(reading: Any) -> None:
    text = reading.text("VirtualService", f"http: [{{fault: {{delay: {{percent: 10, fixedDelay: 5s}}}}, {ROUTE}}}]")
    resource, found = reading.one(text)
    assert resource.spec.http[0].fault.delay.percent == 10
    assert [str(diagnostic) for diagnostic in found] == [
        "f.yaml:6:27: spec.http[0].fault.delay.percent: percent is deprecated (write percentage: {value: 10})"
    ]


@pytest.mark.parametrize(
    ("route", "expected"),
    [
        ("mirror: {host: x}", "mirror is not supported yet (remove it)"),
        ("corsPolicy: {}", "corsPolicy is not supported yet (remove it)"),
        ("redirect: {uri: /x}", "redirect is not supported yet (remove it)"),
        ("mirorr: {host: x}", 'mirorr is no field of HTTPRoute (did you mean "mirror"?)'),
        ("timeout: 5", 'timeout: expected a duration, got the number 5 (write "5s" if seconds are meant)'),
        ('timeout: "10"', 'timeout: "10" is no duration (write it with a unit, as in "5s" or "250ms")'),
        ("timeout: -1s", 'timeout: "-1s" is no duration (write it with a unit, as in "5s" or "250ms")'),
        ("timeout: 1.5ms", "timeout: 0.0015s is finer than a millisecond (round it to whole milliseconds)"),
        ("retries: {attempts: -1}", "retries.attempts: -1 is out of range (use 0 to 2147483647)"),
        ("retries: {attempts: two}", 'retries.attempts: expected a whole number, got the text "two" (write a whole number)'),
        ('retries: {attempts: "2"}', 'retries.attempts: expected a whole number, got the text "2" (remove the quotes)'),
        ("retries: {attempts: true}", "retries.attempts: expected a whole number, got true (write a whole number)"),
        ("retries: {attempts: 1.5}", "retries.attempts: expected a whole number, got the number 1.5 (write a whole number)"),
        ("retries: {attempts: 2, perTryTimeout: 0s}", "retries.perTryTimeout: 0s is too short (write at least 1ms)"),
        ("retries: {attempts: 2, retryOn: 5xs}", 'retries.retryOn: "5xs" is no condition to retry on (did you mean "5xx"?)'),
        (
            "retries: {retryOn: 5xx}",
            "retries: retries are off (attempts is 0), so its other fields say nothing (set attempts, or remove them)",
        ),
        ("fault: {}", "fault: the fault does nothing (add delay or abort)"),
        ("fault: {delay: {percentage: {value: 10}}}", "fault.delay.fixedDelay is missing (add it)"),
        ("fault: {delay: {exponentialDelay: 5s}}", "fault.delay.exponentialDelay is not supported yet (remove it)"),
        ("fault: {abort: {httpStatus: 199}}", "fault.abort.httpStatus: 199 is out of range (use 200 to 599)"),
        ("fault: {abort: {grpcStatus: UNAVAILABLE}}", "fault.abort.grpcStatus is not supported yet (remove it)"),
        (
            "fault: {abort: {httpStatus: 500, percentage: {value: 101}}}",
            "fault.abort.percentage.value: 101.0 is out of range (use 0 to 100)",
        ),
        ("match: {uri: {exact: /}}", "match: expected a list, got a mapping (begin each element with a hyphen)"),
        ("match: [null]", "match[0]: expected a mapping, got nothing (write name: value pairs)"),
        ("match: [{uri: {}}]", "match[0].uri: uri has no exact, prefix or regex (add one of them)"),
        ("match: [{uri: {exact: /, prefix: /}}]", "match[0].uri.prefix: prefix and exact exclude each other (keep one of exact, prefix)"),
        ("match: [{uri: {prefix: ''}}]", "match[0].uri.prefix: an empty prefix matches everything (write the prefix, or leave the match out)"),
        ("match: [{uri: {suffix: x}}]", 'match[0].uri.suffix is no field of StringMatch (use one of exact, prefix, regex)'),
        ("match: [{scheme: {exact: http}}]", "match[0].scheme is not supported yet (remove it)"),
        ("match: [{port: 0}]", "match[0].port: 0 is out of range (use 1 to 65535)"),
        ("match: [{port: http}]", 'match[0].port: expected a whole number, got the text "http" (write a whole number)'),
        ("match: [{ignoreUriCase: yes}]", 'match[0].ignoreUriCase: expected true or false, got the text "yes" (write true)'),
        ("match: [{headers: {':path': {exact: /}}}]", 'match[0].headers[":path"]: ":path" is a pseudo header (use the fields uri, method, authority or rewrite)'),
        ("match: [{headers: {x y: {exact: a}}}]", 'match[0].headers["x y"]: "x y" is no header name (use letters, digits and hyphens)'),
        ("match: [{headers: {x: 'on'}}]", 'match[0].headers.x: expected a mapping, got the text "on" (write name: value pairs)'),
        ("match: [{gateways: [a/b/c]}]", 'match[0].gateways[0]: "a/b/c" is no gateway (write a Gateway\'s name, "namespace/name" or "mesh")'),
        ("rewrite: {}", "rewrite: the rewrite changes nothing (set uri, authority or both)"),
        ("rewrite: {uriRegexRewrite: {match: a}}", "rewrite.uriRegexRewrite is not supported yet (remove it)"),
        ('rewrite: {authority: "a\\r\\nx: y"}', 'rewrite.authority: "a\\u000d\\u000ax: y" has a control character in it (remove line breaks, tabs and NUL)'),
        ('headers: {request: {set: {x: "a\\0"}}}', 'headers.request.set.x: "a\\u0000" has a control character in it (remove line breaks, tabs and NUL)'),
        ("headers: {request: {set: {x: 5 %}}}", 'headers.request.set.x: "5 %" has a single % (write %% for a percent sign)'),
        ("headers: {response: {add: {x: '%ENVIRONMENT(KEY)%'}}}", "headers.response.add.x: %ENVIRONMENT% says nothing of the request, and could publish what only the proxy may read (use an operator about the request, such as %REQ(x-name)%)"),
        ("headers: {response: {add: {x: '%COALESCE({\"operators\":[{\"command\":\"ENVIRONMENT\",\"param\":\"KEY\"}]})%'}}}", "headers.response.add.x: %COALESCE% says nothing of the request, and could publish what only the proxy may read (use an operator about the request, such as %REQ(x-name)%)"),
        ("headers: {response: {add: {x: 'a %CEL(xds.node.id)%'}}}", "headers.response.add.x: %CEL% says nothing of the request, and could publish what only the proxy may read (use an operator about the request, such as %REQ(x-name)%)"),
        ("headers: {response: {add: {x: '%START_TIME(%s)%%HOSTNAME%'}}}", 'headers.response.add.x: %HOSTNAME% says nothing of the request, and could publish what only the proxy may read (did you mean "ROUTE_NAME"?)'),
        ("headers: {request: {set: {x: '%RESPONSE_COD%'}}}", 'headers.request.set.x: %RESPONSE_COD% says nothing of the request, and could publish what only the proxy may read (did you mean "RESPONSE_CODE"?)'),
        ("timeout: ٣s", 'timeout: "٣s" is no duration (write it with a unit, as in "5s" or "250ms")'),
        ("headers: {request: {set: {':path': /}}}", 'headers.request.set[":path"]: ":path" is a pseudo header (use the fields uri, method, authority or rewrite)'),
        ("headers: {response: {set: {Host: x}}}", "headers.response.set.Host: the host header can only be set, on requests (use headers.request.set or rewrite.authority)"),
        ("headers: {request: {set: {X-Byway-Source: x}}}", "headers.request.set.X-Byway-Source: x-byway-source is the mesh's own header, by which it tells who calls (leave it out)"),
        ("headers: {request: {add: {x-forwarded-client-cert: x}}}", "headers.request.add.x-forwarded-client-cert: x-forwarded-client-cert is the mesh's own header, by which it tells who calls (leave it out)"),
        ("headers: {request: {remove: [a, x-byway-source]}}", "headers.request.remove[1]: x-byway-source is the mesh's own header, by which it tells who calls (leave it out)"),
        ("headers: {request: {remove: [Host]}}", "headers.request.remove[0]: the host header can only be set, on requests (use headers.request.set or rewrite.authority)"),
        ("headers: {response: {remove: [':status']}}", 'headers.response.remove[0]: ":status" is a pseudo header (use the fields uri, method, authority or rewrite)'),
    ],
)  # fmt: skip
def test_a_mistake_in_a_route_is_refused_at_its_field(route: str, expected: str, faults: Any) -> None:
    assert faults("VirtualService", f"hosts: [docs]\nhttp:\n- {route}\n  {ROUTE}") == [f"spec.http[0].{expected}"]


@pytest.mark.parametrize(
    ("destinations", "expected"),
    [
        ("[]", "route is missing (add it)"),
        ("[{}]", "route[0].destination is missing (add it)"),
        ("[{destination: {}}]", "route[0].destination.host is missing (add it)"),
        ("[{destination: {subset: a}}]", "route[0].destination.host is missing (add it)"),
        ("[{destination: {host: '*'}}]", 'route[0].destination.host: destination "*" is no single service (name one service)'),
        ("[{destination: {host: docs:80}}]", 'route[0].destination.host: host "docs:80" has a port or a scheme in it (write the bare name; ports have a field of their own)'),
        ("[{destination: {host: docs, port: 80}}]", "route[0].destination.port: expected a mapping, got the number 80 (write name: value pairs)"),
        ("[{destination: {host: docs, port: {number: 70000}}}]", "route[0].destination.port.number: 70000 is out of range (use 1 to 65535)"),
        ("[{destination: {host: docs, subset: 'a b'}}]", 'route[0].destination.subset: "a b" is no subset name (use letters, digits and hyphens, at most 63)'),
        ("[{destination: {host: docs}, weight: -1}]", "route[0].weight: -1 is out of range (use 0 to 2147483647)"),
        ("[{destination: {host: a}}, {destination: {host: b}}]", "route: all weights are 0, so no destination gets a request (give one of them a weight)"),
    ],
)  # fmt: skip
def test_a_mistake_in_a_destination_is_refused_at_its_field(destinations: str, expected: str, faults: Any) -> None:
    assert faults("VirtualService", f"http:\n- route: {destinations}") == [f"spec.http[0].{expected}"]


@pytest.mark.parametrize(
    ("hosts", "expected"),
    [
        ("['*']", 'hosts[0]: host "*" would take all traffic of the mesh (name the hosts, or bind it to a gateway)'),
        ("[a, a]", 'hosts[1]: host "a" is there twice (remove one of them)'),
        ("['*.b.c', a.b.c]", 'hosts[1]: host "a.b.c" is covered by "*.b.c" (remove it, or move "*.b.c" to another VirtualService)'),
        ("['*.c', '*.b.c']", 'hosts[1]: host "*.b.c" is covered by "*.c" (remove it, or move "*.c" to another VirtualService)'),
        ("[Docs]", 'hosts[0]: host "Docs" has capital letters (write "docs")'),
        ("[docs.]", 'hosts[0]: host "docs." ends with a dot (remove the dot)'),
        ("['a.*.b']", 'hosts[0]: host "a.*.b" has a wildcard inside (a wildcard is "*" alone, or "*." before a domain)'),
        ("['http://a']", 'hosts[0]: host "http://a" has a port or a scheme in it (write the bare name; ports have a field of their own)'),
        ("[bücher.de]", 'hosts[0]: host "bücher.de" is not ASCII (write international names in their xn-- form)'),
        ("['']", 'hosts[0]: host "" is no valid name (use lower-case letters, digits, hyphens and dots)'),
        ("[fe80::1%eth0]", 'hosts[0]: host "fe80::1%eth0" has a port or a scheme in it (write the bare name; ports have a field of their own)'),
        ("[-a]", 'hosts[0]: host "-a" is no valid name (use lower-case letters, digits, hyphens and dots)'),
        ("docs", 'hosts: expected a list, got the text "docs" (begin each element with a hyphen)'),
        ("[5]", 'hosts[0]: expected text, got the number 5 (put it in quotes: "5")'),
    ],
)  # fmt: skip
def test_a_mistake_in_the_hosts_is_refused_at_the_host(hosts: str, expected: str, faults: Any) -> None:
    assert faults("VirtualService", f"hosts: {hosts}\nhttp: [{{{ROUTE}}}]") == [f"spec.{expected}"]


def test_a_host_longer_than_dns_allows_is_refused(faults: Any) -> None:
    assert (
        "is longer than 253 characters" in faults("VirtualService", f"hosts: [{'a.' * 127}a]\nhttp: [{{{ROUTE}}}]")[0]
    )


def test_ten_thousand_hosts_are_judged_in_no_time(reading: Any) -> None:
    hosts = "\n".join(f"- h{number}.example.com" for number in range(10_000))
    assert len(reading.spec("VirtualService", f"hosts:\n{hosts}\nhttp: [{{{ROUTE}}}]").hosts) == 10_000


@pytest.mark.parametrize("field", ["tls: [{match: [{sniHosts: [a]}]}]", "tcp: [{route: []}]", "exportTo: ['.']"])
def test_what_only_istio_can_do_yet_is_the_only_complaint(field: str, faults: Any) -> None:
    name = field.partition(":")[0]
    assert faults("VirtualService", f"hosts: [a]\n{field}") == [f"spec.{name} is not supported yet (remove it)"]


def test_one_without_any_route_is_refused(faults: Any) -> None:
    assert faults("VirtualService", "hosts: [a]") == ["spec.http is missing (add it)"]


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("a" * 1025, "the regex has more than 1024 characters (shorten it, or split the match)"),
        ("", "the regex is empty (write a pattern, or leave the match out)"),
        ("(a", "the regex is refused by RE2: missing ): (a (RE2 knows no look-around and no back-references)"),
        ("(?=a)b", "the regex is refused by RE2: invalid perl operator: (?= (RE2 knows no look-around and no back-references)"),
    ],
)  # fmt: skip
def test_a_pattern_is_judged_by_re2(pattern: str, expected: str, faults: Any) -> None:
    found = faults("VirtualService", f"http:\n- match: [{{uri: {{regex: '{pattern}'}}}}]\n  {ROUTE}")
    assert found == [f"spec.http[0].match[0].uri.regex: {expected}"]


@pytest.mark.parametrize("pattern", ["(a+)+$", "(a|aa)*b", "([a-z]+)*!", "((((a{1,30}){1,30}))){1,30}"])
def test_a_pattern_made_to_explode_costs_nothing_or_is_refused(pattern: str, faults: Any) -> None:
    found = faults("VirtualService", f"http:\n- match: [{{uri: {{regex: '{pattern}'}}}}]\n  {ROUTE}")
    assert not found or "refused by RE2" in found[0]
