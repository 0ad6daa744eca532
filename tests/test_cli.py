"""The command line as a user runs it: answers, exit codes, and one clear line for wrong input."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from importlib.resources import files
from pathlib import Path

import pytest

PAPER = Path(str(files("flexvpn_sim.experiments.paper")))
SECRETS = ("HQkey12345", "SITE1key12345")


def flexvpn_sim(*arguments: object) -> subprocess.CompletedProcess[str]:
    """Run the command in a process of its own."""
    command = [sys.executable, "-m", "flexvpn_sim.experiments.cli", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    for secret in SECRETS:
        assert secret not in done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    return done


def refused(*arguments: object) -> str:
    """Return the one line by which bad input is refused."""
    done = flexvpn_sim(*arguments)
    assert done.returncode == 2, done.stderr
    assert done.stdout == ""
    (line,) = done.stderr.strip().splitlines()
    assert line.startswith("flexvpn-sim: ")
    return line


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A copy of the paper's working configurations."""
    return Path(shutil.copytree(PAPER / "working", tmp_path / "lab"))


def change(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A result directory of an hour and a half with charts."""
    directory = tmp_path_factory.mktemp("results") / "paper"
    done = flexvpn_sim("run", PAPER / "working", "--duration", "5400s", "-o", directory)
    assert done.returncode == 0, done.stderr
    return directory


def test_the_working_configurations_come_up_in_four_messages() -> None:
    done = flexvpn_sim("run", PAPER / "working", "--json", "--duration", "10s")
    assert done.returncode == 0
    (tunnel,) = json.loads(done.stdout)["tunnels"]
    assert (tunnel["initiator"], tunnel["responder"], tunnel["up"]) == ("HQ", "icpedger02", True)
    assert (tunnel["message_count"], tunnel["ike_bytes"], tunnel["reason"]) == (4, 1988, "")
    assert 0 < tunnel["setup_s"] < 1


def test_a_day_has_rekeys_before_the_lifetimes_end() -> None:
    done = flexvpn_sim("run", PAPER / "working", "--json", "--no-traffic")
    (tunnel,) = json.loads(done.stdout)["tunnels"]
    assert tunnel["up"]
    assert tunnel["child_rekeys"] >= 24
    assert tunnel["ike_rekeys"] == 1


def test_the_published_configurations_fail_and_the_reason_names_both_lines() -> None:
    done = flexvpn_sim("run", PAPER / "published", "--json", "--duration", "20s", "--no-traffic")
    assert done.returncode == 1
    (tunnel,) = json.loads(done.stdout)["tunnels"]
    assert not tunnel["up"]
    assert tunnel["reason"].startswith("AUTHENTICATION_FAILED")
    assert "HQ.cfg:39 'identity local email HQ.cptl.local'" in tunnel["reason"]
    assert "icpedger02.cfg:38 'match identity remote fqdn HQ.cptl.local'" in tunnel["reason"]
    assert "identity type" in tunnel["reason"]


def test_the_other_router_starts_first_when_asked() -> None:
    done = flexvpn_sim("run", PAPER / "working", "--json", "--duration", "10s", "--initiator", "icpedger02")
    (tunnel,) = json.loads(done.stdout)["tunnels"]
    assert (tunnel["initiator"], tunnel["responder"]) == ("icpedger02", "HQ")


def test_both_ends_may_start_at_once() -> None:
    done = flexvpn_sim("run", PAPER / "working", "--json", "--duration", "10s", "--initiator", "all")
    assert done.returncode == 0
    assert json.loads(done.stdout)["tunnels"][0]["attempts"] == 2


def test_strongswan_at_both_ends_sends_the_recorded_lengths(folder: Path) -> None:
    """The recording's identities: BR1.cptl.local and HQ.cptl.local; 464, 472, 336 and 288 bytes."""
    for path in folder.iterdir():
        path.write_text(path.read_text().replace("icpedger02.cptl.local", "BR1.cptl.local"))
    options = ("--implementation", "strongswan", "--initiator", "icpedger02", "--duration", "10s")
    done = flexvpn_sim("run", folder, "--json", *options)
    assert json.loads(done.stdout)["tunnels"][0]["ike_bytes"] == 464 + 472 + 336 + 288


def test_a_wrong_key_is_refused_and_both_lines_are_named(folder: Path) -> None:
    change(folder / "icpedger02.cfg", "pre-shared-key remote HQkey12345", "pre-shared-key remote other")
    done = flexvpn_sim("run", folder, "--json", "--duration", "10s", "--no-traffic")
    assert done.returncode == 1
    reason = json.loads(done.stdout)["tunnels"][0]["reason"]
    assert "HQ.cfg:34 'pre-shared-key local <secret>'" in reason
    assert "icpedger02.cfg:35 'pre-shared-key remote <secret>'" in reason


def test_the_same_seed_writes_the_same_bytes(tmp_path: Path) -> None:
    for name in ("a", "b"):
        flexvpn_sim("run", PAPER / "working", "--duration", "600s", "--seed", "5", "-o", tmp_path / name, "--no-esp")
    first, second = (
        {p.relative_to(tmp_path / n): p.read_bytes() for p in sorted((tmp_path / n).rglob("*")) if p.is_file()}
        for n in ("a", "b")
    )
    assert first.keys() == second.keys()
    assert [name for name in first if first[name] != second[name]] == []


def test_another_seed_gives_another_run(tmp_path: Path) -> None:
    spis = set()
    for seed in (1, 2):
        flexvpn_sim(
            "run", PAPER / "working", "--duration", "10s", "--seed", seed, "-o", tmp_path / str(seed), "--no-esp"
        )
        done = flexvpn_sim("show", tmp_path / str(seed), "HQ", "crypto ikev2 sa detailed")
        spis.add(next(line for line in done.stdout.splitlines() if "Local spi" in line))
    assert len(spis) == 2


def test_a_result_directory_holds_tables_charts_and_inputs_without_secrets(written: Path) -> None:
    names = {p.relative_to(written).as_posix() for p in written.rglob("*") if p.is_file()}
    assert {"manifest.json", "messages.parquet", "sessions.parquet", "latency.parquet", "inputs/HQ.cfg"} <= names
    assert {"charts/sequence.png", "charts/latency.svg", "charts/throughput.png", "charts/day.svg"} <= names
    for path in written.rglob("*"):
        if path.is_file():
            assert not any(secret.encode() in path.read_bytes() for secret in SECRETS), path


def test_rerun_reproduces_every_table_bit_for_bit(written: Path) -> None:
    done = flexvpn_sim("rerun", written)
    assert done.returncode == 0
    assert "DIFFERENT" not in done.stdout
    assert done.stdout.count("identical") >= 11


def test_rerun_tells_a_table_that_was_changed(written: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(written, tmp_path / "copy"))
    manifest = json.loads((copy / "manifest.json").read_text())
    manifest["seed"] = manifest["scenario"]["seed"] = 99
    (copy / "manifest.json").write_text(json.dumps(manifest))
    done = flexvpn_sim("rerun", copy)
    assert done.returncode == 1
    assert "DIFFERENT" in done.stdout


def test_show_prints_the_session_at_a_time_of_the_run(written: Path) -> None:
    done = flexvpn_sim("show", written, "HQ", "crypto ikev2 session", "--at", "1h")
    assert done.returncode == 0
    assert "UP-ACTIVE" in done.stdout
    assert "158.83.133.194/500" in done.stdout


def test_lint_finds_both_fatal_faults_and_leaves_with_1() -> None:
    done = flexvpn_sim("lint", PAPER / "published")
    assert done.returncode == 1
    fatal = [line for line in done.stdout.splitlines() if line.startswith("fatal")]
    assert any("identity" in line for line in fatal)
    assert any("key" in line for line in fatal)


def test_lint_has_nothing_fatal_to_say_of_the_working_configurations() -> None:
    assert flexvpn_sim("lint", PAPER / "working").returncode == 0


def test_a_scenario_file_sets_links_and_traffic(tmp_path: Path) -> None:
    path = tmp_path / "far.yaml"
    path.write_text(
        f"scenario: 1\nconfigurations: {PAPER / 'working'}\nduration: 30 s\n"
        "links:\n  HQ: {delay: 40 ms}\n  icpedger02: {delay: 60 ms}\n"
        "traffic:\n  - {from: HQ, to: icpedger02, kind: poisson, size: 200 B, rate: 1 Mbps}\n"
    )
    done = flexvpn_sim("run", path, "--json")
    assert done.returncode == 0, done.stderr
    # Two round trips of 200 ms each are in the set-up.
    assert 0.4 < json.loads(done.stdout)["tunnels"][0]["setup_s"] < 0.5


def test_rerun_reproduces_a_scenario_with_links_licences_and_traffic_of_its_own(tmp_path: Path) -> None:
    example = Path(__file__).parents[1] / "examples" / "two_sites.yaml"
    text = example.read_text().replace("../experiments/paper/working", str(PAPER / "working"))
    (tmp_path / "two.yaml").write_text(text)
    options = ("--duration", "1200s", "--no-esp", "-o", tmp_path / "two")
    assert flexvpn_sim("run", tmp_path / "two.yaml", *options).returncode == 0
    done = flexvpn_sim("rerun", tmp_path / "two")
    assert (done.returncode, "DIFFERENT" in done.stdout) == (0, False)


def test_help_names_every_command() -> None:
    done = flexvpn_sim("--help")
    assert done.returncode == 0
    for command in ("run", "show", "lint", "rerun", "demo"):
        assert command in done.stdout


# -- wrong input -----------------------------------------------------------------------------------------------


def test_a_missing_path_is_named(tmp_path: Path) -> None:
    assert "no such file or folder" in refused("run", tmp_path / "nothing")


def test_a_folder_without_configurations_is_named(tmp_path: Path) -> None:
    assert "holds no configuration" in refused("run", tmp_path)


def test_one_router_alone_is_no_deployment(folder: Path) -> None:
    (folder / "icpedger02.cfg").unlink()
    line = refused("run", folder)
    assert "HQ.cfg:55" in line
    assert "only one router" in line


def test_an_unknown_hardware_profile_gets_the_nearest_name() -> None:
    line = refused("run", PAPER / "working", "--hardware", "HQ=isr4312")
    assert "did you mean 'isr4321'?" in line
    assert "HQ" in line


def test_an_unknown_router_gets_the_nearest_name() -> None:
    assert "did you mean 'HQ'?" in refused("run", PAPER / "working", "--hardware", "HX=isr4321")


def test_an_unknown_initiator_gets_the_allowed_names() -> None:
    assert "icpedger02" in refused("run", PAPER / "working", "--initiator", "icpedger")


def test_an_unknown_implementation_gets_the_nearest_name() -> None:
    assert "did you mean 'strongswan'?" in refused("run", PAPER / "working", "--implementation", "strongsawn")


def test_broken_yaml_is_named_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "broken.yaml"
    path.write_text("scenario: 1\nconfigurations: lab\nseed: [1\n")
    assert f"{path}:3: broken YAML" in refused("run", path)


def test_an_unknown_key_is_named_with_its_line_and_the_nearest_key(tmp_path: Path) -> None:
    path = tmp_path / "key.yaml"
    path.write_text(f"scenario: 1\nconfigurations: {PAPER / 'working'}\nduraton: 3 h\n")
    line = refused("run", path)
    assert f"{path}:3" in line
    assert "did you mean 'duration'?" in line


def test_a_quantity_without_sense_is_named_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "unit.yaml"
    path.write_text(f"scenario: 1\nconfigurations: {PAPER / 'working'}\nlinks:\n  HQ:\n    delay: 20 kg\n")
    line = refused("run", path)
    assert f"{path}:5" in line
    assert "20 ms" in line


def test_a_peer_address_that_nobody_has_is_named_with_the_nearest(folder: Path) -> None:
    change(folder / "HQ.cfg", "tunnel destination 158.83.133.225", "tunnel destination 158.83.133.229")
    line = refused("run", folder)
    assert "HQ.cfg:55" in line
    assert "did you mean 158.83.133.225" in line


def test_a_router_without_a_route_is_named(folder: Path) -> None:
    change(folder / "HQ.cfg", "ip route 0.0.0.0 0.0.0.0 158.83.133.193", "!")
    assert "HQ has no route to 158.83.133.225" in refused("run", folder)


def test_a_binary_file_is_refused(folder: Path) -> None:
    (folder / "icpedger02.cfg").write_bytes(bytes(range(256)) * 8)
    assert "binary file" in refused("run", folder)


def test_a_file_that_cannot_be_read_is_refused(folder: Path) -> None:
    path = folder / "icpedger02.cfg"
    path.unlink()
    # A folder of that name cannot be read as a file by anybody, not even by root.
    path.mkdir()
    assert refused("run", folder)


def test_a_folder_with_other_files_is_not_overwritten(tmp_path: Path) -> None:
    (tmp_path / "precious.txt").write_text("keep me")
    assert "holds other files" in refused("run", PAPER / "working", "-o", tmp_path)
    assert (tmp_path / "precious.txt").read_text() == "keep me"


def test_a_duration_of_nothing_is_refused() -> None:
    assert "--duration" in refused("run", PAPER / "working", "--duration", "0s")


def test_show_of_no_result_is_refused(tmp_path: Path) -> None:
    assert "no result directory" in refused("show", tmp_path, "HQ", "crypto ikev2 sa")


def test_an_unknown_show_command_gets_the_nearest(written: Path) -> None:
    assert "crypto ikev2 session" in refused("show", written, "HQ", "crypto ikev2 sesion")


def test_show_on_an_unknown_router_gets_the_nearest_name(written: Path) -> None:
    assert "did you mean 'HQ'?" in refused("show", written, "H", "crypto ikev2 sa")


def test_a_time_after_the_run_is_refused(written: Path) -> None:
    assert refused("show", written, "HQ", "crypto ikev2 sa", "--at", "3h")


def test_a_flow_between_unknown_routers_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "flow.yaml"
    path.write_text(
        f"scenario: 1\nconfigurations: {PAPER / 'working'}\nduration: 10 s\ntraffic:\n  - {{from: HQ, to: nowhere}}\n"
    )
    assert "no tunnel joins HQ and nowhere" in refused("run", path)


def test_a_folder_is_no_file_for_a_scenario(tmp_path: Path) -> None:
    path = tmp_path / "HQ.cfg"
    path.write_text("hostname HQ\n")
    assert "a folder of router configurations or a scenario" in refused("run", path)


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("links: {HQ: {dellay: 5 ms}}", "unknown key 'dellay', did you mean 'delay'?"),
        ("links: {HQ: {loss: 1.5}}", "links.HQ.loss: found 1.5; input should be less than 1"),
        ("duration: .inf", "duration: found inf; input should be a finite number"),
        ("duration: -5 s", "duration: found '-5 s'; input should be greater than 0"),
        ("routers: {HQ: {licence: gold}}", "unknown licence level 'gold'"),
        ("traffic: [{from: HQ}]", "traffic.0.to: Field required"),
        ("traffic: [{from: HQ, to: icpedger02, kindd: ping}]", "unknown key 'kindd', did you mean 'kind'?"),
        ("traffic: [{from: HQ, to: icpedger02, kind: imix, size: 9 B, rate: 1 Mbps}]", "does not go with kind 'imix'"),
        ("profiles: [nowhere]", "no such folder with hardware profiles"),
    ],
)
def test_a_wrong_line_of_a_scenario_is_named(tmp_path: Path, line: str, expected: str) -> None:
    path = tmp_path / "wrong.yaml"
    path.write_text(f"scenario: 1\nconfigurations: {PAPER / 'working'}\n{line}\n")
    assert expected in refused("run", path)


def test_ctrl_c_keeps_what_is_finished(tmp_path: Path) -> None:
    """The printed configuration is tried again and again for ten days: long enough to be interrupted."""
    import signal
    import time

    target = tmp_path / "cut"
    command = [sys.executable, "-m", "flexvpn_sim.experiments.cli", "run", PAPER / "published", "--no-traffic"]
    options = ["--duration", "240h", "-o", target, "--json"]
    # A shell that runs the tests in the background lets them ignore SIGINT.
    process = subprocess.Popen(
        [*map(str, command), *map(str, options)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    time.sleep(6)
    process.send_signal(signal.SIGINT)
    # Tables and charts of what is finished are written first.
    out, err = process.communicate(timeout=240)
    assert process.returncode == 1, err
    result = json.loads(out)
    assert result["interrupted"]
    assert 0 < result["duration_s"] < 240 * 3600
    assert (target / "manifest.json").is_file()
    assert "was interrupted" in refused("rerun", target)
