"""The section ``radius:`` of a scenario: RADIUS servers by address, what they know and when they are down."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PlainSerializer, PlainValidator, model_validator

from ..models.aaa.directory import Account, Directory
from ..models.aaa.eap_server import EapBackend
from ..models.aaa.packets import MOST_VALUE_BYTES
from ..models.aaa.rights import rights_of
from ..models.algorithms import SIGNATURES
from ..models.eap.packets import EapMethod
from ..models.eap.rules import EapRules, Surroundings, TlsVersion
from ..models.errors import InputError, unknown_name
from ..models.ikev2.identity import Identity
from ..models.ikev2.policy import Certificate, Credential, EapAccount
from ..models.implementation import Implementation, load_implementation
from ..models.ios.read_pki import same_url
from ..models.randomness import Stream, make_key
from ..models.secret import Secret
from ..models.units import seconds
from ..models.values import RECOLLECTION, Ledger, Value
from ..models.yaml_input import load_yaml, validate
from ..simulate.radius import DEFAULT_LATENCY, DEFAULT_SERVICE, DEFAULT_WORKERS, ServerPlan, ServiceLaw

#: Longest key or password: what Tunnel-Password and User-Password can hold, and an AV-pair with its name. [bytes]
MOST_KEY_BYTES = 128
#: Methods of EAP of a RADIUS server: those that need a password of the account, and EAP-TLS with certificates.
EAP_METHODS: tuple[EapMethod, ...] = ("mschapv2", "gtc", "md5", "tls")
#: Length of a server's certificate with an RSA-2048 key when nothing is said. [bytes]
CERTIFICATE = Value(value=1100, unit="bytes", kind="assumed", source=RECOLLECTION, range=(700, 2000))
#: Whose numbers an EAP server uses that is not described.
_EAP_IMPLEMENTATION = "strongswan"


@dataclass(frozen=True, slots=True)
class Key:
    """A key or password: the secret, its length, and the pseudonym under which a result stores it."""

    secret: Secret
    n_bytes: int
    pseudonym: str = "<secret>"

    @property
    def sized(self) -> Secret:
        """A secret as long as the key: what a pseudonym stands for may be sent itself (EAP-GTC)."""
        if self.secret.n_bytes == self.n_bytes:
            return self.secret
        return Secret(self.pseudonym.encode().rjust(self.n_bytes)[-self.n_bytes :])


def _key(value: Any) -> Key:
    """Return the key that a scenario holds; a stored one is a pseudonym with the length of the key it stands for."""
    if isinstance(value, Key):
        return value
    if isinstance(value, dict) and set(value) == {"pseudonym", "bytes"}:
        name = str(value["pseudonym"])
        return Key(Secret(name), int(value["bytes"]), name)
    if not isinstance(value, str) or not 1 <= len(value.encode()) <= MOST_KEY_BYTES:
        raise ValueError(f"a text of 1 to {MOST_KEY_BYTES} octets is needed, in quotes if it looks like a number")
    return Key(Secret(value), len(value.encode()))


def _stored(key: Key) -> dict[str, object]:
    return {"pseudonym": key.pseudonym, "bytes": key.n_bytes}


KeyText = Annotated[Key, PlainValidator(_key), PlainSerializer(_stored)]
Duration = Annotated[float, BeforeValidator(lambda v: seconds(v)), Field(ge=0, allow_inf_nan=False)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True, arbitrary_types_allowed=True)


class AccountYaml(_Strict):
    """A user or a group. ``psk`` is both keys; ``reply`` the AV-pairs of Access-Accept."""

    psk: KeyText | None = None
    psk_local: KeyText | None = Field(default=None, alias="psk-local")
    psk_remote: KeyText | None = Field(default=None, alias="psk-remote")
    password: KeyText | None = None
    reply: list[str] = []

    @model_validator(mode="after")
    def _keys_and_pairs_are_whole(self) -> AccountYaml:
        if self.psk is not None and (self.psk_local is not None or self.psk_remote is not None):
            raise ValueError("give psk, or psk-local and psk-remote, not both")
        if (self.psk_local is None) != (self.psk_remote is None):
            raise ValueError("psk-local and psk-remote need each other")
        for pair in self.reply:
            if "password" in pair.partition("=")[0]:
                raise ValueError("a key does not belong in reply; write psk, or psk-local and psk-remote")
            if len(pair.encode()) > MOST_VALUE_BYTES - 6:
                raise ValueError(f"an AV-pair has at most {MOST_VALUE_BYTES - 6} octets, '{pair[:20]}...' has more")
            rights_of([pair], None)
        return self

    def account(self, name: str) -> Account:
        """Return the account."""
        local, remote = self.psk or self.psk_local, self.psk or self.psk_remote
        return Account(
            name,
            local.secret if local is not None else None,
            remote.secret if remote is not None else None,
            (local.n_bytes if local is not None else 0, remote.n_bytes if remote is not None else 0),
            tuple(self.reply),
            self.password.sized if self.password is not None else None,
        )


class RadiusOutageYaml(_Strict):
    """A time at which a server is down."""

    start: Duration = Field(alias="from")
    stop: Duration = Field(alias="to")

    @model_validator(mode="after")
    def _it_has_a_length(self) -> RadiusOutageYaml:
        if self.stop <= self.start:
            raise ValueError(f"ends at {self.stop:g} s, not after its beginning at {self.start:g} s")
        return self


class CertificateYaml(_Strict):
    """The certificate with which a server proves itself in EAP-TLS.

    ``authority``: the CA that has signed it, by the enrollment URL or the name of a trustpoint. ``bytes``: its length
    in DER; None: assumed and noted as such.
    """

    authority: str = Field(min_length=1)
    algorithm: str = "rsa2048"
    bytes: int | None = Field(default=None, ge=100, le=20_000)

    @model_validator(mode="after")
    def _its_algorithm_is_known(self) -> CertificateYaml:
        if self.algorithm not in SIGNATURES:
            raise unknown_name("signature algorithm", self.algorithm, SIGNATURES)
        return self

    def credential(self, owner: str, ledger: Ledger) -> Credential:
        """Return the certificate with its private key."""
        n_bytes = round(ledger.read(owner, "certificate", CERTIFICATE)) if self.bytes is None else self.bytes
        key, issuer = Secret(f"private key of {owner}"), certificate_authority(self.authority)
        identity = Identity("fqdn", owner.replace(" ", "-"))
        return Credential((Certificate(identity, self.algorithm, n_bytes, issuer, self.algorithm, key),), key)


class _AccountsFile(_Strict):
    accounts: dict[str, AccountYaml]


class RadiusYaml(_Strict):
    """One RADIUS server. A key that is left out is assumed and noted as such.

    ``accounts``: by name, or a YAML file with a key ``accounts``. ``secret``: None: the one that each router has.
    ``eap``: methods of its EAP server, in the order in which it proposes them. ``certificate``: its own of EAP-TLS.
    ``trusts``: the CAs whose certificates clients may show there; none: that of its own certificate.
    """

    latency: Duration | None = None
    loss: float = Field(default=0.0, ge=0, lt=1)
    workers: int | None = Field(default=None, ge=1, le=10000)
    service: Duration | None = None
    law: ServiceLaw = "exponential"
    outages: list[RadiusOutageYaml] = []
    secret: KeyText | None = None
    accounts: dict[str, AccountYaml] | str = {}
    eap: list[str] = []
    certificate: CertificateYaml | None = None
    trusts: list[str] = []
    tls: TlsVersion = "1.2"

    @model_validator(mode="after")
    def _its_eap_is_known(self) -> RadiusYaml:
        for method in self.eap:
            if method not in EAP_METHODS:
                raise unknown_name("EAP method of a RADIUS server", method, EAP_METHODS)
        if "tls" in self.eap and self.certificate is None:
            raise ValueError("eap: tls needs a certificate of the server, such as 'certificate: {authority: MY-CA}'")
        return self


def certificate_authority(name: str) -> str:
    """Return a CA as trustpoints know it, by their enrollment URL or, where they have none, their name."""
    return f"the CA at {same_url(name)}" if "://" in name else f"the CA of {name}"


def with_accounts(radius: Mapping[str, RadiusYaml], path: Path) -> dict[str, RadiusYaml]:
    """Return the servers with the accounts of the files that they name, relative to ``path``. Raises InputError."""
    found = {}
    for address, server in radius.items():
        try:
            IPv4Address(address)
        except ValueError:
            raise InputError(f"radius.{address}: the IPv4 address of a server is needed", str(path)) from None
        if isinstance(server.accounts, str):
            file = path.parent / server.accounts
            accounts = validate(load_yaml(file), _AccountsFile, file).accounts
            server = server.model_copy(update={"accounts": accounts})
        found[address] = server
    return found


def server_plans(radius: Mapping[str, RadiusYaml], ledger: Ledger, seed: int) -> dict[IPv4Address, ServerPlan]:
    """Return the servers by address; what is not said of them is noted as assumed."""
    return {
        IPv4Address(address): _plan(IPv4Address(address), server, ledger, seed) for address, server in radius.items()
    }


def _plan(address: IPv4Address, server: RadiusYaml, ledger: Ledger, seed: int) -> ServerPlan:
    owner = f"RADIUS server {address}"
    assert not isinstance(server.accounts, str)
    accounts = {name: account.account(name) for name, account in server.accounts.items()}
    latency_s = ledger.read(owner, "latency", DEFAULT_LATENCY) if server.latency is None else server.latency
    service_s = ledger.read(owner, "service time", DEFAULT_SERVICE) if server.service is None else server.service
    workers = int(ledger.read(owner, "workers", DEFAULT_WORKERS)) if server.workers is None else server.workers
    return ServerPlan(
        address,
        Directory(accounts, _eap(server, accounts, ledger, owner, seed) if server.eap else None),
        latency_s,
        server.loss,
        workers,
        service_s,
        server.law,
        tuple((outage.start, outage.stop) for outage in sorted(server.outages, key=lambda o: o.start)),
        server.secret.secret if server.secret is not None else None,
    )


def _eap(server: RadiusYaml, accounts: Mapping[str, Account], ledger: Ledger, owner: str, seed: int) -> EapBackend:
    chosen: tuple[EapMethod, ...] = tuple(method for method in EAP_METHODS if method in server.eap)
    ordered = tuple(sorted(chosen, key=server.eap.index))
    credential = server.certificate.credential(owner, ledger) if server.certificate is not None else None
    known = server.trusts or ([server.certificate.authority] if server.certificate is not None else [])
    trusted = tuple(certificate_authority(name) for name in known)
    users = tuple(EapAccount(name, one.password) for name, one in accounts.items() if one.password is not None)
    numbers = Implementation(load_implementation(_EAP_IMPLEMENTATION), ledger)
    draws = Stream(make_key(seed, owner, "eap"))
    rules = EapRules(ordered, users, credential=credential, trusted=trusted, tls_version=server.tls)
    return EapBackend(rules, Surroundings(numbers.count, draws.bits))


class Pseudonyms:
    """A pseudonym for each key of a scenario; ``names``: those of its configurations, by secret."""

    def __init__(self, names: Mapping[str, str]) -> None:
        self._by_secret = {Secret(text): pseudonym for text, pseudonym in names.items()}

    def __call__(self, key: Key | None) -> Key | None:
        """Return a key that is stored under its pseudonym."""
        if key is None:
            return None
        pseudonym = self._by_secret.setdefault(key.secret, f"secret-{len(self._by_secret) + 1}")
        return Key(key.secret, key.n_bytes, pseudonym)


def with_pseudonyms(radius: Mapping[str, RadiusYaml], renamed: Pseudonyms) -> dict[str, RadiusYaml]:
    """Return the servers with a pseudonym for each key."""
    changed = {}
    for address, server in radius.items():
        assert not isinstance(server.accounts, str)
        accounts = {
            name: account.model_copy(
                update={
                    field: renamed(getattr(account, field)) for field in ("psk", "psk_local", "psk_remote", "password")
                }
            )
            for name, account in server.accounts.items()
        }
        changed[address] = server.model_copy(update={"accounts": accounts, "secret": renamed(server.secret)})
    return changed
