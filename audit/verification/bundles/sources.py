"""Where a bundle's files are read from, and what the errors of a place mean for the bundle."""

import lzma
import stat
import struct
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Protocol, Self

from audit.verification.report import reason_of

MAX_SMALL_FILE = 1 << 20
# What unpacking and copying leave beside the files, which says nothing about an export.
LITTER = "__MACOSX"


class BundleUnreadable(Exception):
    """Not a bundle, half a bundle, or one of another log: nothing can be said about its entries."""


class FileMissing(BundleUnreadable):
    """A file of the bundle is not there."""


class BundleUnreachable(BundleUnreadable):
    """The place did not answer, or refused: nothing can be said about what lies in it."""


class Source(Protocol):
    """Where a bundle's files are read from."""

    def open(self, name: str) -> IO[bytes]: ...

    def names(self) -> set[str]:
        """List the files that lie there."""
        ...


class FolderSource:
    """A bundle as a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def open(self, name: str) -> IO[bytes]:
        path = self.folder / name
        # A link leads to what nobody exported; a pipe or a device never ends.
        if path.resolve() != self.folder.resolve() / name:
            raise BundleUnreadable(f"{name} is a link, which no export has")
        if not stat.S_ISREG(path.stat().st_mode):
            raise FileNotFoundError(name)
        return path.open("rb")

    def names(self) -> set[str]:
        return {
            path.relative_to(self.folder).as_posix()
            for path in self.folder.rglob("*")
            if path.is_symlink() or not path.is_dir()
        }


class ZipSource:
    """A bundle as a zip file."""

    def __init__(self, file: Path) -> None:
        self.zip = zipfile.ZipFile(file)
        listed = self.zip.namelist()
        if len(listed) != len(set(listed)):
            # One reader takes the first of two files of a name, another one the last.
            raise zipfile.BadZipFile("two of its files have the same name")

    def open(self, name: str) -> IO[bytes]:
        return self.zip.open(name)

    def names(self) -> set[str]:
        return {name for name in self.zip.namelist() if not name.endswith("/")}


def sources_of(path: Path) -> list[tuple[str, Source]]:
    """Find the bundles at a path, by their names; raise BundleUnreadable when there are none."""
    if path.is_dir():
        if (path / "manifest.json").exists():
            return [(path.name, FolderSource(path))]
        found = sorted(file.parent for file in path.glob("*/manifest.json"))
        if not found:
            raise BundleUnreadable(f"{path}: there is no manifest.json, nor a folder with one")
        return [(folder.name, FolderSource(folder)) for folder in found]
    if not path.exists():
        raise BundleUnreadable(f"{path}: there is no such file")
    if not path.is_file():
        raise BundleUnreadable(f"{path}: neither a file nor a folder")
    try:
        return [(path.name, ZipSource(path))]
    except Exception as error:  # a damaged zip has many ways to fail
        raise BundleUnreadable(f"{path}: not a whole zip file ({error})") from error


@contextmanager
def explaining(name: str) -> Iterator[None]:
    """Turn the errors of reading a file into what they mean: it is missing, is damaged, or its place is away."""
    try:
        yield
    except BundleUnreadable:
        raise
    except (KeyError, FileNotFoundError, IsADirectoryError, NotADirectoryError) as error:
        raise FileMissing(f"{name} is missing") from error
    # Of a damaged zip; RuntimeError: an encrypted one.
    except (
        zipfile.BadZipFile, zlib.error, lzma.LZMAError, struct.error, EOFError, RuntimeError, ValueError,
    ) as error:  # fmt: skip
        raise BundleUnreadable(f"{name} cannot be read: {error}") from error
    except Exception as error:  # OSError, and a bucket's own errors
        raise BundleUnreachable(f"{name} could not be read: {reason_of(error)}") from error


class BundleFile:
    """A file of a bundle, open for reading, whose errors are explained."""

    def __init__(self, source: Source, name: str) -> None:
        self.name = name
        with explaining(name):
            self.file = source.open(name)

    def read(self, size: int = -1) -> bytes:
        with explaining(self.name):
            return self.file.read(size)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.file.close()


def read_small(source: Source, name: str, limit: int = MAX_SMALL_FILE) -> bytes:
    """Read a whole file; raise FileMissing, BundleUnreadable or BundleUnreachable."""
    with BundleFile(source, name) as file:
        content = file.read(limit + 1)
    if len(content) > limit:
        raise BundleUnreadable(f"{name} is larger than any bundle's")
    return content


def list_names(source: Source) -> list[str]:
    """List a bundle's files, without what an operating system leaves beside them."""
    with explaining("the list of files"):
        names = source.names()
    return sorted(name for name in names if not any(part.startswith(".") or part == LITTER for part in name.split("/")))
