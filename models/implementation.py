"""How one IKEv2 implementation behaves, as data: payload order, vendor IDs, nonce length, timers, choices.

The state machines hold the rules of RFC 7296; whatever an implementation is free to choose stands in one YAML file of
``models/implementations``. Most of what is written there about IOS is not published: those values are assumed and say
so.
"""

from __future__ import annotations

from functools import lru_cache
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, Field, model_validator

from .eap import stack
from .errors import InputError, unknown_name
from .ikev2.proposals import EspProposal, IkeProposal
from .notation import parse_esp_list, parse_ike_list
from .values import RECOLLECTION, Kind, Ledger, Value
from .yaml_input import load_yaml, place, validate

#: Conditions that a payload of a composition may depend on.
Condition = Literal[
    "fragmentation",
    "transport",
    "config_request",
    "initial_contact",
    "expected_peer",
    "certificate_request",
    "intermediate",
    "mobike",
    "redirect",
    "ppk",
]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Part(NamedTuple):
    """One payload of a composition: its token and the condition under which it is sent."""

    payload: str
    when: Condition | None = None


class Compositions(_Strict):
    """Payloads of each message, in the order in which they are sent (fact sheet A.17).

    Tokens: ``SA KE Nonce IDi IDr CERT CERTREQ AUTH EAP CP TSi TSr Delete``, ``VID:name`` and ``N:NOTIFY_TYPE``.
    """

    ike_sa_init_request: tuple[Part | str, ...]
    ike_sa_init_response: tuple[Part | str, ...]
    ike_auth_request: tuple[Part | str, ...]
    ike_auth_response: tuple[Part | str, ...]
    create_child_sa_request: tuple[Part | str, ...]
    create_child_sa_response: tuple[Part | str, ...]


class ConfigAttribute(_Strict):
    """One attribute of the configuration request (RFC 7296 3.15.1): its number and the length of its value."""

    name: str
    number: int
    bytes: Value


class DefaultIke(_Strict):
    """What is offered when the configuration names no proposal ("smart default"), in strongSwan's notation."""

    kind: Kind
    source: str
    note: str = ""
    proposals: list[str] = Field(min_length=1)


class DefaultEsp(_Strict):
    """What is offered for a Child SA when the configuration names nothing; a group in it is for rekeys alone."""

    kind: Kind
    source: str
    note: str = ""
    proposals: list[str] = Field(min_length=1)
    mode: Literal["tunnel", "transport"]


#: How a client can prove who its user is.
ClientMethod = Literal["pre-share", "certificate", "eap-mschapv2", "eap-tls", "eap-gtc", "anyconnect-eap"]


#: Work of the control plane, for an order of priority: the first request of a peer that is not known, what belongs to
#: an exchange, and everything else.
Job = Literal["new-peer", "IKE_AUTH", "CREATE_CHILD_SA", "INFORMATIONAL", "certificate", "other"]


class JobPriorities(_Strict):
    """In which order work waits for the CPU: classes of jobs, the one that is served first before the others."""

    kind: Kind
    source: str
    note: str = ""
    classes: list[list[Job]] = Field(min_length=1)

    @model_validator(mode="after")
    def _every_job_has_one_class(self) -> JobPriorities:
        named = [job for one in self.classes for job in one]
        double = next((job for job in named if named.count(job) > 1), None)
        if double is not None:
            raise ValueError(f"classes: '{double}' is named twice")
        if "other" not in named:
            raise ValueError("classes: one of them must have 'other', the jobs that are not named")
        return self


class ClientHabits(_Strict):
    """What a remote-access client does unless its user tells it otherwise."""

    kind: Kind
    source: str
    note: str = ""
    #: What it calls itself: its address, the name of its user (an e-mail address), or a fixed key ID.
    identity: Literal["address", "user", "key-id"]
    key_id: str = ""
    #: How it can prove who its user is, the usual way first.
    methods: list[ClientMethod] = Field(min_length=1)
    #: By what it lets the server prove itself when its user has chosen EAP.
    server_proves_by: list[Literal["pre-share", "certificate"]] = ["certificate"]
    #: Families of the traffic that it wants to protect: everything of them.
    families: list[Literal["ipv4", "ipv6"]] = ["ipv4"]


