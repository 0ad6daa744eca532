"""What leaves a tunnel router: cut before or after encryption, refused, or lost in a black hole."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from flexvpn_sim.experiments.cli import app
from flexvpn_sim.hardware.cost import CostModel
from flexvpn_sim.hardware.profile_files import load_profile
from flexvpn_sim.models.encapsulation import Encapsulation
from flexvpn_sim.models.errors import InputError
from flexvpn_sim.models.path_mtu import TunnelPath, advice, fragment_count, fragmented_bytes, fragments, passage
from flexvpn_sim.models.values import Ledger
from flexvpn_sim.simulate.packet_path import LinkSpec, Servers
from flexvpn_sim.simulate.tunnel_stations import tunnel_path

PAPER = Encapsulation("aes-cbc-256", "sha512")
GCM = Encapsulation("aes-gcm-256")


@pytest.mark.parametrize(
    ("wrapped", "fragment", "inner", "outer"),
    [
        # Fact sheet D.3.
        (PAPER, "before", (1420, 100), ((1500,), (188,))),
        (PAPER, "after", (1500,), ((1500, 100),)),
        (GCM, "before", (1444, 76), ((1500,), (132,))),
        (GCM, "after", (1500,), ((1500, 76),)),
    ],
)
def test_a_full_packet_is_cut_before_or_after_encryption(
    wrapped: Encapsulation, fragment: Any, inner: tuple[int, ...], outer: tuple[tuple[int, ...], ...]
) -> None:
    passed = passage(TunnelPath(wrapped, fragment=fragment), 1500)
    assert (passed.fate, passed.inner, passed.outer) == ("sent", inner, outer)
    assert passed.reassembled_by == ("end host" if fragment == "before" else "peer router")


def test_a_packet_that_must_not_be_cut_is_refused_with_the_mtu_of_the_tunnel() -> None:
    tunnel = TunnelPath(PAPER)
    assert passage(tunnel, 1422, df=True).outer == ((1500,),)
    refused = passage(tunnel, 1423, df=True)
    assert (refused.fate, refused.told_mtu, refused.outer) == ("too big", 1422, ())
    # An ip mtu below what fits is what the sender is told.
    assert passage(replace(tunnel, ip_mtu=1400), 1401, df=True).told_mtu == 1400
    # With "df-bit clear" the bit is ignored.
    assert passage(replace(tunnel, df="clear"), 1500, df=True).outer == ((1500,), (188,))


def test_df_in_the_outer_header_forbids_fragments_after_encryption() -> None:
    after = TunnelPath(PAPER, fragment="after")
    assert passage(after, 1500).fate == "sent"
    assert passage(after, 1500, df=True).told_mtu == 1422
    assert passage(replace(after, df="set"), 1500).told_mtu == 1422
    assert passage(replace(after, df="clear"), 1500, df=True).outer == ((1500, 100),)


def test_an_ip_mtu_of_1400_cuts_earlier_and_both_fragmentations_may_meet() -> None:
    assert passage(TunnelPath(PAPER, ip_mtu=1400), 1500).inner == (1396, 124)
    # An ip mtu that is too long for fragmentation after encryption: both the host and the router reassemble.
    passed = passage(TunnelPath(PAPER, ip_mtu=1490, fragment="after"), 1500)
    assert passed.inner == (1484, 36)
    assert passed.outer == ((1500, 84), (124,))
    assert passed.reassembled_by == "end host and peer router"


def test_without_discovery_a_narrow_path_is_a_black_hole_for_df_and_cuts_the_rest() -> None:
    blind = TunnelPath(PAPER, link_mtu=1500, path_mtu=1400, discovers=False)
    assert passage(blind, 1400, df=True).fate == "black hole"
    assert passage(blind, 1400).outer == ((1396, 108),)
    assert passage(replace(blind, discovers=True), 1400, df=True).told_mtu == 1310
    # GRE without "tunnel path-mtu-discovery" clears DF outside.
    gre = Encapsulation("aes-cbc-256", "sha512", carrier="gre", mode="transport")
    assert passage(replace(blind, encapsulation=gre), 1400, df=True).outer == ((1396, 108),)
    # Nothing cuts an outer packet of IPv6 on its way.
    over_v6 = replace(blind, encapsulation=Encapsulation("aes-cbc-256", "sha512", outer=6))
    assert passage(over_v6, 1380).fate == "black hole"


def test_ipv6_is_never_cut_and_gets_its_1280_bytes() -> None:
    inside = Encapsulation("aes-cbc-256", "sha512", inner=(6,))
    refused = passage(TunnelPath(inside), 1500, version=6)
    assert (refused.fate, refused.told_mtu) == ("too big", 1422)
    narrow = TunnelPath(inside, 1300, 1300)
    # 1214 bytes fit, but no link of IPv6 may have less than 1280 (RFC 8200 section 5).
    assert inside.max_inner_bytes(1300) == 1214
    assert passage(narrow, 1400, version=6).told_mtu == 1280
    assert passage(narrow, 1280, version=6).outer == ((1300, 92),)
    over_v6 = Encapsulation("aes-cbc-256", "sha512", outer=6, inner=(6,))
    # Two packets instead of one: an IP header more, and a fragment header in each.
    (pieces,) = passage(TunnelPath(over_v6, 1300, 1300), 1280, version=6).outer
    assert sum(pieces) == over_v6.packet_bytes(1280) + 40 + 2 * 8


@given(length=st.integers(60, 65535), mtu=st.integers(68, 9000), version=st.sampled_from([4, 6]))
def test_fragments_carry_everything_and_are_as_few_as_possible(length: int, mtu: int, version: Any) -> None:
    header = {4: 20, 6: 40}[version]
    pieces = fragments(length, mtu, version)
    assert len(pieces) == fragment_count(length, mtu, version)
    if length <= mtu:
        assert pieces == (length,)
        return
    around = header + (8 if version == 6 else 0)
    assert max(pieces) <= mtu
    assert sum(piece - around for piece in pieces) == length - header
    assert all((piece - around) % 8 == 0 for piece in pieces[:-1])
    most = (mtu - around) // 8 * 8
    assert (len(pieces) - 2) * most + mtu - around < length - header
    lengths = np.array([length, mtu, mtu + 1])
    assert fragment_count(lengths, mtu, version).tolist() == [len(fragments(int(n), mtu, version)) for n in lengths]


@given(
    size=st.integers(60, 9000),
    df=st.booleans(),
    policy=st.sampled_from(["copy", "set", "clear"]),
    fragment=st.sampled_from(["before", "after"]),
    mtus=st.tuples(st.integers(600, 2000), st.integers(600, 2000)).map(sorted),
    discovers=st.booleans(),
    ip_mtu=st.one_of(st.none(), st.integers(200, 2000)),
    version=st.sampled_from([4, 6]),
    wrapped=st.sampled_from([PAPER, GCM, Encapsulation("3des", "sha1", carrier="gre", mode="transport", outer=6)]),
)
def test_what_arrives_fits_the_path_and_carries_the_packet_once(
    size: int,
    df: bool,
    policy: Any,
    fragment: Any,
    mtus: list[int],
    discovers: bool,
    ip_mtu: int | None,
    version: Any,
    wrapped: Encapsulation,
) -> None:
    tunnel = TunnelPath(wrapped, mtus[1], mtus[0], discovers, ip_mtu, fragment, policy)
    passed = passage(tunnel, size, df=df, version=version)
    if passed.fate != "sent":
        assert not passed.outer
        assert (passed.told_mtu > 0) == (passed.fate == "too big")
        assert passed.fate == "black hole" or passed.told_mtu < size
        return
    assert all(piece <= mtus[0] for pieces in passed.outer for piece in pieces)
    assert sum(piece - 20 for piece in passed.inner) == size - 20
    assert len(passed.inner) == 1 or (version == 4 and (not df or policy == "clear"))
    # What follows the advice is never cut.
    advised = advice(tunnel).ip_mtu
    if size <= min(advised, ip_mtu or advised):
        assert passed.outer == ((wrapped.packet_bytes(size),),)


def test_advice_leaves_room_for_the_longer_headers() -> None:
    assert advice(TunnelPath(PAPER)).adjust_mss == 1422 - 40
    both = Encapsulation("aes-cbc-256", "sha512", carrier="gre", mode="transport", inner=(4, 6))
    assert advice(TunnelPath(both)) == advice(TunnelPath(both, discovers=False))
    assert (advice(TunnelPath(both)).ip_mtu, advice(TunnelPath(both)).adjust_mss) == (1418, 1418 - 60)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"path_mtu": 1501}, "the path carries 1501 bytes, more than the first link"),
        ({"path_mtu": 90}, "path MTU 90 leaves no room"),
        ({"ip_mtu": 10}, "ip mtu 10: 28 to 65535 bytes are allowed"),
    ],
)
def test_impossible_mtus_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        TunnelPath(PAPER, **options)


# -- The command line ------------------------------------------------------------------------------------------


def overhead(*options: str) -> Any:
    return CliRunner().invoke(app, ["overhead", *options])


def test_the_command_tells_what_leaves() -> None:
    done = overhead("--esp", "aes256-sha512", "--inner", "1400,1500", "--fragment", "after", "--json")
    assert done.exit_code == 0, done.output
    told = json.loads(done.stdout)
    assert [row["packets"] for row in told["sizes"]] == [[[1484]], [[1500, 100]]]
    assert told["sizes"][1]["reassembled_by"] == "peer router"
    assert told["advised"] == {"ip_mtu": 1422, "adjust_mss": 1382}
    refused = json.loads(overhead("--esp", "aes256-sha512", "--inner", "1500", "--inner-df", "--json").stdout)
    assert refused["sizes"][0]["fate"] == "too big" and refused["sizes"][0]["told_mtu"] == 1422


@pytest.mark.parametrize(
    ("options", "outer"),
    [
        (["--ah", "sha256", "--inner", "1400"], 1448),
        # AH protects what ESP only encrypts: 20 + 24 + 8 + 16 + 1408.
        (["--ah", "ah-sha-hmac", "--esp", "esp-aes 256", "--inner", "1400"], 1476),
        (["--gre", "--gre-key", "--inner", "1400"], 1428),
        (["--esp", "aes256-sha512", "--gre", "--mode", "tunnel", "--inner", "1400"], 1516),
        (["--esp", "aes256-sha512", "--outer", "6", "--inner-ip", "6", "--inner", "1400"], 1504),
        (["--esp", "aes128gcm16", "--dual-overlay", "--inner-ip", "both", "--inner", "1400"], 1456),
        (["--esp", "aes256-sha512", "--mode", "l2tp", "--inner", "1400"], 1500),
    ],
)
def test_every_encapsulation_has_a_command_line(options: list[str], outer: int) -> None:
    done = overhead(*options, "--json")
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["sizes"][0]["outer"] == outer


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ([], "--esp: nothing to add"),
        (["--ah", "sha257"], "--ah: unknown integrity algorithm of AH 'sha257', did you mean 'sha256'?"),
        (["--ah", "sha1", "--nat-t"], "AH protects the outer addresses"),
        (["--esp", "aes128gcm16", "--outer", "5"], "--outer: unknown IP version '5'"),
        (["--esp", "aes128gcm16", "--inner-ip", "both"], "one pair of native IPsec SAs carries one family"),
        (["--esp", "aes128gcm16", "--fragment", "never"], "--fragment: unknown choice 'never'"),
        (["--esp", "aes128gcm16", "--inner-ip", "6", "--inner", "39"], "--inner: found 39, an IP packet has 40 to"),
    ],
)
def test_wrong_input_is_one_line_and_exit_code_2(options: list[str], message: str) -> None:
    done = overhead(*options)
    assert done.exit_code == 2
    assert done.stderr.startswith(f"flexvpn-sim: {message}") and done.stderr.count("\n") == 1


# -- The data plane --------------------------------------------------------------------------------------------


def test_the_data_plane_cuts_after_encryption_and_both_routers_pay_for_it() -> None:
    cost = CostModel(load_profile("isr4321"), Ledger())
    link = LinkSpec(rate_bps=10e6, delay_s=0.01)
    suite = {"encryption": "aes-cbc-256", "integrity": "sha512"}
    before, after = (tunnel_path(cost, cost, link=link, fragment=when, **suite) for when in ("before", "after"))  # type: ignore[arg-type]
    times_s, lengths = np.array([0.0, 1.0]), np.array([1400, 1500])
    cut, whole = before.run(times_s, lengths), after.run(times_s, lengths)
    # A short packet meets the same stations; of a long one two ESP packets, or two fragments, cross the link.
    assert whole.latency_s[0] == cut.latency_s[0]
    assert after.wire_bytes(lengths).tolist() == [1484, 1600]
    (wire,) = after.enter(np.arange(2), times_s, lengths).wire_bytes[1:]
    assert wire == sum(passage(TunnelPath(PAPER, fragment="after"), 1500).outer[0])
    service_s = [station.service_s for station in after.stations if isinstance(station, Servers)]
    fixed_s = float(cost.packet_core_s(np.zeros(1, np.int64))[0])
    for station_s in (service_s[0], service_s[-1]):
        longer, shorter = (station_s(np.array([n]), after.wire_bytes(np.array([n])))[0] for n in (1423, 1422))
        assert longer - shorter > fixed_s
    assert whole.delivered == 2 and not np.isnan(whole.latency_s).any()


def test_the_data_plane_runs_over_ipv6() -> None:
    cost = CostModel(load_profile("isr4321"), Ledger())
    link = LinkSpec(rate_bps=10e6, delay_s=0.01)
    path = tunnel_path(cost, cost, encryption="aes-cbc-256", integrity="sha512", link=link, ip_version=6)
    over_v6 = Encapsulation("aes-cbc-256", "sha512", outer=6)
    assert path.longest_inner_bytes == over_v6.max_inner_bytes(1500) == 1390
    assert path.wire_bytes(np.array([1390])).tolist() == [over_v6.packet_bytes(1390)]


@given(lengths=st.lists(st.integers(60, 9000), min_size=1, max_size=20), version=st.sampled_from([4, 6]))
def test_the_bytes_of_all_fragments_are_those_of_each(lengths: list[int], version: Any) -> None:
    together = fragmented_bytes(np.array(lengths), 1300, version)
    assert together.tolist() == [sum(fragments(length, 1300, version)) for length in lengths]
