"""The commands of ``crypto ikev2``: proposals, policies, keyrings, profiles and the global settings.

Ranges are those of facts E.2. What this leaves out: the FlexVPN client, the cluster,
and post-quantum key exchange; their lines are listed as not understood.
"""

from __future__ import annotations

from typing import Any

from ..secret import Secret
from .arguments import Arguments, NotUnderstood, is_hole
from .config import (
    Authorization,
    Dpd,
    EapLogin,
    IdentityKind,
    IdentityRule,
    Keyring,
    KeyringPeer,
    Policy,
    Profile,
    Proposal,
    RouterConfig,
    TrustpointUse,
)
from .modes import Mode, Section, named_section

PROPOSAL = Mode("crypto ikev2 proposal")
POLICY = Mode("crypto ikev2 policy")
KEYRING = Mode("crypto ikev2 keyring")
PEER = Mode("crypto ikev2 keyring peer")
PROFILE = Mode("crypto ikev2 profile")

ENCRYPTIONS = ("3des", "des", "aes-cbc-128", "aes-cbc-192", "aes-cbc-256", "aes-gcm-128", "aes-gcm-256")
HASHES = ("md5", "sha1", "sha256", "sha384", "sha512")
GROUPS = (1, 2, 5, 14, 15, 16, 19, 20, 21, 24)
LOCAL_METHODS = ("rsa-sig", "ecdsa-sig", "mldsa-sig", "pre-share", "eap", "dynamic")
REMOTE_METHODS = ("rsa-sig", "ecdsa-sig", "mldsa-sig", "pre-share", "eap", "anyconnect-eap")


def _algorithms(args: Arguments, what: str, allowed: tuple[str, ...]) -> list[str]:
    """Take one or more algorithms in their order, each once."""
    names = [args.choice(what, allowed)]
    while args.more:
        names.append(args.choice(what, allowed))
    return list(dict.fromkeys(names))


@PROPOSAL.on("encryption", clears=("encryption",))
def _encryption(proposal: Proposal, args: Arguments) -> None:
    proposal.encryption = _algorithms(args, "encryption algorithm", ENCRYPTIONS)


@PROPOSAL.on("integrity", clears=("integrity",))
def _integrity(proposal: Proposal, args: Arguments) -> None:
    proposal.integrity = _algorithms(args, "integrity algorithm", HASHES)


@PROPOSAL.on("prf", clears=("prf",))
def _prf(proposal: Proposal, args: Arguments) -> None:
    proposal.prf = _algorithms(args, "PRF", HASHES)


@PROPOSAL.on("group", clears=("groups",))
def _group(proposal: Proposal, args: Arguments) -> None:
    proposal.groups = [int(n) for n in _algorithms(args, "Diffie-Hellman group", tuple(map(str, GROUPS)))]


PROPOSAL.know("pqc")


@POLICY.on("match fvrf", clears=("fvrf",))
def _policy_fvrf(policy: Policy, args: Arguments) -> None:
    policy.fvrf = args.name("a VRF name or any")


@POLICY.on("match address local", clears=("match_address_local",))
def _policy_address(policy: Policy, args: Arguments) -> None:
    if ":" in args.peek():
        raise NotUnderstood
    address = args.address("local address")
    if address not in policy.match_address_local:
        policy.match_address_local.append(address)


@POLICY.on("proposal", undo=True)
def _policy_proposal(policy: Policy, args: Arguments) -> None:
    for name in [args.name("a proposal's name"), *args.words()]:
        if args.negated:
            policy.proposals = [kept for kept in policy.proposals if kept != name]
            policy.proposal_lines.pop(name, None)
        elif name not in policy.proposals:
            policy.proposals.append(name)
            policy.proposal_lines[name] = args.line


POLICY.know("match inbound-only")


@KEYRING.on("peer", undo=True)
def _peer(keyring: Keyring, args: Arguments) -> Section | None:
    name = args.name("a peer's name")
    peer = next((p for p in keyring.peers if p.name == name), None)
    if args.negated:
        keyring.peers = [p for p in keyring.peers if p is not peer]
        return None
    if peer is None:
        peer = KeyringPeer(name, args.line)
        keyring.peers.append(peer)
    return Section(PEER, peer)


PEER.accept("description")