class ImplementationValues(_Strict):
    """Every number of an implementation. Times in seconds, sizes in bytes."""

    nonce_bytes: Value
    cookie_bytes: Value
    signature_hash_algorithms: Value = Field(description="number of hash algorithms announced (RFC 7427)")
    window: Value = Field(description="SET_WINDOW_SIZE announced")
    retransmit_first_s: Value
    retransmit_factor: Value
    retransmit_tries: Value = Field(description="retransmissions after the first send")
    restart_after_refusal_s: Value = Field(description="pause before a new attempt when the peer refused")
    restart_after_timeout_s: Value = Field(description="pause before a new attempt when the peer did not answer")
    temporary_failure_wait_s: Value = Field(description="pause after TEMPORARY_FAILURE (RFC 7296 2.25)")
    half_open_timeout_s: Value
    dpd_sends: Value | None = Field(default=None, description="unanswered DPD probes, the first included")
    dpd_final_wait_s: Value | None = Field(default=None, description="wait after the last unanswered probe")
    rekey_margin_s: Value = Field(description="an SA is rekeyed this long before its lifetime ends")
    nat_keepalive_s: Value | None = Field(default=None, description="pause before a NAT keepalive; 0: none by default")
    rekey_margin_kilobytes: Value | None = Field(default=None, description="... this much before its limit of volume")
    rekey_margin_volume: Value | None = Field(default=None, description="the same as a fraction of the limit")
    rekey_jitter: Value = Field(description="largest random advance of a rekey, as a fraction of the lifetime")
    max_in_negotiation_incoming: Value
    max_in_negotiation_outgoing: Value
    init_queue: Value | None = Field(default=None, description="requests of IKE_SA_INIT that may wait for the CPU")
    default_ike_lifetime_s: Value
    default_child_lifetime_s: Value
    default_child_lifetime_kilobytes: Value
    replay_window: Value
    fragment_ip_bytes: Value = Field(description="longest IP packet that is sent whole where fragments are (RFC 7383)")
    additional_key_exchange_link_bytes: Value = Field(description="data of N(ADDITIONAL_KEY_EXCHANGE) (RFC 9370)")
    route_distance: Value | None = Field(default=None, description="administrative distance of announced routes")
    eap_server_name_bytes: Value = Field(description="name of the EAP server in an MSCHAPv2 challenge")
    eap_success_text_bytes: Value = Field(description="text of an MSCHAPv2 success request")
    eap_timeout_s: Value | None = Field(
        default=None, description="how long an EAP responder waits for each request; none: the half-open time goes on"
    )
    eap_tls_fragment_bytes: Value = Field(default=stack.TLS_FRAGMENT, description="longest EAP-TLS packet")
    tls_session_id_bytes: Value = Field(default=stack.TLS_SESSION_ID, description="session ID of a TLS 1.2 server")
    tls_cipher_suites: Value = Field(default=stack.TLS_CIPHER_SUITES, description="offered by a TLS client")
    tls_signature_algorithms: Value = Field(default=stack.TLS_SIGNATURE_ALGORITHMS, description="announced in TLS")
    tls_groups: Value = Field(default=stack.TLS_GROUPS, description="offered by a TLS client")
    anyconnect_hello_bytes: Value = Field(default=stack.ANYCONNECT_HELLO, description="AnyConnect-EAP packet")
    anyconnect_init_bytes: Value = Field(default=stack.ANYCONNECT_INIT, description="AnyConnect-EAP packet")
    anyconnect_form_bytes: Value = Field(default=stack.ANYCONNECT_FORM, description="AnyConnect-EAP packet")
    anyconnect_reply_bytes: Value = Field(default=stack.ANYCONNECT_REPLY, description="AnyConnect-EAP packet")
    anyconnect_complete_bytes: Value = Field(default=stack.ANYCONNECT_COMPLETE, description="AnyConnect-EAP packet")
    anyconnect_acknowledgement_bytes: Value = Field(
        default=stack.ANYCONNECT_ACKNOWLEDGEMENT, description="AnyConnect-EAP packet"
    )


