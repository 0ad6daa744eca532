"""Measure the public-key operations, ciphers and hashes of this machine, in less than a minute.

With the ``openssl`` program where it is there (``openssl speed``, one core), else with the Python package
``cryptography``. With that one ciphers and hashes are timed between two lengths of buffer, because a call from Python
costs more than their own set-up, which then keeps the base's ratio; and 2 to 5 us of each other operation are Python's.
Times are CPU times.

What this leaves out: validation of the peer's value (neither times it), all of IKE beside cryptography, forwarding;
those keep the base's numbers, with wider ranges where they are not cryptography. A busy machine measures slower.
"""

from __future__ import annotations

import contextlib
import os
import platform
import shutil
import subprocess
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from time import thread_time

from ..models.errors import InputError, unknown_name
from ..models.ikev2.wire.groups import modp_prime
from ..models.values import Value
from .profile import HardwareProfile, Source
from .readings.openssl_speed import Kind, Reading, parse_openssl_speed

#: All measurements together, when no time is given. [s]
TOTAL_S = 40.0
TOOLS = ("openssl", "cryptography")
#: What is not measured here may be this many times slower or faster than its range of the base says.
WIDEN = 3.0

#: Arguments of ``openssl speed`` and the number of operations that each times. Two sizes tell call and byte apart.
OPENSSL_JOBS: tuple[tuple[str, ...], ...] = (
    *((f"rsa{bits}",) for bits in (2048, 3072, 4096)),
    *((name,) for name in ("ecdhp256", "ecdhp384", "ecdhp521", "ecdhx25519")),
    *((f"ffdh{bits}",) for bits in (2048, 3072, 4096)),
    *((name,) for name in ("ecdsap256", "ecdsap384", "ecdsap521", "ed25519", "ML-KEM-768", "ML-DSA-65")),
    *(
        ("-bytes", size, "-evp", name)
        for name in ("aes-128-cbc", "aes-256-cbc", "aes-128-gcm", "aes-256-gcm", "chacha20-poly1305", "sha1", "sha256")
        for size in ("64", "1024")
    ),
    *(("-bytes", size, "-evp", "sha512") for size in ("64", "1024")),
    *(("-bytes", size, "-hmac", "sha256") for size in ("64", "1024")),
)
#: Operations that the jobs time, at ``-seconds`` each.
OPENSSL_OPERATIONS = 45

Progress = Callable[[str, int], None]


@dataclass(frozen=True, slots=True)
class Host:
    """Readings of this machine. ``how``: tool and version; ``cpu``: what the system calls it."""

    readings: tuple[Reading, ...]
    how: str
    cpu: str
    cores: int

    def source(self, today: str) -> Source:
        """Return the source of the measured values; ``today``: ISO date."""
        return Source(
            title=f"flexvpn-sim hardware measure on {self.cpu}",
            date=today,
            conditions=f"{self.how}; one of {self.cores} cores, whatever else ran beside it",
        )

    def prepared(self, base: HardwareProfile, source: str) -> HardwareProfile:
        """Return the base with the cores of this machine, and with wider ranges for what is not measured here."""
        cores = Value(value=self.cores, unit="cores", kind="measured", source=source, note="packets share them")
        changed = {f"architecture.{name}": cores for name in ("control_cores", "packet_cores")}
        for path, value in base.values().items():
            if path.startswith(("parameters.control.", "parameters.forwarding.")):
                low, high = value.range or (value.value, value.value)
                changed[path] = Value(
                    value=value.value,
                    unit=value.unit,
                    kind="assumed",
                    source=value.source,
                    range=(low / WIDEN, high * WIDEN),
                    note=f"that of {base.name}, not measured here: the range is {WIDEN:g} times wider at each end",
                )
        return base.with_values(changed)


