"""How the ends of a conversation authenticate, beyond the algorithm: EAP, and chains of certificates."""

from __future__ import annotations

from dataclasses import dataclass, replace

from ..models.algorithms import SIGNATURES
from ..models.eap.rules import TLS_VERSIONS, TlsVersion
from ..models.errors import InputError, unknown_name
from ..models.ikev2.identity import Identity
from ..models.ikev2.policy import EAP_METHODS, AuthMethod, Certificate
from ..models.secret import Secret

#: A certificate authenticates both ends, or the responder alone while the initiator uses EAP.
AUTHENTICATIONS = ("psk", *SIGNATURES, *(f"{method}:{name}" for method in EAP_METHODS for name in SIGNATURES))
#: What may follow a certificate of the initiator (RFC 4739), after ``+``.
SECOND_PROOFS = ("psk", *(method for method in EAP_METHODS if method in ("eap-mschapv2", "eap-gtc", "eap-md5")))
#: What the scenario ``eap`` means without another ``--auth``.
EAP_DEFAULT = "eap-mschapv2:rsa2048"
#: What the scenarios about certificates mean without another ``--auth``.
CERTIFICATE_DEFAULT = "rsa2048"
#: More intermediate CAs than anybody has. Limits of their certificates' length. [bytes]
MOST_INTERMEDIATES, LEAST_BYTES, MOST_BYTES = 8, 100, 60_000


@dataclass(frozen=True, slots=True)
class EapChoice:
    """``offered``: what the responder proposes, in order; empty: the initiator's own method."""

    queries_identity: bool = True
    tls_version: TlsVersion = "1.2"
    offered: tuple[AuthMethod, ...] = ()


@dataclass(frozen=True, slots=True)
class Intermediates:
    """CAs between an end's certificate and the one that both ends trust, the same at both ends; lengths in bytes."""

    count: int = 0
    der_bytes: int = 0

    def _names(self) -> list[str]:
        return [f"CN=Intermediate CA {number}" for number in range(1, self.count + 1)]

    def issuer(self, root: str) -> str:
        """Return the CA that signs the certificates of the ends."""
        return self._names()[0] if self.count else root

    def chain(self, leaf: Certificate, root: str) -> tuple[Certificate, ...]:
        """Return the chain that is sent: ``leaf``, then each CA with the certificate that the next one signed."""
        names = self._names()
        issuers = [*names, root]
        authorities = (
            Certificate(
                Identity("dn", name),
                leaf.algorithm,
                self.der_bytes,
                issuer,
                leaf.algorithm,
                Secret(f"key of {name}"),
            )
            for name, issuer in zip(names, issuers[1:], strict=True)
        )
        return (replace(leaf, issuer=issuers[0]), *authorities)


BY_DEFAULT, WITHOUT_CHAIN = EapChoice(), Intermediates()


def second_proof(auth: str) -> tuple[str, AuthMethod | None]:
    """Return the first authentication and how the initiator proves itself once more, as in ``rsa2048+eap-mschapv2``.

    Raises InputError for a first one that is no certificate and an unknown second one.
    """
    first, plus, word = auth.partition("+")
    if not plus:
        return auth, None
    if first not in SIGNATURES:
        raise InputError(f"found '{auth}': what comes first must be a certificate, as rsa2048+{word}", "--auth")
    if word not in SECOND_PROOFS:
        raise unknown_name("second authentication", word, SECOND_PROOFS, "--auth")
    return first, next((method for method in EAP_METHODS if method == word), "pre-share")


def eap_method(auth: str) -> AuthMethod | None:
    """Return the initiator's EAP method in an authentication such as ``eap-tls:rsa2048``, None without EAP."""
    name = auth.rpartition(":")[0]
    return next((method for method in EAP_METHODS if method == name), None)


def parse_eap(auth: str, identity: str | None, tls: str | None, offered: str | None) -> EapChoice:
    """Return what ``--eap-identity``, ``--tls`` and ``--eap-offer`` say. Raises InputError."""
    given = {"--eap-identity": identity, "--tls": tls, "--eap-offer": offered}
    method = eap_method(auth)
    for flag, value in given.items():
        if value is not None and method is None:
            raise InputError(f"it is about EAP, and --auth {auth} is not EAP: as eap-mschapv2:rsa2048", flag)
    if identity not in (None, "query", "none"):
        raise unknown_name("way to learn the EAP identity", str(identity), ("query", "none"), "--eap-identity")
    methods: list[AuthMethod] = []
    for word in (offered or "").split(",") if offered is not None else ():
        found = next((m for m in EAP_METHODS if m == word.strip()), None)
        if found is None:
            raise unknown_name("EAP method", word.strip(), EAP_METHODS, "--eap-offer")
        if found not in methods:
            methods.append(found)
    version = next((v for v in TLS_VERSIONS if v == (tls or "1.2")), None)
    if version is None:
        raise unknown_name("TLS version", str(tls), TLS_VERSIONS, "--tls")
    algorithm = auth.rpartition(":")[2]
    speaks_tls = "eap-tls" in methods if methods else method == "eap-tls"
    if speaks_tls and version == "1.2" and SIGNATURES[algorithm].kind == "mldsa":
        raise InputError(f"{algorithm} is for TLS 1.3 alone (draft-ietf-tls-mldsa)", "--tls")
    return EapChoice(identity != "none", version, tuple(methods))


def parse_intermediates(count: int, der_bytes: int | None, auth: str, estimate_bytes: int) -> Intermediates:
    """Return what ``--chain`` and ``--chain-bytes`` say; without a length ``estimate_bytes``. Raises InputError."""
    if not 0 <= count <= MOST_INTERMEDIATES:
        raise InputError(f"found {count}, 0 to {MOST_INTERMEDIATES} intermediate CAs are allowed", "--chain")
    if count and auth == "psk":
        raise InputError("a chain needs certificates, and --auth is psk", "--chain")
    if der_bytes is None:
        return Intermediates(count, estimate_bytes)
    if not count:
        raise InputError("a length without a chain: give --chain too", "--chain-bytes")
    if not LEAST_BYTES <= der_bytes <= MOST_BYTES:
        raise InputError(f"found {der_bytes}, {LEAST_BYTES} to {MOST_BYTES} bytes are allowed", "--chain-bytes")
    return Intermediates(count, der_bytes)
