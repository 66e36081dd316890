"""The words for what OpenSSL refuses: stable ones, for the log, the metrics and the alerts."""

from __future__ import annotations

import ssl

from splicer.tls_facts import TlsFailure

PLAIN_HTTP = frozenset({"HTTP_REQUEST", "HTTPS_PROXY_REQUEST"})
_EXPIRED = frozenset({9, 10})  # X509_V_ERR_CERT_NOT_YET_VALID, X509_V_ERR_CERT_HAS_EXPIRED

_OF_CLIENT = {
    "UNSUPPORTED_PROTOCOL": "tls_version",
    "VERSION_TOO_LOW": "tls_version",
    "UNKNOWN_PROTOCOL": "tls_version",
    "NO_SHARED_CIPHER": "tls_cipher",
    "NO_SUITABLE_SIGNATURE_ALGORITHM": "tls_cipher",
    "NO_SUITABLE_KEY_SHARE": "tls_cipher",
    "NO_SHARED_GROUPS": "tls_cipher",
    "NO_SHARED_GROUP": "tls_cipher",
    "PEER_DID_NOT_RETURN_A_CERTIFICATE": "tls_no_certificate",
    "CERTIFICATE_VERIFY_FAILED": "tls_bad_certificate",
    "WRONG_VERSION_NUMBER": "tls_not_tls",
}


def of_client(reason: str, detail: str, sni: str | None = None) -> TlsFailure:
    """The failure of a handshake with a client, from OpenSSL's reason."""
    word = _OF_CLIENT.get(reason) or ("tls_alert" if "ALERT" in reason else "tls_bad_handshake")
    return TlsFailure(word, detail, sni)


def of_pod(error: ssl.SSLError) -> TlsFailure:
    """The failure of a handshake with a pod."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return TlsFailure("tls_expired" if error.verify_code in _EXPIRED else "tls_untrusted", error.verify_message)
    reason = error.reason or ""
    if reason == "WRONG_VERSION_NUMBER":
        return TlsFailure("tls_refused", "it does not speak TLS")
    return TlsFailure("tls_refused", detail(error))


def detail(error: ssl.SSLError) -> str:
    """One line about an error."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return error.verify_message
    return (error.reason or "unknown").lower().replace("_", " ")
