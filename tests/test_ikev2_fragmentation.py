"""IKE fragmentation (RFC 7383): lengths, losses of single fragments, and a run of the simulation."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pair import PAPER_ESP, Pair, agree, credential, endpoint, ike

import flexvpn_sim as fv
from flexvpn_sim.models.algorithms import ENCRYPTIONS, INTEGRITIES
from flexvpn_sim.models.ikev2.endpoint import Endpoint
from flexvpn_sim.models.ikev2.fragmentation import MIN_ROOM_BYTES, cut
from flexvpn_sim.models.ikev2.message import NAT_T_PORT, Datagram, Exchange
from flexvpn_sim.models.ikev2.operations import HandleMessage, Protect, Unprotect
from flexvpn_sim.models.ikev2.policy import Authentication, ChildPolicy
from flexvpn_sim.models.ikev2.proposals import Suite
from flexvpn_sim.models.ikev2.sa import Task

IPV4, UDP, HEADER = 20, 8, 28
WORKING = Path(str(files("flexvpn_sim.experiments.paper"))) / "working"


def certified(side: str, **more: object) -> Endpoint:
    """Return an end with an RSA certificate of 812 bytes that wants one."""
    own = credential("BR1.cptl.local" if side == "left" else "HQ.cptl.local", der_bytes=812)
    told = Authentication("certificate", ("certificate",), own)
    return endpoint(side, authentication=told, trusted=("CA",), **more)  # type: ignore[arg-type]


def pieces(suite: Suite, inner_bytes: int, limit: int, port: int = 500) -> list[int]:
    """Return the IKE lengths of the fragments of a message."""
    end = endpoint("left")
    tunnel = end.policy.tunnels[0]
    sa = end.new_sa(tunnel.local_address, tunnel.remote_address, initiator=True, now=0)
    sa.fragment_bytes, sa.remote_port = limit, port
    return [HEADER + n for n in cut(sa, suite, inner_bytes)]


@pytest.mark.parametrize(
    ("limit", "lengths"),
    [(576, [548] * 5 + [276]), (1280, [1252, 1252, 308]), (1400, [1364, 1364, 84]), (2800, []), (0, [])],
)
def test_lengths_are_those_of_the_fact_sheet(limit: int, lengths: list[int]) -> None:
    # Fact sheet A.15: 2600 bytes of payloads, AES-CBC with SHA-256.
    assert pieces(Suite("aes-cbc-256", "sha256", "sha256", 14), 2600, limit) == lengths


def test_the_non_esp_marker_takes_room_from_each_fragment() -> None:
    suite = Suite("aes-cbc-256", "sha512", "sha512", 14)
    # Recorded on port 500 and on port 4500 with a limit of 1280 bytes.
    assert pieces(suite, 1297, 1280) == [1252, 228]
    assert pieces(suite, 1313, 1280, NAT_T_PORT)[0] == 1236


SUITES = [
    Suite(cipher, "" if ENCRYPTIONS[cipher].aead else integrity, "sha256", 14)
    for cipher in ("aes-cbc-128", "aes-gcm-256", "3des", "chacha20poly1305")
    for integrity in ("sha1", "sha512")
]


@given(st.sampled_from(SUITES), st.integers(1, 20_000), st.integers(300, 1500), st.sampled_from([500, NAT_T_PORT]))
def test_fragments_carry_every_byte_and_none_is_longer_than_the_limit(
    suite: Suite, inner_bytes: int, limit: int, port: int
) -> None:
    lengths = pieces(suite, inner_bytes, limit, port)
    marker = 4 if port == NAT_T_PORT else 0
    whole = IPV4 + UDP + marker + HEADER + suite.protected_bytes(inner_bytes)
    assert (not lengths) == (whole <= limit)
    if not lengths:
        return
    assert max(lengths) <= limit - IPV4 - UDP - marker
    cipher = ENCRYPTIONS[suite.encryption]
    icv = cipher.icv_bytes or INTEGRITIES[suite.integrity].icv_bytes
    # Of each fragment but the last, all but header, IV, pad length and ICV is content: padding fills a block at most.
    contents = [n - HEADER - 8 - cipher.iv_bytes - icv - 1 for n in lengths]
    assert len(set(contents[:-1])) <= 1
    assert 0 <= sum(contents) - inner_bytes < cipher.block_bytes
    assert limit - IPV4 - UDP - marker - lengths[0] < cipher.block_bytes


def test_a_limit_without_room_still_sends_something() -> None:
    suite = Suite("aes-cbc-256", "sha512", "sha512", 14)
    assert pieces(suite, 1000, 68)[0] == HEADER + 8 + 16 + MIN_ROOM_BYTES + 32


def pair(limit: int = 576, **more: object) -> Pair:
    """Return two ends whose IKE_AUTH takes three datagrams each way."""
    ends = [certified(side, fragment_bytes=limit) for side in ("left", "right")]
    return Pair(*ends, **more)  # type: ignore[arg-type]


def run(pair: Pair, until_s: float = 1) -> Pair:
    pair.start(pair.left)
    pair.run(until_s)
    return pair


def sent(pair: Pair) -> list[tuple[str, int, int]]:
    """Return sender, fragment and transmission of each datagram of IKE_AUTH."""
    return [
        (line.sender, line.datagram.fragment, line.datagram.transmission)
        for line in pair.log
        if line.datagram.message.exchange is Exchange.IKE_AUTH
    ]


def test_ike_auth_travels_in_three_datagrams_each_way_and_init_in_one() -> None:
    talk = run(pair())
    assert agree(talk)
    assert [line.datagram.fragment for line in talk.log[:2]] == [0, 0]
    assert sent(talk) == [(side, number, 0) for side in ("left", "right") for number in (1, 2, 3)]
    for side in ("left", "right"):
        done = talk.operations[side]
        assert sum(isinstance(o, Protect) for o in done) == sum(isinstance(o, Unprotect) for o in done) == 3
        # The work of a message is done once; its two further fragments are only received or sent.
        for direction in ("in", "out"):
            assert done.count(HandleMessage(direction)) == 2
            assert done.count(HandleMessage(direction, stateless=True)) == 2


@pytest.mark.parametrize("silent", ["left", "right"])
def test_one_end_that_does_not_announce_it_is_enough_to_send_whole_messages(silent: str) -> None:
    ends = [certified(side, fragment_bytes=576, forbids_fragmentation=side == silent) for side in ("left", "right")]
    talk = run(Pair(*ends))
    assert agree(talk)
    assert sent(talk) == [("left", 0, 0), ("right", 0, 0)]


def test_each_end_has_a_limit_of_its_own() -> None:
    talk = run(Pair(certified("left", fragment_bytes=576), certified("right", fragment_bytes=9000)))
    assert agree(talk)
    assert sent(talk) == [("left", 1, 0), ("left", 2, 0), ("left", 3, 0), ("right", 0, 0)]


def losing(*numbers: int) -> Pair:
    return run(pair(loses=lambda n, _d: n in numbers), 60)


def test_a_lost_fragment_costs_the_retransmission_of_all_of_them() -> None:
    talk = losing(3)
    assert agree(talk)
    assert sent(talk)[:6] == [("left", number, again) for again in (0, 1) for number in (1, 2, 3)]
    assert talk.log[5].time_s == pytest.approx(talk.log[2].time_s + 4)
    assert talk.times_s("left", "retransmission") == [talk.log[5].time_s]


def test_fragments_that_have_arrived_are_kept() -> None:
    # Of the first send fragment 2 is lost, of the second one fragments 1 and 3.
    talk = losing(3, 5, 7)
    assert agree(talk)
    assert [who for who, _, _ in sent(talk)] == ["left"] * 6 + ["right"] * 3


def test_a_lost_fragment_of_a_response_is_asked_for_and_the_first_fragment_brings_all_of_it() -> None:
    talk = losing(6)
    assert agree(talk)
    assert sent(talk)[6:] == [("left", n, 1) for n in (1, 2, 3)] + [("right", n, 1) for n in (1, 2, 3)]


def test_without_its_first_fragment_a_repeated_request_is_not_answered_again() -> None:
    # The response is incomplete, and so is the first repetition of the request.
    talk = losing(6, 8)
    assert agree(talk)
    again = [(who, transmission) for who, number, transmission in sent(talk)[6:] if number == 1]
    assert again == [("left", 1), ("left", 2), ("right", 1)]


def test_an_end_that_gets_no_complete_message_gives_up() -> None:
    talk = run(pair(loses=lambda _n, d: d.fragment == 2), 200)
    assert talk.causes("left", "attempt_failed") == ["no answer"]
    assert not talk.left.sas and not talk.right.sas


@settings(max_examples=60, deadline=None, derandomize=True, database=None)
@given(lost=st.sets(st.integers(0, 40), max_size=5), late=st.dictionaries(st.integers(0, 40), st.floats(0, 3)))
def test_any_losses_copies_and_order_of_fragments_end_in_agreement(lost: set[int], late: dict[int, float]) -> None:
    def copies(number: int, _datagram: Datagram) -> Sequence[float]:
        return (late[number] / 30, late[number]) if number in late else (0.0,)

    talk = run(pair(loses=lambda n, _d: n in lost, copies=copies), 170)
    assert agree(talk)
    talk.ask(talk.left, Task("rekey ike"))
    talk.run(400)
    assert agree(talk)
    assert not any(sa.pieces for end in (talk.left, talk.right) for sa in end.sas.values())


def test_a_rekeyed_ike_sa_goes_on_with_fragments() -> None:
    ends = [
        endpoint(
            side,
            ike_proposals=(ike("aes-cbc-256", "sha512", "sha512", 16),),
            child=ChildPolicy((PAPER_ESP,), 3600),
            fragment_bytes=576,
        )
        for side in ("left", "right")
    ]
    talk = run(Pair(*ends))
    for generation in (1, 2):
        before = len(talk.log)
        talk.ask(talk.left, Task("rekey ike"))
        talk.run(talk.now / 1e9 + 1)
        assert agree(talk) and talk.ike(talk.left).generation == generation
        assert [line.datagram.fragment for line in talk.log[before : before + 4]] == [1, 2, 1, 2]


@pytest.fixture
def fragmenting(tmp_path: Path) -> Path:
    """Return a folder with the paper's routers, which are told to fragment at 576 bytes."""
    folder = tmp_path / "configurations"
    folder.mkdir()
    for file in WORKING.glob("*.cfg"):
        before, hostname, after = file.read_text().partition("hostname ")
        (folder / file.name).write_text(f"{before}crypto ikev2 fragmentation mtu 576\n{hostname}{after}")
    return folder


