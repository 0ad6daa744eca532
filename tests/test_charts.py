"""Charts: drawn from the tables, equal in every bit, legible, and honest about what they lean on."""

from __future__ import annotations

import copy
import os
import re
import subprocess
import sys
from collections.abc import Callable
from functools import cache
from typing import Any

import matplotlib
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.text import Text

from flexvpn_sim.experiments.charts import CHARTS, charts_of
from flexvpn_sim.experiments.charts.day import bin_edges_s
from flexvpn_sim.experiments.charts.footer import by_weight, footer
from flexvpn_sim.experiments.charts.rekey import first_rekey
from flexvpn_sim.experiments.charts.style import SMALL, VERMILION
from flexvpn_sim.experiments.charts.timescale import spread, time_scale
from flexvpn_sim.experiments.paper_demo import configurations
from flexvpn_sim.experiments.result import Result
from flexvpn_sim.experiments.run import run
from flexvpn_sim.experiments.selection import session_of, set_up
from flexvpn_sim.models.errors import InputError

LOSSY = """
name: lossy
configurations: {folder}
duration: 600 s
links:
  HQ: {{delay: 40 ms, loss: 0.2}}
"""

#: The charts of each situation; the ESP study was asked for in the first.
AVAILABLE = {
    "day": list(CHARTS),
    "refused": ["sequence", "day", "topology"],
    "lossy": ["sequence", "day", "topology"],
    "short": ["sequence", "day", "topology"],
    "silent": ["sequence", "day", "topology"],
}
DRAWN = [(situation, chart) for situation, charts in AVAILABLE.items() for chart in charts]
UNIT = re.compile(r"\((ms|s|min|h|Mbit/s|%|bytes)\)|packets/s")


@pytest.fixture(scope="module")
def result(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Result]:
    """Return the result of a situation; each is run once and only when it is needed."""
    known: dict[str, Result] = {}

    def lossy(loss: float, seed: int) -> Result:
        scenario = tmp_path_factory.mktemp("scenario") / "lossy.yaml"
        text = LOSSY.format(folder=configurations("working")).replace("loss: 0.2", f"loss: {loss}")
        scenario.write_text(text)
        return run(scenario, seed=seed)

    makers: dict[str, Callable[[], Result]] = {
        "day": lambda: run(configurations("working"), esp=True),
        "refused": lambda: run(configurations("published"), duration_s=300),
        "lossy": lambda: lossy(0.2, 1),
        "short": lambda: run(configurations("working"), duration_s=60),
        "silent": lambda: lossy(0.98, 1),
    }

    def get(situation: str) -> Result:
        if situation not in known:
            known[situation] = makers[situation]()
        return known[situation]

    return get


@pytest.fixture(scope="module")
def figure_of(result: Callable[[str], Result]) -> Callable[[str, str], Figure]:
    """Return the chart of a situation, drawn; for tests that only look at it."""

    @cache
    def get(situation: str, chart: str) -> Figure:
        figure: Figure = getattr(result(situation).plot, chart)()
        figure.draw_without_rendering()
        return figure

    return get


@pytest.fixture(scope="module")
def files_of(result: Callable[[str], Result]) -> Callable[[str], dict[str, bytes]]:
    """Return the files of a situation."""
    return cache(lambda situation: charts_of(result(situation)))


def text_of(figure: Figure, gid: str) -> str:
    return next(t.get_text() for t in figure.texts if t.get_gid() == gid).replace("\u00a0", " ").replace("\n", " ")


def visible_texts(figure: Figure) -> list[Text]:
    texts: list[Text] = [*figure.texts, *(t for one in figure.legends for t in one.get_texts())]
    for ax in figure.axes:
        texts += [*ax.texts, ax.title, *(t for t in (ax.xaxis.label, ax.yaxis.label) if ax.axison)]
        for axis, limits in ((ax.xaxis, ax.get_xlim()), (ax.yaxis, ax.get_ylim())):
            # Ticks beyond the limits exist but are not drawn.
            shown = [t for t in axis.get_major_ticks() if min(limits) <= t.get_loc() <= max(limits) and ax.axison]
            texts += [t.label1 for t in shown]
    return [t for t in texts if t.get_visible() and t.get_text().strip()]


@pytest.mark.parametrize("situation", list(AVAILABLE))
def test_a_result_offers_the_charts_it_has_data_for(result: Callable[[str], Result], situation: str) -> None:
    assert result(situation).plot.available() == AVAILABLE[situation]


