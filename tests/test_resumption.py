"""Session resumption (RFC 5723): tickets, the exchange without a key exchange, and what happens when it is refused."""

from __future__ import annotations

import hmac
import json
import shlex
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from capture_files import Seen, read_capture
from pair import Pair, agree, changed, credential, endpoint
from typer.testing import CliRunner

from flexvpn_sim.experiments import capture
from flexvpn_sim.experiments.cli import app
from flexvpn_sim.models.ikev2.endpoint import Endpoint
from flexvpn_sim.models.ikev2.events import Refusal
from flexvpn_sim.models.ikev2.operations import DhKeygen, DhShared, PrfCall, Protect, Unprotect
from flexvpn_sim.models.ikev2.policy import PRE_SHARED, Authentication, EapAccount, ResumptionPolicy
from flexvpn_sim.models.ikev2.resumption import Tickets
from flexvpn_sim.models.ikev2.wire.session import Session
from flexvpn_sim.models.implementation import load_implementation
from flexvpn_sim.models.secret import Secret

BY_VALUE, BY_REFERENCE = ResumptionPolicy(3600.0, 200), ResumptionPolicy(3600.0, 16, by_value=False)


def end(
    side: str,
    policy: ResumptionPolicy | None = BY_VALUE,
    *,
    able: bool = True,
    authentication: Authentication = PRE_SHARED,
    trusted: tuple[str, ...] = (),
    boots: int = 0,
) -> Endpoint:
    implementation = changed("strongswan", session_resumption=able)
    plain = endpoint(side, implementation, authentication=authentication, trusted=trusted)
    return Endpoint(replace(plain.policy, resumption=policy), plain.implementation, boots=boots)


def up(left: Endpoint, right: Endpoint) -> Pair:
    pair = Pair(left, right)
    pair.start(left)
    pair.run(10)
    assert agree(pair)
    return pair


def lose(pair: Pair) -> None:
    """Let the left end forget its IKE SA without a word."""
    pair.left.close(pair.ike(pair.left), Refusal("local decision"), pair.now)
    for operations in pair.operations.values():
        operations.clear()


def come_back(pair: Pair, seconds: float = 60) -> list[str]:
    """Return the transcript of the left end's next start."""
    since = len(pair.log)
    pair.start(pair.left)
    pair.run(pair.now / 1e9 + seconds)
    return pair.texts(since)


# -- The exchange ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("policy", "ticket_bytes"), [(BY_VALUE, 200), (BY_REFERENCE, 16)])
def test_a_lost_session_comes_back_without_a_key_exchange(policy: ResumptionPolicy, ticket_bytes: int) -> None:
    pair = up(end("left", policy), end("right", policy))
    given = pair.log[3].datagram.message.notify("TICKET_LT_OPAQUE")
    # Generic header and type 8, lifetime 4, the ticket.
    assert given is not None and given.size == 8 + 4 + ticket_bytes and given.value == 3600
    assert pair.log[2].datagram.message.notify("TICKET_REQUEST") is not None
    lose(pair)
    texts = come_back(pair)
    # Header 28, nonce 4 + 32, ticket 8 + its length, two NAT detections of 28; no ticket in the answer.
    assert texts[:2] == [
        f"-> IKE_SESSION_RESUME {28 + 36 + 8 + ticket_bytes + 56}",
        f"<- IKE_SESSION_RESUME response {28 + 36 + 56}",
    ]
    assert [t.split()[1] for t in texts] == ["IKE_SESSION_RESUME"] * 2 + ["IKE_AUTH"] * 2
    assert agree(pair)
    for operations in pair.operations.values():
        assert not any(isinstance(o, DhKeygen | DhShared) for o in operations)


def test_the_gateway_opens_and_seals_a_ticket_by_value_and_only_looks_up_the_other() -> None:
    counts = []
    for policy in (BY_VALUE, BY_REFERENCE):
        pair = up(end("left", policy), end("right", policy))
        lose(pair)
        come_back(pair)
        gcm = [o for o in pair.operations["right"] if getattr(o, "encryption", "") == "aes-gcm-256"]
        counts.append([sum(isinstance(o, kind) for o in gcm) for kind in (Unprotect, Protect)])
        assert not any(getattr(o, "encryption", "") == "aes-gcm-256" for o in pair.operations["left"])
    assert counts == [[1, 1], [0, 0]]


