"""The commands of ``crypto ipsec``: transform sets, profiles and the global settings.

What this leaves out: crypto maps and IKEv1 (``crypto isakmp``); their lines are listed as not understood.
"""

from __future__ import annotations

from typing import Any

from ..errors import unknown_name
from .arguments import Arguments
from .config import IpsecProfile, RouterConfig, TransformSet
from .modes import Mode, Section, named_section, remember_default

TRANSFORM_SET = Mode("crypto ipsec transform-set")
IPSEC_PROFILE = Mode("crypto ipsec profile")

#: Ciphers with a key length behind them; without one it is 128 bits.
_SIZED_CIPHERS = {"esp-aes": "aes-cbc", "esp-gcm": "aes-gcm", "esp-gmac": "aes-gmac"}
_CIPHERS = {"esp-3des": "3des", "esp-des": "des", "esp-null": "null"}
# esp-aes-192 and esp-aes-256 are how the ASA writes "esp-aes 192" and "esp-aes 256".
_ASA_CIPHERS = {"esp-aes-192": "aes-cbc-192", "esp-aes-256": "aes-cbc-256"}
_HASHES = {"md5": "md5", "sha": "sha1", "sha256": "sha256", "sha384": "sha384", "sha512": "sha512"}
_ESP_HASHES = {f"esp-{word}-hmac": name for word, name in _HASHES.items()}
_AH_HASHES = {f"ah-{word}-hmac": name for word, name in _HASHES.items()}
_NOT_MODELLED = ("esp-seal", "comp-lzs")
_TRANSFORMS = (*_SIZED_CIPHERS, *_CIPHERS, *_ASA_CIPHERS, *_ESP_HASHES, *_AH_HASHES, *_NOT_MODELLED)
PFS_GROUPS = tuple(f"group{n}" for n in (1, 2, 5, 14, 15, 16, 19, 20, 21, 24))


def _transform_set(router: RouterConfig, args: Arguments) -> Section | None:
    name = args.name("the transform set's name")
    if name == "default":
        remember_default(router, "transform-set", removed=args.negated)
    if args.negated:
        router.transform_sets.pop(name, None)
        return None
    if not args.more:
        raise args.error(f"'{args.line.text}' is incomplete: a transform such as 'esp-gcm 256' is missing")
    transform_set = TransformSet(name, args.line)
    while args.more:
        _transform(transform_set, args)
    router.transform_sets[name] = transform_set
    return Section(TRANSFORM_SET, transform_set)


def _transform(transform_set: TransformSet, args: Arguments) -> None:
    """Take one transform with its key length."""
    word = args.value("a transform").lower()
    if word not in _TRANSFORMS:
        raise unknown_name("transform", word, _TRANSFORMS, args.where)
    if word in _SIZED_CIPHERS:
        bits = args.choice("key length", ("128", "192", "256")) if args.peek()[:1].isdigit() else "128"
        transform_set.encryption = f"{_SIZED_CIPHERS[word]}-{bits}"
    elif word in _CIPHERS or word in _ASA_CIPHERS:
        transform_set.encryption = {**_CIPHERS, **_ASA_CIPHERS}[word]
    elif word in _ESP_HASHES:
        transform_set.integrity = _ESP_HASHES[word]
    elif word in _AH_HASHES:
        transform_set.ah = _AH_HASHES[word]


@TRANSFORM_SET.on("mode", clears=("mode", "transport_required"))
def _mode(transform_set: TransformSet, args: Arguments) -> None:
    mode: Any = args.choice("mode", ("tunnel", "transport"))
    transform_set.mode = mode
    transform_set.transport_required = mode == "transport" and args.optional("require") is not None


@TRANSFORM_SET.on("esn", clears=("esn",))
def _esn(transform_set: TransformSet, _: Arguments) -> None:
    transform_set.esn = True


@IPSEC_PROFILE.on("set transform-set", clears=("transform_sets", "transform_set_line"))
def _set_transform_set(profile: IpsecProfile, args: Arguments) -> None:
    profile.transform_sets = [args.name("a transform set's name"), *args.words()]
    profile.transform_set_line = args.line


@IPSEC_PROFILE.on("set ikev2-profile", clears=("ikev2_profile", "ikev2_profile_line"))
def _set_ikev2_profile(profile: IpsecProfile, args: Arguments) -> None:
    profile.ikev2_profile, profile.ikev2_profile_line = args.name("an IKEv2 profile's name"), args.line


@IPSEC_PROFILE.on("set isakmp-profile", clears=("isakmp_profile",))
def _set_isakmp_profile(profile: IpsecProfile, args: Arguments) -> None:
    profile.isakmp_profile = args.name("an ISAKMP profile's name")