@PEER.on("ppk", clears=("ppk_id", "ppk_key", "ppk_required", "ppk_dynamic", "ppk_line"))
def _peer_ppk(peer: KeyringPeer, args: Arguments) -> None:
    peer.ppk_id, peer.ppk_key, peer.ppk_required, peer.ppk_dynamic = "", None, False, False
    peer.ppk_line = args.line
    if args.choice("source of the PPK", ("manual", "dynamic")) == "dynamic":
        peer.ppk_dynamic = True
        return
    args.choice("keyword", ("id",))
    peer.ppk_id = args.name("the PPK's identity")
    args.choice("keyword", ("key",))
    peer.ppk_key = _key(args)
    peer.ppk_required = args.line.text.lower().split()[-1] != "<secret>"


@PEER.on("address", clears=("network", "network_v6", "address_line"))
def _peer_address(peer: KeyringPeer, args: Arguments) -> None:
    if ":" in args.peek():
        peer.network_v6 = args.ipv6_network("peer address")
    else:
        peer.network = args.network("peer address")
    peer.address_line = args.line


@PEER.on("hostname", clears=("hostname",))
def _peer_hostname(peer: KeyringPeer, args: Arguments) -> None:
    peer.hostname = args.name("a host name")


@PEER.on("identity", clears=("identity",))
def _peer_identity(peer: KeyringPeer, args: Arguments) -> None:
    peer.identity = _identity(args, ("address", "fqdn", "email", "key-id"))


@PEER.on("pre-shared-key", undo=True)
def _pre_shared_key(peer: KeyringPeer, args: Arguments) -> None:
    side = args.optional("local", "remote")
    key = None if args.negated else _key(args)
    line = None if args.negated else args.line
    if side != "remote":
        peer.local_key, peer.local_key_line = key, line
    if side != "local":
        peer.remote_key, peer.remote_key_line = key, line


def _key(args: Arguments) -> Secret:
    """Return the key of this command. Raises InputError when there is none; the message cannot show it."""
    if args.secret is not None:
        return args.secret
    if args.optional("hex") and args.more:
        raise args.error("a key given as 'hex' needs an even number of hexadecimal digits")
    raise args.error(f"'{args.line.text}' is incomplete: the key is missing")


def _identity(args: Arguments, kinds: tuple[str, ...]) -> IdentityRule:
    """Take ``address A [MASK] | fqdn [domain] S | email [domain] S | key-id S | dn | any``."""
    kind: Any = args.choice("identity type", kinds)
    return _identity_of(kind, args)


def _identity_of(kind: IdentityKind, args: Arguments) -> IdentityRule:
    if kind in {"any", "dn"}:
        return IdentityRule(kind, "", args.line)
    if kind == "address":
        return _address_identity(args)
    domain = kind in {"fqdn", "email"} and args.peek().lower() == "domain"
    if domain:
        args.word("domain")
    value = args.name(f"the {kind} identity")
    return IdentityRule(kind, value, args.line, domain=domain)


def _address_identity(args: Arguments) -> IdentityRule:
    if is_hole(args.peek()):
        return IdentityRule("address", args.word("an address"), args.line)
    if ":" in args.peek():
        network = args.ipv6_interface("identity address")
        mask = str(network.network.prefixlen) if network.network.prefixlen < 128 else None
        return IdentityRule("address", str(network.ip), args.line, mask=mask)
    address = args.address("identity address")
    mask = None
    if args.more:
        mask = args.peek()
        args.mask()
    return IdentityRule("address", str(address), args.line, mask=mask)


@PROFILE.on("match identity remote", undo=True)
def _match_identity(profile: Profile, args: Arguments) -> None:
    rule = _identity(args, ("address", "fqdn", "email", "key-id", "any"))
    same = [r for r in profile.match_identity_remote if _key_of(r) == _key_of(rule)]
    if args.negated:
        profile.match_identity_remote = [r for r in profile.match_identity_remote if r not in same]
    elif not same:
        profile.match_identity_remote.append(rule)


def _key_of(rule: IdentityRule) -> tuple[str, str, bool, str | None]:
    return rule.kind, rule.value, rule.domain, rule.mask


@PROFILE.on("match certificate", clears=("match_certificate", "match_certificate_line"))
def _match_certificate(profile: Profile, args: Arguments) -> None:
    profile.match_certificate, profile.match_certificate_line = args.name("a certificate map's name"), args.line


