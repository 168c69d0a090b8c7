"""The cache: what it returns is what was put there by us, whole, whatever happened to the directory."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from graphc import config
from graphc.errors import InternalError
from graphc.runtime.cache import LIMIT, STALE, TRAILER, Cache, CacheWarning, evict, key_of

KEY = key_of("program", b"options")
CONTENT = bytes(range(256)) * 8


@pytest.fixture
def cache(tmp_path: Path) -> Cache:
    return Cache(tmp_path / "cache")


def content_of(path: Path | None) -> bytes:
    assert path is not None
    return path.read_bytes()[:-TRAILER]


def test_an_entry_comes_back(cache: Cache) -> None:
    assert cache.get(KEY) is None
    path = cache.put(KEY, CONTENT)
    assert cache.get(KEY) == path and content_of(path) == CONTENT


def test_the_directory_is_the_owners_alone(cache: Cache) -> None:
    path = cache.put(KEY, CONTENT)
    assert path.parent.stat().st_mode & 0o777 == 0o700
    assert path.stat().st_mode & 0o077 == 0


@pytest.mark.parametrize("cut", [0, 1, 40, TRAILER, TRAILER + 1, len(CONTENT)])
def test_a_truncated_entry_is_ignored_and_rewritten(cache: Cache, cut: int) -> None:
    path = cache.put(KEY, CONTENT)
    path.write_bytes(path.read_bytes()[:cut])
    assert cache.get(KEY) is None
    assert cache.get(KEY) == cache.get(KEY)
    assert content_of(cache.put(KEY, CONTENT)) == CONTENT and cache.get(KEY) is not None


@pytest.mark.parametrize("place", [0, 1000, -1, -30])
def test_an_altered_entry_is_ignored(cache: Cache, place: int) -> None:
    path = cache.put(KEY, CONTENT)
    altered = bytearray(path.read_bytes())
    altered[place] ^= 1
    path.write_bytes(altered)
    assert cache.get(KEY) is None


def test_a_symlinked_entry_is_ignored_and_replaced(cache: Cache, tmp_path: Path) -> None:
    path = cache.put(KEY, CONTENT)
    elsewhere = tmp_path / "elsewhere.so"
    path.rename(elsewhere)
    path.symlink_to(elsewhere)
    assert cache.get(KEY) is None
    assert not cache.put(KEY, CONTENT).is_symlink()
    assert elsewhere.exists()


def test_an_entry_that_others_may_write_is_ignored(cache: Cache) -> None:
    cache.put(KEY, CONTENT).chmod(0o666)
    assert cache.get(KEY) is None


@pytest.mark.parametrize("plant", [lambda p: p.mkdir(), os.mkfifo])
def test_an_entry_that_is_no_file_is_ignored(cache: Cache, plant: object) -> None:
    path = cache.directory() / f"{KEY}.so"
    plant(path)  # type: ignore[operator]
    assert cache.get(KEY) is None


def refused(directory: Path, reason: str) -> None:
    """The directory is not used, a private one is, with a warning."""
    cache = Cache(directory)
    with pytest.warns(CacheWarning, match=reason):
        path = cache.put(KEY, CONTENT)
    assert path.parent != directory and path.parent.stat().st_mode & 0o777 == 0o700
    assert cache.get(KEY) == path


def test_a_symlinked_directory_is_refused(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir(mode=0o700)
    (tmp_path / "link").symlink_to(tmp_path / "real")
    refused(tmp_path / "link", "symbolic link")
    assert not any((tmp_path / "real").iterdir())


@pytest.mark.parametrize("mode", [0o770, 0o707, 0o777])
def test_a_directory_that_others_may_write_is_refused(tmp_path: Path, mode: int) -> None:
    (tmp_path / "open").mkdir()
    (tmp_path / "open").chmod(mode)
    refused(tmp_path / "open", "chmod 700")


def test_another_users_directory_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "theirs").mkdir(mode=0o700)
    me = os.getuid()
    calls = iter([me + 1])
    monkeypatch.setattr(os, "getuid", lambda: next(calls, me))
    with pytest.warns(CacheWarning, match="another user"):
        assert Cache(tmp_path / "theirs").directory() != tmp_path / "theirs"


def test_a_place_that_cannot_be_made_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    refused(tmp_path / "file" / "cache", "Not a directory")


def test_keys_are_names_of_nothing_else(cache: Cache) -> None:
    for key in ("", "../up", "a/b", "A", "x.so"):
        with pytest.raises(InternalError):
            cache.get(key)


def test_keys_differ_where_parts_do() -> None:
    assert len({key_of("ab", "c"), key_of("a", "bc"), key_of("abc"), key_of("ab", "c", "")}) == 4
    assert key_of("a", b"b") == key_of(b"a", "b")


def test_the_least_recently_used_entries_go_first(cache: Cache) -> None:
    keys = [key_of(str(i)) for i in range(4)]
    paths = [cache.put(key, CONTENT) for key in keys]
    for age, path in enumerate(paths):
        os.utime(path, (1000.0 + age, 1000.0 + age))
    assert cache.get(keys[0]) is not None
    evict(paths[0].parent, 2 * paths[0].stat().st_size)
    assert [path.exists() for path in paths] == [True, False, False, True]
    evict(paths[0].parent, 0)
    assert paths[0].exists(), "the entry just used stays even where it is too large"


def test_what_killed_processes_left_goes(cache: Cache) -> None:
    old, new = cache.directory() / ".tmp-old", cache.directory() / ".tmp-new"
    for path in (old, new):
        path.write_bytes(b"half")
    os.utime(old, (time.time() - 2 * STALE,) * 2)
    evict(cache.directory(), LIMIT)
    assert not old.exists() and new.exists()


WRITER = """
import sys
from pathlib import Path
from graphc.runtime.cache import Cache, TRAILER
cache, key = Cache(Path(sys.argv[1])), sys.argv[2]
content = bytes([int(sys.argv[3])]) * 100_000
for _ in range(100):
    cache.put(key, content)
    found = cache.get(key)
    assert found is None or len(found.read_bytes()) == 100_000 + TRAILER
"""


def test_processes_at_once_never_see_half_an_entry(tmp_path: Path) -> None:
    command = [sys.executable, "-W", "error", "-c", WRITER, str(tmp_path / "cache"), KEY]
    workers = [subprocess.Popen([*command, str(i)]) for i in range(2)]
    assert [worker.wait() for worker in workers] == [0, 0]
    content = content_of(Cache(tmp_path / "cache").get(KEY))
    assert len(content) == 100_000 and len(set(content)) == 1


def test_the_environment_is_read_at_each_use(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("GRAPHC_CACHE", str(tmp_path / "one"))
    assert config.cache_directory() == tmp_path / "one"
    monkeypatch.delenv("GRAPHC_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert config.cache_directory() == tmp_path / "graphc"
    monkeypatch.setenv("XDG_CACHE_HOME", "relative/is/ignored")
    assert config.cache_directory() == Path.home() / ".cache" / "graphc"
    monkeypatch.setenv("GRAPHC_SKIP", "fuse, remat,")
    assert config.skipped_passes() == {"fuse", "remat"}
    monkeypatch.setenv("GRAPHC_VERIFY", "0")
    assert not config.verify()
    monkeypatch.setenv("GRAPHC_DUMP", str(tmp_path))
    assert config.dump_directory() == tmp_path
