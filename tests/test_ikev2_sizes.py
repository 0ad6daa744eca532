"""Message sizes against published vectors; ``test_exchange_cases`` compares those of recorded conversations."""

from __future__ import annotations

import pytest
from pair import Pair, endpoint

from flexvpn_sim.models.ikev2.identity import Identity
from flexvpn_sim.models.ikev2.message import Exchange, Message
from flexvpn_sim.models.ikev2.payloads import (
    ANY_IPV4,
    DeletePayload,
    KePayload,
    NoncePayload,
    NotifyPayload,
    SaPayload,
    TsPayload,
    VendorIdPayload,
)
from flexvpn_sim.models.ikev2.proposals import EspProposal, IkeProposal, Suite


def test_the_papers_handshake_has_the_lengths_of_the_fact_sheet() -> None:
    """Fact sheet A.19: 506, 506, 640, 336 with a 13- and a 21-character FQDN, four vendor IDs and a 257-byte banner."""
    left = endpoint("left", "ios-xe-16.9", identity=Identity("fqdn", "HQ.cptl.local"))
    right = endpoint("right", "ios-xe-16.9", identity=Identity("fqdn", "icpedger02.cptl.local"))
    swap(left, right)
    pair = Pair(left, right)
    pair.start(left)
    pair.run(1)
    lengths = [line.datagram.message.ike_bytes for line in pair.log]
    assert lengths == [506, 506, 640, 336]
    assert sum(lengths) == 1988
    assert sum(line.datagram.ip_len for line in pair.log) == 2100


def swap(*ends: object) -> None:
    """Let each end expect the identity that the other one has."""
    from dataclasses import replace

    from flexvpn_sim.models.ikev2.endpoint import Endpoint
    from flexvpn_sim.models.ikev2.identity import IdentityMatch

    left, right = ends
    assert isinstance(left, Endpoint) and isinstance(right, Endpoint)
    for one, other in ((left, right), (right, left)):
        profile = one.policy.profiles[0]
        identity = other.policy.profiles[0].local_identity
        keys = (replace(profile.keys[0], identity=identity),)
        changed = replace(profile, accepts=(IdentityMatch("fqdn", identity.value),), keys=keys)
        one.policy = replace(one.policy, profiles=(changed,))


def test_a_longer_identity_changes_the_message_that_carries_it() -> None:
    pair = Pair(
        endpoint("left", "ios-xe-16.9", identity=Identity("fqdn", "a" * 60)),
        endpoint("right", "ios-xe-16.9"),
    )
    swap(pair.left, pair.right)
    pair.start(pair.left)
    pair.run(1)
    assert [line.datagram.message.ike_bytes for line in pair.log] == [506, 506, 688, 320]


def test_the_old_smart_default_with_fragmentation_gives_the_documented_524_bytes() -> None:
    """Fact sheet A.18 vector 5: IOS 15, two vendor IDs, group 5, fragmentation on."""
    default = IkeProposal(
        ("aes-cbc-256", "aes-cbc-192", "aes-cbc-128"),
        ("sha512", "sha384", "sha256", "sha1", "md5"),
        ("sha512", "sha384", "sha256", "sha1", "md5"),
        (5, 2),
    )
    payloads = (
        SaPayload((default,), 0),
        KePayload(5),
        NoncePayload(0, 20),
        VendorIdPayload("CISCO-DELETE-REASON", 19),
        VendorIdPayload("FLEXVPN-SUPPORTED", 17),
        NotifyPayload("NAT_DETECTION_SOURCE_IP", 20),
        NotifyPayload("NAT_DETECTION_DESTINATION_IP", 20),
        NotifyPayload("FRAGMENTATION_SUPPORTED"),
        VendorIdPayload("FRAGMENTATION", 16),
    )
    assert payloads[0].size == 144
    assert Message(Exchange.IKE_SA_INIT, 1, 0, 0, False, True, payloads).ike_bytes == 524


@pytest.mark.parametrize(
    ("suite", "empty", "eight", "twelve"),
    [
        (Suite("3des", "sha1", "sha1", 2), 60, 68, 68),
        (Suite("aes-cbc-256", "sha1", "sha1", 2), 76, 76, 76),
        (Suite("aes-cbc-256", "sha256", "sha256", 14), 80, 80, 80),
        (Suite("aes-cbc-256", "sha384", "sha384", 14), 88, 88, 88),
        (Suite("aes-cbc-256", "sha512", "sha512", 14), 96, 96, 96),
        (Suite("aes-gcm-256", "", "sha384", 20), 57, 65, 69),
    ],
)
def test_protected_messages_have_the_sizes_of_fact_sheet_a14(suite: Suite, empty: int, eight: int, twelve: int) -> None:
    sizes = [28 + suite.protected_bytes(inner) for inner in (0, 8, 12)]
    assert sizes == [empty, eight, twelve]


def test_create_child_sa_with_two_aead_transforms_matches_the_published_log() -> None:
    """Fact sheet A.18 vectors 6 and 7: 256 and 240 bytes (strongSwan, X25519, IKE AES-CBC and SHA-256)."""
    suite = Suite("aes-cbc-256", "sha256", "sha256", 31)
    any_ts = (TsPayload("TSi", (ANY_IPV4,)), TsPayload("TSr", (ANY_IPV4,)))
    offer = SaPayload((EspProposal(("aes-gcm-256",), (), groups=(31,)),), 4)
    assert offer.size == 44
    rest = (NoncePayload(0, 32), KePayload(31), *any_ts)
    # The recorded offer holds one more 8-byte transform than the answer.
    request = 28 + suite.protected_bytes(offer.size + 8 + sum(p.size for p in rest))
    response = Message(Exchange.CREATE_CHILD_SA, 1, 2, 0, True, False, (offer, *rest), suite).ike_bytes
    assert (request, response) == (256, 240)


def test_a_delete_grows_by_four_bytes_for_each_spi() -> None:
    assert [DeletePayload(tuple(range(n))).size for n in range(4)] == [8, 12, 16, 20]
