"""How one IKEv1 implementation composes its messages, as data: payload order, vendor IDs, lengths, lifetimes.

The rules of RFC 2409 stand in `exchanges`; what an implementation is free to choose stands in one YAML file each.
"""

from __future__ import annotations

from functools import lru_cache
from importlib.resources import files
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from ..errors import InputError, unknown_name
from ..values import RECOLLECTION, Ledger, Value
from ..yaml_input import place, read_yaml


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Compositions(_Strict):
    """Payloads of each message of phase 1, in order. Tokens: ``SA KE NONCE ID HASH NAT-D``, ``VID:name``, ``N:name``.

    ``CERT`` and ``CERTREQ`` are sent with certificates only, and ``HASH`` is then a signature (RFC 2409 5.1).
    Quick mode and informational exchanges leave nothing to choose (RFC 2409 5.5, 5.7).
    """

    main_1: tuple[str, ...]
    main_2: tuple[str, ...]
    main_3: tuple[str, ...]
    main_4: tuple[str, ...]
    main_5: tuple[str, ...]
    main_6: tuple[str, ...]
    aggressive_1: tuple[str, ...]
    aggressive_2: tuple[str, ...]
    aggressive_3: tuple[str, ...]


class Numbers(_Strict):
    """Lengths in bytes, times in seconds, kilobytes; a Child SA lifetime of None is not named.

    ``fragment_ip_bytes``: longest IP packet that is sent whole; None: messages are never cut.
    """

    nonce_bytes: Value
    ike_lifetime_s: Value
    child_lifetime_s: Value | None = None
    child_lifetime_kilobytes: Value | None = None
    authority_name_bytes: Value
    fragment_ip_bytes: Value | None = None
    retransmit_first_s: Value
    retransmit_factor: Value
    retransmit_tries: Value


class ProfileV1(_Strict):
    """One YAML file of ``models/ikev1``."""

    name: str
    title: str
    pads_whole_block: bool
    names_default_lifetime: bool
    sources: dict[str, str]
    vendor_ids: dict[str, Value]
    compositions: Compositions
    values: Numbers


class ImplementationV1:
    """A profile whose numbers are noted in a ledger when they are read."""

    def __init__(self, profile: ProfileV1, ledger: Ledger) -> None:
        self.profile = profile
        self.name = profile.name
        self._ledger = ledger

    def number(self, name: str) -> int:
        """Return one of `Numbers` that has a value."""
        number = self.optional(name)
        if number is None:
            raise LookupError(f"IKEv1 implementation {self.name} has no {name}")
        return number

    def optional(self, name: str) -> int | None:
        """Return one of `Numbers`, None when the implementation does not name it."""
        value: Value | None = getattr(self.profile.values, name)
        return None if value is None else round(self._ledger.read(f"{self.name} IKEv1", name, value))

    def timeouts_s(self) -> tuple[float, ...]:
        """Return the wait after each time that a message is sent; when the last one ends the peer is given up. [s]"""
        values = self.profile.values
        names = ("retransmit_first_s", "retransmit_factor", "retransmit_tries")
        first, factor, tries = (self._ledger.read(f"{self.name} IKEv1", n, getattr(values, n)) for n in names)
        return tuple(first * factor**i for i in range(round(tries) + 1))

    def vendor_id_bytes(self, name: str) -> int:
        """Return the length of a vendor ID's data. [bytes]"""
        return round(self._ledger.read(f"{self.name} IKEv1", f"vendor ID {name}", self.profile.vendor_ids[name]))


def names() -> list[str]:
    """Return the names of the shipped IKEv1 implementations, sorted."""
    return sorted(f.name.removesuffix(".yaml") for f in files(__package__).iterdir() if f.name.endswith(".yaml"))


@lru_cache(maxsize=8)
def load(name: str) -> ProfileV1:
    """Return a shipped IKEv1 implementation.

    Raises InputError with the nearest valid name, or with the file and line of a fault.
    """
    if name not in names():
        raise unknown_name("IKEv1 implementation", name, names())
    path = Path(str(files(__package__) / f"{name}.yaml"))
    profile = read_yaml(path, ProfileV1)
    _check(profile, path)
    return profile


def _check(profile: ProfileV1, path: Path) -> None:
    stated = [(("vendor_ids", name), value) for name, value in profile.vendor_ids.items()]
    stated += [
        (("values", name), value)
        for name in Numbers.model_fields
        if (value := getattr(profile.values, name)) is not None
    ]
    for location, value in stated:
        if value.source == RECOLLECTION and value.kind != "assumed":
            raise InputError(f"{location[-1]}: what is only remembered is assumed", place(path, location))
        if value.source not in (RECOLLECTION, *profile.sources):
            raise unknown_name("source", value.source, [*profile.sources, RECOLLECTION], place(path, location))
    for tokens in profile.compositions.model_dump().values():
        for token in tokens:
            vendor = token.removeprefix("VID:")
            if vendor != token and vendor not in profile.vendor_ids:
                raise InputError(f"vendor ID '{vendor}' of a composition is not in vendor_ids", str(path))