def test_the_simulation_has_a_row_for_each_fragment_and_a_session_counts_messages(fragmenting: Path) -> None:
    result = fv.run(fragmenting, duration_s=60, seed=1, traffic=False)
    messages = result.messages
    auth = messages[(messages["exchange"] == "IKE_AUTH") & ~messages["response"]]
    assert list(auth["fragment"]) == [1, 2]
    assert auth["ip_len"].max() <= 576 and auth["payloads"].iloc[1].endswith("2/2")
    assert result.sessions["up"].all() and list(result.sessions["message_count"]) == [4]


def test_a_lossy_link_loses_single_fragments_and_the_tunnel_comes_up_all_the_same(fragmenting: Path) -> None:
    scenario = fragmenting.parent / "lossy.yaml"
    scenario.write_text(
        "scenario: 1\nname: lossy\nconfigurations: configurations\nduration: 120 s\ninitiator: HQ\n"
        "links: {HQ: {delay: 10 ms, loss: 0.15}}\n"
    )
    broken = 0
    for seed in range(12):
        result = fv.run(scenario, seed=seed, traffic=False)
        assert result.sessions["up"].all()
        messages = result.messages
        pieces = messages[(messages["fragment"] > 0) & ~messages["response"]]
        for _, sends in pieces.groupby(["spi_i", "transmission"]):
            assert list(sends["fragment"]) == [1, 2]
            broken += sends["lost"].nunique() == 2
    assert broken > 0
