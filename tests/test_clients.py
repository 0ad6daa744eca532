"""Remote-access clients at FlexVPN servers: what they send, why they fail with which defaults, and what repairs it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from flexvpn_sim.experiments.cli import app
from flexvpn_sim.experiments.client_servers import configured_server, default_server
from flexvpn_sim.experiments.clients import Outcome, clients, try_client
from flexvpn_sim.hardware.profile_files import load_profile
from flexvpn_sim.models.errors import InputError
from flexvpn_sim.models.ikev2.payloads import ANY_IPV4, ANY_IPV6
from flexvpn_sim.models.ikev2.proposals import choose_ike
from flexvpn_sim.models.implementation import Implementation, client_names, implementation_names, load_implementation
from flexvpn_sim.models.values import Ledger

HUB = Path(__file__).parent.parent / "examples" / "remote_access" / "hub.cfg"
CLIENTS = ("android-native", "android-strongswan", "anyconnect", "apple", "windows-10")


def cli(*args: str) -> Result:
    return CliRunner().invoke(app, ["clients", *args])


def outcome(client: str, server: str, auth: str = "eap-mschapv2:rsa2048") -> Outcome:
    ((found,), _) = clients(load_profile("isr4321"), (client,), (server,), auth)
    return found


def causes(found: Outcome) -> list[tuple[str, str]]:
    return [(d.failure.stage, d.failure.refusal.cause) for d in found.diagnoses]


def repairs(found: Outcome) -> list[tuple[str, ...]]:
    return [d.repair for d in found.diagnoses]


# -- What clients send -----------------------------------------------------------------------------------------


def test_five_clients_ship() -> None:
    assert tuple(client_names()) == CLIENTS


def test_windows_sends_1104_bytes_first() -> None:
    # Header, SA of 18 proposals, KE of group 2, nonce of 48, FRAGMENTATION_SUPPORTED, both NAT_DETECTION, vendor IDs.
    sa = 4 + 3 * (8 + 8 + 8 + 8 + 8) + 9 * (8 + 12 + 8 + 8 + 8) + 6 * (8 + 12 + 8 + 8)
    total = 28 + sa + (8 + 128) + (4 + 48) + 8 + 2 * 28 + (24 + 20 + 20 + 24)
    assert (sa, total) == (736, 1104)
    assert outcome("windows-10", "ios-xe-16.9").attempts[0].first_bytes == total


def test_apple_sends_604_bytes_first() -> None:
    # Header, SA of five proposals, KE of group 14, nonce of 16, REDIRECT_SUPPORTED, NAT_DETECTION, FRAGMENTATION.
    sa = 4 + 4 * (8 + 12 + 8 + 8 + 8) + (8 + 8 + 8 + 8 + 8)
    total = 28 + sa + (8 + 256) + (4 + 16) + 8 + 2 * 28 + 8
    assert (sa, total) == (220, 604)
    assert outcome("apple", "ios-xe-16.9").attempts[0].first_bytes == total


def test_the_strongswan_app_sends_the_704_bytes_of_a_log_less_the_key_length_that_rfc_7634_forbids() -> None:
    # 4 + 3 AES and 3DES, 4 + 5 + 5 + 11 others; AEAD: 9 AES and ChaCha20, 5 PRFs, 11 groups. KE of group 19.
    sa = 4 + (8 + 3 * 12 + 8 + 8 * (5 + 5 + 11)) + (8 + 9 * 12 + 8 + 8 * (5 + 11))
    total = 28 + sa + (8 + 64) + (4 + 32) + 2 * 28 + 8 + (8 + 2 * 4) + 8
    assert total + 4 == 704
    assert outcome("android-strongswan", "ios-xe-17").attempts[0].first_bytes == total


def test_windows_offers_eighteen_suites_and_no_group_but_modp_1024() -> None:
    offered = load_implementation("windows-10").ike_proposals()
    assert len(offered) == 18
    assert {p.groups for p in offered} == {(2,)}
    assert all(len(p.encryption) == len(p.prf) == 1 for p in offered)


def test_apple_offers_five_suites() -> None:
    offered = load_implementation("apple").ike_proposals()
    assert [p.groups[0] for p in offered] == [14, 19, 5, 2, 2]


def test_the_smart_default_of_ios_has_changed_between_16_9_and_17() -> None:
    old, new = (load_implementation(name).ike_proposals() for name in ("ios-xe-16.9", "ios-xe-17"))
    assert old[0].groups == (5, 2)
    assert new[0].groups == (19, 14, 21)
    assert old[0].size(0) == 144 - 4
    assert choose_ike(new, old) is None


def test_the_release_of_a_configuration_selects_its_smart_default(tmp_path: Path) -> None:
    path = tmp_path / "hub.cfg"
    path.write_text(HUB.read_text().replace("version 17.9", "version 16.9"))
    assert configured_server(path, "psk", Ledger()).implementation.name == "ios-xe-16.9"
    assert configured_server(HUB, "psk", Ledger()).implementation.name == "ios-xe-17"


# -- Who fails with which defaults -----------------------------------------------------------------------------


def test_windows_fails_at_the_new_smart_default_for_its_group_alone() -> None:
    found = outcome("windows-10", "ios-xe-17")
    assert found.connects == "no"
    assert causes(found)[0] == ("proposal", "no IKE proposal in common")
    assert found.diagnoses[0].reason == "offers only group modp1024; the server accepts ecp256, modp2048, ecp521"
    assert repairs(found)[0] == ("crypto ikev2 proposal default", " group 19 14 21 2")
    # The request of 1104 bytes is answered with 36, both with 28 of UDP and IP.
    assert (found.attempts[0].messages, found.attempts[0].bytes) == (2, 1104 + 36 + 2 * 28)


def test_windows_needs_query_identity_at_the_old_smart_default_because_it_calls_itself_by_an_address() -> None:
    found = outcome("windows-10", "ios-xe-16.9")
    assert causes(found)[0] == ("authentication", "identity is no EAP user name")
    assert repairs(found)[0] == ("crypto ikev2 profile CLIENTS", " authentication remote eap query-identity")


@pytest.mark.parametrize("server", ["ios-xe-16.9", "ios-xe-17"])
def test_windows_loses_its_tunnel_at_the_first_rekey_without_a_pfs_group(server: str) -> None:
    found = outcome("windows-10", server)
    assert causes(found)[-1] == ("rekey", "no IPsec proposal in common")
    assert found.diagnoses[-1].failure.refusal.notify == "NO_PROPOSAL_CHOSEN"
    assert repairs(found)[-1] == ("crypto ipsec profile default", " set pfs group2")
    assert found.repaired


def test_apple_fails_at_the_new_smart_default_for_its_hash_alone() -> None:
    found = outcome("apple", "ios-xe-17")
    assert found.diagnoses[0].reason == "offers only hash sha256, sha1; the server accepts sha512, sha384"
    assert repairs(found) == [("crypto ikev2 proposal default", " integrity sha512 sha384 sha256")]
    assert found.repaired


def test_apple_connects_at_the_old_smart_default_with_its_third_offer_after_a_wrong_guess_of_the_group() -> None:
    found = outcome("apple", "ios-xe-16.9")
    assert found.connects == "yes"
    # INVALID_KE_PAYLOAD costs one exchange more than the repaired server of IOS XE 17, which takes the first offer.
    assert found.attempts[0].round_trips == outcome("apple", "ios-xe-17").attempts[-1].round_trips + 1
    assert found.attempts[0].ike.endswith("group 5")


def test_the_strongswan_app_connects_at_the_new_smart_default_and_not_at_the_old_one() -> None:
    assert outcome("android-strongswan", "ios-xe-17").connects == "yes"
    found = outcome("android-strongswan", "ios-xe-16.9")
    assert causes(found) == [("proposal", "no IKE proposal in common")]
    assert found.repaired


def test_android_has_no_esp_in_common_with_the_default_transform_set() -> None:
    found = outcome("android-native", "ios-xe-17")
    assert causes(found) == [("child", "no IPsec proposal in common")]
    hashes = "sha512, sha384, sha256, aes-xcbc, aes-cmac"
    assert found.diagnoses[0].reason == f"offers only hash {hashes} for ESP; the server's transform set has sha1"
    assert repairs(found)[0][0] == "crypto ipsec transform-set AES256-SHA512 esp-aes 256 esp-sha512-hmac"
    assert found.repaired


@pytest.mark.parametrize("client", ["windows-10", "android-strongswan", "anyconnect"])
def test_a_server_that_proves_itself_by_a_pre_shared_key_has_no_client_that_needs_a_certificate(client: str) -> None:
    found = outcome(client, "ios-xe-26", "psk")
    assert "authentication method not accepted" in [cause for _, cause in causes(found)]
    assert found.repaired


@pytest.mark.parametrize("client", ["apple", "android-native"])
def test_clients_with_pre_shared_keys_can_use_such_a_server(client: str) -> None:
    found = outcome(client, "ios-xe-17", "psk")
    assert found.method == "pre-share"
    assert found.repaired


@pytest.mark.parametrize("client", ["windows-10", "apple", "android-native", "android-strongswan", "anyconnect"])
def test_every_client_can_use_certificates_once_the_algorithms_fit(client: str) -> None:
    found = outcome(client, "ios-xe-17", "rsa2048")
    assert found.method == "certificate"
    assert found.repaired


def test_apple_has_no_gtc_so_that_radius_and_the_client_find_no_method() -> None:
    found = outcome("apple", "ios-xe-17", "eap-gtc:rsa2048")
    assert ("authentication", "no EAP method in common") in causes(found)
    assert not found.repaired


@pytest.mark.parametrize("client", CLIENTS)
@pytest.mark.parametrize("server", ["ios-xe-16.9", "ios-xe-17", "ios-xe-26"])
def test_every_failure_at_a_server_of_defaults_is_repaired_by_the_lines_that_are_told(client: str, server: str) -> None:
    ledger = Ledger()
    found = outcome(client, server)
    assert found.repaired
    # Entered at once, the lines make a server that the client can use as it comes.
    repaired = default_server(server, "eap-mschapv2:rsa2048", ledger)
    for lines in repairs(found):
        repaired = repaired.with_lines(lines)
    implementation = Implementation(load_implementation(client), ledger)
    again = try_client(implementation, repaired, lambda operations: 1e-6 * len(operations))
    assert (again.connects, again.diagnoses) == ("yes", [])


@pytest.mark.parametrize("client", ["windows-10", "android-native", "apple"])
def test_a_server_that_signs_nothing_is_refused_by_clients_that_use_eap(client: str) -> None:
    found = outcome(client, "ios-xe-16.9", "eap-mschapv2:psk")
    refused = next(d for d in found.diagnoses if d.failure.refusal.cause == "authentication method not accepted")
    assert not refused.failure.by_server
    assert refused.reason == "needs a certificate of the server, which proves itself with a pre-shared key"
    assert refused.repair[-2:] == (" authentication local rsa-sig", " pki trustpoint EXAMPLE-CA")
    assert found.repaired


def test_eap_tls_costs_windows_two_certificates_and_more_round_trips_than_a_password() -> None:
    by_password, by_tls = (outcome("windows-10", "ios-xe-16.9", f"{m}:rsa2048") for m in ("eap-mschapv2", "eap-tls"))
    assert by_tls.method == "eap-tls" and by_tls.repaired
    assert by_tls.attempts[-1].round_trips > by_password.attempts[-1].round_trips
    assert by_tls.attempts[-1].bytes > by_password.attempts[-1].bytes + 2 * 800


def test_anyconnect_needs_query_identity_where_radius_asks_for_a_token() -> None:
    found = outcome("anyconnect", "ios-xe-17", "eap-gtc:rsa2048")
    assert repairs(found) == [("crypto ikev2 profile CLIENTS", " authentication remote eap query-identity")]
    assert found.repaired


def test_nobody_but_anyconnect_knows_its_eap() -> None:
    assert outcome("anyconnect", "ios-xe-17", "anyconnect-eap:rsa2048").connects == "yes"
    found = outcome("apple", "ios-xe-16.9", "anyconnect-eap:rsa2048")
    assert causes(found) == [("authentication", "no EAP method in common")]
    assert " authentication remote eap query-identity" in repairs(found)[0]
    assert found.repaired


# -- A server that serves all of them --------------------------------------------------------------------------


@pytest.mark.parametrize("client", CLIENTS)
def test_every_client_can_use_the_server_of_the_example(client: str) -> None:
    found = outcome(client, str(HUB))
    assert (found.connects, found.diagnoses) == ("yes", [])
    assert found.attempts[0].address == "10.9.0.1"


def test_a_client_may_send_from_its_address_alone_unless_it_says_that_it_knows_flexvpn() -> None:
    plain = outcome("apple", str(HUB)).attempts[0]
    assert (plain.address, plain.selectors) == ("10.9.0.1", ("10.9.0.1-10.9.0.1/0",))
    profile = load_implementation("apple")
    order = profile.compositions
    first = (*order.ike_sa_init_request, "VID:FLEXVPN-SUPPORTED")
    told = profile.model_copy(
        update={
            "vendor_ids": load_implementation("ios-xe-17").vendor_ids,
            "compositions": order.model_copy(update={"ike_sa_init_request": first}),
        }
    )
    server = configured_server(HUB, "eap-mschapv2:rsa2048", Ledger())
    found = try_client(Implementation(told, Ledger()), server, lambda operations: 1e-6 * len(operations))
    assert found.connects == "yes"
    assert found.attempts[0].selectors == (str(ANY_IPV4), str(ANY_IPV6))


def test_the_server_answers_what_the_client_asks_for_and_its_policy_has() -> None:
    # Apple asks for the netmask and a domain of RFC 8598, Windows for neither.
    apple, windows = (outcome(client, str(HUB)).attempts[0].configuration for client in ("apple", "windows-10"))
    assert apple == ("INTERNAL_IP4_ADDRESS", "INTERNAL_IP4_NETMASK", "INTERNAL_IP4_DNS", "INTERNAL_DNS_DOMAIN")
    assert windows == ("INTERNAL_IP4_ADDRESS", "INTERNAL_IP4_DNS")


def test_without_the_address_match_nobody_takes_windows(tmp_path: Path) -> None:
    path = tmp_path / "hub.cfg"
    path.write_text(
        HUB.read_text().replace(" match identity remote address 0.0.0.0\n", " match identity remote fqdn x.y\n")
    )
    found = outcome("windows-10", str(path))
    assert causes(found)[0] == ("authentication", "no profile accepts the identity")
    assert "calls itself address 192.0.2.1" in found.diagnoses[0].reason
    assert found.repaired


def test_anyconnect_is_found_by_its_key_id(tmp_path: Path) -> None:
    path = tmp_path / "hub.cfg"
    path.write_text(HUB.read_text().replace("key-id *$AnyConnectClient$*", "key-id other"))
    found = outcome("anyconnect", str(path))
    assert causes(found)[0] == ("authentication", "no profile accepts the identity")
    assert repairs(found)[0][1] == " match identity remote key-id *$AnyConnectClient$*"


def test_a_profile_without_a_pool_gives_no_address(tmp_path: Path) -> None:
    path = tmp_path / "hub.cfg"
    path.write_text(HUB.read_text().replace(" pool CLIENTS\n", ""))
    found = outcome("apple", str(path))
    assert causes(found)[0][0] == "address"
    assert found.repaired


# -- The command -----------------------------------------------------------------------------------------------


def test_the_command_says_no_and_why() -> None:
    result = cli("--client", "windows-10", "--server", "ios-xe-17")
    assert result.exit_code == 1
    assert "offers only group modp1024; the server accepts ecp256, modp2048, ecp521" in result.output
    assert "group 19 14 21 2" in result.output
    assert "With these lines it connects." in result.output


def test_the_command_says_yes() -> None:
    result = cli("--client", "windows-10,apple", "--server", str(HUB))
    assert result.exit_code == 0
    assert "With these lines" not in result.output


def test_json_has_one_object_with_a_row_for_each_pair() -> None:
    result = cli("--client", "windows-10", "--client", "apple", "--server", "ios-xe-16.9,ios-xe-17", "--json")
    rows: list[dict[str, Any]] = json.loads(result.stdout)["clients"]
    assert [(r["client"], r["server"], r["connects"]) for r in rows] == [
        ("windows-10", "ios-xe-16.9", "no"),
        ("windows-10", "ios-xe-17", "no"),
        ("apple", "ios-xe-16.9", "yes"),
        ("apple", "ios-xe-17", "no"),
    ]
    assert all(r["after_repair"]["server_cpu_s"] > 0 for r in rows)
    assert "password" not in result.stdout and "any-key" not in result.stdout


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--client", "windows"), "--client: unknown client 'windows'"),
        (("--client", "strongswan"), "--client: unknown client 'strongswan'"),
        (("--server", "ios-xe-15"), "--server: unknown server 'ios-xe-15'"),
        (("--server", "windows-10"), "--server: unknown server 'windows-10'"),
        (("--server", "no/such.cfg"), "no/such.cfg: no such file"),
        (("--auth", "eap"), "--auth: unknown authentication 'eap'"),
        (("--hardware", "isr4322"), "unknown hardware profile 'isr4322'"),
    ],
)
def test_bad_input_is_one_line(options: tuple[str, ...], message: str) -> None:
    result = cli(*options)
    assert result.exit_code == 2
    assert message in result.output
    assert result.output.count("\n") == 1


def test_a_configuration_without_a_virtual_template_serves_no_client(tmp_path: Path) -> None:
    path = tmp_path / "spoke.cfg"
    path.write_text("hostname R1\ninterface Loopback0\n ip address 10.0.0.1 255.255.255.255\n")
    with pytest.raises(InputError, match="virtual-template"):
        outcome("apple", str(path))


# -- Profiles --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", implementation_names())
def test_what_is_only_remembered_is_assumed(name: str) -> None:
    profile = load_implementation(name)
    stated = [profile.default_ike, profile.default_esp, *([profile.client] if profile.client is not None else [])]
    assert all(block.kind == "assumed" for block in stated if block.source == "recollection")


def test_a_profile_that_extends_another_one_takes_the_rest_from_it() -> None:
    old, new = load_implementation("ios-xe-16.9"), load_implementation("ios-xe-17")
    assert new.compositions == old.compositions
    assert new.values == old.values
    assert new.default_ike != old.default_ike


def test_a_faulty_default_proposal_is_told_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "own.yaml"
    path.write_text(
        "extends: apple\nname: own\ntitle: own\nclient: {kind: assumed, source: recollection, identity: user,"
        " methods: [certificate]}\ndefault_ike:\n  kind: assumed\n  source: recollection\n  proposals: [aes257-sha1]\n"
    )
    with pytest.raises(InputError, match=r"own\.yaml:8: unknown word of a proposal 'aes257'"):
        load_implementation(str(path))


def test_windows_with_a_group_of_its_own_is_a_profile_of_four_keys(tmp_path: Path) -> None:
    path = tmp_path / "windows-group14.yaml"
    path.write_text(
        "extends: windows-10\nname: windows-group14\ntitle: Windows with -DHGroup Group14\ndefault_ike:\n"
        "  {kind: assumed, source: recollection, proposals: [aes256-sha384-modp2048]}\n"
    )
    found = outcome(str(path), "ios-xe-17")
    assert [stage for stage, _ in causes(found)] == ["authentication", "rekey"]
    assert found.repaired


def test_a_profile_cannot_extend_what_is_not_there(tmp_path: Path) -> None:
    path = tmp_path / "own.yaml"
    path.write_text("extends: windows-11\nname: own\n")
    with pytest.raises(InputError, match=r"own\.yaml:1: unknown implementation profile 'windows-11'"):
        load_implementation(str(path))


# -- As initiators of exchange ---------------------------------------------------------------------------------


def exchanged(client: str, server: str, *options: str) -> dict[str, Any]:
    arguments = ["--ike", "default", "--esp", "default", "--hardware", "isr4321", "--responder-ike", "default"]
    ends = ["--initiator-implementation", client, "--responder-implementation", server]
    result = CliRunner().invoke(app, ["exchange", *arguments, *ends, *options, "--json"])
    assert result.exit_code == 0, result.output
    found: dict[str, Any] = json.loads(result.stdout)
    return found


def test_windows_leaves_auth_out_of_its_first_ike_auth_request_and_asks_for_both_families() -> None:
    found = exchanged("windows-10", "ios-xe-16.9", "--auth", "eap-mschapv2:rsa2048", "--ts", "any-dual")
    assert found["messages"][0]["udp_len"] == 1104
    request = found["messages"][2]["payloads"]
    # 8 of the header, 16 for IPv4, 40 for IPv6; seven attributes without a value.
    assert "TSi(64) TSr(64)" in request
    assert "CP(36)" in request
    assert "AUTH" not in request
    assert found["sas"]["initiator"] == {"ike": 1, "child": 1}


def test_windows_is_refused_with_36_bytes_by_the_new_smart_default() -> None:
    found = exchanged("windows-10", "ios-xe-17", "--auth", "eap-mschapv2:rsa2048")
    assert [m["udp_len"] for m in found["messages"]] == [1104, 36]
    assert {e["cause"] for e in found["events"] if e["cause"]} == {"no IKE proposal in common"}


@pytest.mark.parametrize("client", CLIENTS)
def test_a_capture_of_a_client_is_as_long_as_its_messages(client: str, tmp_path: Path) -> None:
    dpkt = pytest.importorskip("dpkt")
    path = tmp_path / "client.pcap"
    options = ("--responder-ike", "aes256-sha512-sha384-sha256-ecp256-modp2048-modp1024", "--ts", "any-dual")
    found = exchanged(client, "ios-xe-17", *options, "--auth", "eap-mschapv2:rsa2048", "--pcap", str(path))
    with path.open("rb") as file:
        lengths = [len(data) for _, data in dpkt.pcap.Reader(file)]
    link = lengths[0] - found["messages"][0]["ip_len"]
    assert [n - link for n in lengths] == [m["ip_len"] for m in found["messages"]]
    assert len(lengths) >= 12


# -- The chart -------------------------------------------------------------------------------------------------


def test_the_chart_is_the_same_file_each_time_and_says_how_many_connect(tmp_path: Path) -> None:
    paths = [tmp_path / name for name in ("one.svg", "two.svg")]
    for path in paths:
        assert cli("--server", "ios-xe-17", "--client", "apple,anyconnect", "--chart", str(path)).exit_code == 1
    one, two = (path.read_bytes() for path in paths)
    assert one == two
    assert b"1 of 2 at IOS XE 17" in one and b"repair: IKE proposal" in one


def test_a_chart_needs_a_format_and_a_folder(tmp_path: Path) -> None:
    for path, message in ((tmp_path / "a.pdf", "'.pdf' is no format"), (tmp_path / "no" / "a.png", "no such folder")):
        result = cli("--chart", str(path))
        assert (result.exit_code, message in result.output) == (2, True)