def test_the_situations_are_what_they_are_called(result: Callable[[str], Result]) -> None:
    assert result("day").sessions["child_rekeys"].iloc[0] > 20
    assert not result("refused").up
    assert result("lossy").sessions["retransmissions"].iloc[0] > 2
    assert not result("silent").up and result("silent").sessions["message_count"].iloc[0] == 1


@pytest.mark.parametrize(("situation", "chart"), DRAWN)
def test_every_axis_says_its_unit(figure_of: Callable[[str, str], Figure], situation: str, chart: str) -> None:
    figure = figure_of(situation, chart)
    labels = [label for ax in figure.axes for label in (ax.get_xlabel(), ax.get_ylabel()) if label]
    assert len(labels) >= {"sequence": 1, "topology": 0}.get(chart, 2)
    for label in labels:
        assert UNIT.search(label), label


@pytest.mark.parametrize(("situation", "chart"), DRAWN)
def test_no_text_is_clipped_or_too_small(figure_of: Callable[[str, str], Figure], situation: str, chart: str) -> None:
    figure = figure_of(situation, chart)
    width, height = figure.bbox.size
    for text in visible_texts(figure):
        assert text.get_fontsize() >= SMALL
        box = text.get_window_extent()
        # Half a pixel of rounding.
        assert box.x0 >= -0.5 and box.x1 <= width + 0.5, text.get_text()
        assert box.y0 >= -0.5 and box.y1 <= height + 0.5, text.get_text()


@pytest.mark.parametrize(("situation", "chart"), DRAWN)
def test_legend_title_and_footer_cover_no_data(
    figure_of: Callable[[str, str], Figure], situation: str, chart: str
) -> None:
    figure = figure_of(situation, chart)
    strips = [*figure.legends, *(t for t in figure.texts if t.get_text())]
    boxes = [strip.get_window_extent() for strip in strips]
    for box in boxes:
        assert not any(box.overlaps(ax.get_window_extent()) for ax in figure.axes)
    for n, box in enumerate(boxes):
        assert not any(box.overlaps(other) for other in boxes[n + 1 :])


def test_work_labels_do_not_overlap(result: Callable[[str], Result], figure_of: Callable[[str, str], Figure]) -> None:
    for situation in AVAILABLE:
        figure = figure_of(situation, "sequence")
        labels = [t for t in figure.axes[0].texts if re.search(r"\d m?s\b", t.get_text()) and not t.get_rotation()]
        assert len(labels) >= len(set_up(result(situation), 0).works)
        boxes = [label.get_window_extent() for label in labels]
        for n, box in enumerate(boxes):
            assert not any(box.overlaps(other) for other in boxes[n + 1 :]), labels[n].get_text()


@pytest.mark.parametrize(("situation", "chart"), DRAWN)
def test_the_footer_names_seed_profiles_and_assumed_inputs(
    result: Callable[[str], Result], figure_of: Callable[[str, str], Figure], situation: str, chart: str
) -> None:
    one = result(situation)
    text = text_of(figure_of(situation, chart), "footer")
    assert text.startswith("Seed 1 · HQ, icpedger02: hardware isr4321, licence default")
    assert "IKEv2 ios-xe-16.9" in text
    assert f"Assumed: {len(one.assumed)} of {len(one.manifest['values'])} inputs" in text
    named = [v for v in one.manifest["values"] if f"{v['name'].removeprefix('parameters.')} {v['value']:g}" in text]
    listed = re.search(r"such as (.*); and (\d+) more$", text)
    assert listed is not None
    assert len(listed[1].split("; ")) + int(listed[2]) == len(one.assumed)
    assert named and all(v["kind"] == "assumed" and v["spread"] in text for v in named)


def test_the_footer_is_computed(result: Callable[[str], Result]) -> None:
    one = Result(result("short").tables, copy.deepcopy(result("short").manifest))
    for value in one.manifest["values"]:
        value["kind"] = "measured"
    assert f"None of the {len(one.manifest['values'])} inputs is assumed." in footer(one, ())
    one.manifest["values"][3] |= {"kind": "assumed", "name": "parameters.speed", "value": 7.0, "spread": "5 to 9 us"}
    assert "such as speed 7 (5 to 9 us)" in footer(one, ()).replace("\u00a0", " ")
    one.manifest["routers"]["HQ"]["hardware"] = "other"
    assert "HQ: hardware other" in footer(one, ()) and "icpedger02: hardware isr4321" in footer(one, ())


