"""The extensible authentication protocol (RFC 3748): methods of a peer and of a server, packets of exact size.

Pure state machines: they take a packet and return the work that it took and the next packet. Who carries the packets
(IKE_AUTH, RADIUS) is another matter.
"""
