"""How one IKEv2 implementation behaves, as data: payload order, vendor IDs, nonce length, timers, choices.

The state machines hold the rules of RFC 7296; whatever an implementation is free to choose stands in one YAML file of
``models/implementations``. Most of what is written there about IOS is not published: those values are assumed and say
so.
"""

from __future__ import annotations

from functools import lru_cache
from importlib.resources import files
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from .errors import InputError, unknown_name
from .values import RECOLLECTION, Kind, Ledger, Value
from .yaml_input import place, read_yaml

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
]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Part(_Strict):
    """One payload of a composition: its token and the condition under which it is sent."""

    payload: str
    when: Condition | None = None


class Compositions(_Strict):
    """Payloads of each message, in the order in which they are sent (fact sheet A.17).

    Tokens: ``SA KE Nonce IDi IDr CERT CERTREQ AUTH EAP CP TSi TSr Delete``, ``VID:name`` and ``N:NOTIFY_TYPE``.
    """

    ike_sa_init_request: list[Part | str]
    ike_sa_init_response: list[Part | str]
    ike_auth_request: list[Part | str]
    ike_auth_response: list[Part | str]
    create_child_sa_request: list[Part | str]
    create_child_sa_response: list[Part | str]


class ConfigAttribute(_Strict):
    """One attribute of the configuration request (RFC 7296 3.15.1): its number and the length of its value."""

    name: str
    number: int
    bytes: Value


class DefaultProposal(_Strict):
    """What is offered when the configuration names no proposal ("smart default")."""

    kind: Kind
    source: str
    note: str = ""
    encryption: list[str]
    integrity: list[str]
    prf: list[str]
    groups: list[int]


class DefaultTransformSet(_Strict):
    """The transform set that is used when the configuration names none."""

    kind: Kind
    source: str
    note: str = ""
    encryption: str
    integrity: str
    mode: Literal["tunnel", "transport"]


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
    rekey_jitter: Value = Field(description="largest random advance of a rekey, as a fraction of the lifetime")
    max_in_negotiation_incoming: Value
    max_in_negotiation_outgoing: Value
    default_ike_lifetime_s: Value
    default_child_lifetime_s: Value
    default_child_lifetime_kilobytes: Value
    replay_window: Value
    fragment_ip_bytes: Value = Field(description="longest IP packet that is sent whole where fragments are (RFC 7383)")
    additional_key_exchange_link_bytes: Value = Field(description="data of N(ADDITIONAL_KEY_EXCHANGE) (RFC 9370)")
    eap_server_name_bytes: Value = Field(description="name of the EAP server in an MSCHAPv2 challenge")
    eap_success_text_bytes: Value = Field(description="text of an MSCHAPv2 success request")


class ImplementationProfile(_Strict):
    """One YAML file of ``models/implementations``."""

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
    #: Whether a new attempt follows a failed one at all.
    restarts: bool
    #: What each source id of a value stands for.
    sources: dict[str, str]
    vendor_ids: dict[str, Value] = Field(description="length of the vendor ID's data by name")
    config_request: list[ConfigAttribute] = []
    compositions: Compositions
    values: ImplementationValues
    default_proposal: DefaultProposal
    default_transform_set: DefaultTransformSet

    def has_mobike(self) -> bool:
        """Return whether the implementation can offer MOBIKE (RFC 4555)."""
        return any(isinstance(part, Part) and part.when == "mobike" for part in self.compositions.ike_auth_request)


class Implementation:
    """A profile whose numbers are noted in a ledger when they are read for the first time."""

    def __init__(self, profile: ImplementationProfile, ledger: Ledger) -> None:
        self.profile = profile
        self.name = profile.name
        self._ledger = ledger
        self._numbers: dict[str, float] = {}

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
        return round(self.number(name))

    def vendor_id_bytes(self, name: str) -> int:
        """Return the length of a vendor ID's data. [bytes]"""
        key = f"vendor ID {name}"
        if key not in self._numbers:
            return round(self._note(key, self.profile.vendor_ids[name]))
        return round(self._numbers[key])

    def config_attributes(self) -> list[tuple[str, int, int]]:
        """Return (name, number, value length in bytes) of the configuration request's attributes."""
        return [
            (a.name, a.number, round(self._note(f"configuration attribute {a.name}", a.bytes)))
            for a in self.profile.config_request
        ]

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
    if name.endswith((".yaml", ".yml")):
        path = Path(name)
    elif name in implementation_names():
        path = Path(str(files(__package__) / "implementations" / f"{name}.yaml"))
    else:
        raise unknown_name("implementation profile", name, implementation_names())
    profile = read_yaml(path, ImplementationProfile)
    _check_sources(profile, path)
    for composition in profile.compositions.model_dump().values():
        for part in composition:
            token = part if isinstance(part, str) else part["payload"]
            vendor = token.removeprefix("VID:")
            if vendor != token and vendor not in profile.vendor_ids:
                raise InputError(f"vendor ID '{vendor}' of a composition is not in vendor_ids", str(path))
    return profile


def _check_sources(profile: ImplementationProfile, path: Path) -> None:
    numbers = {name: getattr(profile.values, name) for name in ImplementationValues.model_fields}
    stated: list[tuple[tuple[str, ...], Value | DefaultProposal | DefaultTransformSet]] = [
        (("values", name), value) for name, value in numbers.items() if value is not None
    ]
    stated += [(("vendor_ids", name), value) for name, value in profile.vendor_ids.items()]
    stated += [(("config_request",), attribute.bytes) for attribute in profile.config_request]
    stated += [(("default_proposal",), profile.default_proposal)]
    stated += [(("default_transform_set",), profile.default_transform_set)]
    for location, value in stated:
        if value.source == RECOLLECTION and value.kind != "assumed":
            message = f"{location[-1]}: what is only remembered is assumed, not {value.kind}"
            raise InputError(message, place(path, location))
        if value.source not in (RECOLLECTION, *profile.sources):
            raise unknown_name("source", value.source, [*profile.sources, RECOLLECTION], place(path, location))


def implementation_for_version(version: str | None) -> str:
    """Return the profile name that an IOS ``version`` line selects; ``ios-xe-16.9`` where nothing better is known."""
    for name in implementation_names():
        if version in load_implementation(name).selected_by_versions:
            return name
    return "ios-xe-16.9"
