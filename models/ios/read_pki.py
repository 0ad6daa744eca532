"""The commands of ``crypto pki`` and ``crypto key``: trustpoints, certificate chains, certificate maps, key pairs.

``crypto ca`` is the older spelling of ``crypto pki``. Of a stored certificate its length is kept and nothing else. What
this leaves out: the CA of IOS (``crypto pki server``), enrollment profiles, CRLs, trust pools, key chains.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any, get_args

from .arguments import Arguments, NotUnderstood
from .config import (
    CertificateChain,
    CertificateField,
    CertificateMap,
    CertificateMapEntry,
    CertificateRule,
    KeyKind,
    KeyPair,
    RouterConfig,
    StoredCertificate,
    Trustpoint,
)
from .modes import Mode, Section, named_section

TRUSTPOINT = Mode("crypto pki trustpoint")
CHAIN = Mode("crypto pki certificate chain")
MAP = Mode("crypto pki certificate map")

ENROLLMENTS = ("url", "terminal", "pkcs12", "selfsigned", "self", "profile", "mode", "retry", "http-proxy", "command")
#: Those of ENROLLMENTS that do not say where the certificate comes from.
_MANNERS = frozenset({"mode", "retry", "http-proxy", "command"})
_DEFAULT_PORTS = {"http": "80", "https": "443"}
_KEYS: dict[str, KeyKind] = {"rsakeypair": "rsa", "eckeypair": "ecdsa", "mldsakeypair": "mldsa", "keypair": "rsa"}
#: What ``crypto key generate`` calls a kind of key.
_GENERATED: dict[str, KeyKind] = {"rsa": "rsa", "ec": "ecdsa", "mldsa": "mldsa"}


@TRUSTPOINT.on("enrollment", undo=True)
def _enrollment(trustpoint: Trustpoint, args: Arguments) -> None:
    if args.negated:
        trustpoint.enrollment = trustpoint.enrollment_url = ""
        return
    word = args.choice("enrollment", ENROLLMENTS)
    if word in _MANNERS:
        return
    trustpoint.enrollment = "selfsigned" if word == "self" else word
    trustpoint.enrollment_url = same_url(args.value("the CA's URL")) if word == "url" else ""


def same_url(url: str) -> str:
    """Return the URL in the form in which equal ones are equal: small letters, no default port, no ``/`` at the end."""
    scheme, _, rest = url.lower().partition("://")
    host, slash, path = rest.partition("/")
    host = host.removesuffix(f":{_DEFAULT_PORTS.get(scheme, '')}")
    return f"{scheme}://{host}{slash}{path}".rstrip("/")


@TRUSTPOINT.on("subject-name", clears=("subject_name",))
def _subject_name(trustpoint: Trustpoint, args: Arguments) -> None:
    args.value("a distinguished name")
    # The name as it is written, for it may hold spaces; separators of old releases become commas.
    text = args.line.text.split(maxsplit=1)[1]
    parts = text.replace('"', "").replace(";", ",").split(",")
    trustpoint.subject_name = ",".join(part.strip() for part in parts)


@TRUSTPOINT.on("fqdn", clears=("fqdn",))
def _fqdn(trustpoint: Trustpoint, args: Arguments) -> None:
    trustpoint.fqdn = args.name("a host name or none")


@TRUSTPOINT.on(*_KEYS, clears=("key",))
def _key(trustpoint: Trustpoint, args: Arguments) -> None:
    word = args.line.text.split()[0].lower()
    kind = next(kind for name, kind in _KEYS.items() if name.startswith(word))
    label = args.name("the key pair's label")
    size = args.number("key size", 1, 65536) if args.peek().isdigit() else None
    trustpoint.key = KeyPair(kind, label, size, args.line)


@TRUSTPOINT.on("revocation-check", clears=("revocation_check",))
def _revocation_check(trustpoint: Trustpoint, args: Arguments) -> None:
    trustpoint.revocation_check = []
    while args.more:
        trustpoint.revocation_check.append(args.choice("method", ("crl", "ocsp", "none")))


TRUSTPOINT.accept("description", "hash", "serial-number", "ip-address", "subject-alt-name", "usage", "eku", "password")
TRUSTPOINT.know("auto-enroll", "auto-trigger", "chain-validation", "crl", "ocsp", "regenerate", "validation-usage")


@CHAIN.on("certificate", undo=True)
def _certificate(chain: CertificateChain, args: Arguments) -> None:
    kinds: dict[str, Any] = {"ca": "ca", "self-signed": "self-signed"}
    kind = kinds.get(args.value("a serial number").lower(), "identity")
    if not args.negated:
        chain.certificates.append(StoredCertificate(kind, args.body_bytes, args.line))


def _certificate_rule(entry: CertificateMapEntry, args: Arguments) -> None:
    words = args.line.text.split()
    wanted = next(name for name in get_args(CertificateField) if name.startswith(words[0].lower()))
    operator: Any = args.choice("operator", ("eq", "ne", "co", "nc", "lt", "ge"))
    value = args.rest()
    if not value:
        raise args.error(f"'{args.line.text}' is incomplete: the value is missing")
    entry.rules.append(CertificateRule(wanted, operator, value, args.line))


MAP.on(*get_args(CertificateField))(_certificate_rule)


def _certificate_map(router: RouterConfig, args: Arguments) -> Section | None:
    name = args.name("the certificate map's name")
    if args.negated and not args.more:
        router.certificate_maps.pop(name, None)
        return None
    sequence = args.number("sequence number", 1, 65535)
    if args.negated:
        if name in router.certificate_maps:
            router.certificate_maps[name].entries.pop(sequence, None)
        return None
    own = router.certificate_maps.setdefault(name, CertificateMap(name, args.line))
    return Section(MAP, own.entries.setdefault(sequence, CertificateMapEntry(sequence, args.line)))


def _key_generate(router: RouterConfig, args: Arguments) -> None:
    """Take ``rsa|ec|mldsa ... [label L] [modulus N | keysize N]``; without a size it tells nothing."""
    kind = _GENERATED[args.choice("kind of key", _GENERATED)]
    words = args.words()

    def behind(*names: str) -> str:
        return next((word for name, word in pairwise(words) if name.lower() in names), "")

    size = behind("modulus", "keysize")
    if not (size.isascii() and size.isdigit() and len(size) <= 5):
        raise NotUnderstood
    label = behind("label")
    router.key_pairs[kind, label] = KeyPair(kind, label, int(size), args.line)


def register(mode: Mode) -> None:
    """Add the commands of ``crypto pki`` and ``crypto key`` to the global mode."""
    for spelling in ("crypto pki", "crypto ca"):
        named_section(mode, f"{spelling} trustpoint", Trustpoint, TRUSTPOINT, "trustpoints")
        named_section(mode, f"{spelling} certificate chain", CertificateChain, CHAIN, "certificate_chains")
        mode.on(f"{spelling} certificate map", undo=True, strong=True)(_certificate_map)
    mode.know("crypto pki", "crypto ca", "crypto key", strong=True)
    mode.on("crypto key generate", strong=True)(_key_generate)