class ImplementationProfile(_Strict):
    """One YAML file of ``models/implementations``; ``extends: NAME`` there takes the rest from another one."""

    name: str
    title: str
    platform: Literal["cisco", "other"]
    #: IOS versions (``version 16.9`` of a configuration) that select this profile by themselves.
    selected_by_versions: list[str] = []
    #: True: shared secret and keys are computed before IKE_SA_INIT is answered; False: when IKE_AUTH arrives.
    eager_shared_secret: bool
    #: Whether N(FRAGMENTATION_SUPPORTED) is sent without being configured.
    announces_fragmentation: bool
    #: Whether a CA's signature on a certificate that was seen before is not checked again.
    caches_issuer_check: bool
    #: What the initiator does when it does not accept the responder's identity or AUTH: leave the responder alone
    #: with its SAs, or tell it (RFC 7296 2.21.2).
    reports_rejected_responder: bool
    #: Whether an IKE SA is deleted when its first Child SA is refused, or kept without one.
    deletes_ike_sa_without_child: bool
    #: When DPD probes are repeated: every ``retry`` of the configuration, or as any other request.
    dpd_schedule: Literal["retry", "retransmission"]
    #: Whether it can resume sessions by tickets (RFC 5723). None that was seen does.
    session_resumption: bool = False
    #: Whether a new attempt follows a failed one at all.
    restarts: bool
    #: What each source id of a value stands for.
    sources: dict[str, str]
    vendor_ids: dict[str, Value] = Field(description="length of the vendor ID's data by name")
    config_request: list[ConfigAttribute] = []
    #: Whether a configuration reply has what the request names and nothing else.
    answers_only_what_is_asked: bool = True
    #: Whether a responder takes the common part of the traffic selectors (RFC 7296 2.9), or its own exactly.
    narrows_selectors: bool = False
    compositions: Compositions
    values: ImplementationValues
    #: Whether a client that was given an address may send from it alone, unless it says that it knows FlexVPN.
    confines_clients: bool = False
    #: Whether a peer whose IKE identity is an address is refused where that is taken as the name of an EAP user.
    refuses_address_as_eap_user: bool = False
    default_ike: DefaultIke
    default_esp: DefaultEsp
    #: None: first come, first served.
    job_priorities: JobPriorities | None = None
    #: Of a remote-access client alone.
    client: ClientHabits | None = None

    def has_multiple_authentication(self) -> bool:
        """Return whether the implementation lets an initiator prove itself twice (RFC 4739)."""
        announced = (self.compositions.ike_auth_request, self.compositions.ike_sa_init_response)
        return all("N:MULTIPLE_AUTH_SUPPORTED" in parts for parts in announced)

    def has_ppk(self) -> bool:
        """Return whether the implementation can use post-quantum pre-shared keys (RFC 8784)."""
        return any(isinstance(part, Part) and part.when == "ppk" for part in self.compositions.ike_sa_init_request)

    def has_mobike(self) -> bool:
        """Return whether the implementation can offer MOBIKE (RFC 4555)."""
        return any(isinstance(part, Part) and part.when == "mobike" for part in self.compositions.ike_auth_request)

    def job_levels(self) -> dict[str, int]:
        """Return the level of each job that has one of its own, and of ``other``; 0 is served first."""
        classes: list[list[Job]] = [["other"]] if self.job_priorities is None else self.job_priorities.classes
        return {job: level for level, jobs in enumerate(classes) for job in jobs}

    def has_request_windows(self) -> bool:
        """Return whether the implementation announces a request window, and makes use of its peer's (RFC 7296 2.3)."""
        return "N:SET_WINDOW_SIZE" in self.compositions.ike_auth_request

    def ike_proposals(self) -> tuple[IkeProposal, ...]:
        """Return what is offered, and accepted, when the configuration names no proposal."""
        return _parsed_ike(tuple(self.default_ike.proposals))

    def esp_proposals(self) -> tuple[EspProposal, ...]:
        """Return the same for Child SAs."""
        return _parsed_esp(tuple(self.default_esp.proposals))


@lru_cache(maxsize=64)
def _parsed_ike(texts: tuple[str, ...]) -> tuple[IkeProposal, ...]:
    return parse_ike_list(",".join(texts))


@lru_cache(maxsize=64)
def _parsed_esp(texts: tuple[str, ...]) -> tuple[EspProposal, ...]:
    return parse_esp_list(",".join(texts))


class Implementation:
    """A profile whose numbers are noted in a ledger when they are read for the first time."""

    def __init__(self, profile: ImplementationProfile, ledger: Ledger) -> None:
        self.profile = profile
        self.name = profile.name
        self._ledger = ledger
        self._numbers: dict[str, float] = {}
        self._counts: dict[str, int] = {}
        self._config_attributes: tuple[tuple[str, int, int], ...] | None = None

    def number(self, name: str) -> float:
        """Return one of `ImplementationValues`."""
        try:
            return self._numbers[name]
        except KeyError:
            value: Value | None = getattr(self.profile.values, name)
            if value is None:
                raise LookupError(f"implementation {self.name} has no {name}") from None
            return self._note(name, value)

    def count(self, name: str) -> int:
        """Return one of `ImplementationValues` that counts something, as an integer."""
        found = self._counts.get(name)
        if found is None:
            found = self._counts[name] = round(self.number(name))
        return found

    def vendor_id_bytes(self, name: str) -> int:
        """Return the length of a vendor ID's data. [bytes]"""
        key = f"vendor ID {name}"
        if key not in self._numbers:
            return round(self._note(key, self.profile.vendor_ids[name]))
        return round(self._numbers[key])

    def config_attributes(self) -> tuple[tuple[str, int, int], ...]:
        """Return (name, number, value length in bytes) of the configuration request's attributes."""
        if self._config_attributes is None:
            self._config_attributes = tuple(
                (a.name, a.number, round(self._note(f"configuration attribute {a.name}", a.bytes)))
                for a in self.profile.config_request
            )
        return self._config_attributes

    def _note(self, name: str, value: Value) -> float:
        number = self._ledger.read(self.name, name, value)
        self._numbers[name] = number
        return number