@PROFILE.on("match address local", clears=("match_address_local",))
def _profile_address(profile: Profile, args: Arguments) -> None:
    if args.optional("interface"):
        profile.match_address_local.append(args.interface())
    elif ":" in args.peek():
        profile.match_address_local.append(str(args.ipv6_interface("local address").ip))
    else:
        profile.match_address_local.append(str(args.address("local address")))


@PROFILE.on("identity local", clears=("identity_local",))
def _identity_local(profile: Profile, args: Arguments) -> None:
    profile.identity_local = _identity(args, ("address", "fqdn", "email", "key-id", "dn"))


def _inline_key(args: Arguments) -> Secret | None:
    """Return the key of ``pre-share key K``; None when it comes from a keyring."""
    return _key(args) if args.optional("key") else None


@PROFILE.on("authentication local", clears=("auth_local", "auth_local_line", "inline_local_key", "eap_login"))
def _authentication_local(profile: Profile, args: Arguments) -> None:
    profile.auth_local = args.choice("authentication method", LOCAL_METHODS)
    profile.auth_local_line = args.line
    if profile.auth_local == "eap":
        profile.eap_login = _eap_login(args)
    else:
        profile.inline_local_key = _inline_key(args)


def _eap_login(args: Arguments) -> EapLogin:
    """Take ``[gtc | md5 | ms-chapv2] [username U] [password P]``."""
    method = args.optional("gtc", "md5", "ms-chapv2", "mschapv2") or ""
    user = args.name("a user's name") if args.optional("username") else ""
    if args.more and args.optional("password") is None:
        raise args.error(f"found '{args.peek()}', allowed: gtc, md5, ms-chapv2, username NAME, password PASSWORD")
    return EapLogin(method.replace("ms-", "ms"), user, args.secret)


@PROFILE.on("authentication remote", clears=("auth_remote", "auth_remote_line", "inline_remote_key"))
def _authentication_remote(profile: Profile, args: Arguments) -> None:
    method = args.choice("authentication method", REMOTE_METHODS)
    if method not in profile.auth_remote:
        profile.auth_remote.append(method)
    profile.auth_remote_line = profile.auth_remote_line or args.line
    if method == "pre-share":
        profile.inline_remote_key = _inline_key(args)
    elif method == "eap":
        while args.more:
            if args.choice("option of EAP", ("query-identity", "timeout")) == "timeout":
                profile.eap_timeout_s = args.number("timeout in seconds", 45, 180)
            else:
                profile.eap_query_identity = True


@PROFILE.on("keyring local", clears=("keyring", "keyring_line"))
def _keyring_local(profile: Profile, args: Arguments) -> None:
    profile.keyring, profile.keyring_line = args.name("a keyring's name"), args.line


@PROFILE.on("keyring ppk", clears=("keyring_ppk", "keyring_ppk_line"))
def _keyring_ppk(profile: Profile, args: Arguments) -> None:
    profile.keyring_ppk, profile.keyring_ppk_line = args.name("a keyring's name"), args.line


@PROFILE.on("pki trustpoint", undo=True)
def _trustpoint(profile: Profile, args: Arguments) -> None:
    name = args.name("a trustpoint's name")
    use: Any = args.choice("use of the trustpoint", ("sign", "verify")) if args.more else ""
    profile.trustpoints = [kept for kept in profile.trustpoints if kept.name != name or (use and kept.use != use)]
    if not args.negated:
        profile.trustpoints.append(TrustpointUse(name, use, args.line))


@PROFILE.on("aaa authorization user", "aaa authorization group", undo=True)
def _authorization(profile: Profile, args: Arguments) -> None:
    scope: Any = "user" if "user" in args.line.text.lower().split() else "group"
    override = args.optional("override") is not None
    method: Any = args.choice("peer's authentication", ("psk", "cert", "eap", "anyconnect-eap"))
    profile.authorizations = [a for a in profile.authorizations if (a.scope, a.method) != (scope, method)]
    if args.negated:
        return
    aaa_list = name = mangler = ""
    if args.choice("source of the authorization", ("cached", "list")) == "list":
        aaa_list = args.name("a AAA list's name")
        if args.optional("name-mangler"):
            mangler = args.name("a name-mangler's name")
        elif args.more and args.peek().lower() != "password":
            name = args.name("a name")
    profile.authorizations.append(Authorization(scope, method, aaa_list, name, args.line, mangler, override))


