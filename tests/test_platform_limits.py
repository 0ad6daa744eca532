"""What a platform holds: tunnels, negotiations, encrypted bits without an HSEC licence, memory; and IKEv2 at all."""

from __future__ import annotations

import json
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner
from typer.testing import Result as Done

import flexvpn_sim as fv
from flexvpn_sim.experiments.cli import app
from flexvpn_sim.hardware.cost import CostModel
from flexvpn_sim.hardware.profile_files import load_profile
from flexvpn_sim.models.ikev2 import operations as ops
from flexvpn_sim.models.ikev2.endpoint import Endpoint
from flexvpn_sim.models.ikev2.message import Datagram
from flexvpn_sim.models.implementation import load_implementation
from flexvpn_sim.models.ios.reader import read_folder
from flexvpn_sim.models.values import Ledger
from flexvpn_sim.simulate.deployment import RouterPlan, build
from flexvpn_sim.simulate.records import operation_name

WORKING = Path(str(files("flexvpn_sim.experiments.paper"))) / "working"
#: A hub that clones an interface for each spoke; a key exchange that costs it little time.
COMMON = """interface GigabitEthernet0/0/0
 ip address {address} 255.255.255.252
ip route 0.0.0.0 0.0.0.0 {gateway}
crypto ikev2 proposal F
 encryption aes-cbc-256
 integrity sha256
 group 19
crypto ikev2 policy F
 proposal F
crypto ikev2 keyring K
 peer OTHER
  address {peer}
  pre-shared-key lab
crypto ikev2 profile P
 match identity remote fqdn {accepted}
 identity local fqdn {name}.lab.example
 authentication remote pre-share
 authentication local pre-share
 keyring local K
{template}crypto ipsec profile default
 set ikev2-profile P
"""
HUB = "hostname HUB\n" + COMMON.format(
    address="198.51.100.1",
    gateway="198.51.100.2",
    peer="0.0.0.0 0.0.0.0",
    accepted="domain lab.example",
    name="hub",
    template=" virtual-template 1\n",
)
HUB += """interface Virtual-Template1 type tunnel
 ip unnumbered GigabitEthernet0/0/0
 tunnel mode ipsec ipv4
 tunnel protection ipsec profile default
"""
SPOKE_TUNNEL = """interface Tunnel0
 ip unnumbered GigabitEthernet0/0/0
 tunnel source GigabitEthernet0/0/0
 tunnel destination 198.51.100.1
 tunnel mode ipsec ipv4
 tunnel protection ipsec profile default
"""
NOTE = "kind: assumed, source: recollection"
#: As an ISR4321 in everything but what it holds.
SMALL = f"""extends: isr4321
name: small
title: Small router
limits:
  tunnels: {{value: 3, unit: tunnels, {NOTE}, range: [2, 4]}}
  in_negotiation: {{value: 2, unit: SAs, {NOTE}, range: [1, 4]}}
  memory_bytes: {{value: 1.0e+6, unit: bytes, {NOTE}, range: [1.0e+6, 2.0e+6]}}
  session_bytes: {{value: 1.0e+5, unit: bytes, {NOTE}, range: [5.0e+4, 2.0e+5]}}
"""


def flexvpn_sim(*arguments: object) -> Done:
    return CliRunner().invoke(app, [str(a) for a in arguments])


def hub_with(spokes: int, folder: Path, extra: str = "") -> Path:
    """Write a hub and its spokes, each behind an address of its own."""
    folder.mkdir()
    (folder / "hub.cfg").write_text(HUB + extra)
    for n in range(1, spokes + 1):
        text = f"hostname SPOKE{n}\n" + COMMON.format(
            address=f"203.0.{n}.1",
            gateway=f"203.0.{n}.2",
            peer="198.51.100.1",
            accepted="hub.lab.example",
            name=f"spoke{n}",
            template="",
        )
        (folder / f"spoke{n}.cfg").write_text(text + SPOKE_TUNNEL)
    return folder


