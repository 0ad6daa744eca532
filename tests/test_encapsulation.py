"""Lengths of ESP, AH, GRE and L2TP in both IP families, from the layouts of the RFCs by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from flexvpn_sim.models import ah
from flexvpn_sim.models.baselines import tunnels
from flexvpn_sim.models.encapsulation import Encapsulation
from flexvpn_sim.models.errors import InputError

PAPER = ("aes-cbc-256", "sha512")
GCM = ("aes-gcm-256", "")


@pytest.mark.parametrize(
    ("integrity", "ipv4", "ipv6"),
    [
        # 12 + ICV; in IPv6 padded to 8 (RFC 4302 3.3.3.2.1).
        ("md5", 24, 24),
        ("sha1", 24, 24),
        ("sha256", 28, 32),
        ("sha384", 36, 40),
        ("sha512", 44, 48),
        ("aes-xcbc", 24, 24),
    ],
)
def test_an_authentication_header_is_aligned_to_its_family(integrity: str, ipv4: int, ipv6: int) -> None:
    assert (ah.header_bytes(integrity, 4), ah.header_bytes(integrity, 6)) == (ipv4, ipv6)


@pytest.mark.parametrize(
    ("options", "outer"),
    [
        # A packet of 1400 bytes; ESP: 8 + IV + padded(payload + 2) + ICV.
        ({}, 20 + 8 + 16 + 1408 + 32),
        ({"outer": 6}, 40 + 8 + 16 + 1408 + 32),
        ({"inner": (6,)}, 20 + 8 + 16 + 1408 + 32),
        ({"outer": 6, "inner": (6,)}, 40 + 8 + 16 + 1408 + 32),
        ({"nat_t": True}, 28 + 8 + 16 + 1408 + 32),
        ({"outer": 6, "nat_t": True}, 48 + 8 + 16 + 1408 + 32),
        # GRE 4, with key 8, with key, sequence number and checksum 16.
        ({"carrier": "gre", "mode": "transport"}, 20 + 8 + 16 + 1408 + 32),
        ({"carrier": "gre", "mode": "transport", "gre_options": 1}, 20 + 8 + 16 + 1424 + 32),
        ({"carrier": "gre", "mode": "transport", "gre_options": 3, "outer": 6}, 40 + 8 + 16 + 1424 + 32),
        # In tunnel mode GRE has its own IP header inside: 1400 + 4 + 20 + 2 or 1400 + 4 + 40 + 2, padded to 16.
        ({"carrier": "gre"}, 20 + 8 + 16 + 1440 + 32),
        ({"carrier": "gre", "outer": 6}, 40 + 8 + 16 + 1456 + 32),
        # UDP 8, L2TP 6, PPP 2.
        ({"carrier": "l2tp", "mode": "transport"}, 20 + 8 + 16 + 1424 + 32),
        # Between hosts the inner header is the outer one: 1380 or 1360 bytes of payload.
        ({"carrier": "host", "mode": "transport"}, 20 + 8 + 16 + 1392 + 32),
        ({"carrier": "host", "mode": "transport", "outer": 6, "inner": (6,)}, 40 + 8 + 16 + 1376 + 32),
        # AH before ESP.
        ({"ah": "sha1"}, 20 + 24 + 8 + 16 + 1408 + 32),
        ({"ah": "sha256", "outer": 6}, 40 + 32 + 8 + 16 + 1408 + 32),
    ],
)
def test_lengths_of_esp_with_the_suite_of_the_paper(options: dict[str, Any], outer: int) -> None:
    assert Encapsulation(*PAPER, **options).packet_bytes(1400) == outer


@pytest.mark.parametrize(
    ("options", "outer"),
    [
        ({"ah": "sha256"}, 20 + 28 + 1400),
        ({"ah": "sha256", "outer": 6, "inner": (6,)}, 40 + 32 + 1400),
        ({"ah": "sha1", "carrier": "gre", "mode": "transport"}, 20 + 24 + 4 + 1400),
        ({"ah": "sha1", "carrier": "gre"}, 20 + 24 + 20 + 4 + 1400),
        ({"ah": "sha512", "carrier": "host", "mode": "transport"}, 20 + 44 + 1380),
        ({"carrier": "gre"}, 20 + 4 + 1400),
        ({"carrier": "gre", "outer": 6, "gre_options": 2}, 40 + 12 + 1400),
    ],
)
def test_lengths_without_esp(options: dict[str, Any], outer: int) -> None:
    wrapped = Encapsulation(**options)
    assert wrapped.packet_bytes(1400) == outer
    assert wrapped.max_inner_bytes(1500) == 1400 + 1500 - outer


def test_l2tp_has_the_length_of_the_baseline() -> None:
    wrapped = Encapsulation(*PAPER, carrier="l2tp", mode="transport")
    assert [wrapped.packet_bytes(n) for n in range(40, 1500)] == [
        tunnels.l2tp_packet_bytes(n, PAPER) for n in range(40, 1500)
    ]


carriers = st.sampled_from(["native", "gre", "l2tp", "host"])


@given(
    suite=st.sampled_from([PAPER, GCM, ("3des", "sha1"), ("aes-ctr-128", "aes-xcbc"), ("", "")]),
    header=st.sampled_from(["", "sha1", "sha256", "sha512"]),
    carrier=carriers,
    mode=st.sampled_from(["tunnel", "transport"]),
    gre_options=st.integers(0, 3),
    outer=st.sampled_from([4, 6]),
    inner=st.sampled_from([(4,), (6,), (4, 6)]),
    dual=st.booleans(),
    nat_t=st.booleans(),
    mtu=st.integers(300, 9000),
)
def test_the_largest_inner_packet_fits_and_the_next_does_not(suite: tuple[str, str], mtu: int, **options: Any) -> None:
    options["ah"] = options.pop("header")
    try:
        wrapped = Encapsulation(*suite, **options)
    except InputError:
        assume(False)
    longest = wrapped.max_inner_bytes(mtu)
    assert wrapped.packet_bytes(longest) <= mtu < wrapped.packet_bytes(longest + 1)
    sizes = np.arange(longest - 40, longest + 1)
    assert wrapped.packet_bytes(sizes).tolist() == [wrapped.packet_bytes(int(n)) for n in sizes]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"ah": "sha1", "nat_t": True}, "AH protects the outer addresses, which a NAT changes"),
        ({"carrier": "gre", "nat_t": True}, "UDP encapsulation is for ESP"),
        ({"encryption": "aes-gcm-256", "mode": "transport"}, "a native tunnel needs tunnel mode"),
        ({"encryption": "aes-gcm-256", "carrier": "l2tp"}, "l2tp is protected in transport mode"),
        ({}, "a native tunnel needs ESP or AH"),
        ({"encryption": "aes-gcm-256", "inner": (4, 6)}, "one pair of native IPsec SAs carries one family: use GRE"),
        ({"encryption": "aes-gcm-256", "gre_options": 1}, "options of GRE, and there is no GRE"),
        (
            {"encryption": "aes-gcm-256", "carrier": "host", "mode": "transport", "inner": (6,)},
            "inner and outer family must agree",
        ),
    ],
)
def test_what_there_is_not_is_refused_with_a_sentence(options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        Encapsulation(**options)


def test_gre_and_a_dual_overlay_carry_both_families() -> None:
    both = {"inner": (4, 6)}
    gre = Encapsulation(*GCM, carrier="gre", mode="transport", **both)  # type: ignore[arg-type]
    dual = Encapsulation(*GCM, dual=True, **both)  # type: ignore[arg-type]
    assert gre.packet_bytes(1400) - dual.packet_bytes(1400) == 4