def test_auth_takes_two_prf_calls_where_a_pre_shared_key_takes_three() -> None:
    pair = up(end("left"), end("right"))
    full = [sum(o.count for o in pair.operations[n] if isinstance(o, PrfCall)) for n in ("left", "right")]
    lose(pair)
    come_back(pair)
    short = [sum(o.count for o in pair.operations[n] if isinstance(o, PrfCall)) for n in ("left", "right")]
    # One less to make and one less to check.
    assert [a - b for a, b in zip(full, short, strict=True)] == [2, 2]


def test_certificates_and_eap_are_not_repeated() -> None:
    user = EapAccount("BR1", Secret("password"))
    client = Authentication("eap-mschapv2", ("certificate",), account=user)
    server = Authentication("certificate", ("eap-mschapv2",), credential("HQ.cptl.local"), users=(user,))
    pair = up(end("left", authentication=client, trusted=("CA",)), end("right", authentication=server, trusted=("CA",)))
    lose(pair)
    texts = come_back(pair)
    assert len(texts) == 4 and agree(pair)
    assert all("CERT" not in str(line.datagram.message) and "EAP(" not in str(line.datagram.message)
               for line in pair.log[-4:])  # fmt: skip


def test_the_old_sa_of_the_gateway_ends_and_a_new_ticket_is_given() -> None:
    pair = up(end("left"), end("right"))
    (old,) = pair.right.sas
    first = pair.left.tickets.held["Tunnel0"]
    lose(pair)
    come_back(pair)
    assert old not in pair.right.sas and agree(pair)
    assert pair.left.tickets.held["Tunnel0"].octets != first.octets
    # And once more with the new one.
    lose(pair)
    assert come_back(pair)[0].startswith("-> IKE_SESSION_RESUME") and agree(pair)


def test_a_resumed_sa_is_rekeyed_and_deleted_as_any_other() -> None:
    from flexvpn_sim.models.ikev2 import rekey

    pair = up(end("left"), end("right"))
    lose(pair)
    come_back(pair)
    sa = pair.ike(pair.left)
    rekey.want(sa, 0)
    pair.left.advance(sa)
    pair.take(pair.left, pair.left.on_timer(pair.now))
    pair.run(pair.now / 1e9 + 10)
    assert agree(pair) and pair.ike(pair.left).generation == 1


# -- Refusals --------------------------------------------------------------------------------------------------


def refused(pair: Pair) -> None:
    lose(pair)
    texts = come_back(pair)
    # Header 28 and a notification of 8; then everything from the beginning.
    assert texts[1] == "<- IKE_SESSION_RESUME response 36"
    assert [t.split()[1] for t in texts[2:]] == ["IKE_SA_INIT"] * 2 + ["IKE_AUTH"] * 2
    assert agree(pair)


def test_a_gateway_with_another_key_refuses_a_ticket_and_the_full_exchange_follows() -> None:
    pair = up(end("left"), end("right"))
    pair.right.tickets = Tickets(Secret("another key"))
    refused(pair)


def test_a_gateway_that_has_restarted_takes_tickets_by_value_and_not_by_reference() -> None:
    pair = up(end("left"), end("right"))
    pair.reboot("right", end("right", boots=1))
    lose(pair)
    assert come_back(pair)[1] == "<- IKE_SESSION_RESUME response 120" and agree(pair)
    pair = up(end("left", BY_REFERENCE), end("right", BY_REFERENCE))
    pair.reboot("right", end("right", BY_REFERENCE, boots=1))
    refused(pair)


def test_a_ticket_is_taken_once() -> None:
    pair = up(end("left"), end("right"))
    stolen = pair.left.tickets.held["Tunnel0"]
    lose(pair)
    come_back(pair)
    pair.left.tickets.held["Tunnel0"] = stolen
    refused(pair)


def test_an_expired_ticket_is_not_even_sent_and_not_taken() -> None:
    pair = up(end("left"), end("right"))
    lose(pair)
    pair.run(3700)
    assert come_back(pair)[0].startswith("-> IKE_SA_INIT")
    pair = up(end("left"), end("right"))
    pair.left.tickets.held["Tunnel0"] = replace(pair.left.tickets.held["Tunnel0"], expires_ns=10**15)
    pair.run(3700)
    refused(pair)


def test_a_ticket_with_a_changed_secret_is_a_wrong_key() -> None:
    pair = up(end("left"), end("right"))
    held = pair.left.tickets.held
    held["Tunnel0"] = replace(held["Tunnel0"], derivation=Secret("a guess"))
    lose(pair)
    come_back(pair)
    assert "wrong key" in pair.causes("right", "refused")


