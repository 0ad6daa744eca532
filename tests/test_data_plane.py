"""ESP traffic of a run: which SA carries it, counters, and the curves of the ESP study against closed forms."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

import pytest

import flexvpn_sim as fv
from flexvpn_sim.simulate.flows import outbound_steps

WORKING = Path(str(files("flexvpn_sim.experiments.paper"))) / "working"
NAN = float("nan")


@pytest.fixture(scope="module")
def day() -> fv.Result:
    return fv.run(WORKING, duration_s=8000, esp=True)


def child(router: str, peer: str, spis: tuple[int, int], since_s: float, until_s: float = NAN) -> dict[str, object]:
    return {
        "router": router,
        "peer": peer,
        "spi_in": spis[0],
        "spi_out": spis[1],
        "installed_s": since_s,
        "deleted_s": until_s,
        "encryption": "aes-cbc-256",
        "integrity": "sha512",
        "mode": "tunnel",
        "local_selectors": "0.0.0.0-255.255.255.255/0",
    }


def test_a_packet_takes_the_newest_sa_that_both_ends_have() -> None:
    rows = [
        child("A", "B", (1, 2), 0.0, 11.0),
        child("B", "A", (2, 1), 0.5, 11.5),
        child("A", "B", (3, 4), 10.0),
        child("B", "A", (4, 3), 9.0),
    ]
    assert [(s.since_s, s.spi) for s in outbound_steps(rows, "A", "B")] == [(0.5, 2), (10.0, 4)]


def test_there_is_a_gap_when_the_old_sa_ends_before_the_new_one_is_there() -> None:
    rows = [
        child("A", "B", (1, 2), 0.0, 5.0),
        child("B", "A", (2, 1), 0.0, 5.0),
        child("A", "B", (3, 4), 8.0),
        child("B", "A", (4, 3), 8.0),
    ]
    assert [(s.since_s, s.spi) for s in outbound_steps(rows, "A", "B")] == [(0.0, 2), (5.0, 0), (8.0, 4)]


def test_an_sa_that_only_one_end_has_carries_nothing() -> None:
    assert outbound_steps([child("A", "B", (1, 2), 0.0)], "A", "B") == []


def test_packets_are_conserved(day: fv.Result) -> None:
    packets = day.packets
    forward = packets[packets["sender"] == "HQ"]
    assert forward["offered"].sum() == 8000
    assert (forward["offered"] == forward["sent"] + forward["no_sa"]).all()
    assert forward["delivered"].sum() == forward["sent"].sum()
    back = packets[packets["sender"] == "icpedger02"]
    assert back["offered"].sum() == forward["delivered"].sum()


def test_packets_before_the_tunnel_is_up_have_no_sa(day: fv.Result) -> None:
    first = day.packets.iloc[0]
    assert (first["time_s"], first["no_sa"], first["spi"]) == (0.0, 1, 0)
    assert day.packets["no_sa"].sum() == 1


def test_packets_move_to_the_new_sa_at_a_rekey(day: fv.Result) -> None:
    used = day.packets[(day.packets["sender"] == "HQ") & (day.packets["spi"] > 0)]["spi"].unique()
    installed = day.child_sas[day.child_sas["router"] == "HQ"]["spi_out"]
    assert set(used) == set(installed)


def test_a_ping_in_an_empty_tunnel_takes_service_times_and_propagation(day: fv.Result) -> None:
    """Latency = packet core + crypto core + serialisation + 5 ms + crypto core + packet core; buckets let pass."""
    stations = day.queues[day.queues["name"].str.contains("ping")].iloc[:8].set_index("name")
    service_s = stations["mean_service_s"].drop([n for n in stations.index if "shaper" in n or "limit" in n]).sum()
    assert day.packets["latency_p50_s"].median() == pytest.approx(service_s + 0.005, rel=1e-6)


def test_esp_bytes_on_the_wire_are_those_of_the_format(day: fv.Result) -> None:
    sent = day.packets[day.packets["sent"] > 0]
    # 100 bytes inside: 20 + 8 + 16 + pad16(102) + 32.
    assert (sent["wire_bytes"] == 188 * sent["sent"]).all()


def test_throughput_equals_the_analytic_capacity_within_one_per_cent(day: fv.Result) -> None:
    table = day.throughput
    assert ((table["throughput_bps"] - table["analytic_bps"]).abs() < 0.01 * table["analytic_bps"]).all()


def test_the_licence_limits_large_packets_on_the_wire(day: fv.Result) -> None:
    large = day.throughput[day.throughput["packet_bytes"] == 1400].iloc[0]
    assert large["bottleneck"] == "HQ licence shaper"
    assert large["wire_bps"] == pytest.approx(50e6, rel=0.01)


def test_loss_begins_at_the_capacity(day: fv.Result) -> None:
    table = day.latency
    assert (table[table["load"] <= 0.95]["loss"] == 0).all()
    over = table[table["load"] == 1.2]
    # A share of 1 - 1/1.2 cannot pass; the buffer and the token bucket delay the losses.
    assert (over["loss"] > 0.10).all()
    one_length = over[over["packets"].str.endswith(" B")]
    assert (one_length["loss"] < 1 - 1 / 1.2 + 0.01).all()


def test_latency_grows_with_load_for_every_packet_length(day: fv.Result) -> None:
    for _, curve in day.latency.groupby("packets"):
        p99 = curve.sort_values("load")["p99_s"].to_numpy()
        assert p99[-1] > 1.2 * p99[0]
        assert (p99[1:] >= p99[:-1] - 2e-4).all()


def test_a_published_configuration_has_no_esp_curves() -> None:
    result = fv.run(WORKING.parent / "published", duration_s=10, esp=True)
    assert len(result.latency) == 0
    assert len(result.throughput) == 0
    assert result.packets["delivered"].sum() == 0


def test_more_packets_than_memory_holds_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "flood.yaml"
    path.write_text(
        f"scenario: 1\nconfigurations: {WORKING}\n"
        "traffic:\n  - {from: HQ, to: icpedger02, kind: constant, size: 100 B, packets: 100000}\n"
    )
    with pytest.raises(fv.InputError, match="more than 50,000,000 packets"):
        fv.run(path)


@pytest.mark.parametrize(("mode", "wire_bytes"), [("tunnel", 204), ("transport", 188)])
def test_a_gre_tunnel_pays_for_its_own_headers(tmp_path: Path, mode: str, wire_bytes: int) -> None:
    """100 bytes inside: tunnel mode 20 + 8 + 16 + pad16(20 + 4 + 100 + 2) + 32; transport mode pad16(4 + 100 + 2)."""
    for source in WORKING.iterdir():
        text = source.read_text().replace(" tunnel mode ipsec ipv4\n", "").replace(" mode tunnel\n", f" mode {mode}\n")
        (tmp_path / source.name).write_text(text)
    result = fv.run(tmp_path, duration_s=30)
    sent = result.packets[result.packets["sent"] > 0]
    assert (sent["wire_bytes"] == wire_bytes * sent["sent"]).all()
    assert set(result.child_sas["mode"]) == {mode}


def test_a_ping_is_lost_when_either_way_loses_it(tmp_path: Path) -> None:
    """With 10 % loss one way, a share of 0.9 * 0.9 comes back: within 4 standard errors."""
    path = tmp_path / "lossy.yaml"
    path.write_text(
        f"scenario: 1\nconfigurations: {WORKING}\nduration: 5000 s\nlinks:\n  HQ: {{loss: 0.1}}\nstagger: 4999 s\n"
    )
    packets = fv.run(path).packets
    sent = packets[packets["sender"] == "HQ"]["sent"].sum()
    came_back = packets[packets["sender"] == "icpedger02"]["delivered"].sum()
    assert came_back / sent == pytest.approx(0.81, abs=4 * (0.81 * 0.19 / sent) ** 0.5)