def measure_host(seconds: float | None, tool: str | None, progress: Progress) -> Host:
    """Return what was measured on this machine.

    Parameters
    ----------
    seconds: for each operation, all together `TOTAL_S` when not given; ``openssl`` takes whole seconds. [s]
    tool: one of `TOOLS`; the first that is there when not given.
    progress: called before each step with its name and the number of steps.

    Raises InputError when no tool is there, or the wanted one is not.
    """
    if tool is not None and tool not in TOOLS:
        raise unknown_name("tool", tool, TOOLS, "--with")
    program = shutil.which("openssl") if tool in (None, "openssl") else None
    package = find_spec("cryptography") is not None if tool in (None, "cryptography") else False
    if program:
        readings, how = with_openssl(program, seconds, progress)
    elif package:
        readings, how = with_cryptography(seconds, progress)
    else:
        wanted = (
            f"'{tool}' is not there" if tool else "neither the openssl program nor the package cryptography is there"
        )
        raise InputError(f"{wanted}; install OpenSSL 1.1.1 or newer, or pip install 'flexvpn-sim[measure]'")
    return Host(tuple(readings), how, cpu_name(), cores())


def cpu_name() -> str:
    """Return what the system calls its CPU."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            key, _, name = line.partition(":")
            if key.strip().lower() in ("model name", "cpu model") and name.strip():
                return name.strip()
    return platform.processor() or platform.machine() or "an unnamed CPU"


def cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


# -- The openssl program -------------------------------------------------------------------------------------------


def with_openssl(
    program: str, seconds: float | None, progress: Progress, jobs: Sequence[tuple[str, ...]] = OPENSSL_JOBS
) -> tuple[list[Reading], str]:
    """Return readings and the version. Jobs that this version does not know are left out.

    Raises InputError when none of the jobs gives a result.
    """
    whole = max(round(seconds if seconds is not None else TOTAL_S / OPENSSL_OPERATIONS), 1)
    version = subprocess.run([program, "version"], capture_output=True, text=True, check=False).stdout.strip()
    readings: list[Reading] = []
    complaint = ""
    for job in jobs:
        progress(f"openssl {' '.join(job)}", len(jobs))
        command = [program, "speed", "-seconds", str(whole), *job]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        with contextlib.suppress(InputError):
            readings += [replace(r, where="") for r in parse_openssl_speed(done.stdout, job[-1])[0]]
        complaint = complaint or (done.stderr.strip().splitlines() or [""])[0]
    if not readings:
        raise InputError(f"'{program} speed -seconds {whole}' gives no result (version '{version}'): {complaint}")
    short = " ".join(version.split()[:2])
    return readings, f"{short} speed, {whole} s each"


# -- The package cryptography --------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Task:
    """One operation to time, with the kind, name and step of its reading; ``n_bytes``: how much data it works on."""

    kind: Kind
    name: str
    step: str
    run: Callable[[], object]
    n_bytes: int = 0


#: Time of each measurement when none is given; making RSA keys takes some more. [s]
PACKAGE_S = 0.4
#: Lengths of buffers between which ciphers and hashes are timed. [bytes]
SHORT_BYTES, LONG_BYTES = 16384, 65536
#: Groups of RFC 3526 that are timed, by length. [bit]
MODP_BITS = (2048, 3072, 4096)


def with_cryptography(seconds: float | None, progress: Progress) -> tuple[list[Reading], str]:
    """Return readings and the version of the package ``cryptography`` and its OpenSSL."""
    import cryptography
    from cryptography.hazmat.backends.openssl import backend

    tasks = list(_tasks())
    each = seconds if seconds is not None else PACKAGE_S
    short_s: dict[str, float] = {}
    readings = []
    for task in tasks:
        progress(f"{task.name} {task.step}".strip(), len(tasks))
        time_s = _time_s(task.run, each)
        if task.n_bytes == SHORT_BYTES:
            short_s[task.name] = time_s
            continue
        time_s -= short_s.get(task.name, 0.0)
        if time_s > 0.0:
            length = task.n_bytes and task.n_bytes - SHORT_BYTES
            readings.append(Reading(task.kind, task.name, task.step, time_s, "", length))
    version = backend.openssl_version_text().split()
    return readings, f"cryptography {cryptography.__version__} with {' '.join(version[:2])}, {each:.2g} s each"


def _time_s(run: Callable[[], object], seconds: float) -> float:
    """Return the CPU time of a call: of many lots of calls the quickest, which was disturbed least. [s]"""
    run()
    calls, spent_s = 1, 0.0
    while spent_s < seconds / 20:
        calls *= 2
        start = thread_time()
        for _ in range(calls):
            run()
        spent_s = thread_time() - start
    best_s = spent_s / calls
    for _ in range(max(round(seconds / spent_s), 2)):
        start = thread_time()
        for _ in range(calls):
            run()
        best_s = min(best_s, (thread_time() - start) / calls)
    return best_s


def _tasks() -> Iterator[_Task]:
    """Yield what to time, one after the other, because making keys takes time too."""
    yield from _rsa_tasks()
    yield from _curve_tasks()
    yield from _ffdh_tasks()
    for size in (SHORT_BYTES, LONG_BYTES):
        yield from _symmetric_tasks(size)


def _rsa_tasks() -> Iterator[_Task]:
    from cryptography.hazmat.primitives.asymmetric import padding, rsa
    from cryptography.hazmat.primitives.hashes import SHA256

    message, scheme, digest = bytes(32), padding.PKCS1v15(), SHA256()
    for bits in (2048, 3072, 4096):
        key = rsa.generate_private_key(public_exponent=65537, key_size=bits)
        signature = key.sign(message, scheme, digest)
        yield _Task("rsa", f"rsa{bits}", "sign", partial(key.sign, message, scheme, digest))
        verify = partial(key.public_key().verify, signature, message, scheme, digest)
        yield _Task("rsa", f"rsa{bits}", "verify", verify)


def _curve_tasks() -> Iterator[_Task]:
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519, x25519
    from cryptography.hazmat.primitives.hashes import SHA256

    message, scheme, way = bytes(32), ec.ECDSA(SHA256()), ec.ECDH()
    for bits, curve in ((256, ec.SECP256R1()), (384, ec.SECP384R1()), (521, ec.SECP521R1())):
        own, peer = ec.generate_private_key(curve), ec.generate_private_key(curve).public_key()
        yield _Task("ecdh", f"ecp{bits}", "", partial(own.exchange, way, peer))
        yield _Task("signature", f"ecdsa{bits}", "sign", partial(own.sign, message, scheme))
        verify = partial(own.public_key().verify, own.sign(message, scheme), message, scheme)
        yield _Task("signature", f"ecdsa{bits}", "verify", verify)
    theirs = x25519.X25519PrivateKey.generate().public_key()
    yield _Task("ecdh", "curve25519", "", partial(x25519.X25519PrivateKey.generate().exchange, theirs))
    signer = ed25519.Ed25519PrivateKey.generate()
    yield _Task("signature", "ed25519", "sign", partial(signer.sign, message))
    check = partial(signer.public_key().verify, signer.sign(message), message)
    yield _Task("signature", "ed25519", "verify", check)


def _ffdh_tasks() -> Iterator[_Task]:
    """Yield key pairs: one exponentiation each, with the exponent that OpenSSL takes for a known group.

    None with a version of the package that has given FFDH up.
    """
    found: list[_Task] = []
    with warnings.catch_warnings(), contextlib.suppress(ImportError):
        warnings.simplefilter("ignore")
        from cryptography.hazmat.primitives.asymmetric import dh

        for bits in MODP_BITS:
            group = dh.DHParameterNumbers(modp_prime(bits), 2).parameters()
            found.append(_Task("ffdh", f"modp{bits}", "", partial(_quietly, group.generate_private_key)))
    yield from found


def _quietly(run: Callable[[], object]) -> object:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return run()


def _symmetric_tasks(size: int) -> Iterator[_Task]:
    import hashlib

    from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM, ChaCha20Poly1305

    nonce, data, room = bytes(12), bytes(size), bytearray(size + 32)
    for bits in (128, 256):
        cbc = Cipher(algorithms.AES(bytes(bits // 8)), modes.CBC(bytes(16))).encryptor()
        yield _Task("cipher", f"aes-cbc-{bits}", "", partial(cbc.update_into, data, room), size)
        gcm = AESGCM(bytes(bits // 8))
        yield _Task("cipher", f"aes-gcm-{bits}", "", partial(gcm.encrypt, nonce, data, None), size)
    chacha = ChaCha20Poly1305(bytes(32))
    yield _Task("cipher", "chacha20poly1305", "", partial(chacha.encrypt, nonce, data, None), size)
    for name in ("sha1", "sha256", "sha512"):
        yield _Task("hash", name, "", partial(hashlib.new, name, data), size)
