"""Additional key exchanges: negotiation, IKE_INTERMEDIATE, IKE_FOLLOWUP_KE, losses and sizes (RFC 9242, RFC 9370)."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pair import WHOLE_BYTES, Pair, agree, endpoint, mirrored

from flexvpn_sim.models.algorithms import GROUPS, KEMS, Kem
from flexvpn_sim.models.ikev2.endpoint import Endpoint
from flexvpn_sim.models.ikev2.operations import DhKeygen, DhShared, FixedTime, KemStep, Operation
from flexvpn_sim.models.ikev2.proposals import choose_ike, proposal_of, suite_of
from flexvpn_sim.models.ikev2.sa import Task
from flexvpn_sim.models.ikev2.states import State
from flexvpn_sim.models.notation import parse_ike

CLASSIC = "aes256-sha256-curve25519"
BIKE = Kem("bike3", 1024, 3083, 3115, (1e-3, 2e-3, 3e-3))
HQC = Kem("hqc3", 1025, 4522, 9026, (1e-3, 2e-3, 3e-3))
OWN = {"bike3": BIKE, "hqc3": HQC}


def end(side: str, text: str) -> Endpoint:
    return endpoint(side, ike_proposals=(parse_ike(text, methods=OWN),), fragment_bytes=WHOLE_BYTES)


def joined(left: str, right: str | None = None, **more: object) -> Pair:
    pair = Pair(end("left", left), end("right", right or left), **more)  # type: ignore[arg-type]
    pair.start(pair.left)
    pair.run(30)
    return pair


def of(pair: Pair, side: str, *kinds: type[Operation]) -> list[Operation]:
    return [o for o in pair.operations[side] if isinstance(o, kinds)]


def test_lengths_are_those_of_a_published_log_with_three_post_quantum_exchanges() -> None:
    """strongX509/docker, pq-strongswan/README.md, commit b2c05f4d: strongSwan 6.0 beta with Kyber3, BIKE-L3 and HQC-L3.

    Its IKE_SA_INIT messages have a vendor ID of 20 bytes more (292), its response a certificate request too (325).
    """
    pair = joined(f"{CLASSIC}-ke1_kyber3-ke2_bike3-ke3_hqc3")
    assert agree(pair)
    assert [line.text for line in pair.log[:8]] == [
        "IKE_SA_INIT 272",
        "IKE_SA_INIT response 280",
        "IKE_INTERMEDIATE 1264",
        "IKE_INTERMEDIATE response 1168",
        "IKE_INTERMEDIATE 3168",
        "IKE_INTERMEDIATE response 3200",
        "IKE_INTERMEDIATE 4608",
        "IKE_INTERMEDIATE response 9104",
    ]
    assert [line.datagram.message.message_id for line in pair.log[2:]] == [1, 1, 2, 2, 3, 3, 4, 4]


def test_initiator_makes_the_key_and_decapsulates_and_the_responder_encapsulates() -> None:
    pair = joined(f"{CLASSIC}-ke1_mlkem768")
    assert of(pair, "left", KemStep) == [KemStep("mlkem768", "keygen"), KemStep("mlkem768", "decapsulate")]
    assert of(pair, "right", KemStep) == [KemStep("mlkem768", "encapsulate")]


def test_a_group_as_additional_key_exchange_costs_both_ends_a_key_pair() -> None:
    pair = joined(f"{CLASSIC}-ke1_ecp384")
    assert agree(pair)
    for side in ("left", "right"):
        assert of(pair, side, DhKeygen, DhShared).count(DhShared(20)) == 1
        assert DhKeygen(20) in pair.operations[side]


def test_a_method_of_the_user_takes_the_time_that_the_user_says() -> None:
    pair = joined(f"{CLASSIC}-ke2_bike3")
    assert of(pair, "left", FixedTime) == [FixedTime("bike3 keygen", 1e-3), FixedTime("bike3 decapsulate", 3e-3)]
    assert of(pair, "right", FixedTime) == [FixedTime("bike3 encapsulate", 2e-3)]


def test_a_lazy_responder_derives_its_first_keys_when_the_first_protected_message_arrives() -> None:
    pair = Pair(end("left", f"{CLASSIC}-ke1_mlkem512"), end("right", f"{CLASSIC}-ke1_mlkem512"))
    pair.start(pair.left)
    pair.run(0.025)
    assert of(pair, "right", DhShared) == []
    pair.run(0.045)
    assert of(pair, "right", DhShared) == [DhShared(31)]
    pair.run(1)
    assert of(pair, "right", DhShared) == [DhShared(31)]


@pytest.mark.parametrize(
    ("offered", "allowed", "chosen"),
    [
        ("ke1_mlkem768", "ke1_mlkem768", ["mlkem768"]),
        ("ke1_mlkem512-ke1_mlkem1024", "ke1_mlkem1024-ke1_mlkem512", ["mlkem512"]),
        ("ke1_mlkem768-ke2_ecp384", "ke1_mlkem768-ke2_ecp384", ["mlkem768", "ecp384"]),
        ("ke2_mlkem768", "ke2_mlkem768", ["mlkem768"]),
        ("ke1_mlkem768", "ke1_mlkem512", None),
        ("ke1_mlkem768", "ke2_mlkem768", None),
        ("ke1_mlkem768", "", None),
        ("", "ke1_mlkem768", None),
    ],
)
def test_every_additional_type_needs_a_common_method(offered: str, allowed: str, chosen: list[str] | None) -> None:
    texts = [f"{CLASSIC}-{words}".removesuffix("-") for words in (offered, allowed)]
    ours, theirs = (parse_ike(text) for text in texts)
    suite = choose_ike([ours], [theirs])
    assert (None if suite is None else [m.name for m in suite.additional_exchanges]) == chosen
    if suite is not None:
        assert suite_of(proposal_of(suite)) == suite


def test_an_end_without_the_additional_exchange_refuses_the_proposal() -> None:
    pair = joined(f"{CLASSIC}-ke1_mlkem768", CLASSIC)
    assert pair.causes("right", "refused") == ["no IKE proposal in common"]


def test_each_additional_transform_takes_eight_bytes() -> None:
    sizes = [parse_ike(f"{CLASSIC}{more}").size(0) for more in ("", "-ke1_mlkem768", "-ke1_mlkem768-ke2_ecp384")]
    assert [size - sizes[0] for size in sizes] == [0, 8, 16]


@pytest.mark.parametrize("lost", range(8))
def test_any_one_lost_message_is_repeated(lost: int) -> None:
    pair = joined(f"{CLASSIC}-ke1_mlkem768-ke2_bike3", loses=lambda number, _: number == lost)
    assert agree(pair)


def test_ike_auth_before_the_additional_exchange_is_ignored() -> None:
    """An initiator that skips IKE_INTERMEDIATE gets no answer (RFC 9370 2.2.1)."""
    pair = Pair(end("left", f"{CLASSIC}-ke1_mlkem768"), end("right", f"{CLASSIC}-ke1_mlkem768"))
    pair.start(pair.left)
    pair.run(0.015)
    (sa,) = pair.left.sas.values()
    sa.additional_done = 1
    pair.run(0.5)
    assert [line.text for line in pair.log[2:]] == ["IKE_AUTH 288"]
    assert pair.right.half_open_count() == 1


# -- Rekey -----------------------------------------------------------------------------------------------------


def test_a_rekey_makes_the_additional_exchanges_again_and_the_new_sa_comes_last() -> None:
    pair = joined(f"{CLASSIC}-ke1_mlkem768-ke2_bike3")
    before = len(pair.log)
    pair.ask(pair.left, Task("rekey ike"))
    pair.run(31)
    assert agree(pair)
    assert pair.ike(pair.left).generation == pair.ike(pair.right).generation == 1
    names = [line.datagram.message.exchange.name for line in pair.log[before:]]
    assert names == ["CREATE_CHILD_SA"] * 2 + ["IKE_FOLLOWUP_KE"] * 4 + ["INFORMATIONAL"] * 2
    links = ["ADDITIONAL_KEY_EXCHANGE" in line.datagram.message.payload_text() for line in pair.log[before:]]
    # The link is in every response but the last and comes back in the request that follows (RFC 9370 2.2.4).
    assert links == [False, True, True, True, True, False, False, False]
    assert of(pair, "left", KemStep, FixedTime)[4:] == of(pair, "left", KemStep, FixedTime)[:4]


def test_both_ends_that_rekey_at_once_with_additional_exchanges_keep_one_sa() -> None:
    pair = joined(f"{CLASSIC}-ke1_mlkem768")
    for side in (pair.left, pair.right):
        pair.ask(side, Task("rekey ike"))
    pair.run(120)
    assert agree(pair)
    assert pair.ike(pair.left).generation == pair.ike(pair.right).generation >= 1


@settings(max_examples=60, deadline=None, derandomize=True, database=None)
@given(
    kinds=st.lists(
        st.tuples(st.sampled_from(["left", "right"]), st.sampled_from(["rekey child", "rekey ike"]), st.floats(0, 0.3)),
        min_size=1,
        max_size=4,
    ),
    delay_s=st.floats(0, 0.5),
    durations_s=st.lists(st.floats(0, 1), min_size=1, max_size=7),
)
def test_a_rekey_never_leaves_an_end_without_a_child_sa_that_its_peer_has_too(
    kinds: list[tuple[str, str, float]], delay_s: float, durations_s: list[float]
) -> None:
    pair = joined(f"{CLASSIC}-ke1_mlkem768-ke2_bike3")
    durations = itertools.cycle(durations_s)
    pair.delay_s, pair.work_s = delay_s, lambda _step: next(durations)
    counts: list[int] = []
    pair.watch = lambda: counts.append(mirrored(pair))
    for side, kind, after_s in kinds:
        end: Endpoint = getattr(pair, side)
        sa = next(sa for sa in end.sas.values() if sa.state is State.ESTABLISHED)
        child = next(iter(sa.children.values()), None)
        if kind == "rekey ike" or child is not None:
            pair.ask(end, Task(kind, child if kind == "rekey child" else None), sa)  # type: ignore[arg-type]
        pair.run(pair.now / 1e9 + after_s)
    pair.run(200)
    assert min(counts) >= 1
    assert agree(pair)


@settings(max_examples=60, deadline=None, derandomize=True, database=None)
@given(
    lost=st.sets(st.integers(0, 40), max_size=30),
    copies=st.dictionaries(st.integers(0, 40), st.floats(0, 60), max_size=8),
)
def test_any_losses_and_copies_of_set_up_and_rekey_end_in_agreement_or_in_no_answer(
    lost: set[int], copies: dict[int, float]
) -> None:
    pair = Pair(end("left", f"{CLASSIC}-ke1_mlkem768"), end("right", f"{CLASSIC}-ke1_mlkem768"))
    pair.loses = lambda n, _d: n in lost
    pair.copies = lambda n, _d: (0.0, *([copies[n]] if n in copies else []))
    pair.start(pair.left)
    pair.run(500)
    if pair.left.sas:
        assert agree(pair)
        pair.ask(pair.left, Task("rekey ike"))
        pair.run(1500)
    if pair.left.sas:
        assert agree(pair)
    else:
        assert pair.causes("left", "attempt_failed") + pair.causes("left", "ike_closed") == ["no answer"]


@pytest.mark.parametrize("lost", range(8))
def test_a_lost_message_of_the_rekey_is_repeated(lost: int) -> None:
    pair = joined(f"{CLASSIC}-ke1_mlkem768-ke2_bike3")
    first = len(pair.log) + lost
    pair.loses = lambda number, _: number == first
    pair.ask(pair.left, Task("rekey ike"))
    pair.run(60)
    assert agree(pair)
    assert pair.ike(pair.left).generation == pair.ike(pair.right).generation == 1


def test_a_follow_up_that_the_responder_knows_nothing_of_fails_the_rekey() -> None:
    pair = joined(f"{CLASSIC}-ke1_mlkem768")
    pair.ask(pair.left, Task("rekey ike"))
    pair.run(30.015)
    pair.ike(pair.right).follow_up = None
    pair.run(31)
    assert agree(pair) and pair.ike(pair.left).generation == 0
    assert pair.kinds("left").count("rekey_failed") == 1


def test_a_child_sa_is_rekeyed_on_an_ike_sa_with_additional_exchanges() -> None:
    pair = joined(f"{CLASSIC}-ke1_mlkem768")
    child = pair.child(pair.left)
    pair.ask(pair.left, Task("rekey child", child))
    pair.run(31)
    assert agree(pair) and pair.child(pair.left) is not child


def test_every_kem_has_the_lengths_of_fips_203() -> None:
    assert {k.name: (k.number, k.public_bytes, k.ciphertext_bytes) for k in KEMS.values()} == {
        "mlkem512": (35, 800, 768),
        "mlkem768": (36, 1184, 1088),
        "mlkem1024": (37, 1568, 1568),
    }
    assert not {k.number for k in KEMS.values()} & set(GROUPS)
