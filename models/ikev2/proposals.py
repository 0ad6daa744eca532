"""Proposals of the SA payload and their negotiation (RFC 7296 sections 2.7 and 3.3, RFC 9370 section 2.2.2)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import zip_longest

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

    @property
    def additional_exchanges(self) -> tuple[KeyExchange, ...]:
        """The additional key exchanges, in the order in which they are made."""
        return tuple(method for method in self.additional if method is not None)

    def key_material_bytes(self) -> int:
        """Return the length of SK_d | SK_ai | SK_ar | SK_ei | SK_er | SK_pi | SK_pr (RFC 7296 2.14)."""
        cipher = ENCRYPTIONS[self.encryption]
        integrity_bytes = INTEGRITIES[self.integrity].key_bytes if self.integrity else 0
        return 3 * PRFS[self.prf].output_bytes + 2 * (integrity_bytes + cipher.key_bytes + cipher.salt_bytes)

    def protected_bytes(self, inner_bytes: int) -> int:
        """Return the size of the SK payload around ``inner_bytes`` of payloads (RFC 7296 3.14, RFC 5282)."""
        cipher = ENCRYPTIONS[self.encryption]
        icv = cipher.icv_bytes or INTEGRITIES[self.integrity].icv_bytes
        block = cipher.block_bytes
        padded = -(-(inner_bytes + 1) // block) * block
        return 4 + cipher.iv_bytes + padded + icv

    def inner_bytes_within(self, n_bytes: int, least_room: int) -> int:
        """Return the most that an SK payload of ``n_bytes`` holds; content and padding get ``least_room`` anyway."""
        block = ENCRYPTIONS[self.encryption].block_bytes
        around = self.protected_bytes(0) - block
        return max(n_bytes - around, least_room) // block * block - 1


@dataclass(frozen=True, slots=True)
class EspSuite:
    """The algorithms of a Child SA. ``group`` is 0 without PFS; ``integrity`` is empty for an AEAD cipher."""

    encryption: str
    integrity: str
    esn: bool = False
    group: int = 0

    def key_material_bytes(self) -> int:
        """Return the length of KEYMAT for both directions (RFC 7296 2.17)."""
        cipher = ENCRYPTIONS[self.encryption]
        integrity_bytes = INTEGRITIES[self.integrity].key_bytes if self.integrity else 0
        return 2 * (integrity_bytes + cipher.key_bytes + cipher.salt_bytes)


def _encryption_transforms_bytes(names: Iterable[str]) -> int:
    return sum(TRANSFORM_WITH_KEY_LENGTH_BYTES if ENCRYPTIONS[n].has_key_length else TRANSFORM_BYTES for n in names)


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

    def size(self, spi_bytes: int) -> int:
        """Return the bytes of this substructure with an SPI of ``spi_bytes``."""
        others = len(self.integrity) + len(self.prf) + len(self.groups) + sum(map(len, self.additional))
        transforms = _encryption_transforms_bytes(self.encryption) + TRANSFORM_BYTES * others
        return PROPOSAL_HEADER_BYTES + spi_bytes + transforms

    def __str__(self) -> str:
        groups = "/".join(GROUPS[g].name for g in self.groups)
        parts = ["/".join(self.encryption), "/".join(self.integrity), "prf " + "/".join(self.prf), groups]
        parts += [
            f"ke{number} {'/'.join(m.name for m in methods)}"
            for number, methods in enumerate(self.additional, start=1)
            if methods
        ]
        return " ".join(part for part in parts if part)


def suite_of(proposal: IkeProposal) -> Suite:
    """Return the suite of a chosen proposal, which names one algorithm of each type."""
    integrity = proposal.integrity[0] if proposal.integrity else ""
    additional = tuple(methods[0] if methods else None for methods in proposal.additional)
    return Suite(proposal.encryption[0], integrity, proposal.prf[0], proposal.groups[0], additional)


def proposal_of(suite: Suite) -> IkeProposal:
    """Return the proposal that names exactly this suite."""
    integrity = (suite.integrity,) if suite.integrity else ()
    additional = tuple(() if method is None else (method,) for method in suite.additional)
    return IkeProposal((suite.encryption,), integrity, (suite.prf,), (suite.group,), additional)


@dataclass(frozen=True, slots=True)
class EspProposal:
    """One proposal substructure for an ESP SA (one transform set). ``groups`` empty: no PFS."""

    encryption: str
    integrity: str
    esn: bool = False
    groups: tuple[int, ...] = ()

    def size(self, spi_bytes: int) -> int:
        """Return the bytes of this substructure: encryption, integrity, ESN and the key exchange transforms."""
        others = (1 if self.integrity else 0) + 1 + len(self.groups)
        transforms = _encryption_transforms_bytes([self.encryption]) + TRANSFORM_BYTES * others
        return PROPOSAL_HEADER_BYTES + spi_bytes + transforms

    def without_groups(self) -> EspProposal:
        """Return the proposal as IKE_AUTH carries it: no key exchange transform (RFC 7296 1.2)."""
        return EspProposal(self.encryption, self.integrity, self.esn)

    def __str__(self) -> str:
        pfs = ["pfs " + "/".join(GROUPS[g].name for g in self.groups)] if self.groups else []
        return " ".join([self.encryption, *([self.integrity] if self.integrity else []), *pfs])


def choose_ike(offered: Sequence[IkeProposal], allowed: Sequence[IkeProposal]) -> Suite | None:
    """Return the suite that the responder chooses, or None (NO_PROPOSAL_CHOSEN).

    The first offered proposal with a common algorithm of every type wins, and inside it the initiator's order of
    preference (RFC 7296 2.7 leaves the choice to the responder; both implementations that are modelled do it so).
    """
    for offer in offered:
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


def choose_esp(offered: Sequence[EspProposal], allowed: Sequence[EspProposal]) -> EspSuite | None:
    """Return the ESP suite that the responder chooses, or None (NO_PROPOSAL_CHOSEN).

    Key exchange transforms must agree too: an offer with PFS needs a common group, an offer without needs a
    responder without (RFC 7296 3.3.6).
    """
    for offer in offered:
        for own in allowed:
            if (offer.encryption, offer.integrity, offer.esn) != (own.encryption, own.integrity, own.esn):
                continue
            if not offer.groups and not own.groups:
                return EspSuite(offer.encryption, offer.integrity, offer.esn)
            group = next((g for g in offer.groups if g in own.groups), None)
            if group is not None:
                return EspSuite(offer.encryption, offer.integrity, offer.esn, group)
    return None