def implementation_names() -> list[str]:
    """Return the names of the shipped implementation profiles, sorted."""
    folder = files(__package__) / "implementations"
    return sorted(item.name.removesuffix(".yaml") for item in folder.iterdir() if item.name.endswith(".yaml"))


@lru_cache(maxsize=32)
def load_implementation(name: str) -> ImplementationProfile:
    """Return a shipped implementation profile, or the one in the YAML file that ``name`` points to.

    Raises InputError with the nearest valid name, or with the file and line of a fault.
    """
    path = Path(name) if name.endswith((".yaml", ".yml")) else _shipped(name)
    profile = validate(_merged(path), ImplementationProfile, path)
    _check_sources(profile, path)
    for key, read in (("default_ike", profile.ike_proposals), ("default_esp", profile.esp_proposals)):
        try:
            read()
        except InputError as error:
            raise InputError(error.message, place(path, (key, "proposals"))) from None
    for _message, composition in profile.compositions:
        for part in composition:
            token = part if isinstance(part, str) else part.payload
            vendor = token.removeprefix("VID:")
            if vendor != token and vendor not in profile.vendor_ids:
                raise InputError(f"vendor ID '{vendor}' of a composition is not in vendor_ids", str(path))
    return profile


def client_names() -> list[str]:
    """Return the names of the shipped profiles of remote-access clients, sorted."""
    return [name for name in implementation_names() if load_implementation(name).client is not None]


def _shipped(name: str, where: str = "") -> Path:
    if name not in implementation_names():
        raise unknown_name("implementation profile", name, implementation_names(), where)
    return Path(str(files(__package__) / "implementations" / f"{name}.yaml"))


def _merged(path: Path) -> Any:
    """Return the document of a file, over the shipped one that its ``extends`` names (one level)."""
    document = load_yaml(path)
    if not isinstance(document, dict) or "extends" not in document:
        return document
    where = place(path, ("extends",))
    below = load_yaml(_shipped(str(document.pop("extends")), where))
    if "extends" in below:
        raise InputError(f"extends: '{below['name']}' extends another profile itself", where)
    # A version selects one profile.
    below.pop("selected_by_versions", None)
    return _over(below, document)


def _over(below: Any, above: Any) -> Any:
    """Return ``above`` merged over ``below``; a value with its kind, and a list, is replaced."""
    if not (isinstance(below, dict) and isinstance(above, dict)) or "kind" in above:
        return above
    return below | {name: _over(below.get(name), inner) for name, inner in above.items()}


def _check_sources(profile: ImplementationProfile, path: Path) -> None:
    numbers = {name: getattr(profile.values, name) for name in ImplementationValues.model_fields}
    stated: list[tuple[tuple[str, ...], Value | DefaultIke | DefaultEsp | JobPriorities | ClientHabits]] = [
        (("values", name), value) for name, value in numbers.items() if value is not None
    ]
    stated += [(("vendor_ids", name), value) for name, value in profile.vendor_ids.items()]
    stated += [(("config_request",), attribute.bytes) for attribute in profile.config_request]
    stated += [(("default_ike",), profile.default_ike), (("default_esp",), profile.default_esp)]
    if profile.job_priorities is not None:
        stated.append((("job_priorities",), profile.job_priorities))
    stated += [(("client",), profile.client)] if profile.client is not None else []
    for location, value in stated:
        if value.source == RECOLLECTION and value.kind != "assumed":
            message = f"{location[-1]}: what is only remembered is assumed, not {value.kind}"
            raise InputError(message, place(path, location))
        if value.source not in (RECOLLECTION, *profile.sources):
            raise unknown_name("source", value.source, [*profile.sources, RECOLLECTION], place(path, location))


@lru_cache(maxsize=256)
def implementation_for_version(version: str | None) -> str:
    """Return the profile name that an IOS ``version`` line selects; ``ios-xe-16.9`` where nothing better is known."""
    for name in implementation_names():
        if version in load_implementation(name).selected_by_versions:
            return name
    return "ios-xe-16.9"
