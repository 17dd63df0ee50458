"""What a route may write into requests, and what it is told where it names something that is not there."""

from __future__ import annotations

import pytest

from tests.real.policy.conftest import Doors

ROUTE = """\
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: back}
spec:
  hosts: [back]
  http:
  - route:
    - destination: {host: %s}
      headers:
        request:
          set:
            %s: docs.example
"""


def test_a_destination_may_rewrite_the_authority(doors: Doors) -> None:
    doors.write("apply", ROUTE % ("back", "host"))
    assert doors.fetched("front", "http://back:9000/").startswith("9000 docs.example ")


@pytest.mark.parametrize("header", ["x-byway-source", "X-Forwarded-Client-Cert", '":path"'])
def test_a_header_that_is_not_the_routes_is_refused_at_its_place(doors: Doors, header: str) -> None:
    said = doors.write("apply", ROUTE % ("back", header), "routes.yaml", is_refused=True)
    assert "routes.yaml:12:13: spec.http[0].route[0].headers.request.set" in said
    assert doors.fetched("front", "http://back:9000/").startswith("9000 back:9000 ")


def test_a_destination_that_is_not_there_is_told_with_the_nearest_that_is(doors: Doors) -> None:
    said = doors.write("apply", ROUTE % ("bakc", "x-a"), "routes.yaml")
    assert "routes.yaml:8:21: warning: no service has the host bakc.default.svc.cluster.local" in said
    assert 'did you mean "back"?' in said
