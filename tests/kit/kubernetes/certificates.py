"""A cluster's certificates: a CA without key identifiers, as older clusters have it (VERIFY_X509_STRICT refuses it)."""

from __future__ import annotations

import datetime
import ssl
import tempfile
from ipaddress import IPv4Address
from pathlib import Path

from attrs import frozen
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

_DAY = datetime.timedelta(days=1)


@frozen
class Certificates:
    """Args: `ca` is the PEM that clients trust, `context` what the server shows."""

    ca: bytes
    context: ssl.SSLContext

    @classmethod
    def make(cls) -> Certificates:
        """A new CA, and a server's certificate for 127.0.0.1, localhost and the in-cluster name."""
        ca_key, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
        ca_name, name = _name("kubernetes"), _name("kube-apiserver")
        constraints = x509.BasicConstraints(ca=True, path_length=None)
        ca = _builder(ca_name, ca_name, ca_key).add_extension(constraints, critical=True).sign(ca_key, SHA256())
        names = x509.SubjectAlternativeName(
            [
                x509.IPAddress(IPv4Address("127.0.0.1")),
                x509.DNSName("localhost"),
                x509.DNSName("kubernetes.default.svc"),
            ]
        )
        certificate = _builder(name, ca_name, key).add_extension(names, critical=False).sign(ca_key, SHA256())
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.set_alpn_protocols(["http/1.1"])  # it has HTTP/2 too, for those who ask; kubectl does well without
        with tempfile.NamedTemporaryFile() as file:
            private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
            Path(file.name).write_bytes(private + certificate.public_bytes(Encoding.PEM))
            context.load_cert_chain(file.name)
        return cls(ca.public_bytes(Encoding.PEM), context)


def _name(common: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common)])


def _builder(subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey) -> x509.CertificateBuilder:
    now = datetime.datetime.now(datetime.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _DAY)
        .not_valid_after(now + _DAY)
    )