@IPSEC_PROFILE.on("set pfs", clears=("pfs_group", "pfs_line"))
def _set_pfs(profile: IpsecProfile, args: Arguments) -> None:
    # "set pfs" alone means group 1 (facts E.2).
    group = args.choice("PFS group", PFS_GROUPS) if args.more else "group1"
    profile.pfs_group, profile.pfs_line = int(group.removeprefix("group")), args.line


@IPSEC_PROFILE.on("set security-association lifetime", undo=True)
def _set_lifetime(profile: IpsecProfile, args: Arguments) -> None:
    seconds, kilobytes = _lifetime(args)
    if seconds is not None:
        profile.lifetime_s = None if args.negated else seconds
    if kilobytes is not None:
        profile.lifetime_kilobytes = None if args.negated else kilobytes


def _lifetime(args: Arguments) -> tuple[int | None, int | None]:
    """Take a lifetime and return (seconds, kilobytes); 0 kilobytes: no limit by volume."""
    unit = args.choice("unit of the lifetime", ("seconds", "kilobytes", "days"))
    if args.negated:
        return (None, 0) if unit == "kilobytes" else (0, None)
    if unit == "seconds":
        return args.number("IPsec SA lifetime in seconds", 120, 2_592_000), None
    if unit == "days":
        return 86400 * args.number("IPsec SA lifetime in days", 1, 30), None
    if args.optional("disable"):
        return None, 0
    return None, args.number("IPsec SA lifetime in kilobytes", 2560, 4_294_967_295)


def _replay_window(args: Arguments) -> int:
    """Take ``disable`` or ``window-size N`` and return the window, 0 when disabled."""
    if args.choice("replay setting", ("disable", "window-size")) == "disable":
        return 0
    return int(args.choice("replay window", ("64", "128", "256", "512", "1024"))) if args.more else 64


@IPSEC_PROFILE.on("set security-association replay", clears=("replay_window",))
def _set_replay(profile: IpsecProfile, args: Arguments) -> None:
    profile.replay_window = _replay_window(args)


@IPSEC_PROFILE.on("responder-only", clears=("responder_only",))
def _responder_only(profile: IpsecProfile, _: Arguments) -> None:
    profile.responder_only = True


IPSEC_PROFILE.accept("description")
IPSEC_PROFILE.know("set identity", "set mixed-mode", "set reverse-route", "set security-policy")
IPSEC_PROFILE.know("set security-association idle-time", "set security-association dummy")


def register(mode: Mode) -> None:
    """Add the commands of ``crypto ipsec`` to the global mode."""
    mode.on("crypto ipsec transform-set", undo=True, strong=True)(_transform_set)
    named_section(
        mode, "crypto ipsec profile", IpsecProfile, IPSEC_PROFILE, "ipsec_profiles", smart_default="ipsec profile"
    )
    mode.on("crypto ipsec security-association lifetime", undo=True)(_global_lifetime)
    mode.on("crypto ipsec security-association replay", clears=("ipsec_replay_window",))(_global_replay)
    mode.on("crypto ipsec fragmentation", undo=True)(_fragmentation)
    mode.on("crypto ipsec df-bit", clears=("df_bit",))(_df_bit)
    mode.know("crypto ipsec", "crypto ipsec security-association", "crypto ipsec nat-transparency")
    mode.know("crypto isakmp", "crypto keyring", "crypto map", strong=True)
    mode.know("crypto dynamic-map", "crypto gdoi", "crypto call", "crypto logging", "crypto engine", "crypto vpn")
    mode.know("crypto isakmp policy", "crypto isakmp profile", "crypto isakmp key")


def _global_lifetime(router: RouterConfig, args: Arguments) -> None:
    seconds, kilobytes = _lifetime(args)
    if seconds is not None:
        router.ipsec_lifetime_s = None if args.negated else seconds
    if kilobytes is not None:
        router.ipsec_lifetime_kilobytes = None if args.negated else kilobytes


def _fragmentation(router: RouterConfig, args: Arguments) -> None:
    when = args.choice("fragmentation", ("before-encryption", "after-encryption"))
    router.fragments_after_encryption = when == "after-encryption" and not args.negated


def _df_bit(router: RouterConfig, args: Arguments) -> None:
    found: Any = args.choice("df-bit", ("clear", "copy", "set"))
    router.df_bit = found


def _global_replay(router: RouterConfig, args: Arguments) -> None:
    router.ipsec_replay_window = _replay_window(args)
