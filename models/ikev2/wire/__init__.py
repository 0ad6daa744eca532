"""IKEv2 on the wire: real bytes for the simulator's messages, and what real bytes say.

The simulation does not need it: sizes follow from the payloads. A capture does.
"""
