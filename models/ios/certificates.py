"""The certificates of a folder of routers: who has which, from which CA, and whose a certificate map lets in.

A configuration names a trustpoint and seldom shows its certificate. What it does not say is assumed and noted: the size
of a key, the length of a certificate, the key of the CA. Two trustpoints have the same CA when they enroll at the same
URL; where no URL is given (``terminal``, ``pkcs12``), when they have the same name.

A certificate is taken to be issued for the identity that its router sends: IOS reports another one and goes on. A
certificate map is judged here, for all certificates are known before a run: it lets in the identities of the routers
whose certificates it matches.

What this leaves out: chains with intermediate CAs, dates of validity; trust by profile (each router takes the CAs of
all its trustpoints, as its CERTREQ does); tests of a map other than those of subject and issuer.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from ..algorithms import SIGNATURES
from ..certificate_length import IOS_FRAME, estimated_der_bytes
from ..errors import InputError, unknown_name
from ..ikev2.identity import Identity, IdentityMatch
from ..ikev2.policy import REVOCATION_METHODS, Certificate, Credential, RevocationMethod
from ..secret import Secret
from ..values import RECOLLECTION, Ledger, Value
from .config import CertificateMapEntry, CertificateRule, KeyKind, KeyPair, Profile, RouterConfig, Trustpoint
from .identities import SIGNATURE_KEYS, local_identity, signing_trustpoint, subject_name, where

#: Sizes of keys where nothing is said. RSA [bits], curve of ECDSA [bits], parameter set of ML-DSA.
KEY_SIZES: dict[KeyKind, Value] = {
    "rsa": Value(value=2048, unit="bits", kind="assumed", source=RECOLLECTION, range=(1024, 4096)),
    "ecdsa": Value(value=256, unit="bits", kind="assumed", source=RECOLLECTION, range=(256, 521)),
    "mldsa": Value(value=65, kind="assumed", source=RECOLLECTION, range=(44, 87)),
}
KEY_WORDS: dict[KeyKind, str] = {"rsa": "RSA", "ecdsa": "ECDSA", "mldsa": "ML-DSA"}
#: In the ledger: whose values these are.
OWNER = "certificates"


@dataclass(frozen=True, slots=True)
class _Holder:
    """A router with a certificate, as the profiles of the others see it."""

    config: RouterConfig
    identity: Identity
    subject: str
    issuer: str


class Certificates:
    """The certificates of all routers of a deployment; what is assumed of them is noted in ``ledger``."""

    def __init__(self, configs: Sequence[RouterConfig], ledger: Ledger) -> None:
        self._configs = tuple(configs)
        self._ledger = ledger
        self._known: tuple[_Holder, ...] | None = None

    def credential(self, config: RouterConfig, profile: Profile, identity: Identity) -> Credential:
        """Return what a profile signs with.

        Raises InputError when the profile has no trustpoint, or one whose key is of another kind than
        ``authentication local`` needs.
        """
        trustpoint = signing_trustpoint(config, profile)
        algorithm = self._algorithm(config, profile, trustpoint)
        key = Secret(f"private key of {config.hostname} for {trustpoint.name}")
        issuer_algorithm = self._issuer_algorithm(config, trustpoint, algorithm)
        der_bytes = self._der_bytes(config, trustpoint, algorithm, issuer_algorithm)
        self._note_authority(trustpoint)
        issuer = authority(config, trustpoint)
        serial = serial_of(config, self._configs)
        certificate = Certificate(identity, algorithm, der_bytes, issuer, issuer_algorithm, key, serial)
        return Credential((certificate,), key)

    def admitted(self, config: RouterConfig, profile: Profile) -> tuple[IdentityMatch, ...]:
        """Return the identities of the other routers that ``match certificate`` of a profile lets in.

        Where it lets in nobody, one match that no identity fits, so that the refusal can name its line. Raises
        InputError for a map that is not there and for a test that is not simulated.
        """
        if profile.match_certificate is None:
            return ()
        line = profile.match_certificate_line or profile.line
        if profile.match_certificate not in config.certificate_maps:
            raise unknown_name("certificate map", profile.match_certificate, config.certificate_maps, where(line))
        entries = config.certificate_maps[profile.match_certificate].entries.values()
        matches = [
            IdentityMatch(holder.identity.kind, holder.identity.value)
            for holder in self._holders()
            if holder.config is not config and any(_holds(entry, holder) for entry in entries)
        ]
        return tuple(dict.fromkeys(matches)) or (IdentityMatch("dn", f"certificate map {profile.match_certificate}"),)

    def admission_origin(self, config: RouterConfig, profile: Profile) -> str:
        """Return the line of ``match certificate`` and those of the tests behind it, for messages."""
        entries = config.certificate_maps[profile.match_certificate or ""].entries.values()
        tests = ", ".join(str(rule.line) for entry in entries for rule in entry.rules) or "without a test"
        return f"{profile.match_certificate_line or profile.line} ({tests})"

    def _holders(self) -> tuple[_Holder, ...]:
        if self._known is None:
            self._known = tuple(holder for config in self._configs for holder in _holders_of(config))
        return self._known

    # -- What a configuration does not say ------------------------------------------------------------------------

    def _algorithm(self, config: RouterConfig, profile: Profile, trustpoint: Trustpoint) -> str:
        """Return the signature algorithm of a trustpoint's key, as in `SIGNATURES`."""
        method = profile.auth_local or ""
        needed = SIGNATURE_KEYS[method]
        # Without a line of its own a trustpoint uses the router's RSA key.
        kind: KeyKind = trustpoint.key.kind if trustpoint.key is not None else "rsa"
        if kind != needed:
            line = (trustpoint.key or trustpoint).line
            raise InputError(
                f"trustpoint {trustpoint.name} has an {KEY_WORDS[kind]} key, but authentication local {method} of"
                f" profile {profile.name} signs with {method.removesuffix('-sig').upper()}",
                where(line),
            )
        label = trustpoint.key.label if trustpoint.key is not None else ""
        pair = config.key_pairs.get((kind, label))
        for stated in (trustpoint.key, pair):
            if stated is not None and stated.size is not None:
                return _signature(stated)
        likely = KEY_SIZES[kind]
        named = [n for n in map(int, re.findall(r"\d+", label)) if f"{kind}{n}" in SIGNATURES]
        if named:
            low, high = likely.range or (named[0], named[0])
            spread = (min(low, named[0]), max(high, named[0]))
            likely = likely.model_copy(update={"value": named[0], "range": spread})
        name = f"{KEY_WORDS[kind]} key of {config.hostname} for trustpoint {trustpoint.name}"
        return f"{kind}{round(self._ledger.read(OWNER, name, likely))}"

    def _der_bytes(self, config: RouterConfig, trustpoint: Trustpoint, algorithm: str, issuer_algorithm: str) -> int:
        """Return the length of a trustpoint's certificate: as stored in the configuration, else an estimate.

        The estimate is `estimated_der_bytes`. [bytes]
        """
        chain = config.certificate_chains.get(trustpoint.name)
        kind = "self-signed" if trustpoint.enrollment == "selfsigned" else "identity"
        stored = [c.der_bytes for c in chain.certificates if c.kind == kind and c.der_bytes] if chain else []
        if stored:
            return stored[-1]
        frame = self._ledger.read(OWNER, "bytes beside key and signature", IOS_FRAME)
        return estimated_der_bytes(frame, algorithm, issuer_algorithm)

    def _issuer_algorithm(self, config: RouterConfig, trustpoint: Trustpoint, algorithm: str) -> str:
        if trustpoint.enrollment == "selfsigned":
            return algorithm
        kind = SIGNATURES[algorithm].kind
        # A CA signs with the kind of key that it is asked to certify; ours, and so is its size.
        if kind == "mldsa":
            return algorithm
        likely = KEY_SIZES["rsa" if kind == "rsa" else "ecdsa"]
        name = f"{KEY_WORDS['rsa' if kind == 'rsa' else 'ecdsa']} key of {authority(config, trustpoint)}"
        return f"{kind}{round(self._ledger.read(OWNER, name, likely))}"

    def _note_authority(self, trustpoint: Trustpoint) -> None:
        """Note that trustpoints of one name are taken to have one CA where no URL says so."""
        if trustpoint.enrollment_url or trustpoint.enrollment == "selfsigned":
            return
        users = sum(1 for config in self._configs if trustpoint.name in config.trustpoints)
        one = Value(value=1, kind="assumed", source=RECOLLECTION, range=(1, max(users, 1)))
        self._ledger.read(OWNER, f"CAs behind the trustpoints called {trustpoint.name}", one)


