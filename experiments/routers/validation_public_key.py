"""Comparisons of public-key operations: each CPU's longer lengths from its 2048 bits (or ML-KEM-768).

A law's exponent is the median of the other sources in the same class: leave one source out.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from statistics import median
from typing import Any, get_args

from ...hardware import scaling
from ...hardware.public_figures import figures
from .validation import Comparison, Section, Target, Use

CURVE_BITS = {"P-256": 256, "P-384": 384, "P-521": 521, "bp256r1": 256, "bp384r1": 384, "bp512r1": 512}
#: RSA moduli that others predict. [bit]
RSA_LONGER = (3072, 4096)


def _by_source(rows: Iterable[Mapping[str, str]]) -> dict[str, list[Mapping[str, str]]]:
    grouped: dict[str, list[Mapping[str, str]]] = {}
    for row in rows:
        grouped.setdefault(row["source"], []).append(row)
    return grouped


def _seconds(row: Mapping[str, str]) -> float:
    return float(row["us"]) * 1e-6


# -- Finite-field Diffie-Hellman --------------------------------------------------------------------------------


def median_drift(without: str) -> float:
    """Return the median drift of all sources but one whose code multiplies by the schoolbook."""
    sources = _by_source(r for r in figures("public_key") if r["operation"] == "ffdh" and r["code"] == "schoolbook")
    points = {
        name: [(float(r["exponent_bits"]), int(r["size"]), _seconds(r)) for r in rows] for name, rows in sources.items()
    }
    return median(scaling.ffdh_drift(rows) for name, rows in points.items() if name != without)


def ffdh() -> Section:
    """Return FFDH with 3072 to 8192 bits from 2048."""
    rows = []
    for source, group in _by_source(r for r in figures("public_key") if r["operation"] == "ffdh").items():
        drift = median_drift(without=source)
        base = next(row for row in group if row["size"] == "2048")
        for row in group:
            code: scaling.Multiplication = "subquadratic" if row["code"] == "subquadratic" else "schoolbook"
            ends = [(float(r["exponent_bits"]), int(r["size"])) for r in (base, row)]
            rows.append(
                Comparison(
                    f"FFDH {row['size']}",
                    "s",
                    _seconds(row),
                    scaling.ffdh_from(_seconds(base), ends[0], ends[1], drift, code),
                    "fit" if row is base else "unused",
                    "known" if row is base else f"from 2048; {code}, drift {drift:.2f}",
                    source,
                )
            )
    return Section(
        "ffdh",
        "Finite-field Diffie-Hellman, from 2048 bits",
        Target(worst=0.20),
        tuple(rows),
        "Classes: schoolbook (OpenSSL, AWS-LC) and subquadratic (ordinary GMP: Toom-Cook from 4096 bits on). The drift "
        "is the median of the other sources.",
    )


# -- RSA --------------------------------------------------------------------------------------------------------


def rsa() -> Section:
    """Return RSA with 3072 and 4096 bits from 2048, from 3072 where 2048 bits have code of their own."""
    sources = _by_source(row for row in figures("public_key") if row["operation"].startswith("rsa"))
    times = {
        name: {
            step: {int(r["size"]): _seconds(r) for r in group if r["operation"] == f"rsa_{step}"}
            for step in ("sign", "verify")
        }
        for name, group in sources.items()
    }
    special = {name for name, t in times.items() if scaling.has_special_2048(t["sign"], t["verify"])}
    rows = []
    for name, group in sources.items():
        for step in ("sign", "verify"):
            own_code = step == "sign" and name in special
            others = {n: t[step] for n, t in times.items() if n != name and not (step == "sign" and n in special)}
            exponent = median(_growth(points) for points in others.values() if len(points) > 1)
            if step == "sign" and group[0]["architecture"] == "arm":
                exponent = scaling.ARM_RSA_SIGN_GROWTH
            rows += _rsa_rows(name, step, times[name][step], exponent, own_code)
    return Section(
        "rsa",
        "RSA signatures, from 2048 bits of one CPU",
        Target(worst=0.15),
        tuple(rows),
        f"Class of its own: fewer than {scaling.LEAST_VERIFY_PER_SIGN:g} checks per signature at 2048 bits, that is "
        "signing code for this length alone; such a CPU is predicted from 3072 bits. The growth is the median of the "
        "other sources.",
    )


def _growth(points: dict[int, float]) -> float:
    base = min(points)
    return median(scaling.growth((base, points[base]), (n, t)) for n, t in points.items() if n != base)


def _rsa_rows(source: str, step: str, times: dict[int, float], exponent: float, own_code: bool) -> list[Comparison]:
    rows = []
    anchor = RSA_LONGER[0] if own_code else 2048
    for bits, measured_s in times.items():
        use: Use = "unused"
        predicted_s, note = None, ""
        law = f"from {anchor}; n^{exponent:.2f}"
        if own_code and bits == 2048:
            use, law, note = "excluded", "none", "code of its own for 2048 bits"
        elif anchor not in times:
            use, law, note = "not predicted", "none", "2048 bits have code of their own and 3072 were not measured"
        else:
            predicted_s = scaling.power_law((anchor, times[anchor]), bits, exponent)
            if bits == anchor:
                use, law = "fit", "known"
        rows.append(Comparison(f"RSA-{bits} {step}", "s", measured_s, predicted_s, use, law, source, note))
    return rows


# -- Elliptic curves --------------------------------------------------------------------------------------------


def curves() -> Section:
    """Return the classes of the NIST curves, which explain where P-384 costs more than P-521."""
    rows = []
    for source, group in _by_source(row for row in figures("public_key") if row["operation"] == "ecdh").items():
        seconds = {row["size"]: _seconds(row) for row in group}
        classes = {
            curve: scaling.curve_class(CURVE_BITS[curve], time_s / seconds["P-256"])
            for curve, time_s in seconds.items()
        }
        ranks = {curve: get_args(scaling.CurveClass).index(name) for curve, name in classes.items()}
        dearer = seconds["P-384"] > seconds["P-521"]
        rows.append(
            Comparison(
                "P-384 over P-521",
                "ratio",
                seconds["P-384"] / seconds["P-521"],
                None,
                "order",
                f"P-384 {classes['P-384']}, P-521 {classes['P-521']}",
                source,
                "dearer: code of a slower class" if dearer else "cheaper, as its length has it",
                holds=not dearer or ranks["P-384"] > ranks["P-521"],
            )
        )
        if "bp384r1" in seconds and classes["P-384"] == "generic":
            rows.append(
                Comparison(
                    "P-384",
                    "s",
                    seconds["P-384"],
                    seconds["bp384r1"],
                    "unused",
                    "as brainpoolP384r1: generic code of one length",
                    source,
                )
            )
    return Section(
        "curves",
        "Elliptic curves have implementation classes, not a size law",
        Target(worst=0.10),
        tuple(rows),
        "A curve's class follows from its time over that of P-256, both at one length.",
    )


# -- ML-KEM -----------------------------------------------------------------------------------------------------


def mlkem() -> Section:
    """Return ML-KEM-512 and 1024 from 768 of the same host."""
    sources = _by_source(figures("mlkem"))
    tables = {n: {(r["size"], r["step"]): (r["code"], _seconds(r)) for r in group} for n, group in sources.items()}
    rows = []
    for source, group in sources.items():
        table = tables[source]
        for row in group:
            exponents = {code: _mlkem_exponent(tables, code, row["size"], source) for code in ("", "expanded-keys")}
            known_s = table["768", row["step"]][1]
            use: Use = "fit" if row["size"] == "768" else "unused"
            if row["code"] == "pairwise-test":
                predicted_s = _pairwise_s(table, row["size"], exponents)
                law = "key pair, encapsulation and decapsulation, each scaled"
            else:
                predicted_s = scaling.mlkem_from(known_s, row["size"], exponents[row["code"]])
                law = f"from 768; rank^{exponents[row['code']]:.2f}"
            law = "known" if use == "fit" else law
            name = f"ML-KEM-{row['size']} {row['step']}"
            rows.append(Comparison(name, "s", _seconds(row), predicted_s, use, law, source, row["code"]))
    return Section(
        "mlkem",
        "ML-KEM-512 and 1024, from 768 of one host",
        Target(worst=0.20),
        tuple(rows),
        "Classes: the matrix is made anew in each step, it is kept with the key (expanded-keys), or the provider tries "
        "out a new key pair (pairwise-test). The exponent is the median of the other sources of the class.",
    )


def _mlkem_exponent(tables: dict[str, dict[tuple[str, str], Any]], code: str, size: str, without: str) -> float:
    """Return the median exponent of the other sources: between 768 and this size, else between 768 and any size."""
    found = [
        (other, scaling.mlkem_exponent(other, seconds / table["768", step][1]))
        for name, table in tables.items()
        for (other, step), (kind, seconds) in table.items()
        if name != without and other != "768" and kind == code
    ]
    return median([e for other, e in found if other == size] or [e for _, e in found])


def _pairwise_s(table: dict[tuple[str, str], Any], size: str, exponents: dict[str, float]) -> float:
    """Return the time of a key pair that is tried out: what is no trial grows as key generation does. [s]"""
    trial = [table["768", step][1] for step in ("encapsulate", "decapsulate")]
    bare_s = table["768", "keygen"][1] - sum(trial)
    tried_s = sum(scaling.mlkem_from(s, size, exponents["expanded-keys"]) for s in trial)
    return scaling.mlkem_from(bare_s, size, exponents[""]) + tried_s