@pytest.mark.parametrize(("left_able", "right_able"), [(True, False), (False, True), (False, False)])
def test_an_end_that_cannot_neither_asks_for_tickets_nor_gives_any(left_able: bool, right_able: bool) -> None:
    pair = up(end("left", able=left_able), end("right", able=right_able))
    asked = pair.log[2].datagram.message.notify("TICKET_REQUEST")
    assert (asked is not None) is left_able
    assert pair.log[3].datagram.message.notify("TICKET_LT_OPAQUE") is None
    lose(pair)
    assert come_back(pair)[0].startswith("-> IKE_SA_INIT") and agree(pair)


def test_no_shipped_implementation_resumes_sessions() -> None:
    for name in ("ios-xe-16.9", "strongswan"):
        assert not load_implementation(name).session_resumption


@pytest.mark.parametrize("lost", range(4))
def test_both_ends_agree_whichever_message_of_the_resumption_is_lost(lost: int) -> None:
    pair = up(end("left"), end("right"))
    lose(pair)
    pair.loses = lambda number, _: number == 4 + lost
    come_back(pair, 200)
    assert agree(pair)
    assert pair.right.half_open_count() == 0


def test_half_open_sas_of_resumptions_are_limited() -> None:
    pair = up(end("left"), end("right"))
    lose(pair)
    pair.right.policy = replace(pair.right.policy, max_in_negotiation_incoming=0)
    pair.start(pair.left)
    pair.run(pair.now / 1e9 + 3)
    assert "rejected_by_admission" in pair.kinds("right")


# -- Captures and the command line -----------------------------------------------------------------------------


def run(options: str) -> Any:
    options = f"--ike aes256-sha256-ecp256 --esp aes256-sha256 --hardware linux-strongswan-openssl {options}"
    return CliRunner().invoke(app, ["exchange", *shlex.split(options)])


def octets(seen: Seen, name: str) -> bytes:
    return next(p for p in seen.payloads if p.name == name).body()


def test_a_capture_has_the_keys_of_the_resumed_sa(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All messages are decrypted; keys and AUTH follow from SK_d of the old SA as RFC 5723 section 5.1 has it."""
    made: list[Session] = []

    class Kept(Session):
        def __init__(self, *args: Any, **more: Any) -> None:
            super().__init__(*args, **more)
            made.append(self)

    monkeypatch.setattr(capture, "Session", Kept)
    done = run(f"--scenario resume --resumption value --json --pcap {tmp_path / 'a.pcap'}")
    assert done.exit_code == 0, done.output
    rows = json.loads(done.stdout)["messages"]
    seen = read_capture(tmp_path / "a.pcap")
    assert [len(s.octets) for s in seen] == [row["udp_len"] for row in rows]
    resume, answer, request, response = seen[4:]
    assert resume.packet.exchange_name == "IKE_SESSION_RESUME"
    ticket = octets(seen[3], "N:TICKET_LT_OPAQUE")[4:]
    assert ticket[:4] == (3600).to_bytes(4, "big")
    assert octets(resume, "N:TICKET_OPAQUE")[4:] == ticket[4:]
    (old,), (new,) = made[0].sas().values()
    ni, nr = octets(resume, "Nonce"), octets(answer, "Nonce")
    seed = hmac.digest(old.derivation, b"Resumption" + ni + nr, "sha256")
    spis = answer.packet.spi_i.to_bytes(8, "big") + answer.packet.spi_r.to_bytes(8, "big")
    assert new.derivation == hmac.digest(seed, ni + nr + spis + b"\x01", "sha256")
    for message, own, nonce, role, key in ((request, resume, nr, "IDi", 0), (response, answer, ni, "IDr", 1)):
        mac = hmac.digest(new.proof[key], octets(message, role), "sha256")
        auth = octets(message, "AUTH")
        assert auth[:1] == b"\x02" and auth[4:] == hmac.digest(new.proof[key], own.octets + nonce + mac, "sha256")


def test_the_scenario_needs_an_implementation_that_can_or_the_option() -> None:
    done = run("--scenario resume")
    assert done.exit_code == 2
    assert "strongswan has no session resumption (RFC 5723); --resumption lets it" in done.output
    done = run("--scenario resume --resumption valu")
    assert done.exit_code == 2 and "unknown kind of tickets 'valu', did you mean 'value'?" in done.output


def test_a_resumption_costs_less_than_the_set_up() -> None:
    report = json.loads(run("--scenario resume --resumption reference --auth rsa2048 --json").stdout)
    for side in ("initiator", "responder"):
        assert report["phases"]["resume"][f"{side}_cpu_s"] < 0.7 * report["phases"]["setup"][f"{side}_cpu_s"]
    assert any(row["owner"] == "tickets" for row in report["assumed"])
