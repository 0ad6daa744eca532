"""The section ``clients:`` of a scenario: groups of remote-access clients that connect while the scenario runs.

What this leaves out: clients that leave and come back, traffic of clients unless ``traffic:`` names it.
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterable, Mapping
from ipaddress import IPv4Address
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from ..hardware.profile import HardwareProfile
from ..hardware.profile_files import load_profile
from ..models.errors import InputError, unknown_name
from ..models.ikev2.policy import EapAccount
from ..models.implementation import ClientMethod, ImplementationProfile, client_names, load_implementation
from ..models.ios.config import RouterConfig
from ..models.randomness import Stream, make_key
from ..models.secret import Secret
from ..models.topology import LINK_MTU_BYTES, LinkSettings, address_owners
from ..models.units import bits_per_second, octets, quantity
from ..models.yaml_input import read_text
from ..simulate.clients import ClientPlan, addresses_from
from .radius_scenario import Duration, KeyText, Pseudonyms, RadiusYaml, certificate_authority

#: Addresses of clients, one after the other: what hosts behind a provider's NAT have (RFC 6598).
FIRST_CLIENT = IPv4Address("100.64.0.1")
#: Hardware of a client when nothing is said. No client's own is known; this is a PC with OpenSSL.
DEFAULT_HARDWARE = "linux-strongswan-openssl"
#: Ways to authenticate that need no user.
_WITHOUT_USER = ("pre-share", "certificate")
#: Columns of a file of users.
USER_COLUMNS = ("name", "password")

Bps = Annotated[float, BeforeValidator(lambda v: bits_per_second(v)), Field(gt=0, allow_inf_nan=False)]
PerSecond = Annotated[float, BeforeValidator(lambda v: quantity(v, "1 / second")), Field(gt=0, allow_inf_nan=False)]
Mtu = Annotated[float, BeforeValidator(lambda v: octets(v)), Field(ge=68, le=65535)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True, arbitrary_types_allowed=True)


class UserYaml(_Strict):
    """A user of the clients and the password that is typed in, right or wrong."""

    name: str = Field(min_length=1)
    password: KeyText


class AccessYaml(_Strict):
    """The access link of each client of a group; one way. A key that is left out is assumed and noted as such."""

    delay: Duration | None = None
    jitter: Duration = 0.0
    loss: float = Field(default=0.0, ge=0, lt=1)
    rate: Bps | None = None
    mtu: Mtu | None = None
    drops_fragments: bool = False
    nat_timeout: Annotated[Duration, Field(gt=0)] | None = None


class ClientsYaml(_Strict):
    """One group of clients that are alike.

    ``users``: names with passwords, names alone (the password is then that of the RADIUS account), or a CSV file with
    both; None: the RADIUS accounts that have a password. The clients take them in turn. ``every``: time between two
    clients that connect; ``rate``: connects at random (Poisson), this many in a second. ``authority``: the CA of the
    clients' certificates, by the enrollment URL or the name of a trustpoint; None: that of the server's. ``trusts``:
    CAs that the clients have beside it.
    """

    name: str = Field(pattern=r"^[A-Za-z0-9_.-]+$")
    count: int = Field(default=1, ge=1, le=100_000)
    profile: str
    server: str
    auth: ClientMethod | Literal["psk"] | None = None
    users: list[UserYaml | str] | str | None = None
    key: KeyText | None = None
    authority: str | None = None
    trusts: list[str] = []
    start: Duration = 0.0
    every: Duration | None = None
    rate: PerSecond | None = None
    access: AccessYaml = AccessYaml()
    nat: bool = False
    hardware: str = DEFAULT_HARDWARE

    @model_validator(mode="after")
    def _its_parts_fit_together(self) -> ClientsYaml:
        if self.every is not None and self.rate is not None:
            raise ValueError("give every or rate, not both")
        if self.access.nat_timeout is not None and not self.nat:
            raise ValueError("access: nat_timeout is given without 'nat: true'")
        if self.users == []:
            raise ValueError("users: at least one user is needed")
        if self.method == "pre-share" and self.key is None:
            raise ValueError("auth: pre-share needs the key of the server: key")
        return self

    @property
    def method(self) -> ClientMethod | None:
        """The method with one word for each."""
        return "pre-share" if self.auth == "psk" else self.auth

    def client_names(self) -> list[str]:
        """Return the name of each client."""
        if self.count == 1:
            return [self.name]
        width = len(str(self.count))
        return [f"{self.name}-{number:0{width}}" for number in range(1, self.count + 1)]


# -- Reading ---------------------------------------------------------------------------------------------------


def with_users(groups: Iterable[ClientsYaml], path: Path) -> list[ClientsYaml]:
    """Return the groups with the users of files, and paths of profiles, relative to ``path``. Raises InputError."""
    found = []
    for group in groups:
        update: dict[str, object] = {}
        if isinstance(group.users, str):
            update["users"] = read_users(path.parent / group.users)
        if group.profile.endswith((".yaml", ".yml")):
            update["profile"] = str(path.parent / group.profile)
        found.append(group.model_copy(update=update))
    return found


def read_users(path: Path) -> list[UserYaml | str]:
    """Return the users of a CSV file with the columns ``name`` and ``password``. Raises InputError with the line."""
    reader = csv.reader(io.StringIO(read_text(path)))
    users: list[UserYaml | str] = []
    header = [word.strip() for word in next(reader, [])]
    if tuple(header) != USER_COLUMNS:
        raise InputError(f"the first line must be '{','.join(USER_COLUMNS)}'", f"{path}:1")
    for row in reader:
        if not row:
            continue
        try:
            name, password = row
            users.append(UserYaml.model_validate({"name": name.strip(), "password": password}))
        except ValueError:
            # What stands there may be a password: it is not repeated.
            message = f"a name and a password of 1 to 128 octets are needed, found {len(row)} columns"
            raise InputError(message, f"{path}:{reader.line_num}") from None
    if not users:
        raise InputError("holds no user", str(path))
    return users


# -- Plans -----------------------------------------------------------------------------------------------------


def client_plans(
    groups: Iterable[ClientsYaml],
    radius: Mapping[str, RadiusYaml],
    configs: list[RouterConfig],
    search: list[Path],
    seed: int,
) -> list[ClientPlan]:
    """Return every client of every group. ``search``: folders of hardware profiles. Raises InputError."""
    plans: list[ClientPlan] = []
    names = {config.hostname for config in configs}
    addresses = addresses_from(FIRST_CLIENT, address_owners(configs))
    groups = list(groups)
    double = next((g.name for g in groups if sum(other.name == g.name for other in groups) > 1), None)
    if double is not None:
        raise InputError(f"two groups are called '{double}'; give one a name of its own", "clients")
    for group in groups:
        where = f"clients: {group.name}"
        implementation, hardware = _implementation(group, where), _hardware(group, search, where)
        accounts = _accounts(group, radius, where)
        if group.server not in (config.hostname for config in configs):
            raise unknown_name("router", group.server, [config.hostname for config in configs], f"{where}: server")
        starts_s = _starts(group, seed)
        for number, name in enumerate(group.client_names()):
            if name in names:
                raise InputError(f"there is already a router or client '{name}'", where)
            names.add(name)
            account = accounts[number % len(accounts)] if accounts else EapAccount(name, Secret(""))
            plans.append(
                ClientPlan(
                    name,
                    group.name,
                    group.server,
                    next(addresses),
                    implementation,
                    hardware,
                    account,
                    group.key.secret if group.key is not None else Secret(""),
                    starts_s[number],
                    _link(group),
                    group.method,
                    certificate_authority(group.authority) if group.authority is not None else "",
                    tuple(certificate_authority(name) for name in group.trusts),
                )
            )
    return plans


def _implementation(group: ClientsYaml, where: str) -> ImplementationProfile:
    if group.profile not in client_names() and not group.profile.endswith((".yaml", ".yml")):
        raise unknown_name("client", group.profile, client_names(), f"{where}: profile")
    implementation = load_implementation(group.profile)
    if implementation.client is None:
        raise InputError(f"{group.profile} is no client: it has no 'client' in its profile", f"{where}: profile")
    if group.method is not None and group.method not in implementation.client.methods:
        known = ", ".join(implementation.client.methods)
        raise InputError(f"{group.profile} cannot authenticate by {group.method}, only by {known}", f"{where}: auth")
    return implementation


def _hardware(group: ClientsYaml, search: list[Path], where: str) -> HardwareProfile:
    try:
        profile = load_profile(group.hardware, search)
    except InputError as error:
        raise InputError(error.message, error.where or f"{where}: hardware") from None
    if not profile.ikev2.supported:
        raise InputError(f"{profile.title} cannot run IKEv2: {profile.ikev2.reason}", f"{where}: hardware")
    return profile


def _accounts(group: ClientsYaml, radius: Mapping[str, RadiusYaml], where: str) -> list[EapAccount]:
    """Return the users of a group with their passwords. Raises InputError where one has none."""
    known: dict[str, Secret] = {}
    for server in radius.values():
        assert not isinstance(server.accounts, str)
        for name, account in server.accounts.items():
            if account.password is not None:
                known.setdefault(name, account.password.sized)
    if group.users is None:
        if not known and group.method not in _WITHOUT_USER:
            message = "has no user: give users, or accounts with a password in the section 'radius:'"
            raise InputError(message, where)
        return [EapAccount(name, password) for name, password in known.items()]
    assert not isinstance(group.users, str)
    found = []
    for user in group.users:
        if isinstance(user, UserYaml):
            found.append(EapAccount(user.name, user.password.sized))
        elif user in known:
            found.append(EapAccount(user, known[user]))
        else:
            raise unknown_name("RADIUS account with a password", user, known, f"{where}: users")
    return found


def _starts(group: ClientsYaml, seed: int) -> list[float]:
    """Return when each client connects. [s]"""
    if group.rate is None:
        return [group.start + number * (group.every or 0.0) for number in range(group.count)]
    draws = Stream(make_key(seed, f"clients {group.name}", "arrivals"))
    starts, now_s = [], group.start
    for _ in range(group.count):
        now_s -= math.log(1.0 - draws.uniform()) / group.rate
        starts.append(now_s)
    return starts


def _link(group: ClientsYaml) -> LinkSettings:
    said = group.access
    mtu_bytes = LINK_MTU_BYTES if said.mtu is None else round(said.mtu)
    return LinkSettings(
        said.delay, said.jitter, said.loss, said.rate, group.nat, said.nat_timeout, mtu_bytes, said.drops_fragments
    )


# -- Storing ---------------------------------------------------------------------------------------------------


def stored(groups: Iterable[ClientsYaml], renamed: Pseudonyms) -> list[ClientsYaml]:
    """Return the groups with a pseudonym for each key and password."""
    changed = []
    for group in groups:
        users = group.users
        if isinstance(users, list):
            users = [
                user.model_copy(update={"password": renamed(user.password)}) if isinstance(user, UserYaml) else user
                for user in users
            ]
        changed.append(group.model_copy(update={"users": users, "key": renamed(group.key)}))
    return changed