def _holders_of(config: RouterConfig) -> Iterator[_Holder]:
    for profile in config.profiles.values():
        if profile.auth_local not in SIGNATURE_KEYS:
            continue
        try:
            trustpoint = signing_trustpoint(config, profile)
            identity = local_identity(config, profile)
        except InputError:
            continue
        yield _Holder(config, identity, subject_name(config, trustpoint), authority(config, trustpoint))


def authority(config: RouterConfig, trustpoint: Trustpoint) -> str:
    """Return the name of the CA behind a trustpoint."""
    if trustpoint.enrollment == "selfsigned":
        return f"{config.hostname} itself"
    return f"the CA at {trustpoint.enrollment_url}" if trustpoint.enrollment_url else f"the CA of {trustpoint.name}"


def trusted(config: RouterConfig) -> tuple[str, ...]:
    """Return the CAs whose certificates a router accepts: those of its trustpoints, each once."""
    trustpoints = (t for t in config.trustpoints.values() if t.enrollment != "selfsigned")
    return tuple(dict.fromkeys(authority(config, t) for t in trustpoints))


def serial_of(config: RouterConfig, configs: Sequence[RouterConfig]) -> int:
    """Return the serial number of a router's certificates: no CA gives two routers the same one."""
    return 1 + next(number for number, other in enumerate(configs) if other is config)


