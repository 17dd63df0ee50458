"""A certificate authority for the length of a test."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import grpc
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

_NOW = datetime.now(UTC)


class Authority:
    """Signs whatever a test asks for."""

    def __init__(self) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test")])
        certificate = self._builder(self._name, self._key.public_key()).add_extension(
            x509.BasicConstraints(ca=True, path_length=None), critical=True
        )
        self.root = certificate.sign(self._key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)

    def pair(self, *names: x509.GeneralName) -> tuple[bytes, bytes]:
        """A private key, and a certificate with these alternative names."""
        key = ec.generate_private_key(ec.SECP256R1())
        builder = self._builder(x509.Name([]), key.public_key())
        if names:
            builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=True)
        certificate = builder.sign(self._key, hashes.SHA256())
        private = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        return private, certificate.public_bytes(serialization.Encoding.PEM)

    def client(self, *uris: str) -> grpc.ChannelCredentials:
        """Credentials of a client with these URIs in its certificate."""
        key, certificate = self.pair(*(x509.UniformResourceIdentifier(uri) for uri in uris))
        return grpc.ssl_channel_credentials(self.root, key, certificate)

    def server(self) -> grpc.ServerCredentials:
        """Credentials of a server called `localhost` that requires a client certificate."""
        pair = self.pair(x509.DNSName("localhost"))
        return grpc.ssl_server_credentials([pair], self.root, require_client_auth=True)

    def _builder(self, subject: x509.Name, key: ec.EllipticCurvePublicKey) -> x509.CertificateBuilder:
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(_NOW - timedelta(hours=1))
            .not_valid_after(_NOW + timedelta(hours=1))
        )
