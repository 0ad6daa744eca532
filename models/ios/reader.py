"""Reads IOS configurations: a file is a router, a folder a network.

Which section a command belongs to is decided by what the sections know and by indentation, in this order: the
innermost section that knows the command and beneath whose header it is indented (or that shows no indentation at
all), then any open section that knows it. So running configurations, paste scripts without indentation and peers at
the depth of their sub-commands are all read; a global command such as ``interface`` always leaves.

What this leaves out: validation across lines (that is the linter's) and the defaults of the platform.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import InputError
from ..yaml_input import read_text
from . import read_aaa, read_gateway, read_ikev2, read_interfaces, read_ipsec, read_pki, read_routing
from .arguments import Arguments, NotUnderstood
from .config import NetworkStatement, RouterConfig
from .lexer import Command, lex
from .modes import OPAQUE, Found, Mode, set_back

#: Endings of the files that ``read_folder`` takes for configurations.
ENDINGS = (".cfg", ".conf", ".ios", ".txt")

GLOBAL = Mode("global")
for _part in (read_routing, read_interfaces, read_ikev2, read_ipsec, read_pki, read_aaa, read_gateway):
    _part.register(GLOBAL)


@dataclass(slots=True)
class _Frame:
    """An open section. ``deep`` once a line was indented beneath its header."""

    mode: Mode
    target: Any
    indent: int
    deep: bool = False

    def holds(self, indent: int) -> bool:
        """Return True when a line of this indentation can stand in the section."""
        return indent > self.indent or not self.deep


class _Reader:
    """Feeds the commands of one file into one RouterConfig."""

    def __init__(self, router: RouterConfig) -> None:
        self.router = router
        self.frames = [_Frame(GLOBAL, router, -1)]
        self.recognised = 0

    def read(self, command: Command) -> None:
        """Let the command do its work, or note that it was not understood."""
        if self._leaves(command):
            return
        match = self._match(command)
        if match is None:
            self._unknown(command)
            return
        frame, found = match
        self.recognised += 1
        self._close_down_to(frame)
        if command.indent > frame.indent:
            frame.deep = True
        self._apply(command, frame, found)

    def _leaves(self, command: Command) -> bool:
        """Treat ``end``, ``exit`` and ``configure terminal``; return False for every other command."""
        first = command.words[0].lower()
        if first == "end" or (first.startswith("conf") and "configure".startswith(first)):
            self._close_down_to(self.frames[0])
            return True
        top = self.frames[-1]
        named = first.startswith("exit-")
        if first not in {"exit", "quit"} and not named:
            return False
        if len(self.frames) > 1 and (not named or top.indent >= command.indent):
            self.frames.pop()
        return True

    def _close_down_to(self, frame: _Frame) -> None:
        while self.frames[-1] is not frame:
            self.frames.pop()

    def _match(self, command: Command) -> tuple[_Frame, Found] | None:
        """Return the section that takes the command, and what it matched there."""
        fitting = [frame for frame in self._candidates(command) if frame.holds(command.indent)]
        for frames in (fitting, self._candidates(command)):
            matches = [(frame, found) for frame in frames if (found := self._find(frame, command)) is not None]
            exact = [match for match in matches if match[1].exact]
            if matches:
                return (exact or matches)[0]
        return None

    def _candidates(self, command: Command) -> list[_Frame]:
        """Return the open sections, innermost first; one that is not modelled hides all around it but the global."""
        for index in range(len(self.frames) - 1, 0, -1):
            if self.frames[index].mode is OPAQUE and command.indent > self.frames[index].indent:
                return [*reversed(self.frames[index:]), self.frames[0]]
        return list(reversed(self.frames))

    def _find(self, frame: _Frame, command: Command) -> Found | None:
        found = frame.mode.find(command.words)
        if frame.mode is not GLOBAL or found is None or found.entry.strong:
            return found
        inside = any(command.indent > other.indent for other in self.frames[1:])
        return None if inside else found

    def _apply(self, command: Command, frame: _Frame, found: Found) -> None:
        entry = found.entry
        section = None
        if entry.handler is None or (command.negated and not entry.undo and not entry.clears):
            self.router.unknown_lines.append(command.line)
            if frame.mode is GLOBAL or command.opens:
                self.frames.append(_Frame(OPAQUE, None, command.indent))
            return
        if command.negated and not entry.undo:
            set_back(frame.target, entry.clears)
            return
        try:
            section = entry.handler(frame.target, Arguments(command, found.length))
        except NotUnderstood:
            self.router.unknown_lines.append(command.line)
        if section is not None:
            self.frames.append(_Frame(section.mode, section.target, command.indent))

    def _unknown(self, command: Command) -> None:
        """Keep the line; close what it cannot stand in, and open a section when lines are indented beneath it."""
        self.router.unknown_lines.append(command.line)
        while len(self.frames) > 1 and not self._stays_open(self.frames[-1], command):
            self.frames.pop()
        if command.indent > self.frames[-1].indent:
            self.frames[-1].deep = True
        if command.opens:
            self.frames.append(_Frame(OPAQUE, None, command.indent))

    def _stays_open(self, frame: _Frame, command: Command) -> bool:
        """Return False for sections that an unknown line of this indentation has left."""
        return command.indent > frame.indent or not (frame.deep or command.opens)


def read_router(path: Path) -> RouterConfig:
    """Return the configuration in one file; without ``hostname`` the router is called after the file.

    Raises InputError for a file that cannot be read, holds no IOS command, or has a bad value in a known command.
    """
    return parse_router(read_text(path), path)


def parse_router(text: str, path: Path) -> RouterConfig:
    """Return the configuration in a text as if it stood in the file ``path``. Raises InputError as `read_router`."""
    router = RouterConfig(file=path.name, hostname=path.stem)
    reader = _Reader(router)
    for command in lex(text, path):
        reader.read(command)
    _announce_interfaces(router)
    if not reader.recognised:
        raise InputError("is not an IOS configuration: it holds no command of IOS that is known here", str(path))
    return router


def _announce_interfaces(router: RouterConfig) -> None:
    """Make a network statement of every network that an interface itself gives to OSPF."""
    for interface in router.interfaces.values():
        if interface.ospf_line is not None:
            router.network_statements += [
                NetworkStatement(f"ospf {interface.ospf_process}", address.network, interface.ospf_line)
                for address in interface.addresses
            ]


def read_folder(folder: Path) -> list[RouterConfig]:
    """Return the routers of a folder, sorted by file name; files with other endings than ENDINGS are left alone.

    Raises InputError for a folder that is missing, is a file or holds no configuration, for any fault of a file, and
    when two files configure the same host name.
    """
    routers = [read_router(path) for path in _configuration_files(folder)]
    seen: dict[str, RouterConfig] = {}
    for router in routers:
        twin = seen.setdefault(router.hostname.lower(), router)
        if twin is not router:
            files = f"{twin.file} and {router.file}"
            message = f"{files} are both called '{router.hostname}'; give each router its own 'hostname'"
            raise InputError(message, str(folder))
    return routers


def _configuration_files(folder: Path) -> list[Path]:
    try:
        entries = sorted(folder.iterdir(), key=lambda path: path.name)
        files = [p for p in entries if p.suffix.lower() in ENDINGS and not p.name.startswith(".") and not p.is_dir()]
    except FileNotFoundError:
        raise InputError("no such folder", str(folder)) from None
    except NotADirectoryError:
        raise InputError("is a file; a folder of configurations is needed", str(folder)) from None
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror}", str(folder)) from None
    if not files:
        raise InputError(f"holds no configuration; files ending in {', '.join(ENDINGS)} are read", str(folder))
    return files