@pytest.fixture(scope="module")
def crowd(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return hub_with(230, tmp_path_factory.mktemp("crowd") / "lab")


@pytest.fixture
def small(tmp_path: Path) -> str:
    (tmp_path / "small.yaml").write_text(SMALL)
    return str(tmp_path)


# -- tunnels ---------------------------------------------------------------------------------------------------


def test_a_hub_without_hsec_licence_takes_225_tunnels_and_says_so(crowd: Path) -> None:
    result = fv.run(crowd, duration_s=120, traffic=False)
    sessions = result.sessions
    assert sessions["up"].sum() == 225
    reasons = sessions[~sessions["up"]]["reason"].tolist()
    assert len(reasons) == 5
    limit = "platform limit of 225 tunnels (no HSEC licence)"
    assert all(r.startswith("HUB did not answer SPOKE") and r.endswith(f": {limit}") for r in reasons)
    assert result.ike_sas[result.ike_sas["router"] == "HUB"]["peer"].nunique() == 225
    rejected = result.events[result.events["cause"] == "no room for another tunnel"]
    assert set(rejected["event"]) == {"rejected_by_admission"}
    # A request that is turned away costs neither a Diffie-Hellman nor an answer.
    assert len(result.messages[result.messages["sender"] == "HUB"]) == 2 * 225


def test_a_hub_with_hsec_licence_takes_all_230(crowd: Path) -> None:
    result = fv.run(crowd, duration_s=120, traffic=False, hsec=["HUB"])
    assert result.up
    assert result.manifest["routers"]["HUB"]["hsec"] is True
    assert result.manifest["routers"]["SPOKE1"]["hsec"] is False


def test_the_command_exits_with_1_and_with_the_licence_with_0(tmp_path: Path, small: str) -> None:
    lab = hub_with(4, tmp_path / "lab")
    options = ("run", lab, "--duration", "60s", "--no-traffic", "--hardware", "HUB=small", "--profiles", small)
    done = flexvpn_sim(*options, "--hsec", "HUB")
    assert done.exit_code == 1
    assert "HUB did not answer SPOKE" in done.stdout
    # The licence lifts 225 tunnels, not what the platform itself holds.
    assert "platform limit of 3 tunnels\n" in done.stdout
    assert "3 of 4 tunnels are up" in done.stdout
    assert flexvpn_sim("run", lab, "--duration", "60s", "--no-traffic", "--hsec", "*").exit_code == 0


def test_a_router_that_is_not_there_cannot_have_a_licence() -> None:
    done = flexvpn_sim("run", WORKING, "--hsec", "HQ2")
    assert done.exit_code == 2
    assert done.stderr == "flexvpn-sim: unknown router 'HQ2', did you mean 'HQ'? Allowed: HQ, icpedger02\n"


def test_a_configured_limit_below_that_of_the_platform_holds(tmp_path: Path) -> None:
    lab = hub_with(3, tmp_path / "lab", "crypto ikev2 limit max-sa 2\n")
    result = fv.run(lab, duration_s=60, traffic=False)
    (reason,) = result.sessions[~result.sessions["up"]]["reason"]
    assert reason.endswith(": crypto ikev2 limit max-sa 2")


def request_of(plan: RouterPlan) -> Datagram:
    """Return the IKE_SA_INIT request of a spoke that starts."""
    spoke = Endpoint(plan.policy, plan.implementation)
    (work,) = spoke.start("Tunnel0", 0).works
    return spoke.done(work.token, 0).datagrams[0]


def test_a_spoke_that_returns_to_a_full_hub_is_taken_and_a_rekey_is_no_second_tunnel(tmp_path: Path) -> None:
    configs = read_folder(hub_with(3, tmp_path / "lab", "crypto ikev2 limit max-sa 2\n"))
    names = [config.hostname for config in configs]
    routers = build(
        configs,
        hardware=dict.fromkeys(names, load_profile("isr4321")),
        implementations=dict.fromkeys(names, load_implementation("ios-xe-16.9")),
    ).routers
    first, second, third = (request_of(routers[f"SPOKE{n}"]) for n in (1, 2, 3))

    def rejects(asking: Datagram, *holding: Datagram) -> bool:
        hub = Endpoint(routers["HUB"].policy, routers["HUB"].implementation)
        for other in holding:
            hub.new_sa(other.destination, other.source, initiator=False, now=0)
        step = hub.receive(asking, 0)
        rejected = [e.refusal for e in step.events if e.kind == "rejected_by_admission"]
        assert bool(rejected) != bool(step.works)
        return bool(rejected)

    assert rejects(third, first, second)
    assert not rejects(first, first, second)
    assert not rejects(second, first, first)
    assert not rejects(second, first)


def test_ike_sas_of_a_full_hub_are_rekeyed(tmp_path: Path) -> None:
    lab = hub_with(3, tmp_path / "lab", "crypto ikev2 limit max-sa 3\n")
    text = (lab / "hub.cfg").read_text()
    (lab / "hub.cfg").write_text(text.replace(" keyring local K\n", " keyring local K\n lifetime 3600\n"))
    result = fv.run(lab, duration_s=2 * 3600, traffic=False)
    assert result.up
    assert (result.ike_sas["generation"] > 0).any()


# -- negotiations ----------------------------------------------------------------------------------------------


def test_the_platform_limits_negotiations_when_the_configuration_does_not(tmp_path: Path, small: str) -> None:
    lab = hub_with(3, tmp_path / "lab")
    options: dict[str, Any] = {"hardware": {"HUB": "small"}, "profiles": (small,), "traffic": False}
    settings = fv.run(lab, duration_s=1, **options).manifest["routers"]["HUB"]["ikev2"]
    assert settings["max_in_negotiation_incoming"] == 2
    assert (
        fv.run(lab, duration_s=1, traffic=False).manifest["routers"]["HUB"]["ikev2"]["max_in_negotiation_incoming"]
        == 40
    )
    (lab / "hub.cfg").write_text(HUB + "crypto ikev2 limit max-in-negotation-sa 3 incoming\n")
    settings = fv.run(lab, duration_s=1, **options).manifest["routers"]["HUB"]["ikev2"]
    assert settings["max_in_negotiation_incoming"] == 3


def test_a_request_that_was_turned_away_by_the_end_says_by_what(tmp_path: Path, small: str) -> None:
    """Three spokes at once, two places: the third is turned away and has not come again after a second."""
    lab = hub_with(3, tmp_path / "lab")
    result = fv.run(lab, duration_s=1, hardware={"HUB": "small"}, profiles=(small,), traffic=False)
    (reason,) = result.sessions[~result.sessions["up"]]["reason"]
    assert reason.endswith(": admission of 2 IKE SAs in negotiation at a time")


# -- encrypted bits --------------------------------------------------------------------------------------------


def bulk(folder: Path, hsec: bool) -> Path:
    """Write a scenario: 28 s of 120 Mbit/s from HQ, throttled by no licence level."""
    path = folder / f"hsec-{hsec}.yaml"
    path.write_text(
        f"scenario: 1\nconfigurations: {WORKING}\nduration: 30 s\n"
        f"routers:\n  '*': {{licence: boost, hsec: {str(hsec).lower()}}}\n"
        "traffic:\n  - {name: bulk, from: HQ, to: icpedger02, kind: constant, size: 1400, rate: 120 Mbps, start: 2 s}\n"
    )
    return path


def test_without_hsec_85_mbit_per_second_are_encrypted_and_the_rest_is_dropped(tmp_path: Path) -> None:
    """1400 bytes are 1484 encrypted: 120 Mbit/s inside are 127.2 outside; 28 s at 85 Mbit/s and one burst pass."""
    result = fv.run(bulk(tmp_path, hsec=False))
    packets = result.packets
    cost = CostModel(load_profile("isr4321"), Ledger())
    offered_bits = 8 * 1484 * packets["offered"].sum()
    passed_bits = 85e6 * 28 + 8 * cost.hsec_burst_bytes
    # The router at the other end has the same limit and gets no more than it.
    assert 8 * packets["wire_bytes"].sum() == pytest.approx(passed_bits, rel=1e-3)
    assert packets["delivered"].sum() == packets["sent"].sum()
    limit = result.queues.set_index("name").loc["HQ HSEC limit 85 Mbit/s (bulk)"]
    assert limit["drops"] == pytest.approx((offered_bits - passed_bits) / (8 * 1484), rel=0.01)
    assert limit["max_waiting_s"] == 0.0
    told = f"HQ HSEC limit 85 Mbit/s (bulk): {int(limit['drops']):,} of 300,000 packets dropped or lost"
    assert told in flexvpn_sim("run", bulk(tmp_path, hsec=False)).stdout
    assert result.queues.set_index("name").loc["icpedger02 HSEC limit 85 Mbit/s (bulk)"]["drops"] == 0


def test_with_hsec_there_is_no_such_station(tmp_path: Path) -> None:
    result = fv.run(bulk(tmp_path, hsec=True))
    assert not result.queues["name"].str.contains("HSEC").any()
    assert result.packets["delivered"].sum() == result.packets["offered"].sum()


def test_the_option_for_all_routers_overrides_the_scenario(tmp_path: Path) -> None:
    path = bulk(tmp_path, hsec=False)
    path.write_text(path.read_text().replace("routers:\n", "routers:\n  HQ: {hsec: false}\n"))
    routers = fv.run(path, traffic=False, hsec=["*"]).manifest["routers"]
    assert [routers[name]["hsec"] for name in ("HQ", "icpedger02")] == [True, True]
    routers = fv.run(path, traffic=False, hsec=["HQ"]).manifest["routers"]
    assert [routers[name]["hsec"] for name in ("HQ", "icpedger02")] == [True, False]


def test_what_the_receiver_may_not_decrypt_is_dropped_there(tmp_path: Path) -> None:
    """Only the receiver lacks the licence: the packets were encrypted and sent, but not delivered."""
    path = bulk(tmp_path, hsec=True)
    path.write_text(path.read_text().replace("routers:\n", "routers:\n  icpedger02: {hsec: false}\n"))
    result = fv.run(path)
    assert result.packets["sent"].sum() == result.packets["offered"].sum()
    lost = result.packets["sent"].sum() - result.packets["delivered"].sum()
    assert lost == result.queues.set_index("name").loc["icpedger02 HSEC limit 85 Mbit/s (bulk)"]["drops"] > 0


def test_flows_that_exceed_the_limit_together_are_told(tmp_path: Path) -> None:
    """Twice 50 Mbit/s inside are 106 outside; each flow alone passes, and what the run cannot show it says."""
    path = bulk(tmp_path, hsec=False)
    text = path.read_text().replace("120 Mbps", "50 Mbps")
    path.write_text(text)
    assert fv.run(path).manifest["exceeded_together"] == []
    path.write_text(text + text.splitlines()[-1].replace("bulk", "more") + "\n")
    found = fv.run(path).manifest["exceeded_together"]
    assert [(row["router"], row["direction"], row["limit"]) for row in found] == [
        ("HQ", "encrypts", "HSEC limit"),
        ("icpedger02", "decrypts", "HSEC limit"),
    ]
    assert found[0]["bps"] == pytest.approx(2 * 50e6 * 1484 / 1400, rel=0.001)
    assert "Mbit/s for all its flows, above its HSEC limit of 85.00 Mbit/s" in flexvpn_sim("run", path).stdout


def test_a_profile_without_that_limit_is_not_limited() -> None:
    assert CostModel(load_profile("linux-strongswan-openssl"), Ledger()).hsec_bps is None


def test_the_burst_is_that_of_the_shaper_when_none_is_given(tmp_path: Path) -> None:
    text = (Path(str(files("flexvpn_sim.hardware"))) / "profiles" / "isr4321.yaml").read_text()
    lines = [line for line in text.splitlines() if not (line.startswith("  burst_bytes") and "250 ms" in line)]
    assert len(lines) == len(text.splitlines()) - 1
    (tmp_path / "mine.yaml").write_text("\n".join(lines).replace("name: isr4321", "name: mine"))
    costs = CostModel(load_profile("mine", [tmp_path]), Ledger())
    assert costs.hsec_burst_bytes == costs.shaper_burst_bytes == 64000


# -- memory ----------------------------------------------------------------------------------------------------


def test_the_share_of_memory_is_told_where_it_is_known(tmp_path: Path, small: str) -> None:
    """Three tunnels of 100 kB in 1 MB."""
    lab = hub_with(3, tmp_path / "lab")
    options = ("run", lab, "--duration", "60s", "--no-traffic", "--hardware", "HUB=small", "--profiles", small)
    routers = json.loads(flexvpn_sim(*options, "--json").stdout)["routers"]
    assert routers["HUB"]["memory"] == {"tunnels": 3, "share": pytest.approx(0.3)}
    assert routers["SPOKE1"]["memory"]["tunnels"] == 1
    text = flexvpn_sim(*options).stdout
    assert "HUB: 3 tunnels at a time took 30 % of the control plane's memory" in text
    assert "SPOKE1: 1 tunnels" not in text
    routers = json.loads(flexvpn_sim(*options, "--hardware", "*=linux-strongswan-openssl", "--json").stdout)["routers"]
    assert routers["SPOKE1"]["memory"] is None


# -- no IKEv2 --------------------------------------------------------------------------------------------------


def test_a_platform_without_ikev2_is_refused_before_anything_runs(tmp_path: Path) -> None:
    base = "extends: isr4321\nname: old\ntitle: Old router\nikev2: {supported: false, reason: its last IOS is 12.4}\n"
    (tmp_path / "old.yaml").write_text(base)
    done = flexvpn_sim("run", WORKING, "--hardware", "HQ=old", "--profiles", tmp_path, "-o", tmp_path / "out")
    assert (done.exit_code, done.stdout) == (2, "")
    assert done.stderr == "flexvpn-sim: hardware of HQ: Old router cannot run IKEv2: its last IOS is 12.4\n"
    assert not (tmp_path / "out").exists()


# -- names of operations ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("operation", "name"),
    [
        (ops.KemStep("mlkem768", "encapsulate"), "KemStep mlkem768 encapsulate"),
        (ops.Sign("rsa2048"), "Sign rsa2048"),
        (ops.Verify("ecdsa256"), "Verify ecdsa256"),
        (ops.CheckCertificate(), "CheckCertificate"),
        (ops.CloneInterface(), "CloneInterface"),
        (ops.Authorise(), "Authorise"),
        (ops.InstallRoute(2), "InstallRoute"),
        (ops.FixedTime("bike1", 0.001), "FixedTime bike1"),
        (ops.HandleMessage("in", stateless=True), "HandleMessage in stateless"),
        (ops.HandleMessage("out"), "HandleMessage out"),
    ],
)
def test_every_operation_has_a_name_that_says_what_it_works_on(operation: ops.Operation, name: str) -> None:
    assert operation_name(operation) == name