def test_the_widest_range_of_each_group_is_named_first() -> None:
    def value(name: str, spread: str) -> dict[str, Any]:
        return {"owner": "o", "name": name, "value": 2.0, "spread": spread}

    values = [value("b1", "1 to 3"), value("b2", "1 to 9"), value("a1", "sd 0.1 s"), value("z", "0 to 99")]
    assert [v["name"] for v in by_weight(values, ("a", "b"))] == ["a1", "b2", "b1", "z"]


def test_latency_lines_are_the_table(result: Callable[[str], Result]) -> None:
    one = result("day")
    figure = one.plot.latency()
    lengths = list(dict.fromkeys(one.latency["packets"]))
    for place, length in enumerate(lengths):
        rows = one.latency[one.latency["packets"] == length]
        top, bottom = figure.axes[place], figure.axes[place + len(lengths)]
        assert length in top.get_title() and top.get_yscale() == "log"
        lines = {line.get_label(): line for line in top.get_lines()}
        for name in ("p50", "p95", "p99"):
            own_ms = (rows[f"{name}_s"] - rows["propagation_s"]) * 1e3
            np.testing.assert_allclose(lines[name].get_ydata(), own_ms, rtol=1e-12)
            np.testing.assert_allclose(lines[name].get_xdata(), rows["offered_bps"] / 1e6, rtol=1e-12)
        full = rows[rows["load"] == 1.0].iloc[0]
        assert lines["capacity (load 1.0)"].get_xdata()[0] == pytest.approx(full["offered_bps"] / 1e6)
        loss = next(line for line in bottom.get_lines() if line.get_label() == "loss")
        np.testing.assert_allclose(loss.get_ydata(), rows["loss"] * 100)
        assert max(rows["loss"]) * 100 < bottom.get_ylim()[1]
        upper_ms = max(
            max((rows[f"{name}_s"] + rows[f"{name}_ci_s"] - rows["propagation_s"]) * 1e3)
            for name in ("p50", "p95", "p99")
        )
        band = max(float(c.get_paths()[0].vertices[:, 1].max()) for c in top.collections)
        assert band == pytest.approx(upper_ms)
    assert one.latency["bottleneck"].iloc[12] in text_of(figure, "title")
    assert "less 5 ms\npropagation (assumed)" in figure.axes[0].get_ylabel()


def test_throughput_lines_are_the_table(result: Callable[[str], Result]) -> None:
    one = result("day")
    figure = one.plot.throughput()
    lines = {str(line.get_label()): line for line in figure.axes[0].get_lines()}
    for start, column in (
        ("on the wire", "wire_bps"),
        ("inside the tunnel", "throughput_bps"),
        ("inside, computed", "analytic_bps"),
        ("licence shaper, 50 Mbit/s", "shaper_bps"),
    ):
        line = next(line for label, line in lines.items() if label.startswith(start))
        np.testing.assert_allclose(line.get_ydata(), (one.throughput[column] / 1e6).iloc[: len(line.get_ydata())])
    assert one.throughput["bottleneck"].iloc[0] in text_of(figure, "title")
    notes = [t for t in figure.axes[0].texts if t.get_text() == "two fragments"]
    assert len(notes) == (one.throughput["esp_bytes"] > 1500).sum()


def test_a_hardware_without_shaper_has_no_shaper_line(result: Callable[[str], Result]) -> None:
    tables = {**result("day").tables, "throughput": result("day").throughput.assign(shaper_bps=float("nan"))}
    figure = Result(tables, result("day").manifest).plot.throughput()
    assert not [line for line in figure.axes[0].get_lines() if "shaper" in str(line.get_label())]


@pytest.mark.parametrize("situation", ["day", "lossy", "short", "refused"])
def test_packets_of_a_day_are_the_table(result: Callable[[str], Result], situation: str) -> None:
    one = result(situation)
    _, counts, latency, *_ = one.plot.day().axes
    edges_s = np.array(bin_edges_s(one.manifest["ended_s"]))
    for patch, column in zip(counts.patches, ("sent", "delivered"), strict=True):
        values = np.asarray(patch.get_data().values)
        assert (values * np.diff(edges_s)).sum() == pytest.approx(one.packets[column].sum())
    dropped = next(line for line in counts.get_lines() if line.get_label() == "dropped, no SA")
    assert np.asarray(dropped.get_ydata()).size == len(
        set((one.packets["time_s"][one.packets["no_sa"] > 0] / edges_s[1]).astype(int))
    )
    delivered = one.packets[one.packets["delivered"] > 0]
    drawn = [y for line in latency.get_lines() if str(line.get_label()).startswith("p99") for y in line.get_ydata()]
    np.testing.assert_allclose(sorted(drawn), sorted(delivered["latency_p99_s"] * 1e3))
    title = text_of(one.plot.day(), "title")
    assert f"{one.packets['no_sa'].sum():,} found no SA" in title


