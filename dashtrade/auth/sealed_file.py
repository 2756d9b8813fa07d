"""A file of named parts, sealed with a passphrase: written and read as a stream, so that its size does not matter.

Layout: a line of magic, a line of JSON (the header), then chunks of at most 1 MiB, each sealed with AES-256-GCM after
the STREAM construction (Hoang, Reyhanitabar, Rogaway and Vizár 2015): the nonce counts the chunks and marks the last
one, so that a chunk cannot be moved, left out or cut off unseen. The header is authenticated with every chunk. The key
comes from the passphrase by scrypt (RFC 7914); half of what it yields only tells a wrong passphrase from damage.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import secrets
import struct
from collections.abc import Iterator
from types import TracebackType
from typing import IO, Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

from dashtrade.errors import ConfigurationError, InvalidInput

MAGIC = b"DASHTRADE BACKUP\n"
FORMAT = 1
CHUNK = 1024 * 1024
MIN_PASSPHRASE = 12
_COST = {"n": 2**17, "r": 8, "p": 1}  # 128 MiB and about half a second
_TAG = 16
_PREFIX = 7


class SealedWriter:
    """Writes parts, one after another. A file that was not closed without an error cannot be opened later."""

    def __init__(self, file: IO[bytes], passphrase: str | None, facts: dict[str, Any]) -> None:
        """``facts`` can be read by everybody. Without a passphrase the key is in the header: damage is still seen."""
        header: dict[str, Any] = {"format": FORMAT, **facts, "nonce": secrets.token_hex(_PREFIX)}
        if passphrase is None:
            key = secrets.token_bytes(32)
            header["key"] = key.hex()
        else:
            if len(passphrase) < MIN_PASSPHRASE:
                raise InvalidInput("passphrase", f"use at least {MIN_PASSPHRASE} characters, such as five words.")
            salt = secrets.token_bytes(16)
            key, check = _derive(passphrase, salt, _COST)
            header["scrypt"] = {"salt": salt.hex(), **_COST, "check": check}
        self._file = file
        self._header = json.dumps(header, sort_keys=True).encode()
        self._cipher, self._nonce = AESGCM(key), bytes.fromhex(header["nonce"])
        self._number, self._waiting = 0, bytearray()
        file.write(MAGIC + self._header + b"\n")

    def part(self, name: str, pieces: Iterator[bytes] | list[bytes]) -> int:
        """Add the part ``name``; returns how many bytes it has."""
        encoded, total = name.encode(), 0
        self._put(struct.pack(">H", len(encoded)) + encoded)
        for piece in pieces:
            for start in range(0, len(piece), CHUNK):
                some = piece[start : start + CHUNK]
                self._put(struct.pack(">I", len(some)) + some)
                total += len(some)
        self._put(struct.pack(">I", 0))
        return total

    def close(self) -> None:
        """Seal the end. What is written before this call alone is refused by the reader."""
        self._put(struct.pack(">H", 0))
        self._flush(last=True)

    def _put(self, data: bytes) -> None:
        self._waiting += data
        while len(self._waiting) > CHUNK:
            self._flush(last=False)

    def _flush(self, *, last: bool) -> None:
        data = bytes(self._waiting[:CHUNK])
        del self._waiting[:CHUNK]
        self._file.write(self._cipher.encrypt(_count(self._nonce, self._number, last), data, self._header))
        self._number += 1


class SealedReader:
    """Reads the parts in the order they were written. Raises ConfigurationError for anything that is not whole."""

    def __init__(self, file: IO[bytes], passphrase: str | None) -> None:
        self._file = file
        self.header = header_of(file)
        try:
            self._nonce = bytes.fromhex(self.header["nonce"])
            known = self.header["format"]
            key = self._key(passphrase) if known == FORMAT else b""
        except (ValueError, KeyError, TypeError):
            raise _damaged("its first lines cannot be read") from None
        if known != FORMAT:
            raise ConfigurationError(f"The backup has format {known}, this program reads {FORMAT}. Update the program.")
        self._header, self._cipher = json.dumps(self.header, sort_keys=True).encode(), AESGCM(key)
        self._number, self._ready, self._ended = 0, bytearray(), False
        self._next = file.read(CHUNK + _TAG)

    def _key(self, passphrase: str | None) -> bytes:
        if "key" in self.header:
            return bytes.fromhex(self.header["key"])
        scrypt = self.header["scrypt"]
        cost = {name: int(scrypt[name]) for name in _COST}
        if cost["n"] > 2**20 or cost["r"] > 16 or cost["p"] > 4:
            raise ValueError("more memory than a backup of this program asks for")
        if passphrase is None:
            raise ConfigurationError("The backup is sealed. Give its passphrase.")
        key, check = _derive(passphrase, bytes.fromhex(scrypt["salt"]), cost)
        if not hmac.compare_digest(check, scrypt["check"]):
            raise ConfigurationError("The passphrase is not the one this backup was made with.")
        return key

    @property
    def sealed(self) -> bool:
        return "key" not in self.header

    def parts(self) -> Iterator[tuple[str, Iterator[bytes]]]:
        """Name and contents of each part; the contents are read before the next part is asked for."""
        while True:
            (length,) = struct.unpack(">H", self._take(2))
            if length == 0:
                if self._ready or not self._ended:
                    raise _damaged("something follows its end")
                return
            name = self._take(length).decode()
            contents = self._contents()
            yield name, contents
            for _ in contents:  # what the caller left
                pass

    def _contents(self) -> Iterator[bytes]:
        while length := struct.unpack(">I", self._take(4))[0]:
            yield self._take(length)

    def _take(self, size: int) -> bytes:
        while len(self._ready) < size:
            self._open_chunk()
        data = bytes(self._ready[:size])
        del self._ready[:size]
        return data

    def _open_chunk(self) -> None:
        if self._ended:
            raise _damaged("it ends too early")
        chunk, self._next = self._next, self._file.read(CHUNK + _TAG)
        last = not self._next
        try:
            self._ready += self._cipher.decrypt(_count(self._nonce, self._number, last), chunk, self._header)
        except (InvalidTag, ValueError):
            raise _damaged("it was cut off" if last else "its contents were changed") from None
        self._number += 1
        self._ended = last


def header_of(file: IO[bytes]) -> dict[str, Any]:
    """What everybody can read of a file, from its start."""
    if file.read(len(MAGIC)) != MAGIC:
        raise ConfigurationError("This file is no backup of DashTrade.")
    try:
        header = json.loads(file.readline(65536))
    except ValueError:
        raise _damaged("its first lines cannot be read") from None
    if not isinstance(header, dict):
        raise _damaged("its first lines cannot be read")
    return header


class NewFile:
    """A file that appears under its name when it is whole, or not at all: ``with NewFile(path) as file``.

    Readable by its owner only; an existing file is never replaced.
    """

    def __init__(self, path: Any) -> None:
        self._path = path
        self._partial = path.with_name(f".{path.name}.{os.getpid()}.partial")

    def __enter__(self) -> IO[bytes]:
        if self._path.exists():
            raise ConfigurationError(f"{self._path} exists already. Choose another name; backups are never replaced.")
        try:
            descriptor = os.open(self._partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except OSError as error:
            raise ConfigurationError(f"{self._path} cannot be written ({error.strerror}). Choose another.") from None
        self._file = os.fdopen(descriptor, "wb")
        return self._file

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        try:
            with self._file:
                if kind is None:
                    self._file.flush()
                    os.fsync(self._file.fileno())
            if kind is None:
                os.link(self._partial, self._path)
        except OSError as failure:
            raise ConfigurationError(f"{self._path} cannot be written ({failure.strerror}). Free space.") from None
        finally:
            self._partial.unlink(missing_ok=True)


def _derive(passphrase: str, salt: bytes, cost: dict[str, int]) -> tuple[bytes, str]:
    both = Scrypt(salt=salt, length=64, **cost).derive(passphrase.encode())
    return both[:32], hashlib.sha256(both[32:]).hexdigest()


def _count(nonce: bytes, number: int, last: bool) -> bytes:
    return nonce + struct.pack(">IB", number, last)


def _damaged(how: str) -> ConfigurationError:
    return ConfigurationError(f"The backup is damaged: {how}. Nothing was restored. Use another copy.")
