"""X-Forwarded-Client-Cert: a pod learns who the client is, as Envoy writes it (its HTTP header documentation)."""

from __future__ import annotations

from urllib.parse import quote

from splicer.tls_facts import ClientCertificate


def forwarded_certificate(certificate: ClientCertificate) -> str:
    """The element of one client certificate.

    Hash, subject and names; the certificate itself if it is to be forwarded; and `By`, if ours has a URI.
    """
    pairs = [("By", certificate.ours)] if certificate.ours else []
    pairs.append(("Hash", certificate.fingerprint))
    if certificate.pem:
        pairs.append(("Cert", quote(certificate.pem, safe="")))
    pairs.append(("Subject", certificate.subject))
    pairs += [("URI", uri) for uri in certificate.uris]
    pairs += [("DNS", name) for name in certificate.dns]
    return ";".join(f"{key}={_value(key, value or '')}" for key, value in pairs)


def _value(key: str, value: str) -> str:
    text = "".join(character if " " <= character <= "~" else quote(character) for character in value)
    if key not in ("Cert", "Subject") and not any(character in ',;="' for character in text):
        return text
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