def test_every_rekey_of_a_day_is_drawn(result: Callable[[str], Result]) -> None:
    one = result("day")
    session = one.sessions.iloc[0]
    top, *_, zoom = one.plot.day().axes
    assert len(top.collections) == 2 + session["child_rekeys"] + session["ike_rekeys"]
    assert f"{session['child_rekeys']} Child SA and {session['ike_rekeys']} IKE SA rekeys" in text_of(
        one.plot.day(), "title"
    )
    rekey = first_rekey(one, session_of(one, 0))
    assert rekey is not None and rekey.overlap_s > 0
    own = one.child_sas[one.child_sas["router"] == "HQ"].sort_values("installed_s")
    assert rekey.deleted_s["HQ"] == own["deleted_s"].iloc[0] and rekey.installed_s["HQ"] == own["installed_s"].iloc[1]
    theirs = one.child_sas[one.child_sas["router"] == "icpedger02"].sort_values("installed_s")
    both_until_s = min(own["deleted_s"].iloc[0], theirs["deleted_s"].iloc[0])
    assert rekey.overlap_s == both_until_s - max(own["installed_s"].iloc[1], theirs["installed_s"].iloc[1])
    assert f"{rekey.overlap_s * 1e3:.3g} ms" in zoom.get_title(loc="left")
    assert first_rekey(result("short"), session_of(result("short"), 0)) is None


def test_refusals_and_retransmissions_are_drawn(result: Callable[[str], Result]) -> None:
    marks = {str(line.get_label()): line for line in result("refused").plot.day().axes[0].get_lines()}
    events = result("refused").events
    for label, event in (("attempt", "attempt"), ("refused", "refused")):
        own = events[(events["event"] == event) & (events["router"] == "HQ")]
        np.testing.assert_allclose(marks[label].get_xdata(), own["time_s"] / 60)
    assert "AUTHENTICATION_FAILED" in text_of(result("refused").plot.day(), "title")
    resent = {str(line.get_label()) for line in result("lossy").plot.day().axes[0].get_lines()}
    assert "retransmission" in resent and "attempt" not in resent


@pytest.mark.parametrize("situation", list(AVAILABLE))
def test_a_sequence_has_every_message_and_every_work(result: Callable[[str], Result], situation: str) -> None:
    one = result(situation)
    shown = set_up(one, 0)
    session = one.sessions.iloc[0]
    assert len(shown.messages) == session["message_count"] + session["retransmissions"]
    ax = one.plot.sequence().axes[0]
    texts = [t.get_text() for t in ax.texts]
    for message in shown.messages:
        kind = "response" if message["response"] else "request"
        assert f"{message['exchange']} {kind}, ID {message['message_id']}" in texts
        assert any(text.startswith(f"{message['ike_bytes']} bytes") for text in texts)
    assert sum("lost" in text for text in texts) == sum(m["lost"] for m in shown.messages)
    for work in shown.works:
        assert sum(s for _, s in work["operations"]) == pytest.approx(work["end_s"] - work["start_s"], abs=1e-8)
        assert any(text.startswith(work["step"]) for text in texts)
    resent = [work for work in shown.works if work["step"] in ("retransmit request", "repeat response")]
    assert len(resent) == session["retransmissions"]
    waits = [text for text in texts if "without a message" in text]
    assert len(waits) == {"lossy": 5, "silent": 5}.get(situation, 0)


def test_a_sequence_names_the_dominant_operations(result: Callable[[str], Result]) -> None:
    texts = [t.get_text().replace("\n", " ") for t in result("day").plot.sequence().axes[0].texts]
    response = next(text for text in texts if text.startswith("IKE_SA_INIT response:"))
    assert "DH key pair 4.34 ms, shared secret 4.34 ms" in response and "hashes" not in response
    assert sum("ESP SAs installed" in text for text in texts) == 2


