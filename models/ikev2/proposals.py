"""Proposals of the SA payload and their negotiation (RFC 7296 sections 2.7 and 3.3, RFC 9370 section 2.2.2)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import zip_longest
from typing import Literal, NamedTuple

from ..algorithms import ENCRYPTIONS, GROUPS, INTEGRITIES, PRFS, KeyExchange

#: Proposal substructure header without SPI (RFC 7296 3.3.1). [bytes]
PROPOSAL_HEADER_BYTES = 8
#: Transform substructure without and with the Key Length attribute (RFC 7296 3.3.2, 3.3.5). [bytes]
TRANSFORM_BYTES = 8
TRANSFORM_WITH_KEY_LENGTH_BYTES = 12


@dataclass(frozen=True, slots=True)
class Suite:
    """The algorithms of an IKE SA. ``integrity`` is empty for an AEAD cipher.

    ``additional``: the key exchange of each transform type ADDKE1 to ADDKE7 (RFC 9370); None for a type without one.
    """

    encryption: str
    integrity: str
    prf: str
    group: int
    additional: tuple[KeyExchange | None, ...] = ()
    #: What an SK payload has beside content and padding, and what both are a multiple of. [bytes]
    around_bytes: int = field(init=False, repr=False, compare=False)
    block_bytes: int = field(init=False, repr=False, compare=False)
    #: The additional key exchanges, in the order in which they are made.
    additional_exchanges: tuple[KeyExchange, ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        cipher = ENCRYPTIONS[self.encryption]
        icv = cipher.icv_bytes or INTEGRITIES[self.integrity].icv_bytes
        object.__setattr__(self, "around_bytes", 4 + cipher.iv_bytes + icv)
        object.__setattr__(self, "block_bytes", cipher.block_bytes)
        object.__setattr__(self, "additional_exchanges", tuple(m for m in self.additional if m is not None))

    def key_material_bytes(self) -> int:
        """Return the length of SK_d | SK_ai | SK_ar | SK_ei | SK_er | SK_pi | SK_pr (RFC 7296 2.14)."""
        cipher = ENCRYPTIONS[self.encryption]
        integrity_bytes = INTEGRITIES[self.integrity].key_bytes if self.integrity else 0
        return 3 * PRFS[self.prf].output_bytes + 2 * (integrity_bytes + cipher.key_bytes + cipher.salt_bytes)

    def protected_bytes(self, inner_bytes: int) -> int:
        """Return the size of the SK payload around ``inner_bytes`` of payloads (RFC 7296 3.14, RFC 5282)."""
        padded = -(-(inner_bytes + 1) // self.block_bytes) * self.block_bytes
        return self.around_bytes + padded

    def inner_bytes_within(self, n_bytes: int, least_room: int) -> int:
        """Return the most that an SK payload of ``n_bytes`` holds; content and padding get ``least_room`` anyway."""
        return max(n_bytes - self.around_bytes, least_room) // self.block_bytes * self.block_bytes - 1


#: What a Child SA's packets are protected by (RFC 4303, RFC 4302).
IpsecProtocol = Literal["ESP", "AH"]


class EspSuite(NamedTuple):
    """The algorithms of a Child SA. ``group`` is 0 without PFS; ``integrity`` is empty for an AEAD cipher.

    Without ``encryption`` the Child SA is one of AH; ESP that does not encrypt names ``null``.
    """

    encryption: str
    integrity: str
    esn: bool = False
    group: int = 0

    @property
    def protocol(self) -> IpsecProtocol:
        """What protects the packets."""
        return "ESP" if self.encryption else "AH"

    def key_material_bytes(self) -> int:
        """Return the length of KEYMAT for both directions (RFC 7296 2.17)."""
        integrity_bytes = INTEGRITIES[self.integrity].key_bytes if self.integrity else 0
        if not self.encryption:
            return 2 * integrity_bytes
        cipher = ENCRYPTIONS[self.encryption]
        return 2 * (integrity_bytes + cipher.key_bytes + cipher.salt_bytes)


def _transforms_bytes(encryption: Iterable[str], others: int) -> int:
    lengths = (
        TRANSFORM_WITH_KEY_LENGTH_BYTES if ENCRYPTIONS[e].has_key_length else TRANSFORM_BYTES for e in encryption
    )
    return sum(lengths) + TRANSFORM_BYTES * others


@dataclass(frozen=True, slots=True)
class IkeProposal:
    """One proposal substructure of an IKE SA: algorithms that may be combined, each list in order of preference.

    ``additional`` holds such a list for each transform type ADDKE1 to ADDKE7 (RFC 9370); an empty one is not sent.
    """

    encryption: tuple[str, ...]
    integrity: tuple[str, ...]
    prf: tuple[str, ...]
    groups: tuple[int, ...]
    additional: tuple[tuple[KeyExchange, ...], ...] = ()
    #: Length of its transform substructures. [bytes]
    transforms_bytes: int = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        others = len(self.integrity) + len(self.prf) + len(self.groups) + sum(map(len, self.additional))
        object.__setattr__(self, "transforms_bytes", _transforms_bytes(self.encryption, others))

    def size(self, spi_bytes: int) -> int:
        """Return the bytes of this substructure with an SPI of ``spi_bytes``."""
        return PROPOSAL_HEADER_BYTES + spi_bytes + self.transforms_bytes

    def __str__(self) -> str:
        groups = "/".join(GROUPS[g].name for g in self.groups)
        parts = ["/".join(self.encryption), "/".join(self.integrity), "prf " + "/".join(self.prf), groups]
        parts += [
            f"ke{number} {'/'.join(m.name for m in methods)}"
            for number, methods in enumerate(self.additional, start=1)
            if methods
        ]
        return " ".join(part for part in parts if part)


@lru_cache(maxsize=4096)
def suite_of(proposal: IkeProposal) -> Suite:
    """Return the suite of a chosen proposal, which names one algorithm of each type."""
    integrity = proposal.integrity[0] if proposal.integrity else ""
    additional = tuple(methods[0] if methods else None for methods in proposal.additional)
    return Suite(proposal.encryption[0], integrity, proposal.prf[0], proposal.groups[0], additional)


@lru_cache(maxsize=4096)
def proposal_of(suite: Suite) -> IkeProposal:
    """Return the proposal that names exactly this suite."""
    integrity = (suite.integrity,) if suite.integrity else ()
    additional = tuple(() if method is None else (method,) for method in suite.additional)
    return IkeProposal((suite.encryption,), integrity, (suite.prf,), (suite.group,), additional)


@dataclass(frozen=True, slots=True)
class EspProposal:
    """One proposal substructure for a Child SA: algorithms that may be combined, each list in order of preference.

    ``encryption`` is empty for AH, which has no such transform (RFC 7296 3.3.3), ``integrity`` with AEAD ciphers,
    ``groups`` without PFS; ``esn``: whether sequence numbers are extended.
    """

    encryption: tuple[str, ...]
    integrity: tuple[str, ...]
    esn: tuple[bool, ...] = (False,)
    groups: tuple[int, ...] = ()
    #: Length of its transform substructures. [bytes]
    transforms_bytes: int = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        others = len(self.integrity) + len(self.esn) + len(self.groups)
        object.__setattr__(self, "transforms_bytes", _transforms_bytes(self.encryption, others))

    def size(self, spi_bytes: int) -> int:
        """Return the bytes of this substructure with an SPI of ``spi_bytes``."""
        return PROPOSAL_HEADER_BYTES + spi_bytes + self.transforms_bytes

    @property
    def protocol(self) -> IpsecProtocol:
        """What protects the packets."""
        return "ESP" if self.encryption else "AH"

    def without_groups(self) -> EspProposal:
        """Return the proposal as IKE_AUTH carries it: no key exchange transform (RFC 7296 1.2)."""
        return EspProposal(self.encryption, self.integrity, self.esn) if self.groups else self

    def __str__(self) -> str:
        parts = ["/".join(self.encryption) or self.protocol, "/".join(self.integrity)]
        parts += ["esn" if all(self.esn) else "esn/noesn"] if any(self.esn) else []
        parts += ["pfs " + "/".join(GROUPS[g].name for g in self.groups)] if self.groups else []
        return " ".join(part for part in parts if part)


def choose_ike(offered: Sequence[IkeProposal | EspProposal], allowed: Sequence[IkeProposal]) -> Suite | None:
    """Return the suite that the responder chooses, or None (NO_PROPOSAL_CHOSEN).

    The first offered proposal with a common algorithm of every type wins, and inside it the initiator's order of
    preference (RFC 7296 2.7 leaves the choice to the responder; both implementations that are modelled do it so).
    """
    return _choose_ike(tuple(offered), tuple(allowed))


@lru_cache(maxsize=4096)
def _choose_ike(offered: tuple[IkeProposal | EspProposal, ...], allowed: tuple[IkeProposal, ...]) -> Suite | None:
    for offer in offered:
        if not isinstance(offer, IkeProposal):
            continue
        for own in allowed:
            encryption = next((e for e in offer.encryption if e in own.encryption), None)
            prf = next((p for p in offer.prf if p in own.prf), None)
            group = next((g for g in offer.groups if g in own.groups), None)
            additional = _choose_additional(offer.additional, own.additional)
            if encryption is None or prf is None or group is None or additional is None:
                continue
            if ENCRYPTIONS[encryption].aead:
                return Suite(encryption, "", prf, group, additional)
            integrity = next((i for i in offer.integrity if i in own.integrity), None)
            if integrity is not None:
                return Suite(encryption, integrity, prf, group, additional)
    return None


def _choose_additional(
    offered: Sequence[tuple[KeyExchange, ...]], allowed: Sequence[tuple[KeyExchange, ...]]
) -> tuple[KeyExchange | None, ...] | None:
    """Return the additional key exchange of each type, or None when both ends cannot agree.

    A type that one end names and the other does not is a disagreement: nobody said NONE (RFC 9370 2.2.2).
    """
    if not offered and not allowed:
        return ()
    chosen: list[KeyExchange | None] = []
    for offer, own in zip_longest(offered, allowed, fillvalue=()):
        method = next((m for m in offer if m in own), None)
        if method is None and (offer or own):
            return None
        chosen.append(method)
    return tuple(chosen)


def choose_esp(offered: Sequence[IkeProposal | EspProposal], allowed: Sequence[EspProposal]) -> EspSuite | None:
    """Return the suite of the Child SA that the responder chooses, or None (NO_PROPOSAL_CHOSEN).

    Key exchange transforms must agree too: an offer with PFS needs a common group, an offer without needs a
    responder without (RFC 7296 3.3.6).
    """
    return _choose_esp(tuple(offered), tuple(allowed))


@lru_cache(maxsize=4096)
def _choose_esp(offered: tuple[IkeProposal | EspProposal, ...], allowed: tuple[EspProposal, ...]) -> EspSuite | None:
    for offer in offered:
        if not isinstance(offer, EspProposal):
            continue
        for own in allowed:
            if offer.protocol != own.protocol:
                continue
            common = (e for e in offer.encryption if e in own.encryption)
            encryption = next(common, None) if offer.encryption else ""
            esn = next((e for e in offer.esn if e in own.esn), None)
            group = next((g for g in offer.groups if g in own.groups), None) if offer.groups or own.groups else 0
            if encryption is None or esn is None or group is None:
                continue
            if encryption and ENCRYPTIONS[encryption].aead:
                return EspSuite(encryption, "", esn, group)
            integrity = next((i for i in offer.integrity if i in own.integrity), None)
            if integrity is not None:
                return EspSuite(encryption, integrity, esn, group)
    return None
