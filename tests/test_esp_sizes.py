"""ESP lengths against a real implementation, a published table, and the rules of RFC 4303."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flexvpn_sim.models import algorithms, esp
from flexvpn_sim.models.errors import InputError

DATA = Path(__file__).parent / "data"

#: Columns of esp_mtu_table.csv.
ENCAPSULATIONS: dict[str, dict[str, Any]] = {
    "svti": {},
    "svti_nat_t": {"nat_t": True},
    "svti_v6": {"outer_ip_bytes": 40},
    "gre": {"mode": "transport", "gre_bytes": 4},
    "gre_nat_t": {"mode": "transport", "gre_bytes": 4, "nat_t": True},
    "gre_key": {"mode": "transport", "gre_bytes": 8},
    "gre_tunnel": {"mode": "tunnel", "gre_bytes": 4},
    "gre_v6": {"mode": "transport", "gre_bytes": 4, "outer_ip_bytes": 40},
}
TRANSFORMS = [(name, "") for name, cipher in algorithms.ENCRYPTIONS.items() if cipher.aead] + [
    (name, integrity)
    for name, cipher in algorithms.ENCRYPTIONS.items()
    if not cipher.aead
    for integrity in algorithms.INTEGRITIES
]


def read(name: str) -> list[dict[str, str]]:
    with (DATA / name).open() as lines:
        return list(csv.DictReader(line for line in lines if not line.startswith("#")))


def test_every_packet_of_the_testbed_has_the_length_that_was_captured() -> None:
    """strongSwan 5.9.8, UDP-encapsulated tunnel mode, 33 lengths with 4 transforms."""
    rows = read("testbed_esp_sizes.csv")
    compared = 0
    for row in rows:
        inner = int(row.pop("inner_bytes"))
        for transform, outer in row.items():
            encryption, integrity = transform.split("+")
            assert esp.esp_packet_bytes(inner, encryption, integrity, nat_t=True) == int(outer), (inner, transform)
            compared += 1
    assert compared == 132


@pytest.mark.parametrize("row", read("esp_mtu_table.csv"), ids=lambda row: row["transform"])
def test_plaintext_mtu_and_wire_lengths_are_those_of_the_fact_sheet(row: dict[str, str]) -> None:
    """The next longer packet must not fit, the longest one must."""
    encryption, integrity = row["transform"].split("+")
    for column, options in ENCAPSULATIONS.items():
        longest = esp.max_inner_bytes(1500, encryption, integrity, **options)
        assert longest == int(row[column]), column
        assert esp.esp_packet_bytes(longest, encryption, integrity, **options) <= 1500
        assert esp.esp_packet_bytes(longest + 1, encryption, integrity, **options) > 1500
    assert esp.esp_packet_bytes(64, encryption, integrity) == int(row["wire_64"])
    assert esp.esp_packet_bytes(1400, encryption, integrity) == int(row["wire_1400"])


@pytest.mark.parametrize(
    ("encryption", "integrity", "mode", "printed"),
    [
        ("aes-cbc-256", "sha256", "tunnel", 1438),
        ("aes-cbc-256", "sha256", "transport", 1458),
        ("aes-gcm-256", "", "tunnel", 1446),
    ],
)
def test_router_prints_this_plaintext_mtu(encryption: str, integrity: str, mode: esp.Mode, printed: int) -> None:
    """``show crypto ipsec sa``, path MTU 1500 (genieparser's examples, fact sheet D.2)."""
    assert esp.max_inner_bytes(1500, encryption, integrity, mode=mode) == printed


@given(
    inner=st.integers(28, 65535),
    transform=st.sampled_from(TRANSFORMS),
    encapsulation=st.sampled_from(sorted(ENCAPSULATIONS)),
)
def test_overhead_is_at_least_headers_and_check_value_and_padding_is_below_a_block(
    inner: int, transform: tuple[str, str], encapsulation: str
) -> None:
    """RFC 4303 section 2: the part behind the UDP header is a multiple of 4 and its protected part of the block."""
    encryption, integrity = transform
    cipher = algorithms.encryption(encryption)
    icv = cipher.icv_bytes if cipher.aead else algorithms.integrity(integrity).icv_bytes
    options = ENCAPSULATIONS[encapsulation]
    outer = esp.esp_packet_bytes(inner, encryption, integrity, **options)
    headers = options.get("outer_ip_bytes", 20) + (8 if options.get("nat_t") else 0)
    payload_extra = options.get("gre_bytes", 0) + (20 if encapsulation == "gre_tunnel" else 0)
    smallest = inner + payload_extra + headers + 8 + cipher.iv_bytes + 2 + icv
    block = max(cipher.block_bytes, 4)
    padding = esp.payload_padding(inner + payload_extra, encryption)
    assert 0 <= padding < block
    assert outer == smallest + padding
    assert (outer - headers) % 4 == 0
    assert (outer - headers - 8 - cipher.iv_bytes - icv) % block == 0


@given(
    inner=st.lists(st.integers(28, 65535), max_size=20),
    transform=st.sampled_from(TRANSFORMS),
    encapsulation=st.sampled_from(sorted(ENCAPSULATIONS)),
)
def test_an_array_of_packets_gives_the_same_lengths_as_one_packet_at_a_time(
    inner: list[int], transform: tuple[str, str], encapsulation: str
) -> None:
    options = ENCAPSULATIONS[encapsulation]
    together = esp.esp_packet_bytes(np.array(inner, np.int32), *transform, **options)
    assert together.tolist() == [esp.esp_packet_bytes(one, *transform, **options) for one in inner]


def test_a_1500_byte_packet_of_the_paper_becomes_fragments_of_1420_and_100_bytes() -> None:
    """Fact sheet D.3: 1420 + 100 inside, 1500 + 188 outside with AES-CBC and SHA-512; GCM 1444 + 76, 1500 + 132."""
    for encryption, integrity, inside, outside in [
        ("aes-cbc-256", "sha512", [1420, 100], [1500, 188]),
        ("aes-gcm-256", "", [1444, 76], [1500, 132]),
    ]:
        longest = esp.max_inner_bytes(1500, encryption, integrity)
        owner, piece, lengths = esp.fragment_bytes(np.array([1500]), longest)
        assert lengths.tolist() == inside
        assert esp.esp_packet_bytes(lengths, encryption, integrity).tolist() == outside
        assert owner.tolist() == [0, 0]
        assert piece.tolist() == [0, 1]


@given(inner=st.lists(st.integers(28, 65535), max_size=20), longest=st.integers(68, 9000))
def test_fragments_carry_every_byte_once_and_fit(inner: list[int], longest: int) -> None:
    """RFC 791: a header of 20 bytes each, all but the last a multiple of 8 bytes, as few fragments as possible."""
    owner, piece, lengths = esp.fragment_bytes(np.array(inner, np.int64), longest)
    assert all(lengths <= longest)
    for place, packet in enumerate(inner):
        own = lengths[owner == place] - 20
        assert own.sum() == packet - 20
        assert piece[owner == place].tolist() == list(range(own.size))
        assert all(own[:-1] % 8 == 0)
        assert all(own > 0)
        assert own.size == 1 or own[:-2].sum() + longest - 20 < packet - 20


@pytest.mark.parametrize(
    ("encryption", "integrity", "message"),
    [
        ("aes-cbc-265", "sha512", "did you mean 'aes-cbc-2"),
        ("aes-cbc-256", "sha3", "unknown integrity algorithm"),
        ("aes-gcm-256", "sha256", "leave integrity empty"),
        ("null", "", "needs an integrity algorithm"),
    ],
)
def test_a_transform_that_cannot_be_says_what_is_allowed(encryption: str, integrity: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        esp.esp_packet_bytes(1400, encryption, integrity)


def test_impossible_sizes_and_modes_are_refused() -> None:
    with pytest.raises(InputError, match="Allowed: transport, tunnel"):
        esp.esp_packet_bytes(1400, "aes-gcm-256", "", mode="beet")  # type: ignore[call-overload]
    with pytest.raises(InputError, match="path MTU 90 leaves no room"):
        esp.max_inner_bytes(90, "aes-cbc-256", "sha512")
    with pytest.raises(InputError, match="no fragment fits 27 bytes"):
        esp.fragment_bytes(np.array([1500]), 27)
