"""HTTPFaultInjection: delays and errors made on purpose."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, ClassVar

from byway.base.diagnostics import Severity
from byway.kinds.message import Between, Message, PercentInt, Problem, Span


class Percent(Message, frozen=True, kw_only=True):
    """A share of the requests, 0 to 100."""

    MESSAGE: ClassVar[str] = "istio.networking.v1alpha3.Percent"

    value: Annotated[float, Between(0, 100)] = 0.0


class Delay(Message, frozen=True, kw_only=True):
    """Requests wait before they go on; without a share, all of them."""

    MESSAGE: ClassVar[str] = "istio.networking.v1alpha3.HTTPFaultInjection.Delay"
    REQUIRED: ClassVar[tuple[str, ...]] = ("fixedDelay",)

    percentage: Percent | None = None
    percent: PercentInt = 0
    fixed_delay: Span | None = None

    def problems(self) -> Iterator[Problem]:
        """`percent` is the old spelling."""
        if self.percent and self.percentage:
            yield Problem(message="percent and percentage are both set", hint="keep percentage", at="percent")
        elif self.percent:
            yield Problem(
                code="deprecated-field", severity=Severity.WARNING, message="percent is deprecated",
                hint=f"write percentage: {{value: {self.percent}}}", at="percent",
            )  # fmt: skip


class Abort(Message, frozen=True, kw_only=True):
    """Requests are answered with an error instead of being sent; without a share, all of them."""

    MESSAGE: ClassVar[str] = "istio.networking.v1alpha3.HTTPFaultInjection.Abort"
    REQUIRED: ClassVar[tuple[str, ...]] = ("httpStatus",)

    percentage: Percent | None = None
    http_status: Annotated[int, Between(200, 599)] = 0


class HTTPFaultInjection(Message, frozen=True, kw_only=True):
    """A delay, an abort, or both independently."""

    MESSAGE: ClassVar[str] = "istio.networking.v1alpha3.HTTPFaultInjection"

    delay: Delay | None = None
    abort: Abort | None = None

    def problems(self) -> Iterator[Problem]:
        """A fault that does nothing is a mistake."""
        if self.delay is None and self.abort is None:
            yield Problem(message="the fault does nothing", hint="add delay or abort")
