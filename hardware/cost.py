"""How long a router of one profile takes for each piece of work: mean service times, no queues and no chance.

Public-key operations follow `public_key`; HMAC, hashes and ciphers take ``a + b * bytes``; the rest is a fixed time a
message, an SA or a packet. Every number that is used is noted in the ledger, under the profile's name.

What this leaves out: caches and load (on the strongSwan testbed the fixed part of a handshake shrinks by up to 20 %
when eight run at once), jitter of service times, the difference between encryption and decryption (CBC decrypts faster
where AES instructions exist), signatures, authorisation and virtual-access cloning.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, assert_never

import numpy as np
from numpy.typing import NDArray

from ..models import algorithms
from ..models.errors import InputError, unknown_name
from ..models.ikev2.operations import (
    Authorise,
    CheckCertificate,
    CloneInterface,
    DhKeygen,
    DhShared,
    DhValidate,
    FixedTime,
    HandleMessage,
    Hash,
    InstallRoute,
    InstallSa,
    KemStep,
    Operation,
    PrfCall,
    Protect,
    Sign,
    Unprotect,
    Verify,
)
from ..models.values import Ledger
from .profile import HardwareProfile
from .public_key import SUBGROUP_BITS, modexp_s, order_bits, rsa_s
from .stand_ins import CIPHER_MACS, CIPHERS, CURVES, StandIn

Sizes = NDArray[np.integer[Any]] | NDArray[np.floating[Any]]
Floats = NDArray[np.float64]


class CostModel:
    """Service times of one router model under one licence level.

    Parameters
    ----------
    profile: the router model.
    ledger: where every value that is used is noted.
    licence: a level of ``profile.licences``; the profile's default when not given.
    hsec: whether the box has the export licence (HSECK9); without it ``profile.without_hsec`` holds.
    """

    def __init__(
        self, profile: HardwareProfile, ledger: Ledger, licence: str | None = None, *, hsec: bool = False
    ) -> None:
        self.profile = profile
        self.hsec = hsec
        self.licence = profile.default_licence if licence is None else licence
        if self.licence not in profile.licences:
            raise unknown_name("licence level", self.licence, profile.licences, f"hardware profile '{profile.name}'")
        self._ledger = ledger
        self._values = profile.values()
        self._numbers: dict[str, float] = {}
        self._operation_s: dict[Operation, float] = {}

    def operation_s(self, op: Operation) -> float:
        """Return the mean service time of one IKEv2 operation on one control core. [s]"""
        seconds = self._operation_s.get(op)
        if seconds is None:
            seconds = self._operation_s[op] = self._cost_s(op)
        return seconds

    def service_s(self, ops: Iterable[Operation]) -> float:
        """Return the service time of a list of operations, done one after the other on one control core. [s]"""
        return sum(self.operation_s(op) for op in ops)

    def packet_core_s(self, inner_bytes: Sizes) -> Floats:
        """Return the time of one packet core per packet of ``inner_bytes``: features, lookup, encapsulation. [s]

        No cryptography: on a box that encrypts on its packet cores (``crypto_cores`` is 0) add `crypto_s`. With an
        offload engine the time to hand the packet over and take it back is included.
        """
        packet_s = self._number("parameters.forwarding.packet_us") * 1e-6
        if self.profile.parameters.engine is not None:
            packet_s += self._number("parameters.engine.submit_us") * 1e-6
        byte_s = self._number("parameters.forwarding.byte_ns") * 1e-9
        return packet_s + byte_s * np.asarray(inner_bytes, dtype=np.float64)

    def crypto_s(self, esp_bytes: Sizes, encryption: str, integrity: str) -> Floats:
        """Return the time to protect or check one ESP packet of ``esp_bytes`` and to do its I/O. [s]

        On a core: the I/O, the cipher and the HMAC. On an offload engine: one time a packet and a byte, by cipher; it
        is not used for ``null`` encryption, whose HMAC is made on the packet core.
        An AEAD cipher passes over the bytes once, a cipher with an HMAC twice. All bytes of the packet are counted,
        so the header and the check value (24 to 60 bytes) are overstated.

        Parameters
        ----------
        esp_bytes: length of the ESP packet. [bytes]
        encryption, integrity: names of `models.algorithms`; ``integrity`` is empty for none or with an AEAD cipher.
        """
        if self.profile.parameters.engine is not None:
            if algorithms.encryption(encryption).name == "null":
                call_s, byte_s = self._protection_s(encryption, integrity)
                return call_s + byte_s * np.asarray(esp_bytes, dtype=np.float64)
            call_s, byte_s = self._cipher_s("parameters.engine.ciphers", encryption)
            return call_s + byte_s * np.asarray(esp_bytes, dtype=np.float64)
        io_s = self._number("parameters.forwarding.io_us") * 1e-6
        call_s, byte_s = self._protection_s(encryption, integrity)
        return io_s + call_s + byte_s * np.asarray(esp_bytes, dtype=np.float64)

    def shaper_bps(self) -> float | None:
        """Return the licensed throughput, None when the level is not throttled. [bit/s]"""
        if self.profile.licences[self.licence] is None:
            return None
        return self._number(f"licences.{self.licence}")

    @property
    def shaper_burst_bytes(self) -> float:
        """Depth of the licence's token bucket. [bytes]"""
        return self._number("shaper.burst_bytes")

    @property
    def shaper_buffer_packets(self) -> int:
        """Waiting places of the licence's shaper."""
        return round(self._number("shaper.buffer_packets"))

    @property
    def hsec_bps(self) -> float | None:
        """What may be encrypted, and again decrypted, without an HSEC licence; None: no limit. [bit/s]"""
        if not self._limited_by_hsec:
            return None
        return self._number("without_hsec.crypto_bps_per_direction")

    @property
    def hsec_burst_bytes(self) -> float:
        """What passes the limit of `hsec_bps` at once after a silence. [bytes]"""
        own = self.profile.without_hsec
        if own is not None and own.burst_bytes is None:
            return self.shaper_burst_bytes
        return self._number("without_hsec.burst_bytes")

    @property
    def tunnel_limit(self) -> tuple[int, str] | None:
        """Most tunnels at a time and the name of that limit; None: no limit is known."""
        limits: list[tuple[int, str]] = []
        if self._limited_by_hsec:
            most = round(self._number("without_hsec.tunnels"))
            limits.append((most, f"platform limit of {most} tunnels (no HSEC licence)"))
        if self.profile.limits.tunnels is not None:
            most = round(self._number("limits.tunnels"))
            limits.append((most, f"platform limit of {most} tunnels"))
        return min(limits, default=None)

    @property
    def in_negotiation_limit(self) -> int | None:
        """Most IKE SAs in negotiation of peers that began; None: the implementation decides."""
        if self.profile.limits.in_negotiation is None:
            return None
        return round(self._number("limits.in_negotiation"))

    def memory_share(self, tunnels: int) -> float | None:
        """Return the share of the control plane's memory that so many tunnels take; None: it is not known."""
        limits = self.profile.limits
        if limits.memory_bytes is None or limits.session_bytes is None:
            return None
        return tunnels * self._number("limits.session_bytes") / self._number("limits.memory_bytes")

    @property
    def _limited_by_hsec(self) -> bool:
        return self.profile.without_hsec is not None and not self.hsec

    @property
    def has_engine(self) -> bool:
        """Whether ESP runs on an offload engine; ``crypto_cores`` are its lanes then."""
        return self.profile.architecture.io_crypto == "engine"

    @property
    def packet_core_buffer_packets(self) -> int:
        """Waiting places in front of the packet cores."""
        return round(self._number("buffers.packet_core_packets"))

    @property
    def crypto_buffer_packets(self) -> int:
        """Waiting places in front of the I/O-and-crypto cores."""
        return round(self._number("buffers.crypto_packets"))

    @property
    def control_cores(self) -> int:
        """Cores that run IKE."""
        return round(self._number("architecture.control_cores"))

    @property
    def packet_cores(self) -> int:
        """Cores that forward packets."""
        return round(self._number("architecture.packet_cores"))

    @property
    def crypto_cores(self) -> int:
        """Cores that do I/O and crypto; 0 on a box that encrypts on its packet cores."""
        return round(self._number("architecture.crypto_cores"))

    def _number(self, name: str) -> float:
        """Return one number of the profile and note its use; the ledger is asked only once for each."""
        number = self._numbers.get(name)
        if number is None:
            if name not in self._values:
                raise InputError(f"has no value for {name}", f"hardware profile '{self.profile.name}'")
            number = self._numbers[name] = self._ledger.read(self.profile.name, name, self._values[name])
        return number

    def _linear_s(self, name: str) -> tuple[float, float]:
        """Return time a call and time a byte of a symmetric algorithm. [s]"""
        path = f"parameters.symmetric.{name}"
        return self._number(f"{path}.call_ns") * 1e-9, self._number(f"{path}.byte_ns") * 1e-9

    def _protection_s(self, encryption: str, integrity: str) -> tuple[float, float]:
        """Return time a call and time a byte of a cipher together with its integrity algorithm. [s]"""
        call_s, byte_s = 0.0, 0.0
        if algorithms.encryption(encryption).name != "null":  # RFC 2410: it does nothing
            call_s, byte_s = self._cipher_s("parameters.symmetric.ciphers", encryption)
        if integrity:
            mac_call_s, mac_byte_s = self._mac_s(algorithms.integrity(integrity).hash)
            call_s, byte_s = call_s + mac_call_s, byte_s + mac_byte_s
        return call_s, byte_s

    def _cipher_s(self, path: str, encryption: str) -> tuple[float, float]:
        """Return time a call and time a byte of a cipher, or of the one that stands for it. [s]"""
        if f"{path}.{encryption}.call_ns" not in self._values and encryption in CIPHERS:
            stand_in = CIPHERS[encryption]
            call_s, byte_s = self._cipher_s(path, stand_in.name)
            factor = self._factor(encryption, stand_in)
            return factor * call_s, factor * byte_s
        return self._number(f"{path}.{encryption}.call_ns") * 1e-9, self._number(f"{path}.{encryption}.byte_ns") * 1e-9

    def _mac_s(self, function: str) -> tuple[float, float]:
        """Return time a call and time a byte of an HMAC by its hash function, or of a MAC that a cipher makes. [s]"""
        if function not in CIPHER_MACS:
            return self._linear_s(f"hmacs.{function}")
        call_s, byte_s = self._cipher_s("parameters.symmetric.ciphers", CIPHER_MACS[function].name)
        # Two blocks more: the subkey and the last block.
        return call_s + 32 * byte_s, byte_s

    def _factor(self, name: str, stand_in: StandIn) -> float:
        """Return how many times the cost of its stand-in an algorithm has, and note that it was used."""
        return self._ledger.read("stand-ins", f"{name} as {stand_in.name}", stand_in.factor)

    def _cost_s(self, op: Operation) -> float:
        match op:
            case DhKeygen() | DhValidate() | DhShared():
                return self._key_exchange_s(op)
            case PrfCall():
                call_s, byte_s = self._mac_s(algorithms.prf(op.prf).hash)
                return op.count * (call_s + byte_s * op.n_bytes)
            case Hash():
                call_s, byte_s = self._linear_s(f"hashes.{op.name}")
                return call_s + byte_s * op.n_bytes
            case Protect() | Unprotect():
                call_s, byte_s = self._protection_s(op.encryption, op.integrity)
                return call_s + byte_s * op.n_bytes
            case KemStep():
                ratio = self._number(f"parameters.mlkem.ratios.{op.method}.{op.step}")
                return ratio * self._number("parameters.mlkem.keygen768_us") * 1e-6
            case Sign() | Verify():
                return self._signature_s(op)
            case HandleMessage():
                return self._number(f"parameters.control.{'stateless' if op.stateless else 'message'}_us") * 1e-6
            case InstallSa():
                return op.count * self._number("parameters.control.install_sa_us") * 1e-6
            case CheckCertificate():
                return self._number("parameters.control.certificate_us") * 1e-6
            case CloneInterface():
                return self._number("parameters.control.virtual_access_us") * 1e-6
            case Authorise():
                return self._number("parameters.control.authorisation_us") * 1e-6
            case InstallRoute():
                return op.count * self._number("parameters.control.route_us") * 1e-6
            case FixedTime():
                return op.duration_s
            case _:
                assert_never(op)

    def _key_exchange_s(self, op: DhKeygen | DhValidate | DhShared) -> float:
        """Return the time of one step of a key exchange (RFC 7296 1.2; checks of the peer's value: RFC 6989). [s]"""
        group = algorithms.group(op.group)
        if group.kind != "modp":
            step = {DhKeygen: "keygen", DhValidate: "validate_peer", DhShared: "shared"}[type(op)]
            curve, factor = group.name, 1.0
            if f"parameters.ecdh.ratios.{curve}.{step}" not in self._values and curve in CURVES:
                curve, factor = CURVES[curve].name, self._factor(curve, CURVES[curve])
            ratio = self._number(f"parameters.ecdh.ratios.{curve}.{step}")
            return factor * ratio * self._number("parameters.ecdh.p256_us") * 1e-6
        order = order_bits(group.name, group.bits)
        if isinstance(op, DhValidate):
            factor = self._number("parameters.modexp.validation_factor")
            own = self.profile.parameters.modexp.validation_drift is not None
            return factor * self._modexp_s(order, group.bits, "validation_drift" if own else "drift")
        path = f"parameters.modexp.exponent_bits.{group.name}"
        # Where a subgroup is used, private values are as long as its order whether a profile says so or not.
        exponent = order if path not in self._values and group.name in SUBGROUP_BITS else self._number(path)
        return self._modexp_s(min(exponent, order), group.bits)

    def _signature_s(self, op: Sign | Verify) -> float:
        """Return the time to make or check one signature. [s]"""
        step = "sign" if isinstance(op, Sign) else "verify"
        signature = algorithms.signature(op.algorithm)
        if signature.kind == "mldsa":
            ratio = self._number(f"parameters.mldsa.ratios.{op.algorithm}.{step}")
            return ratio * self._number("parameters.mldsa.sign65_us") * 1e-6
        if signature.kind != "rsa":
            ratio = self._number(f"parameters.signatures.{op.algorithm}.{step}")
            return ratio * self._number("parameters.ecdh.p256_us") * 1e-6
        own = f"parameters.rsa.own_code.{op.algorithm}.{step}_us"
        if own in self._values:
            return self._number(own) * 1e-6
        at_2048_s = self._number(f"parameters.rsa.{step}2048_us") * 1e-6
        return rsa_s(at_2048_s, signature.bits, self._number(f"parameters.rsa.{step}_exponent"))

    def _modexp_s(self, exponent_bits: float, modulus_bits: int, drift: str = "drift") -> float:
        k_s = self._number("parameters.modexp.k_fs") * 1e-15
        return modexp_s(k_s, exponent_bits, modulus_bits, self._number(f"parameters.modexp.{drift}"))
