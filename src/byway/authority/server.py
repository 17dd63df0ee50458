"""The CA on the wire: `istio.v1.auth.IstioCertificateService/CreateCertificate`, as handlers for a gRPC server.

Two doors lead to one room: one handler attests by mutual TLS (the port that discovery uses as well), the other by the
control socket. A door is chosen by the server that a handler is added to, never by anything in the request. A client
learns only a status; the reason stands in the log.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Final

import grpc
import msgspec
import structlog

from byway.authority import certificate_log
from byway.authority.attestation import Caller, Unattested, control_socket_caller, mutual_tls_caller
from byway.authority.authority import Authority
from byway.authority.entitlement import ImpersonationPolicy, NotEntitled, entitled_subject
from byway.authority.issuance import RefusedLife
from byway.identity.certificate_service import (
    IMPERSONATED_IDENTITY,
    METHOD,
    NODE,
    SERVICE,
    CertificateRequest,
    MalformedMessage,
    decoded_request,
    encoded_response,
)
from byway.identity.csr import ELLIPTIC_ONLY, KeyPolicy, RefusedRequest, proved_key

_log = structlog.get_logger("byway.authority")

Attestor = Callable[[CertificateRequest, Any], Caller]


class Refusal(msgspec.Struct, frozen=True):
    """What a client hears; deliberately little."""

    status: grpc.StatusCode
    message: str


UNAUTHENTICATED: Final = Refusal(grpc.StatusCode.UNAUTHENTICATED, "not authenticated")
NOT_ALLOWED: Final = Refusal(grpc.StatusCode.PERMISSION_DENIED, "not allowed")
BAD_REQUEST: Final = Refusal(grpc.StatusCode.INVALID_ARGUMENT, "certificate request refused")
BROKEN: Final = Refusal(grpc.StatusCode.INTERNAL, "certificate could not be issued")


class CertificateService:
    """Answers certificate requests in the name of an authority."""

    def __init__(
        self, authority: Authority, may_impersonate: ImpersonationPolicy, keys: KeyPolicy = ELLIPTIC_ONLY
    ) -> None:
        self._authority = authority
        self._may_impersonate = may_impersonate
        self._keys = keys

    def mutual_tls_handler(self) -> grpc.GenericRpcHandler[Any, Any]:
        """For a server whose connections all carry a verified client certificate."""
        return self._handler(self._mutual_tls)

    def control_socket_handler(self) -> grpc.GenericRpcHandler[Any, Any]:
        """For the server that listens on the control socket, and on nothing else."""
        return self._handler(self._control_socket)

    def answer(self, encoded: bytes, context: Any, attestor: Attestor) -> bytes | Refusal:
        """The encoded response, or what the client hears instead."""
        log = self._authority.log
        log.count(certificate_log.CSR_COUNT)
        try:
            return self._issued(encoded, context, attestor)
        except Unattested as fault:
            counter, refusal, reason = certificate_log.AUTHENTICATION_FAILURES, UNAUTHENTICATED, str(fault)
        except NotEntitled as fault:
            counter, refusal, reason = certificate_log.AUTHENTICATION_FAILURES, NOT_ALLOWED, str(fault)
        except (MalformedMessage, RefusedRequest, RefusedLife) as fault:
            counter, refusal, reason = certificate_log.PARSING_ERRORS, BAD_REQUEST, str(fault)
        except Exception:  # noqa: BLE001 - gRPC would tell the client the exception's text
            _log.exception("certificate could not be issued", peer=context.peer())
            log.count(certificate_log.SIGNING_ERRORS)
            return BROKEN
        log.count(counter)
        _log.warning("certificate request refused", peer=context.peer(), reason=reason, answer=refusal.message)
        return refusal

    def _issued(self, encoded: bytes, context: Any, attestor: Attestor) -> bytes:
        request = decoded_request(encoded)
        caller = attestor(request, context)
        impersonated = request.metadata.get(IMPERSONATED_IDENTITY)
        subject = entitled_subject(caller, impersonated, self._may_impersonate)
        chain = self._authority.issue(
            subject.identity,
            proved_key(request.csr_pem, self._keys),
            dns_names=subject.dns_names,
            wished_s=request.validity_s,
            node=caller.node,
            via=caller.via,
        )
        return encoded_response((*_blocks(chain), self._authority.bundle.pem.decode("ascii")))

    def _mutual_tls(self, request: CertificateRequest, context: Any) -> Caller:
        authority = self._authority
        return mutual_tls_caller(context.auth_context(), authority.trust_domain, authority.clock.now())

    def _control_socket(self, request: CertificateRequest, context: Any) -> Caller:
        if IMPERSONATED_IDENTITY in request.metadata:
            raise NotEntitled("the control socket gives the agent's own identity only")
        node = request.metadata.get(NODE, "")
        return control_socket_caller(context.peer(), node, self._authority.trust_domain)

    def _handler(self, attestor: Attestor) -> grpc.GenericRpcHandler[Any, Any]:
        async def create_certificate(encoded: bytes, context: Any) -> bytes:
            outcome = self.answer(encoded, context, attestor)
            if isinstance(outcome, Refusal):
                await context.abort(outcome.status, outcome.message)
                raise AssertionError("abort returns never")
            return outcome

        method: Callable[[bytes, Any], Awaitable[bytes]] = create_certificate
        # Without (de)serializers the bytes come through as they are, so that what cannot be decoded is refused here.
        handlers = {METHOD: grpc.unary_unary_rpc_method_handler(method)}
        return grpc.method_handlers_generic_handler(SERVICE, handlers)


def _blocks(chain_pem: bytes) -> tuple[str, ...]:
    end = "-----END CERTIFICATE-----\n"
    return tuple(block + end for block in chain_pem.decode("ascii").split(end) if block)
