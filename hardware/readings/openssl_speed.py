"""What ``openssl speed`` prints, versions 1.0 to 3.5: tables of public-key operations, KEMs, signatures and ciphers.

A header names the columns; its words that end in ``/s`` are rates, and each row below has as many at its end. Lines of
``-mr`` (``+H``, ``+F``, ``+F2`` to ``+F8``) are read as well.

What this leaves out: ``-multi``, which adds up processes (refused); machine lines of KEMs and of signatures by name,
which number the algorithms of one build; ``ecdh`` and RSA as KEMs, whose steps are those of other tables.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from ...models.errors import InputError
from ...models.yaml_input import read_text

Kind = Literal["rsa", "signature", "ecdh", "ffdh", "mlkem", "mldsa", "cipher", "hmac", "hash"]


@dataclass(frozen=True, slots=True)
class Reading:
    """One measured operation. ``name`` and ``step`` are those of hardware profiles; ``n_bytes`` is 0 without data."""

    kind: Kind
    name: str
    step: str
    time_s: float
    where: str
    n_bytes: int = 0

    @property
    def label(self) -> str:
        """What was measured, for tables."""
        size = f" {self.n_bytes} B" if self.n_bytes else ""
        prefix = {"hmac": "HMAC-", "ffdh": "FFDH ", "ecdh": "ECDH "}.get(self.kind, "")
        return f"{prefix}{self.name} {self.step}".rstrip() + size


@dataclass(frozen=True, slots=True)
class Unused:
    """A line that was understood but says nothing about a profile, with the reason."""

    where: str
    text: str
    reason: str


_CURVES = {"nistp256": "ecp256", "nistp384": "ecp384", "nistp521": "ecp521", "x25519": "curve25519", "x448": "curve448"}
_ECDSA = {"nistp256": "ecdsa256", "nistp384": "ecdsa384", "nistp521": "ecdsa521"}
_EDDSA = {"ed25519": "ed25519", "ed448": "ed448"}
_KEMS = {f"ml-kem-{size}": f"mlkem{size}" for size in (512, 768, 1024)}
_MLDSA = {f"ml-dsa-{size}": f"mldsa{size}" for size in (44, 65, 87)}
#: Columns of rates that are steps of a profile; OpenSSL spells some in two ways.
_STEPS = {
    "sign/s": "sign",
    "signs/s": "sign",
    "verify/s": "verify",
    "verifies/s": "verify",
    "encaps/s": "encapsulate",
    "decaps/s": "decapsulate",
    "keygens/s": "keygen",
    "op/s": "",
}
#: In machine lines the first curves have the same number in all versions; others are known by their length.
_CURVE_OF_NUMBER = {("3", "256"): "nistp256", ("4", "384"): "nistp384", ("5", "521"): "nistp521"}
_CURVE_OF_BITS = {"253": "x25519", "448": "x448"}

_RSA = re.compile(r"^\s*rsa\s+(\d+)\s+bits?\b")
_CURVE = re.compile(r"^\s*\d+\s+bits?\s+(ecdsa|ecdh|EdDSA|SM2)\s*\((\w+)\)", re.IGNORECASE)
_FFDH = re.compile(r"^\s*(\d+)\s+bits?\s+ffdh\b")
_NAMED = re.compile(r"^\s*([A-Za-z][\w.-]*)\s+[\d.]+s\s")
_SIZES = re.compile(r"^type((?:\s+\d+ bytes)+)\s*$")
_BYTES = re.compile(r"^(\S.*?)\s+((?:[\d.]+k\s*)+)$")
_PROGRESS = re.compile(r"^\s*(Doing\b|\+DTP?:|\+R\d*:)")
_MULTI = re.compile(r"^(Forked child|Got: )")


def read_openssl_speed(path: Path) -> tuple[list[Reading], list[Unused]]:
    """Return the readings of a file and the lines that could not be used.

    Raises InputError when the file cannot be read, holds no result, or was made with ``-multi``.
    """
    return parse_openssl_speed(read_text(path), str(path))


def parse_openssl_speed(text: str, name: str) -> tuple[list[Reading], list[Unused]]:
    """Return the readings in a text; ``name`` stands for the file in places. Raises InputError as above."""
    readings: list[Reading] = []
    unused: list[Unused] = []
    columns: list[str] = []
    sizes: list[int] = []
    for number, line in enumerate(text.splitlines(), start=1):
        where = f"{name}:{number}"
        words = line.split()
        if not words or _PROGRESS.match(line):
            continue
        if _MULTI.match(line):
            raise InputError("comes from -multi, which adds up processes; run openssl speed without it", where)
        if found := _SIZES.match(line):
            sizes = [int(size) for size in re.findall(r"\d+", found[1])]
        elif line.startswith("+H:"):
            sizes = [int(size) for size in line.strip().split(":")[1:] if size.isdigit()]
        elif words[-1].endswith("/s") and not any(re.match(r"[\d.]", word) for word in words):
            columns = [word for word in words if word.endswith("/s")]
        elif line.startswith("+F"):
            _machine_line(line.strip(), sizes, where, readings, unused)
        elif (data := _BYTES.match(line)) and sizes:
            rates = [1000.0 * float(word[:-1]) for word in data[2].split()]
            _symmetric(data[1], sizes, rates, where, readings, unused)
        elif columns:
            _public_key(line, columns, where, readings, unused)
    if not readings:
        why = f"; {unused[0].text}: {unused[0].reason}" if unused else ""
        raise InputError(f"holds no result of 'openssl speed' that a profile can use{why}", name)
    return readings, unused


def _public_key(line: str, columns: list[str], where: str, readings: list[Reading], unused: list[Unused]) -> None:
    kind_and_name = _operation(line)
    if kind_and_name is None:
        return
    kind, name, text = kind_and_name
    if kind is None:
        unused.append(Unused(where, text, "no profile has a value for it, or another table gives it"))
        return
    rates = re.findall(r"(?<=\s)\d+(?:\.\d+)?(?=\s|$)", line)[-len(columns) :]
    if len(rates) < len(columns):
        unused.append(Unused(where, text, f"{len(columns)} rates are expected at its end"))
        return
    for column, rate in zip(columns, rates, strict=True):
        step = _STEPS.get(column)
        if step is not None and not (step == "keygen" and kind != "mlkem"):
            _add(readings, unused, kind, name, step, float(rate), where)


def _operation(line: str) -> tuple[Kind | None, str, str] | None:
    """Return kind and name of the operation that a row is about, with its words; None when it is no row."""
    if found := _RSA.match(line):
        return "rsa", f"rsa{found[1]}", found[0].strip()
    if found := _FFDH.match(line):
        return "ffdh", f"modp{found[1]}", found[0].strip()
    if found := _CURVE.match(line):
        text, name = found[0].strip(), found[2].lower()
        tables: dict[str, tuple[Kind, dict[str, str]]] = {
            "ecdh": ("ecdh", _CURVES),
            "ecdsa": ("signature", _ECDSA),
            "eddsa": ("signature", _EDDSA),
        }
        kind, names = tables.get(found[1].lower(), (None, {}))
        return (kind if name in names else None), names.get(name, ""), text
    if found := _NAMED.match(line):
        name = found[1].lower()
        if name in _KEMS:
            return "mlkem", _KEMS[name], found[1]
        return ("mldsa" if name in _MLDSA else None), _MLDSA.get(name, ""), found[1]
    if re.match(r"^\s*dsa\s+\d+\s+bits?\b", line):
        return None, "", " ".join(line.split()[:3])
    return None


def _machine_line(line: str, sizes: list[int], where: str, readings: list[Reading], unused: list[Unused]) -> None:
    code, *fields = line.split(":")
    text = ":".join(line.split(":")[:4])
    try:
        if code == "+F":
            _symmetric(fields[1], sizes, [float(rate) for rate in fields[2:]], where, readings, unused)
            return
        numbers = [float(field) for field in fields[2:] if re.match(r"^\d+\.\d+$", field)]
        curve = _CURVE_OF_NUMBER.get((fields[0], fields[1]), _CURVE_OF_BITS.get(fields[1], ""))
        kind, name, steps = _machine_operation(code, fields, curve)
        if kind is None:
            unused.append(Unused(where, text, "the line does not say which algorithm of a profile it is"))
        elif steps == ("",):
            # A rate and its inverse, in either order by version.
            _add(readings, unused, kind, name, "", max(numbers), where)
        else:
            for step, number in zip(steps, numbers, strict=True):
                # Old versions give seconds.
                _add(readings, unused, kind, name, step, number if number >= 1.0 else 1.0 / number, where)
    except (ValueError, IndexError, ZeroDivisionError):
        raise InputError(f"found '{line}', which is no machine line of 'openssl speed -mr'", where) from None


def _machine_operation(code: str, fields: list[str], curve: str) -> tuple[Kind | None, str, tuple[str, ...]]:
    both = ("sign", "verify")
    if code == "+F2":
        return "rsa", f"rsa{fields[1]}", both
    if code == "+F8":
        return "ffdh", f"modp{fields[1]}", ("",)
    if code == "+F4" and curve in _ECDSA:
        return "signature", _ECDSA[curve], both
    if code == "+F5" and curve in _CURVES:
        return "ecdh", _CURVES[curve], ("",)
    if code == "+F6" and fields[2].lower() in _EDDSA:
        return "signature", _EDDSA[fields[2].lower()], both
    return None, "", ()


def _symmetric(
    text: str, sizes: list[int], rates: list[float], where: str, readings: list[Reading], unused: list[Unused]
) -> None:
    """Add one row of bytes per second by buffer size."""
    known = symmetric_name(text)
    if known is None:
        unused.append(Unused(where, text, "no profile has a value for it"))
        return
    kind, name = known
    for size, rate in zip(sizes, rates, strict=False):
        _add(readings, unused, kind, name, "", rate / size, where, size)


def symmetric_name(text: str) -> tuple[Kind, str] | None:
    """Return kind and name of a cipher, HMAC or hash as OpenSSL spells it in any version; None for another one.

    >>> symmetric_name("id-aes256-GCM"), symmetric_name("aes-128 cbc"), symmetric_name("hmac(sha256)")
    (('cipher', 'aes-gcm-256'), ('cipher', 'aes-cbc-128'), ('hmac', 'sha256'))
    """
    name = text.strip().lower().replace(" ", "-").replace("_", "-")
    hashes = {"md5": "md5", "sha1": "sha1", "sha-1": "sha1"}
    hashes |= {f"{family}{bits}": f"sha{bits}" for bits in (256, 384, 512) for family in ("sha", "sha2-")}
    if (hmac := re.match(r"^hmac\((.+)\)$", name)) or (hmac := re.match(r"^hmac-(.+)$", name)):
        return ("hmac", hashes[hmac[1]]) if hmac[1] in hashes else None
    if name in hashes:
        return "hash", hashes[name]
    if aes := re.match(r"^(?:id-)?aes-?(128|192|256)-?(cbc|gcm)$", name):
        return "cipher", f"aes-{aes[2]}-{aes[1]}"
    if name in ("des-ede3", "des-ede3-cbc", "3des-cbc"):
        return "cipher", "3des"
    if name == "des-cbc":
        return "cipher", "des"
    return ("cipher", "chacha20poly1305") if name == "chacha20-poly1305" else None


def _add(
    readings: list[Reading],
    unused: list[Unused],
    kind: Kind,
    name: str,
    step: str,
    rate: float,
    where: str,
    n_bytes: int = 0,
) -> None:
    if rate <= 0.0:
        unused.append(Unused(where, f"{name} {step}".strip(), "the rate is 0"))
        return
    readings.append(Reading(kind, name, step, 1.0 / rate, where, n_bytes))
