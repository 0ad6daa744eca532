"""Proposals in strongSwan's notation and in the words of IOS."""

from __future__ import annotations

from dataclasses import replace

import pytest

from flexvpn_sim.models.algorithms import ENCRYPTIONS, GROUPS, KEMS, Kem, KeyExchange
from flexvpn_sim.models.errors import InputError
from flexvpn_sim.models.ikev2.proposals import EspProposal, IkeProposal, Suite
from flexvpn_sim.models.notation import parse_esp, parse_group, parse_ike

PAPER = IkeProposal(("aes-cbc-256",), ("sha512",), ("sha512",), (14,))


@pytest.mark.parametrize(
    ("text", "proposal"),
    [
        ("aes256-sha512-modp2048", PAPER),
        ("AES256-SHA2_512-MODP2048", PAPER),
        ("aes-cbc-256 sha512 14", PAPER),
        ("aes-cbc-256 sha512 group 14", PAPER),
        ("aes-cbc-256 sha512 prf sha512 group14", PAPER),
        ("aes128gcm16-prfsha256-ecp256", IkeProposal(("aes-gcm-128",), (), ("sha256",), (19,))),
        ("aes128gcm-sha256-ecp256", IkeProposal(("aes-gcm-128",), (), ("sha256",), (19,))),
        ("aes-gcm-256 prf sha384 20", IkeProposal(("aes-gcm-256",), (), ("sha384",), (20,))),
        ("chacha20poly1305-prfsha256-curve25519", IkeProposal(("chacha20poly1305",), (), ("sha256",), (31,))),
        ("3des-sha1-modp1024", IkeProposal(("3des",), ("sha1",), ("sha1",), (2,))),
        ("3des sha 2", IkeProposal(("3des",), ("sha1",), ("sha1",), (2,))),
        ("aes-sha256-prfsha384-x25519", IkeProposal(("aes-cbc-128",), ("sha256",), ("sha384",), (31,))),
        (
            "aes256-aes128-sha256-sha1-ecp256-modp2048",
            IkeProposal(("aes-cbc-256", "aes-cbc-128"), ("sha256", "sha1"), ("sha256", "sha1"), (19, 14)),
        ),
    ],
)
def test_ike_proposals(text: str, proposal: IkeProposal) -> None:
    assert parse_ike(text) == proposal


@pytest.mark.parametrize(
    ("words", "additional"),
    [
        ("ke1_mlkem768", ((KEMS["mlkem768"],),)),
        ("ke1_kyber3", ((KEMS["mlkem768"],),)),
        ("ke1_mlkem512-ke1_mlkem1024", ((KEMS["mlkem512"], KEMS["mlkem1024"]),)),
        ("ke1_mlkem768-ke2_ecp384", ((KEMS["mlkem768"],), (GROUPS[20],))),
        ("ke2_x25519", ((), (GROUPS[31],))),
        ("ke7_bike3", ((), (), (), (), (), (), (Kem("bike3", 1024, 3083, 3115, (1, 2, 3)),))),
    ],
)
def test_additional_key_exchanges(words: str, additional: tuple[tuple[KeyExchange, ...], ...]) -> None:
    methods = {"bike3": Kem("bike3", 1024, 3083, 3115, (1, 2, 3))}
    proposal = parse_ike(f"aes256-sha512-{words}-modp2048", methods=methods)
    assert proposal == replace(PAPER, additional=additional)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("aes256-sha512-modp2048-ke1_mlkem786", "unknown additional key exchange 'mlkem786', did you mean 'mlkem768'?"),
        ("aes256-sha512-modp2048-ke8_mlkem768", "unknown word of a proposal 'ke8_mlkem768', did you mean 'ke1_mlkem"),
        ("aes256-sha512-ke1_mlkem768", "'aes256-sha512-ke1_mlkem768' is no IKE proposal: a key exchange group is"),
    ],
)
def test_wrong_additional_key_exchanges_are_refused_in_one_line(text: str, message: str) -> None:
    with pytest.raises(InputError) as refused:
        parse_ike(text)
    assert str(refused.value).startswith(message)


