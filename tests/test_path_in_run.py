"""What becomes of long packets and of reordered ones in a run: MTUs of links and tunnel, DF, ICMP, anti-replay."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import flexvpn_sim as fv
from flexvpn_sim.hardware.cost import CostModel
from flexvpn_sim.hardware.profile_files import load_profile
from flexvpn_sim.models.encapsulation import Encapsulation
from flexvpn_sim.models.errors import InputError
from flexvpn_sim.models.path_mtu import DfPolicy, TunnelPath, When, passage
from flexvpn_sim.models.randomness import make_key, uniform
from flexvpn_sim.models.replay import ReplayWindow
from flexvpn_sim.models.values import Ledger
from flexvpn_sim.simulate.packet_path import FRAGMENT_BITS, Link, LinkSpec, PacketPath, ReplayCheck
from flexvpn_sim.simulate.tunnel_stations import encapsulated_path

WORKING = Path(str(files("flexvpn_sim.experiments.paper"))) / "working"
COST = CostModel(load_profile("isr4321"), Ledger())
PAPER = Encapsulation("aes-cbc-256", "sha512")
FAST = LinkSpec(1e9, 0.001)


# One tunnel


@settings(max_examples=150, deadline=None)
@given(
    lengths=st.lists(st.integers(28, 2500), min_size=1, max_size=20),
    link_mtu=st.integers(1300, 1600),
    narrower=st.integers(0, 250),
    discovers=st.booleans(),
    icmp=st.booleans(),
    ip_mtu=st.none() | st.integers(1000, 1600),
    fragment=st.sampled_from(["before", "after"]),
    policy=st.sampled_from(["copy", "set", "clear"]),
    df=st.booleans(),
    gre=st.booleans(),
    drops=st.booleans(),
)
def test_the_path_does_with_many_packets_what_the_rules_say_of_one(
    lengths: list[int],
    link_mtu: int,
    narrower: int,
    discovers: bool,
    icmp: bool,
    ip_mtu: int | None,
    fragment: When,
    policy: DfPolicy,
    df: bool,
    gre: bool,
    drops: bool,
) -> None:
    wrapped = Encapsulation("aes-cbc-256", "sha512", carrier="gre", mode="transport") if gre else PAPER
    tunnel = TunnelPath(wrapped, link_mtu, link_mtu - narrower, discovers, ip_mtu, fragment, policy, icmp, drops)
    path = encapsulated_path(COST, COST, tunnel, link=FAST, df=df)
    result = path.run(np.arange(len(lengths)) * 1.0, np.array(lengths))
    for place, length in enumerate(lengths):
        rule = passage(tunnel, length, df=df)
        station = path.stations[result.dropped_at[place]].name if result.dropped_at[place] >= 0 else ""
        fate = "too big" if "too big" in station else "black hole" if "black hole" in station else "sent"
        assert fate == rule.fate, (length, station)
        if fate == "sent":
            packets = path.enter(np.zeros(1, np.int64), np.zeros(1), np.array([length]))
            assert packets.inner_bytes.tolist() == list(rule.inner)
            # Pieces that are cut twice differ by the rounding to 8 octets alone: one header a piece.
            most = max(20 * sum(map(len, rule.outer)), 20)
            assert abs(int(packets.wire_bytes.sum()) - sum(map(sum, rule.outer))) <= most


def test_a_packet_that_is_refused_costs_no_core() -> None:
    path = encapsulated_path(COST, COST, TunnelPath(PAPER, ip_mtu=1400), link=FAST, df=True)
    result = path.run(np.arange(4) * 1.0, np.array([1400, 1401, 1500, 100]))
    assert result.dropped_at.tolist() == [-1, 0, 0, -1]
    assert (result.stations[0].arrivals, result.stations[0].drops) == (4, 2)
    assert result.stations[1].arrivals == 2 and result.stations[0].utilisation == 0.0


# Reordering


def order_of_arrival(spec: LinkSpec, sent_s: list[float], seed: int) -> list[int]:
    """Return the packets as they come out of a link that reorders, by the key that the path gives it."""
    key = make_key(seed, "link sender-receiver", "jitter")
    at_s = [
        t + 8 * 1000 / spec.rate_bps + spec.delay_s + spec.jitter_s * uniform(key, n << FRAGMENT_BITS)
        for n, t in enumerate(sent_s)
    ]
    return [int(n) for n in np.argsort(at_s, kind="stable")]


@pytest.mark.parametrize("window", [64, 128])
def test_the_window_drops_what_a_single_window_drops(window: int) -> None:
    """3000 packets 10 us apart over a jitter of 2 ms: up to 200 packets overtake one."""
    spec = LinkSpec(1e12, 0.01, jitter_s=0.002, reorders=True)
    keys = (make_key(1, "link sender-receiver", purpose) for purpose in ("loss", "jitter"))
    path = PacketPath((Link("link", spec, *keys), ReplayCheck("window", window)))
    times_s = np.arange(3000) * 1e-5
    result = path.run(times_s, np.full(3000, 1000), block_packets=256)
    single = ReplayWindow(window)
    order = order_of_arrival(spec, times_s.tolist(), 1)
    verdicts = {n: single.receive(n + 1) for n in order}
    late = sorted(n for n in order if verdicts[n] != "accepted")
    assert np.flatnonzero(result.dropped_at == 1).tolist() == late
    assert 0 < np.count_nonzero(result.dropped_at == 1) < 3000
    whole = path.run(times_s, np.full(3000, 1000))
    np.testing.assert_array_equal(result.latency_s, whole.latency_s)


def test_a_link_that_keeps_the_order_has_no_window() -> None:
    for reorders in (False, True):
        spec = LinkSpec(1e9, 0.001, jitter_s=0.01, reorders=reorders)
        path = encapsulated_path(COST, COST, TunnelPath(PAPER), link=spec, replay_window=64)
        assert any(isinstance(station, ReplayCheck) for station in path.stations) == reorders


def test_packets_that_are_fragmented_before_encryption_have_a_number_each() -> None:
    """Each packet is two ESP packets: a window of 64 is one of 32 packets."""
    spec = LinkSpec(1e12, 0.01, jitter_s=0.001, reorders=True)
    keys = (1, 2)
    times_s = np.arange(2000) * 2e-5
    drops = []
    for longest in (1000, 2000):
        path = PacketPath((Link("link", spec, *keys), ReplayCheck("window", 64)), longest_inner_bytes=longest)
        drops.append(np.count_nonzero(path.run(times_s, np.full(2000, 1500)).dropped_at == 1))
    # 50 packets of 20 us in 1 ms: too few to leave a window of 64.
    assert drops[1] == 0 < drops[0]


# Runs


def scenario(folder: Path, *, links: str = "", flow: str = "", edit: dict[str, str] | None = None) -> fv.Result:
    """Run 2 s of 100 packets/s of 1500 bytes from HQ. ``links``, ``flow``: further keys; ``edit``: of both ends."""
    for source in WORKING.glob("*.cfg"):
        text = source.read_text()
        for old, new in (edit or {}).items():
            assert old in text
            text = text.replace(old, new)
        (folder / source.name).write_text(text)
    path = folder / "scenario.yaml"
    packets = f"{{from: HQ, to: icpedger02, kind: constant, start: 1 s, {flow or LONG}}}"
    head = f"scenario: 1\nconfigurations: {folder}\nduration: 3 s\n"
    path.write_text(f"{head}links: {{{links}}}\ntraffic:\n  - {packets}\n")
    return fv.run(path)


def counts(result: fv.Result) -> dict[str, int]:
    names = ("offered", "too_big", "sent", "delivered", "black_hole", "replay_dropped")
    return {name: int(result.packets[name].sum()) for name in names}


LONG = "size: 1500 B, packets: 100 /s"
NARROW = "icpedger02: {mtu: 1300 B}"
FILTERED = "icpedger02: {mtu: 1300 B, blocks_icmp: true}"
BOX = "HQ: {drops_fragments: true}"
NAT = "HQ: {nat: true}"
DF = f"{LONG}, df: true"
#: Shorter packets with DF.
PACES = "df: true, packets: 100 /s"
CLEAR = {"hostname ": "crypto ipsec df-bit clear\nhostname "}
SET = {"hostname ": "crypto ipsec df-bit set\nhostname "}
AFTER = {"hostname ": "crypto ipsec fragmentation after-encryption\nhostname "}
IP_MTU = {" tunnel path-mtu-discovery\n": " tunnel path-mtu-discovery\n ip mtu 1400\n"}
GRE = {" tunnel mode ipsec ipv4\n": " tunnel mode gre ip\n"}
BLIND_GRE = {**GRE, " tunnel path-mtu-discovery\n": ""}


@pytest.mark.parametrize(
    ("links", "flow", "edit", "fate", "wire_bytes"),
    [
        # Cut to 1420 + 100 before encryption: 1500 + 188 on the wire (fact sheet D.3).
        ("", "", {}, "delivered", 1500 + 188),
        ("", DF, {}, "too_big", 0),
        ("", f"{PACES}, size: 1422 B", {}, "delivered", 1500),
        ("", DF, CLEAR, "delivered", 1500 + 188),
        ("", "", AFTER, "delivered", 1500 + 100),
        # ip mtu 1400: 1396 + 124, which are 1484 and 204 bytes as ESP packets.
        ("", "", IP_MTU, "delivered", 1484 + 204),
        ("", f"{PACES}, size: 1401 B", IP_MTU, "too_big", 0),
        # The far link is the narrow one. IPsec learns it by ICMP: 1212 + 308.
        (NARROW, "", {}, "delivered", 1292 + 396),
        (NARROW, DF, {}, "too_big", 0),
        # Without ICMP the router sends 1500 + 188, which the path cuts, or swallows where it may not cut.
        (FILTERED, "", {}, "delivered", 1300 + 220 + 188),
        (FILTERED, f"{PACES}, size: 1400 B", {}, "black_hole", 1484),
        (FILTERED, f"{PACES}, size: 1200 B", {}, "delivered", 1292),
        (FILTERED, "", SET, "black_hole", 1500 + 188),
        # GRE copies DF when it looks for the MTU, and clears it otherwise. 1200 + 4 + 20: 1308 bytes as ESP packet.
        (FILTERED, f"{PACES}, size: 1200 B", GRE, "black_hole", 1308),
        (FILTERED, f"{PACES}, size: 1200 B", BLIND_GRE, "delivered", 1300 + 28),
        (NARROW, f"{PACES}, size: 1200 B", GRE, "too_big", 0),
        # A middlebox takes fragments of ESP for attacks; what is cut before encryption passes.
        (BOX, "", AFTER, "black_hole", 1500 + 100),
        (BOX, "", {}, "delivered", 1500 + 188),
        # UDP on port 4500 takes 8 bytes more, and cuts at 1406 + 114 then: 1484 + 8 and 188 + 8.
        (NAT, "", {}, "delivered", 1492 + 212),
    ],
)
def test_long_packets_of_a_run_meet_mtu_and_df(
    tmp_path: Path, links: str, flow: str, edit: dict[str, str], fate: str, wire_bytes: int
) -> None:
    result = scenario(tmp_path, links=links, flow=flow, edit=edit)
    found = counts(result)
    assert found["offered"] == 200 == found[fate]
    assert found["sent"] == (0 if fate == "too_big" else 200)
    assert result.packets["wire_bytes"].sum() == 200 * wire_bytes
    # The table of stations names what the summary prints of drops.
    drops = dict(zip(result.queues["name"], result.queues["drops"], strict=True))
    if fate != "delivered":
        name = next(name for name in drops if fate.replace("_", " ") in name)
        assert drops[name] == 200


def test_show_prints_the_path_mtu_that_the_router_knows(tmp_path: Path) -> None:
    for folder, links, known in (("a", NARROW, 1300), ("b", FILTERED, 1500)):
        (tmp_path / folder).mkdir()
        text = scenario(tmp_path / folder, links=links).show("HQ", "crypto ipsec sa")
        assert f"plaintext mtu {1214 if known == 1300 else 1422}, path mtu {known}," in text


REORDERING = "HQ: {jitter: 20 ms, reorders: true}"
CROWD = "size: 200 B, rate: 20 Mbps"
WINDOW = "crypto ipsec security-association replay"


@pytest.mark.parametrize(
    ("edit", "drops"),
    [
        ({}, True),
        ({"hostname ": f"{WINDOW} window-size 1024\nhostname "}, False),
        ({"hostname ": f"{WINDOW} disable\nhostname "}, False),
        # The profile's own window counts before the global one.
        ({" set transform-set TSET\n": " set transform-set TSET\n set security-association replay disable\n"}, False),
    ],
)
def test_reordering_beyond_the_window_drops_packets(tmp_path: Path, edit: dict[str, str], drops: bool) -> None:
    """12 500 packets/s over 20 ms of jitter: up to 250 overtake one, more than 64 and less than 1024."""
    found = scenario(tmp_path, links=REORDERING, flow=CROWD, edit=edit)
    lost = counts(found)["replay_dropped"]
    assert (lost > 0) == drops
    assert counts(found)["delivered"] + lost == counts(found)["sent"]
    errors = f"#recv errors {lost}"
    assert errors in found.show("icpedger02", "crypto ipsec sa")


def test_jitter_without_reordering_drops_nothing(tmp_path: Path) -> None:
    found = scenario(tmp_path, links="HQ: {jitter: 20 ms}", flow=CROWD)
    assert counts(found)["replay_dropped"] == 0 and counts(found)["delivered"] == counts(found)["sent"]


@pytest.mark.parametrize(
    ("links", "message"),
    [
        ("HQ: {reorders: true}", "reorders is given without jitter"),
        ("HQ: {mtu: 80 B}", "path MTU 80 leaves no room for an inner packet"),
        ("HQ: {blocks_icmp: perhaps}", "blocks_icmp"),
    ],
)
def test_a_link_that_cannot_be_is_refused(tmp_path: Path, links: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        scenario(tmp_path, links=links)


def test_the_df_bit_of_a_configuration_is_checked(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="unknown df-bit 'keep'"):
        scenario(tmp_path, edit={"hostname ": "crypto ipsec df-bit keep\nhostname "})