def test_a_refusal_has_a_colour_of_its_own_and_is_in_the_title(result: Callable[[str], Result]) -> None:
    figure = result("refused").plot.sequence()
    red = [t for t in figure.axes[0].texts if to_hex(t.get_color()) == VERMILION.lower()]
    assert [t.get_text() for t in red] == ["IKE_AUTH response, ID 1", "96 bytes, AUTHENTICATION_FAILED"]
    assert "refused, AUTHENTICATION_FAILED" in text_of(figure, "title")
    assert "the identity type differs" in text_of(figure, "subtitle")
    up = result("day").plot.sequence()
    assert not [t for t in up.axes[0].texts if to_hex(t.get_color()) == VERMILION.lower()]
    assert "up 47.9 ms" in text_of(up, "title")


@pytest.mark.parametrize("situation", ["day", "refused"])
def test_two_renderings_are_equal_whatever_the_users_settings(
    result: Callable[[str], Result], files_of: Callable[[str], dict[str, bytes]], situation: str
) -> None:
    first = files_of(situation)
    assert sorted(first) == sorted(f"{c}.{e}" for c in AVAILABLE[situation] for e in ("png", "svg"))
    assert all(data.startswith(b"\x89PNG") for name, data in first.items() if name.endswith("png"))
    with matplotlib.rc_context(
        {"font.size": 20, "lines.linewidth": 9, "svg.fonttype": "path", "axes.facecolor": "red"}
    ):
        before = dict(matplotlib.rcParams)
        second = charts_of(result(situation))
        assert dict(matplotlib.rcParams) == before
    assert [name for name in first if first[name] != second[name]] == []


def test_other_processes_draw_the_same_bytes() -> None:
    code = (
        "import hashlib, flexvpn_sim as fv; from flexvpn_sim.experiments.charts import charts_of; import sys\n"
        f"charts = charts_of(fv.run({str(configurations('working'))!r}, duration_s=60))\n"
        "print(sorted((name, hashlib.sha256(data).hexdigest()) for name, data in charts.items()))\n"
        "print('matplotlib.pyplot' in sys.modules)"
    )
    outputs = {
        subprocess.run(
            [sys.executable, "-c", code],
            capture_output=True,
            text=True,
            check=True,
            env={**os.environ, "PYTHONHASHSEED": seed},
        ).stdout
        for seed in ("1", "2")
    }
    assert len(outputs) == 1
    assert outputs.pop().splitlines()[1] == "False"


def test_importing_the_charts_loads_no_matplotlib() -> None:
    code = "import sys, flexvpn_sim.experiments.charts; print('matplotlib' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_no_secret_reaches_an_svg_and_text_stays_text(files_of: Callable[[str], dict[str, bytes]]) -> None:
    for situation, version in (("day", "working"), ("refused", "published")):
        text = "".join(p.read_text() for p in configurations(version).glob("*.cfg"))
        secrets = set(re.findall(r"pre-shared-key \w+ (\S+)", text))
        assert len(secrets) == 2
        for name, data in files_of(situation).items():
            if name.endswith(".svg"):
                svg = data.decode()
                assert not [secret for secret in secrets if secret in svg]
                assert "<text" in svg and "Seed 1" in svg and "<dc:date>" not in svg


@pytest.mark.parametrize("chart", ["latency", "throughput"])
def test_without_the_esp_study_the_error_tells_the_cure(result: Callable[[str], Result], chart: str) -> None:
    with pytest.raises(InputError, match=r"esp=True .*--esp"):
        getattr(result("short").plot, chart)()


def test_charts_are_drawn_on_axes_of_ones_own(result: Callable[[str], Result]) -> None:
    plot = result("day").plot
    for name, count in (
        ("sequence", 1),
        ("throughput", 1),
        ("topology", 1),
        ("latency", 4),
        ("latency", 8),
        ("day", 3),
    ):
        figure = Figure(figsize=(9, 6))
        axes: Any = figure.subplots(1, count)
        assert getattr(plot, name)(ax=axes) is figure
        assert not figure.texts and not figure.legends
        assert all(ax.has_data() or ax.texts for ax in np.ravel(axes))
    single = Figure().subplots()
    plot.latency(ax=single, packets="1400 B")
    assert single.get_title() == "1400 B packets" and "p99" in single.get_legend_handles_labels()[1]
    with pytest.raises(InputError, match="found 2 axes, 1 or 3 are needed"):
        plot.day(ax=list(Figure().subplots(1, 2)))
    with pytest.raises(InputError, match="did you mean '1400 B'"):
        plot.latency(packets="1400B")