@pytest.mark.parametrize(
    ("text", "proposal"),
    [
        ("aes256-sha512", EspProposal(("aes-cbc-256",), ("sha512",))),
        ("aes-cbc-256 sha512", EspProposal(("aes-cbc-256",), ("sha512",))),
        ("esp-aes 256 esp-sha512-hmac", EspProposal(("aes-cbc-256",), ("sha512",))),
        ("esp-aes esp-sha-hmac", EspProposal(("aes-cbc-128",), ("sha1",))),
        ("aes256-sha512-modp2048", EspProposal(("aes-cbc-256",), ("sha512",), groups=(14,))),
        ("esp-aes 256 esp-sha512-hmac pfs group14", EspProposal(("aes-cbc-256",), ("sha512",), groups=(14,))),
        ("aes128gcm16", EspProposal(("aes-gcm-128",), ())),
        ("aes256gcm128-ecp384-esn", EspProposal(("aes-gcm-256",), (), esn=(True,), groups=(20,))),
        ("aes256gcm16-noesn", EspProposal(("aes-gcm-256",), ())),
        ("aes-gcm-256", EspProposal(("aes-gcm-256",), ())),
        ("esp-gcm", EspProposal(("aes-gcm-128",), ())),
        ("esp-gmac 256", EspProposal(("aes-gmac-256",), ())),
        ("aes192gmac", EspProposal(("aes-gmac-192",), ())),
        ("chacha20poly1305", EspProposal(("chacha20poly1305",), ())),
        ("null-sha256", EspProposal(("null",), ("sha256",))),
        ("esp-3des esp-md5-hmac", EspProposal(("3des",), ("md5",))),
    ],
)
def test_esp_proposals(text: str, proposal: EspProposal) -> None:
    assert parse_esp(text) == proposal


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("aes265-sha512-modp2048", r"^--ike: unknown word of a proposal 'aes265', did you mean 'aes256'\?"),
        ("aes256-sha521-modp2048", r"'sha521', did you mean 'sha512'\?"),
        ("aes256-sha512-modp2084", r"'modp2084', did you mean 'modp2048'\?"),
        ("aes256-sha512-", r"unknown word of a proposal ''"),
        ("  ", r"^--ike: no proposal is given$"),
        ("aes-cbc-265 sha512 14", r"'aes-cbc-265', did you mean 'aes-cbc-256'\?"),
        ("aes-cbc-256 sha512 114", r"unknown word of a proposal '114', did you mean '14'\?"),
        ("aes-cbc-256 sha512 group 114", r"unknown key exchange group '114', did you mean '14'\?"),
        ("aes-gcm-256 20 prf", r"unknown PRF ''\. Allowed: .*sha384"),
        ("aes256-sha512", r"'aes256-sha512' is no IKE proposal: a key exchange group is missing"),
        ("sha512-modp2048", r"an encryption algorithm is missing"),
        ("aes256-modp2048", r"an integrity algorithm is missing"),
        ("aes256gcm16-ecp256", r"aes-gcm-256 needs a PRF"),
        ("aes256gcm16-sha256-prfsha256-ecp256", r"aes-gcm-256 protects integrity itself"),
        ("aes256gcm16-aes256-sha256-ecp256", r"with and without integrity of their own"),
        ("null-sha256-ecp256", r"null does not encrypt"),
        ("aes256gmac-prfsha256-ecp256", r"aes-gmac-256 does not encrypt"),
        ("aes256-sha512-modp2048-esn", r"extended sequence numbers are for ESP"),
    ],
)
def test_wrong_ike_proposals_are_told_in_one_line(text: str, message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        parse_ike(text, "--ike")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("aes512-sha512", r"^--esp: unknown word of a proposal 'aes512', did you mean"),
        ("esp-eas 256 esp-sha512-hmac", r"'esp-eas', did you mean 'esp-aes'\?"),
        ("aes256", r"'aes256' is no ESP proposal: an integrity algorithm is missing"),
        ("null", r"an integrity algorithm is missing"),
        ("aes256gcm16-sha256", r"aes-gcm-256 protects integrity itself"),
        ("aes256-sha256-prfsha256", r"a PRF is for IKE alone"),
        ("aes256-aes128gcm16-sha256", r"ciphers with and without integrity of their own need proposals of their own"),
        ("sha256", r"an encryption algorithm is missing"),
    ],
)
def test_wrong_esp_proposals_are_told_in_one_line(text: str, message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        parse_esp(text, "--esp")
    assert "\n" not in str(caught.value)


def test_every_group_has_a_name_and_a_number() -> None:
    for number, group in GROUPS.items():
        assert parse_group(group.name) == parse_group(str(number)) == parse_group(f"Group{number}") == number
    with pytest.raises(InputError, match=r"^--pfs: unknown key exchange group 'ecp265', did you mean 'ecp256'"):
        parse_group("ecp265", "--pfs")


def test_chacha20_poly1305_has_a_fixed_key_length_and_no_attribute_for_it() -> None:
    # RFC 7634: transform 28, key 32 and salt 4, IV 8, ICV 16; the Key Length attribute must not be sent.
    cipher = ENCRYPTIONS["chacha20poly1305"]
    assert (cipher.number, cipher.aead, cipher.has_key_length) == (28, True, False)
    assert parse_esp("chacha20poly1305").size(4) == parse_esp("aes256gcm16").size(4) - 4
    chacha, gcm = (Suite(name, "", "sha256", 31) for name in ("chacha20poly1305", "aes-gcm-256"))
    assert chacha.key_material_bytes() == gcm.key_material_bytes() == 3 * 32 + 2 * 36
    assert chacha.protected_bytes(100) == gcm.protected_bytes(100)