@PROFILE.on("lifetime", clears=("lifetime_s", "lifetime_certificate"))
def _lifetime(profile: Profile, args: Arguments) -> None:
    if args.optional("certificate"):
        profile.lifetime_certificate = True
        return
    profile.lifetime_s = args.number("IKE SA lifetime", 120, 86400)


def _take_dpd(args: Arguments) -> Dpd:
    interval_s = args.number("DPD interval", 10, 3600)
    retry_s = args.number("DPD retry interval", 2, 60)
    mode: Any = args.choice("DPD mode", ("on-demand", "periodic"))
    return Dpd(interval_s, retry_s, mode, args.line)


@PROFILE.on("dpd", clears=("dpd",))
def _profile_dpd(profile: Profile, args: Arguments) -> None:
    profile.dpd = _take_dpd(args)


@PROFILE.on("virtual-template", clears=("virtual_template", "virtual_template_line", "virtual_template_mode_auto"))
def _virtual_template(profile: Profile, args: Arguments) -> None:
    profile.virtual_template = args.number("virtual-template number", 1, 4095)
    profile.virtual_template_line = args.line
    profile.virtual_template_mode_auto = "auto" in args.words()


@PROFILE.on("config-exchange request", undo=True)
def _config_exchange(profile: Profile, args: Arguments) -> None:
    profile.config_exchange_request = not args.negated


@PROFILE.on("shutdown", undo=True)
def _profile_shutdown(profile: Profile, args: Arguments) -> None:
    profile.shutdown = not args.negated


PROFILE.accept("description")
PROFILE.know("match fvrf", "match inbound-only", "nat")
PROFILE.know("config-exchange set", "initial-contact", "reconnect", "redirect", "ivrf", "anyconnect")


def register(mode: Mode) -> None:
    """Add the commands of ``crypto ikev2`` to the global mode."""
    named_section(mode, "crypto ikev2 proposal", Proposal, PROPOSAL, "proposals", smart_default="proposal")
    named_section(mode, "crypto ikev2 policy", Policy, POLICY, "policies", smart_default="policy")
    named_section(mode, "crypto ikev2 keyring", Keyring, KEYRING, "keyrings")
    named_section(mode, "crypto ikev2 profile", Profile, PROFILE, "profiles")
    mode.on("crypto ikev2 dpd", clears=("dpd",), strong=True)(_global_dpd)
    mode.on("crypto ikev2 fragmentation", clears=("fragmentation_mtu",), strong=True)(_fragmentation)
    mode.on("crypto ikev2 cookie-challenge", clears=("cookie_challenge",), strong=True)(_cookie_challenge)
    mode.on("crypto ikev2 disconnect-revoked-peers", undo=True, strong=True)(_disconnect_revoked_peers)
    mode.on("crypto ikev2 window", clears=("window",), strong=True)(_window)
    negotiation = ("crypto ikev2 limit max-in-negotation-sa", "crypto ikev2 limit max-in-negotiation-sa")
    mode.on(*negotiation, clears=("max_in_negotiation",), strong=True)(_max_in_negotiation)
    mode.on("crypto ikev2 limit max-sa", clears=("max_sa",), strong=True)(_max_sa)
    mode.know("crypto ikev2", "crypto ikev2 client flexvpn", strong=True)
    mode.know("crypto ikev2 cluster", strong=True)


def _global_dpd(router: RouterConfig, args: Arguments) -> None:
    router.dpd = _take_dpd(args)


def _fragmentation(router: RouterConfig, args: Arguments) -> None:
    router.fragmentation_mtu = args.number("fragmentation MTU", 68, 1500) if args.optional("mtu") else 576


def _cookie_challenge(router: RouterConfig, args: Arguments) -> None:
    router.cookie_challenge = args.number("cookie-challenge", 0, 1000)


def _disconnect_revoked_peers(router: RouterConfig, args: Arguments) -> None:
    router.disconnect_revoked_peers = not args.negated


def _window(router: RouterConfig, args: Arguments) -> None:
    router.window = args.number("window", 1, 20)


def _max_in_negotiation(router: RouterConfig, args: Arguments) -> None:
    limit = args.number("max-in-negotation-sa", 1, 9999)
    side = args.optional("incoming", "outgoing")
    for direction in (side,) if side else ("incoming", "outgoing"):
        router.max_in_negotiation[direction] = limit


def _max_sa(router: RouterConfig, args: Arguments) -> None:
    router.max_sa = args.number("max-sa", 1, 9999)
