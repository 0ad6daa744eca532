"""Every transform of IOS and strongSwan: numbers and lengths, keywords, what a capture holds, and what it costs."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flexvpn_sim.hardware.cost import CostModel
from flexvpn_sim.hardware.profile_files import load_profile
from flexvpn_sim.hardware.stand_ins import CIPHERS, CURVES
from flexvpn_sim.models.algorithms import ENCRYPTIONS, GROUPS, INTEGRITIES, PRFS
from flexvpn_sim.models.ikev2.operations import DhKeygen, DhShared, DhValidate, PrfCall, Protect
from flexvpn_sim.models.ikev2.payloads import SaPayload
from flexvpn_sim.models.ikev2.proposals import EspProposal, EspSuite, choose_esp, suite_of
from flexvpn_sim.models.ikev2.wire import modes, packet
from flexvpn_sim.models.ikev2.wire.draws import Draws
from flexvpn_sim.models.ikev2.wire.keys import first_seed, prf
from flexvpn_sim.models.ikev2.wire.mac import mac
from flexvpn_sim.models.ikev2.wire.packet import encode_payloads
from flexvpn_sim.models.ikev2.wire.translate import sa_body
from flexvpn_sim.models.implementation import load_implementation
from flexvpn_sim.models.notation import parse_esp, parse_ike
from flexvpn_sim.models.values import Ledger

KEY = bytes(range(16))
LONG_KEY = KEY + b"\xed\xcb"


# -- Numbers, lengths, keywords --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("word", "number", "key", "salt", "iv", "icv", "block"),
    [
        # IANA number, key, salt, IV, ICV and block in bytes, from the RFC of each.
        ("aes192ctr", 13, 24, 4, 8, 0, 1),
        ("aes128ccm64", 14, 16, 3, 8, 8, 1),
        ("aes256ccm12", 15, 32, 3, 8, 12, 1),
        ("aes256ccm", 16, 32, 3, 8, 16, 1),
        ("aes128gcm8", 18, 16, 4, 8, 8, 1),
        ("aes192gcm96", 19, 24, 4, 8, 12, 1),
        ("aes256gcm128", 20, 32, 4, 8, 16, 1),
        ("aes128gmac", 21, 16, 4, 8, 16, 1),
        ("camellia", 23, 16, 0, 16, 0, 16),
        ("camellia256ctr", 24, 32, 4, 8, 0, 1),
        ("camellia192ccm16", 27, 24, 3, 8, 16, 1),
        ("camellia128ccm8", 25, 16, 3, 8, 8, 1),
        ("camellia128ccm96", 26, 16, 3, 8, 12, 1),
        ("chacha20poly1305", 28, 32, 4, 8, 16, 1),
        ("blowfish256", 7, 32, 0, 8, 0, 8),
        ("cast128", 6, 16, 0, 8, 0, 8),
        ("serpent192", 1026, 24, 0, 16, 0, 16),
        ("twofish", 1027, 16, 0, 16, 0, 16),
        ("3des", 3, 24, 0, 8, 0, 8),
    ],
)
def test_ciphers(word: str, number: int, key: int, salt: int, iv: int, icv: int, block: int) -> None:
    (name,) = parse_esp(word if icv else f"{word}-sha256").encryption
    cipher = ENCRYPTIONS[name]
    found = (cipher.number, cipher.key_bytes, cipher.salt_bytes, cipher.iv_bytes, cipher.icv_bytes, cipher.block_bytes)
    assert found == (number, key, salt, iv, icv, block)
    assert cipher.has_key_length == (word not in ("chacha20poly1305", "3des"))


@pytest.mark.parametrize(
    ("word", "number", "key", "icv", "prf_number"),
    [
        ("md5", 1, 16, 12, 1),
        ("sha1", 2, 20, 12, 2),
        ("aesxcbc", 5, 16, 12, 4),
        ("md5_128", 6, 16, 16, 1),
        ("sha1_160", 7, 20, 20, 2),
        ("aescmac", 8, 16, 12, 8),
        ("sha256", 12, 32, 16, 5),
        ("sha2_256_96", 1026, 32, 12, 5),
        ("sha384", 13, 48, 24, 6),
        ("sha512", 14, 64, 32, 7),
    ],
)
def test_integrity_algorithms_and_the_prf_that_they_stand_for(
    word: str, number: int, key: int, icv: int, prf_number: int
) -> None:
    proposal = parse_ike(f"aes128-{word}-modp2048")
    algorithm = INTEGRITIES[proposal.integrity[0]]
    assert (algorithm.number, algorithm.key_bytes, algorithm.icv_bytes) == (number, key, icv)
    assert PRFS[proposal.prf[0]].number == prf_number


@pytest.mark.parametrize(
    ("word", "number", "value"),
    [
        ("modp1024s160", 22, 128),
        ("modp2048s224", 23, 256),
        ("modp2048s256", 24, 256),
        ("ecp192", 25, 48),
        ("ecp224", 26, 56),
        ("ecp224bp", 27, 56),
        ("ecp256bp", 28, 64),
        ("ecp384bp", 29, 96),
        ("ecp512bp", 30, 128),
        ("x25519", 31, 32),
        ("x448", 32, 56),
    ],
)
def test_groups(word: str, number: int, value: int) -> None:
    assert parse_ike(f"aes128-sha256-{word}").groups == (number,)
    assert GROUPS[number].public_bytes == value


def test_no_two_transforms_have_the_same_number_and_key_length() -> None:
    assert len({(e.number, e.key_bits) for e in ENCRYPTIONS.values()}) == len(ENCRYPTIONS)
    for table in (INTEGRITIES, PRFS):
        assert len({entry.number for entry in table.values()}) == len(table)


# -- Proposals with several algorithms -------------------------------------------------------------------------

#: source: testbed recording psk-default-proposals, SA payloads of IKE_AUTH without their generic headers
RECORDED_ESP_OFFER = """
0200006001030409 010000000300000c 0100000c800e0080 0300000c0100000c 800e00c00300000c 0100000c800e0100
030000080300000c 030000080300000d 030000080300000e 0300000803000002 0300000803000005 0000000805000000
0000003802030404 010000000300000c 01000014800e0080 0300000c01000014 800e00c00300000c 01000014800e0100
0000000805000000
"""
RECORDED_ESP_ANSWER = "00000028010304030100000 00300000c0100000c800e0080 030000080300000c 0000000805000000"
#: Transforms of its IKE_SA_INIT: type and number, for ciphers with their key lengths.
FIRST = [(12, 13, 23, 24), (3,), (12, 13, 14, 5, 8, 2), (5, 6, 7, 4, 8, 2)]
SECOND = [16, 20, 28, 27, 14, 15, 18, 19, 25, 26]
RECORDED_GROUPS = [31, 32, 19, 20, 21, 28, 29, 30, 15, 16, 17, 18, 14]


def sa_octets(payload: SaPayload) -> bytes:
    return encode_payloads([sa_body(payload)])[1][4:]


def test_default_esp_proposals_of_strongswan_are_the_recorded_octets() -> None:
    proposals = tuple(p.without_groups() for p in load_implementation("strongswan").esp_proposals())
    assert SaPayload(proposals, 4).size == 156
    ours = sa_octets(SaPayload(proposals, 4, 0x01000000))
    assert ours == bytes.fromhex(RECORDED_ESP_OFFER.replace("\n", " "))
    suite = choose_esp(proposals, proposals)
    assert suite == EspSuite("aes-cbc-128", "sha256")
    answer = SaPayload((EspProposal(("aes-cbc-128",), ("sha256",)),), 4, 0x01000000)
    assert sa_octets(answer) == bytes.fromhex(RECORDED_ESP_ANSWER.replace(" ", ""))


def test_default_ike_proposals_of_strongswan_are_the_recorded_transforms() -> None:
    payload = SaPayload(load_implementation("strongswan").ike_proposals(), 0)
    assert payload.size == 856
    first, second = sa_body(payload).proposals
    sized, fixed, integrity, prfs = FIRST
    expected = [(packet.ENCR, number, bits) for number in sized for bits in (128, 192, 256)]
    expected += [(packet.ENCR, number, 0) for number in fixed]
    expected += [(packet.INTEG, number, 0) for number in integrity] + [(packet.PRF, number, 0) for number in prfs]
    expected += [(packet.KE_METHOD, number, 0) for number in RECORDED_GROUPS]
    assert [(t.kind, t.number, t.key_bits) for t in first.transforms] == expected
    expected = [
        (packet.ENCR, number, bits) for number in SECOND for bits in ((0,) if number == 28 else (128, 192, 256))
    ]
    expected += [(packet.PRF, number, 0) for number in prfs]
    expected += [(packet.KE_METHOD, number, 0) for number in RECORDED_GROUPS]
    assert [(t.kind, t.number, t.key_bits) for t in second.transforms] == expected


def test_a_responder_chooses_one_algorithm_of_each_type() -> None:
    offer = parse_esp("aes128-aes256-sha1-sha256-ecp256-modp2048-noesn-esn")
    assert str(offer) == "aes-cbc-128/aes-cbc-256 sha1/sha256 esn/noesn pfs ecp256/modp2048"
    assert offer.size(4) == 8 + 4 + 2 * 12 + 2 * 8 + 2 * 8 + 2 * 8
    own = parse_esp("aes256-sha256-modp2048-esn")
    assert choose_esp([offer], [own]) == EspSuite("aes-cbc-256", "sha256", True, 14)
    assert choose_esp([offer], [parse_esp("aes256-sha512-modp2048")]) is None
    assert choose_esp([offer], [parse_esp("aes256-sha256")]) is None
    assert choose_esp([parse_esp("aes256gcm16-aes128gcm16")], [parse_esp("aes128gcm16")]) == EspSuite("aes-gcm-128", "")


def test_every_transform_has_a_name_in_the_words_of_ios() -> None:
    for name, cipher in ENCRYPTIONS.items():
        text = name if cipher.aead else f"{name} sha256"
        assert parse_esp(text).encryption == (name,)
    for name in INTEGRITIES:
        assert parse_esp(f"aes-cbc-128 {name}").integrity == (name,)


# -- Octets ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("function", "key", "data", "expected"),
    [
        # source: RFC 3566 4.6, RFC 4434 2.1
        ("aes-xcbc", KEY, b"", "75f0251d528ac01c4573dfd584d79f29"),
        ("aes-xcbc", KEY, KEY[:3], "5b376580ae2f19afe7219ceef172756f"),
        ("aes-xcbc", KEY, KEY, "d2a246fa349b68a79998a4394ff7a263"),
        ("aes-xcbc", KEY[:10], bytes(range(20)), "0fa087af7d866e7653434e602fdde835"),
        ("aes-xcbc", LONG_KEY, bytes(range(20)), "8cd3c93ae598a9803006ffb67c40e9e4"),
        # source: RFC 4615 4
        ("aes-cmac", LONG_KEY, bytes(range(20)), "84a348a4a45d235babfffc0d2b4da09a"),
        ("aes-cmac", KEY, bytes(range(20)), "980ae87b5f4c9c5214f5b6a8455e4c2d"),
        ("aes-cmac", KEY[:10], bytes(range(20)), "290d9e112edb09ee141fcf64c0b72f3d"),
    ],
)
def test_macs_of_aes_give_the_values_of_their_rfcs(function: str, key: bytes, data: bytes, expected: str) -> None:
    assert mac(function, key, data).hex() == expected


def test_skeyseed_takes_eight_octets_of_each_nonce_with_a_prf_of_aes() -> None:
    """RFC 7296 2.14."""
    suite = parse_ike("aes128-aesxcbc-x25519")
    nonces = bytes(range(32)), bytes(range(100, 132))
    seed = first_seed(suite_of(suite), nonces, b"shared")
    assert seed == prf("aes-xcbc", nonces[0][:8] + nonces[1][:8], b"shared")


CIPHER_NAMES = sorted(name for name in ENCRYPTIONS if "gmac" not in name)


@given(st.sampled_from(CIPHER_NAMES), st.integers(0, 40), st.integers(0, 2**32))
def test_what_is_encrypted_can_be_decrypted_and_has_its_length(name: str, blocks: int, seed: int) -> None:
    cipher, draws = ENCRYPTIONS[name], Draws(seed)
    key = draws.octets(cipher.key_bytes + cipher.salt_bytes, "key")
    iv, plain, header = (
        draws.octets(n, word) for n, word in ((cipher.iv_bytes, "iv"), (blocks * cipher.block_bytes, "p"), (40, "h"))
    )
    if not cipher.aead:
        text = modes.encrypt(name, key, iv, plain)
        assert len(text) == len(plain) and modes.decrypt(name, key, iv, text) == plain
        assert name == "null" or len(plain) < 8 or text != plain
        return
    sealed = modes.seal(name, key, iv, plain, header)
    assert len(sealed) == len(plain) + cipher.icv_bytes
    assert modes.unseal(name, key, iv, sealed, header) == plain
    assert modes.unseal(name, key, iv, sealed[:-1] + bytes((sealed[-1] ^ 1,)), header) is None
    assert modes.unseal(name, key, iv, sealed, header + b"x") is None


@given(st.integers(0, 100), st.integers(0, 60), st.sampled_from([8, 12, 16]))
def test_ccm_that_is_built_from_blocks_is_that_of_the_library(n_bytes: int, header_bytes: int, icv: int) -> None:
    """The code for Camellia, run with AES, which the library has (RFC 3610)."""
    from cryptography.hazmat.primitives.ciphers.aead import AESCCM

    cipher = ENCRYPTIONS["aes-ccm-128" if icv == 16 else f"aes-ccm{icv}-128"]
    nonce, plain, header = bytes(range(11)), bytes(range(n_bytes)), bytes(header_bytes)
    ours = modes._ccm_mask(cipher, KEY, nonce, plain) + modes._ccm_tag(cipher, KEY, nonce, plain, header)
    assert ours == AESCCM(KEY, tag_length=icv).encrypt(nonce, plain, header)


def test_counter_mode_that_is_built_from_blocks_is_that_of_the_library() -> None:
    from cryptography.hazmat.primitives.ciphers import Cipher, algorithms
    from cryptography.hazmat.primitives.ciphers.modes import CTR

    first = b"salt" + bytes(range(8)) + bytes((0, 0, 0, 1))
    worker = Cipher(algorithms.AES(KEY), CTR(first)).encryptor()
    expected = worker.update(bytes(100)) + worker.finalize()
    assert modes.encrypt("aes-ctr-128", KEY + b"salt", bytes(range(8)), bytes(100)) == expected


# -- Cost ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("profile", ["isr4321", "linux-strongswan-openssl", "asr1001-x"])
def test_an_algorithm_that_a_profile_does_not_price_is_assumed_and_said_to_be(profile: str) -> None:
    ledger = Ledger()
    cost = CostModel(load_profile(profile), ledger)
    aes = cost.operation_s(Protect("aes-cbc-256", "sha256", 1400))
    assert cost.operation_s(Protect("camellia-cbc-256", "sha256", 1400)) > aes
    assert any("camellia-cbc-256 as aes-cbc-256" in row for row in ledger.assumed())
    p384 = cost.service_s([step(20) for step in (DhKeygen, DhValidate, DhShared)])
    brainpool = cost.service_s([step(29) for step in (DhKeygen, DhValidate, DhShared)])
    assert brainpool == pytest.approx(1.07 * p384)
    assert any("ecp384bp as ecp384" in row for row in ledger.assumed())
    # A shorter ICV is no other work, and nothing is assumed about it.
    assert cost.operation_s(Protect("aes-gcm8-128", "", 1400)) == cost.operation_s(Protect("aes-gcm-128", "", 1400))
    assert not any("gcm8" in row for row in ledger.assumed())
    assert cost.operation_s(PrfCall("aes-xcbc", 1400)) > cost.operation_s(PrfCall("aes-xcbc", 64)) > 0


def test_subgroups_shorten_the_exponent() -> None:
    cost = CostModel(load_profile("isr4321"), Ledger())
    times = [cost.operation_s(DhKeygen(group)) for group in (23, 24, 14)]
    assert times[0] / times[1] == pytest.approx(224 / 256)
    assert times == sorted(times)


def test_every_stand_in_is_an_algorithm_that_profiles_price() -> None:
    parameters = load_profile("isr4321").parameters
    assert set(CIPHERS) <= set(ENCRYPTIONS) and set(CURVES) <= {g.name for g in GROUPS.values()}
    assert {s.name for s in CIPHERS.values()} <= set(parameters.symmetric.ciphers)
    assert {s.name for s in CURVES.values()} <= set(parameters.ecdh.ratios)
