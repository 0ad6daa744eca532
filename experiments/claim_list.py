"""Every claim of the study that figures can test, the few that none can, and what either outcome means.

Wording is ours. Left out: what only describes (who made IKEv2, what a building block is), and remote access by named
operating systems, which is an experiment of its own.
"""

from __future__ import annotations

from functools import partial

from . import claim_measures as measures
from .claims import Claim

CLAIMS: tuple[Claim, ...] = (
    Claim(
        "exchanges",
        "II.B",
        "IKEv2 sets up with an initial exchange and an authentication; further pairs of SAs take one exchange each",
        "a set-up and three further Child SAs, message by message",
        measures.exchange_structure,
        when_true="The state machines make exactly these exchanges.",
        when_false="The state machines make other exchanges.",
    ),
    Claim(
        "messages",
        "II.C",
        "The request/response scheme of IKEv2 is more effective than that of its predecessor",
        "messages of a set-up with pre-shared keys and of a further pair of SAs",
        measures.fewer_messages,
        when_true="Two exchanges do the work of main or aggressive mode and quick mode.",
        when_false="IKEv1 needs no more messages.",
    ),
    Claim(
        "set-up bytes",
        "II.C",
        "IKEv2 consumes less bandwidth than IKEv1: in the set-up",
        "bytes of IPv4 packets with three suites, two implementations, both modes of IKEv1",
        measures.set_up_bytes,
        when_true="Every set-up of IKEv2 is shorter.",
        when_false="Not in general: vendor IDs and the configuration payload of IOS XE outweigh the messages that "
        "are saved.",
    ),
    Claim(
        "upkeep bytes",
        "II.C",
        "IKEv2 consumes less bandwidth than IKEv1: to keep a tunnel",
        "bytes of IPv4 packets of a rekey with the deletion of the old SA, and of a probe",
        measures.upkeep_bytes,
        when_true="Shorter headers of notifications and deletions, no HASH payload.",
        when_false="Not in general.",
    ),
    Claim(
        "traffic bytes",
        "II.C",
        "IKEv2 consumes less bandwidth than IKEv1: for the user's packets",
        "length of the ESP packet around a packet of the user",
        partial(measures.traffic, other="IKEv1 main"),
        when_true="ESP is shorter.",
        when_false="There is no difference: both negotiate the same ESP.",
    ),
    Claim(
        "set-up against main mode",
        "II.C",
        "IKEv2 is faster than its predecessors: set-up against IKEv1 main mode",
        "time to the first packet of the user over a path without loss, both routers of the profile",
        partial(measures.faster_set_up, name="IKEv1 main"),
        when_true="Half the round trips.",
        when_false="Not in general.",
    ),
    Claim(
        "set-up against aggressive mode",
        "II.C",
        "IKEv2 is faster than its predecessors: set-up against IKEv1 aggressive mode",
        "as above",
        partial(measures.faster_set_up, name="IKEv1 aggressive"),
        when_true="Fewer round trips.",
        when_false="Aggressive mode takes as many round trips, since quick mode need not wait for an answer to its "
        "third message; it pays with identities in the clear and a hash that can be attacked at leisure.",
    ),
    Claim(
        "CPU against IKEv1",
        "II.C",
        "IKEv2 is faster than its predecessors: work of the router against IKEv1",
        "CPU time of the responder for a set-up",
        measures.cpu,
        when_true="The key exchange is the same, there are fewer messages.",
        when_false="Not in general.",
    ),
    Claim(
        "set-up against L2TP",
        "II.C",
        "IKEv2 is faster than L2TP: in the set-up",
        "as above, against L2TP over IPsec in the shortest form that its RFCs allow; each message costs what one of "
        "IKE does",
        partial(measures.faster_set_up, name="L2TP/IPsec"),
        when_true="L2TP over IPsec begins with IKEv1 and goes on with L2TP and PPP.",
        when_false="Not in general.",
    ),
    Claim(
        "traffic against L2TP",
        "II.C",
        "IKEv2 is faster than L2TP: for the user's packets",
        "length of the outer packet, which decides what a link carries",
        partial(measures.traffic, other="L2TP/IPsec"),
        when_true="L2TP, PPP and UDP headers stand inside ESP.",
        when_false="Not in general.",
    ),
    Claim(
        "set-up against PPTP",
        "II.C",
        "IKEv2 is faster than PPTP: in the set-up",
        "as above, against PPTP in the shortest form that its RFCs allow; each message costs what one of IKE does",
        partial(measures.faster_set_up, name="PPTP"),
        when_true="PPTP takes more round trips, though it makes no key exchange.",
        when_false="PPTP makes no key exchange: on a short path its messages cost less than a Diffie-Hellman.",
    ),
    Claim(
        "traffic against PPTP",
        "II.C",
        "IKEv2 is faster than PPTP: for the user's packets",
        "length of the outer packet, which decides what a link carries",
        partial(measures.traffic, other="PPTP"),
        when_true="ESP is shorter.",
        when_false="PPTP is shorter and so faster on a link: it has no check value and no padding. It pays with "
        "security: RC4 keyed from a password, no integrity. What RC4 costs a router no profile tells.",
    ),
    Claim(
        "port 500",
        "II.C",
        "UDP port 500 makes IKEv2 ideal where users feel latency",
        "who uses the port, and the length of the user's packets",
        measures.port,
        when_true="The user's packets gain from the port.",
        when_false="The port has no influence: no packet of the user travels on it, and IKEv1 uses the same.",
    ),
    Claim(
        "cookies",
        "II.C",
        "Cookies mitigate blind spoofing that would consume expensive resources",
        "work of the responder for one IKE_SA_INIT request from a false address",
        measures.cookie,
        when_true="A hash replaces the key pair, and nothing is stored.",
        when_false="The demand of a cookie costs no less.",
    ),
    Claim(
        "Suite B",
        "II.C",
        "IKEv2 is more secure than IKEv1 because it supports Suite B",
        "set-ups of both with the suites of RFC 6379",
        measures.suite_b,
        when_true="IKEv1 cannot negotiate them.",
        when_false="The reason does not hold: IKEv1 negotiates the same suites. Whether either is more secure no "
        "simulation tells.",
    ),
    Claim(
        "EAP",
        "II.C",
        "IKEv2 supports remote access by EAP",
        "a set-up with EAP-MSCHAPv2 and a server certificate",
        measures.eap,
        when_true="EAP is part of IKE_AUTH (RFC 7296 2.16); IKEv1 needed extensions that were never standardised.",
        when_false="The set-up fails.",
    ),
    Claim(
        "features",
        "III.B",
        "FlexVPN brings IKEv2's features: cookie challenge, NAT traversal, configuration exchange, redirect",
        "a conversation with each",
        measures.features,
        when_true="Each completes. That all of them work on IOS XE no simulation tells.",
        when_false="One of them does not complete.",
    ),
    Claim(
        "crypto map",
        "III",
        "One tunnel interface spares what several solutions cost: against a crypto map",
        "set-up for four pairs of networks at either end",
        measures.crypto_map,
        when_true="A tunnel interface protects everything that is routed to it; a crypto map makes an SA pair for "
        "each line.",
        when_false="A crypto map needs no more.",
    ),
    Claim(
        "cost",
        "III",
        "FlexVPN saves significant cost against supporting GRE, crypto maps and VTI apart",
        "none",
        undecidable="Prices and hours of work are no part of the model; see the claim on crypto maps for what is.",
    ),
    Claim(
        "dual stack",
        "III.B",
        "GRE carries IPv4 and IPv6 in one tunnel, native IPsec one of them",
        "set-ups and SAs for both families",
        measures.dual_stack,
        when_true="Native IPsec needs a second tunnel for the second family.",
        when_false="Native IPsec needs no more.",
    ),
    Claim(
        "routing",
        "III.B",
        "The configuration exchange is a lightweight overlay routing mechanism",
        "bytes to keep one prefix known for a day, against the hellos of EIGRP",
        measures.routing,
        when_true="A prefix is told once, in messages that are sent anyhow; hellos never end. It does not notice a "
        "change, though.",
        when_false="A routing protocol needs fewer bytes.",
    ),
    Claim(
        "platforms",
        "III.A, VI",
        "FlexVPN runs on ISR G2, ISR 4000, ASR 1000 and CSR 1000v, and not on older models",
        "the hardware profiles that ship",
        measures.platforms,
        when_true="So say the data sheets and notes behind the profiles.",
        when_false="A profile says otherwise.",
    ),
    Claim(
        "printed configuration",
        "IV.C, IV.D",
        "The configurations that are printed bring up a secure tunnel",
        "both configurations as printed, simulated",
        measures.printed,
        when_true="The tunnel comes up.",
        when_false="As printed it cannot: the identities and the pre-shared keys of the two routers do not match.",
    ),
    Claim(
        "most secure, fastest",
        "VI",
        "FlexVPN is considered the most secure solution and one of the fastest",
        "none",
        undecidable="There is no list of rivals and no measure of security; see the claims on set-up and on the "
        "user's packets.",
    ),
    Claim(
        "reliable",
        "Abstract",
        "FlexVPN is a reliable and economical solution",
        "none",
        undecidable="Reliability has no figure in the study, and economy is a matter of prices.",
    ),
)