def revocation(config: RouterConfig) -> dict[str, tuple[RevocationMethod, ...]]:
    """Return how a router looks up the status of certificates, by CA; IOS fetches the CRL unless told otherwise."""
    checks: dict[str, tuple[RevocationMethod, ...]] = {}
    for trustpoint in config.trustpoints.values():
        if trustpoint.enrollment != "selfsigned":
            methods = trustpoint.revocation_check or ["crl"]
            known = tuple(m for word in methods for m in REVOCATION_METHODS if m == word)
            checks.setdefault(authority(config, trustpoint), known)
    return checks


def _signature(pair: KeyPair) -> str:
    """Return the signature algorithm of a key pair whose size is known. Raises InputError."""
    algorithm = f"{pair.kind}{pair.size}"
    if algorithm not in SIGNATURES:
        sizes = [str(s.bits) for name, s in SIGNATURES.items() if name.startswith(pair.kind)]
        raise InputError(
            f"{KEY_WORDS[pair.kind]} key of size {pair.size} is not simulated; allowed: {', '.join(sizes)}",
            where(pair.line),
        )
    return algorithm


def _holds(entry: CertificateMapEntry, holder: _Holder) -> bool:
    return all(_rule_holds(rule, holder) for rule in entry.rules)


def _rule_holds(rule: CertificateRule, holder: _Holder) -> bool:
    """Return whether a certificate passes one test. IOS compares names without regard to case and spaces."""
    fields = {
        "subject-name": holder.subject,
        "name": holder.subject,
        "unstructured-subject-name": holder.subject,
        "issuer-name": holder.issuer,
        "alt-subject-name": "" if holder.identity.kind == "dn" else holder.identity.value,
    }
    if rule.field not in fields or rule.operator not in ("eq", "ne", "co", "nc"):
        allowed = "eq, ne, co, nc of subject-name, issuer-name, alt-subject-name"
        raise InputError(
            f"'{rule.line.text}' of a certificate map is not simulated; allowed: {allowed}", where(rule.line)
        )
    found, wanted = ("".join(text.lower().split()) for text in (fields[rule.field], rule.value))
    result = wanted in found if rule.operator in ("co", "nc") else wanted == found
    return result is (rule.operator in ("eq", "co"))
