"""L2TP over IPsec, PPTP and GRE against the formats of their RFCs, and set-ups against hand-made schedules."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flexvpn_sim.experiments import baselines
from flexvpn_sim.hardware.cost import CostModel
from flexvpn_sim.hardware.profile_files import load_profile
from flexvpn_sim.models.baselines import tunnels
from flexvpn_sim.models.baselines.procedure import Packet, Procedure, chain
from flexvpn_sim.models.esp import esp_packet_bytes
from flexvpn_sim.models.ikev2.operations import FixedTime, Operation
from flexvpn_sim.models.notation import parse_esp, parse_ike
from flexvpn_sim.models.values import Ledger

SUITES = baselines.Suites(parse_ike("aes256-sha512-modp2048"), parse_esp("aes256-sha512"))
COST = CostModel(load_profile("isr4321"), Ledger())
LONG_SET_UPS = (baselines.l2tp(SUITES, "ios", Ledger()), tunnels.pptp(Ledger()))
ESP_SUITES = [("aes-cbc-256", "sha512"), ("aes-cbc-128", "sha1"), ("aes-gcm-256", ""), ("3des", "sha1")]


def work(duration_s: float) -> tuple[Operation, ...]:
    return (FixedTime("test", duration_s),)


def service_s(operations: object) -> float:
    return sum(o.duration_s for o in operations)  # type: ignore[attr-defined]


def free(_: object) -> float:
    return 0.0


# -- The schedule of a set-up ----------------------------------------------------------------------------------


def test_a_request_and_its_answer_take_one_round_trip_and_the_work_of_both_ends() -> None:
    packets = chain("x", [("request", True, 100, work(1), work(2)), ("answer", False, 50, work(3), work(4))])
    procedure = Procedure("x", tuple(packets), (1,))
    assert procedure.setup_s(10.0, service_s) == 1 + 5 + 2 + 3 + 5 + 4
    assert (procedure.messages, procedure.ip_bytes, procedure.round_trips()) == (2, 150, 1.0)
    assert procedure.cpu_s(service_s, initiator=True) == 1 + 4
    assert procedure.cpu_s(service_s, initiator=False) == 2 + 3


def test_a_packet_behind_the_own_last_one_waits_for_no_round_trip() -> None:
    packets = chain("x", [("one", True, 1, (), ()), ("two", True, 1, (), ()), ("answer", False, 1, (), ())])
    assert Procedure("x", tuple(packets), (2,)).round_trips() == 1.0


def test_a_user_packet_is_not_in_vain_when_the_responder_is_not_ready_yet() -> None:
    """Its last packet left at 0 and arrives at 5; the work of 7 behind that delays what follows by 7."""
    procedure = Procedure("x", (Packet("x", "last", True, 1, (), (), work(7)),), (0,))
    assert procedure.setup_s(10.0, service_s) == 7.0


def test_one_core_does_simultaneous_work_one_after_the_other() -> None:
    both = [Packet("x", name, True, 1, (), (), work(2)) for name in "ab"]
    answer = Packet("x", "answer", False, 1, (0, 1))
    assert Procedure("x", (*both, answer), (2,)).setup_s(0.0, service_s) == 4.0


def test_a_circle_of_packets_is_noticed() -> None:
    with pytest.raises(AssertionError, match="for ever"):
        Procedure("x", (Packet("x", "a", True, 1, (0,)),), (0,)).round_trips()


@pytest.fixture(scope="module")
def set_ups() -> dict[str, Procedure]:
    ledger = Ledger()
    found = [
        baselines.ikev2(SUITES, "ios-xe-16.9", ledger),
        baselines.ikev1_set_up(SUITES, "ios", ledger, "main"),
        baselines.ikev1_set_up(SUITES, "ios", ledger, "aggressive"),
        baselines.l2tp(SUITES, "ios", ledger),
        tunnels.pptp(ledger),
        tunnels.l2tp((), None, ledger),
    ]
    return {procedure.name: procedure for procedure in found}


@pytest.mark.parametrize(
    ("name", "messages", "round_trips"),
    [
        ("IKEv2", 4, 2),  # RFC 7296 1.2
        ("IKEv1 main", 9, 4),  # RFC 2409: 6 + 3; the third message of quick mode needs no answer
        ("IKEv1 aggressive", 6, 2),
        # 9, then L2TP 6 and an acknowledgement, LCP 4, CHAP 3, IPCP 6; 4 + 2 + LCP 1 + CHAP 2 + IPCP 2 round trips.
        ("L2TP/IPsec", 29, 11),
        ("L2TP", 20, 7),
        # TCP 3, control 4 and link info 1, LCP 4, CHAP 3, CCP 4, IPCP 6.
        ("PPTP", 25, 7),
    ],
)
def test_messages_and_round_trips(set_ups: dict[str, Procedure], name: str, messages: int, round_trips: float) -> None:
    assert (set_ups[name].messages, set_ups[name].round_trips()) == (messages, round_trips)


@given(st.floats(0.0, 2.0))
def test_set_up_time_lies_between_its_round_trips_and_these_plus_all_work(rtt_s: float) -> None:
    cost = COST.service_s
    for procedure in LONG_SET_UPS:
        path_s = procedure.round_trips() * rtt_s
        worked_s = sum(procedure.cpu_s(cost, initiator=end) for end in (True, False))
        assert path_s <= procedure.setup_s(rtt_s, cost) + 1e-9
        assert procedure.setup_s(rtt_s, cost) <= path_s + worked_s + 1e-9


def test_a_crypto_map_makes_an_exchange_for_each_further_line() -> None:
    one, four = (baselines.crypto_map(SUITES, "strongswan", Ledger(), lines) for lines in (1, 4))
    assert (one.messages, four.messages) == (4, 10)
    assert [packet.name for packet in four.packets[4:]] == ["CREATE_CHILD_SA"] * 6


# -- Sizes -----------------------------------------------------------------------------------------------------


def lengths(procedure: Procedure, layer: str) -> dict[str, int]:
    return {packet.name: packet.ip_bytes for packet in procedure.packets if packet.layer == layer}


def test_l2tp_control_messages_have_the_attributes_of_rfc_2661(set_ups: dict[str, Procedure]) -> None:
    """IP 20, UDP 8, header 12; each attribute 6 and its value; the host name has 10 bytes."""
    found = lengths(set_ups["L2TP"], "L2TP")
    tunnel = 8 + 8 + 10 + 8 + 16
    assert found == {
        "SCCRQ": 40 + tunnel,
        "SCCRP": 40 + tunnel,
        "SCCCN": 40 + 8,
        "ICRQ": 40 + 8 + 8 + 10,
        "ICRP": 40 + 8 + 8,
        "ICCN": 40 + 8 + 10 + 10,
        "ZLB": 40,
    }
    inside = lengths(set_ups["L2TP/IPsec"], "L2TP")
    protected = {n: esp_packet_bytes(b, "aes-cbc-256", "sha512", mode="transport") for n, b in found.items()}
    assert inside == protected


def test_pptp_control_messages_have_the_lengths_of_rfc_2637(set_ups: dict[str, Procedure]) -> None:
    assert list(lengths(set_ups["PPTP"], "PPTP").values()) == [40 + n for n in (156, 156, 168, 32, 24)]
    assert list(lengths(set_ups["PPTP"], "TCP").values()) == [52, 52, 40]


def test_ppp_frames_have_the_options_that_were_agreed(set_ups: dict[str, Procedure]) -> None:
    """In PPTP behind IP 20 and GRE 12: PPP 4 for LCP, else 2; code, identifier and length 4."""
    found = [(p.name, p.ip_bytes - 32) for p in set_ups["PPTP"].packets if p.layer == "PPP"]
    assert found[:7] == [
        ("LCP Configure-Request", 8 + 12 + 5),
        ("LCP Configure-Request", 8 + 12),
        ("LCP Configure-Ack", 8 + 12 + 5),
        ("LCP Configure-Ack", 8 + 12),
        ("CHAP Challenge", 6 + 17 + 10),
        ("CHAP Response", 6 + 50 + 5),
        ("CHAP Success", 6 + 45 + 14),
    ]
    assert {n for name, n in found[7:]} == {6 + 6}


@given(st.integers(20, 65000), st.sampled_from(ESP_SUITES))
def test_l2tp_in_esp_is_a_tunnel_around_a_packet_of_16_bytes_more(inner: int, suite: tuple[str, str]) -> None:
    """Transport mode with UDP 8, L2TP 6 and PPP 2 inside."""
    assert tunnels.l2tp_packet_bytes(inner, suite) == esp_packet_bytes(inner + 16, *suite)


@given(st.integers(20, 65000))
def test_tunnels_without_padding_add_a_constant(inner: int) -> None:
    """PPTP: IP 20, GRE 12, PPP 2, MPPE 2, protocol 2; L2TP: IP 20, UDP 8, L2TP 6, PPP 2; GRE: IP 20 and 4."""
    found = (tunnels.pptp_packet_bytes(inner), tunnels.l2tp_packet_bytes(inner, None), tunnels.gre_packet_bytes(inner))
    assert [length - inner for length in found] == [38, 36, 24]


def test_every_protocol_of_the_comparison_tells_how_long_its_packets_are() -> None:
    found = baselines.packet_bytes(SUITES)
    assert {name: of(1400) for name, of in found.items()} == {
        "IKEv2": 1484,
        "IKEv2, GRE inside": 1484,
        baselines.CRYPTO_MAP: 1484,
        "IKEv1 main": 1484,
        "IKEv1 aggressive": 1484,
        "L2TP/IPsec": 1500,
        "PPTP": 1438,
        "GRE": 1424,
    }


def test_lengths_that_are_only_remembered_are_noted_as_assumed() -> None:
    ledger = Ledger()
    baselines.l2tp(SUITES, "ios", ledger)
    tunnels.pptp(ledger)
    assert {"L2TP: host name", "PPP: name of the user", "PPTP: options of a TCP SYN"} <= set(ledger.assumed())