def test_a_tunnel_that_is_not_there_is_refused(result: Callable[[str], Result]) -> None:
    with pytest.raises(InputError, match="found 3, this result has the tunnels 0 to 0"):
        result("short").plot.sequence(tunnel=3)
    one = Result(
        {**result("short").tables, "events": result("short").events.iloc[:0]}, copy.deepcopy(result("short").manifest)
    )
    assert "sequence" not in one.plot.available()
    with pytest.raises(InputError, match="no message was sent"):
        one.plot.sequence()


def test_a_notebook_shows_a_chart_without_pyplot(result: Callable[[str], Result]) -> None:
    figure: Any = result("short").plot.topology()
    assert figure._repr_png_().startswith(b"\x89PNG")


def test_a_topology_of_many_routers_has_a_row_for_each_link(result: Callable[[str], Result]) -> None:
    one = Result(result("short").tables, copy.deepcopy(result("short").manifest))
    names = ["hub", *(f"spoke{n}" for n in range(1, 60))]
    one.manifest["routers"] = dict.fromkeys(names, one.manifest["routers"]["HQ"])
    link = {"interface": "Gi0", "delay_s": 0.04, "jitter_s": 0.005, "loss": 0.001, "rate_bps": 2e7}
    nets = {"internet": names, "10.0.0.0/24": names[:3]}
    one.manifest["topology"] = {
        "nodes": [*({"name": n, "kind": "router"} for n in names), *({"name": n, "kind": "subnet"} for n in nets)],
        "links": [{"ends": sorted((name, net)), **link} for net, members in nets.items() for name in members],
    }
    texts = [t.get_text() for t in one.plot.topology().axes[0].texts]
    assert texts.count("Gi0, 40 to 45 ms one way, 20 Mbit/s, loss 0.1 %") == 40
    assert "and 23 more links" in texts and "hub, isr4321" in texts


def test_assumed_delays_are_marked(result: Callable[[str], Result]) -> None:
    for situation, count in (("short", 2), ("lossy", 1)):
        figure = result(situation).plot.topology()
        assert sum("(assumed)" in t.get_text() for t in figure.axes[0].texts) == count
        assert sum(line.get_linestyle() == "--" for line in figure.axes[0].get_lines()) == count


def test_a_time_scale_is_true_where_something_happens_and_short_where_nothing_does() -> None:
    scale = time_scale([(0.0, 0.01), (0.005, 0.03), (2.0, 2.04), (2.05, 2.06)], 0.1)
    assert scale.waits == ((0.03, 2.0),)
    assert scale(0.02) - scale(0.01) == pytest.approx(0.01)
    assert scale(2.04) - scale(2.01) == pytest.approx(0.03)
    assert (scale(2.0) - scale(0.03)) / scale(2.06) == pytest.approx(0.1)
    ticks = scale.ticks_s()
    assert ticks == sorted(ticks) and not [t for t in ticks if 0.031 < t < 1.999]


@given(
    st.lists(st.tuples(st.floats(0, 50), st.floats(0.1, 2)), min_size=1, max_size=20).map(sorted),
)
def test_spread_labels_keep_their_order_and_do_not_overlap(labels: list[tuple[float, float]]) -> None:
    centres, sizes = [c for c, _ in labels], [s for _, s in labels]
    places = spread(centres, sizes, -1.0, 100.0)
    for n in range(1, len(places)):
        assert places[n] - places[n - 1] >= (sizes[n] + sizes[n - 1]) / 2 - 1e-9
    assert places[0] - sizes[0] / 2 >= -1.0 - 1e-9 and places[-1] + sizes[-1] / 2 <= 100.0 + 1e-9


@pytest.mark.parametrize("chart", ["latency", "throughput"])
def test_bands_of_ignorance_are_drawn_beside_chance_and_named(chart: str) -> None:
    """With parameter sets both kinds of band are in the legend, nothing is clipped, and the title is unchanged."""
    figure = getattr(run(configurations("working"), duration_s=60, esp=True, samples=3).plot, chart)()
    figure.draw_without_rendering()
    legend = [t.get_text() for t in figure.legends[0].get_texts()]
    ignorance = [label for label in legend if "5 % to 95 % of 3 parameter sets" in label]
    assert len(ignorance) == {"latency": 2, "throughput": 1}[chart]
    assert chart == "throughput" or "95 % interval (replications)" in legend
    width, height = figure.bbox.size
    for text in visible_texts(figure):
        box = text.get_window_extent()
        assert box.x0 >= -0.5 and box.x1 <= width + 0.5 and box.y0 >= -0.5 and box.y1 <= height + 0.5, text.get_text()
