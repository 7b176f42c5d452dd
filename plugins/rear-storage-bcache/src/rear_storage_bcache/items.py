# SPDX-License-Identifier: GPL-3.0-or-later
"""What there is of bcache on a machine: sets with a cache, and the devices that use them."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING
from urllib.parse import unquote

from rear_core.contents import Contents
from rear_core.errors import ProgramFailed, ProgramMissing
from rear_core.shell import Shell
from rear_core.storage.inventory import Device
from rear_core.storage.layout import Item, Layout
from rear_core.storage.survey import Survey

if TYPE_CHECKING:
    from rear_core.storage.resize import Sizes

SIGNATURE = "bcache"
SECTOR = 512
# Versions of superblocks (Linux, drivers/md/bcache/bcache_ondisk.h) that caches and backing devices have.
CACHES = (0, 3)
BACKING = (1, 4)
CACHE_WITH_FEATURES = 5
MODES = ("writethrough", "writeback", "writearound", "none")
POLICIES = ("lru", "fifo", "random")
# The least that the kernel runs a cache of (drivers/md/bcache/super.c, cache_alloc), whatever make-bcache makes.
BUCKETS = 513
# Where data begin unless the superblock says otherwise.
USUAL_OFFSET = 16 * SECTOR


@dataclass(frozen=True)
class CacheSet(Item):
    """A cache, and the set that it is all of: the kernel knows none with two.

    `cset` is the UUID of the set, `uuid` that of the cache, `buckets` how many it has; `bucket` and `block` are bytes.
    """

    type = "bcache set"
    noun = "bcache cache set"
    dracut = "bcache"
    # Devices are as large as what they lie on, whatever the size of their cache.
    bounded = True

    cset: str
    uuid: str
    bucket: int
    block: int
    buckets: int = field(default=0, compare=False)
    discard: bool = False
    replacement: str = "lru"
    version: int = field(default=0, compare=False)

    @property
    def modules(self) -> frozenset[str]:
        """The one that it all takes."""
        return frozenset({"bcache"})

    def any_size(self, _sizes: Sizes) -> bool:
        """Any that has buckets enough."""
        return True

    def fits(self, _sizes: Sizes, size: int) -> bool:
        """Whether there are buckets enough; nothing lies in a cache that a smaller one could lack."""
        return size >= self._least

    def spare(self, _sizes: Sizes, size: int) -> int:
        """What is more than it needs."""
        return max(0, size - self._least)

    @property
    def _least(self) -> int:
        """The bytes that it takes: buckets, of which the superblock has one, and a remainder."""
        return (BUCKETS + 1) * self.bucket


@dataclass(frozen=True)
class Bcache(Item):
    """A device with a cache, or one that can have it. `needs` are its backing device, then the set of its cache if it
    has one.

    `cset` is the UUID of the set that its superblock names, `block` and `data_offset` are bytes; `state` is that of the
    superblock or the kernel: no cache, clean, dirty, inconsistent.
    """

    type = "bcache"
    noun = "bcache device"
    dracut = "bcache"
    identified_below = True

    uuid: str
    mode: str
    block: int
    bucket: int = 0
    data_offset: int = USUAL_OFFSET
    label: str = ""
    cset: str = ""
    version: int = 1
    state: str = field(default="", compare=False)
    device: str = field(default="", compare=False)

    @property
    def modules(self) -> frozenset[str]:
        """The one that it all takes."""
        return frozenset({"bcache"})

    def any_size(self, sizes: Sizes) -> bool:
        """As what lies on it."""
        return sizes.take_any_size(self.id)

    def fits(self, sizes: Sizes, size: int) -> bool:
        """Whether what lies on it fits behind its superblock."""
        return sizes.fit(self.id, size - self.data_offset)

    def spare(self, sizes: Sizes, size: int) -> int:
        """What lies on it leaves so much of the device behind the superblock."""
        return sizes.spare(self.id, size - self.data_offset) if sizes.on(self.id) else 0

    def shrink(self, sizes: Sizes, amount: int) -> None:
        """All of it from what lies on it."""
        sizes.shrink(self.id, amount)

    @property
    def identifiers(self) -> Mapping[str, str]:
        """The UUID of its superblock, which blkid finds on the backing device."""
        return {"UUID": self.uuid}

    @property
    def device_paths(self) -> frozenset[str]:
        """Its number, and the links that udev makes by UUID and label."""
        links = {link(self.uuid)} | ({f"/dev/bcache/by-label/{self.label}"} if self.label else set())
        return super().device_paths | links

    def place(self, _below: str) -> str:
        """Its link by UUID: the kernel numbers devices in the order in which it meets them."""
        return link(self.uuid)


def link(uuid: str) -> str:
    """The link that udev makes to a device with that UUID."""
    return f"/dev/bcache/by-uuid/{uuid}"


def capture(survey: Survey) -> Iterator[Item]:
    """The caches, and the devices that run."""
    found = {}
    for device in survey.carrying(SIGNATURE):
        try:
            found[device.path] = read_superblock(survey.sh, device.path)
        except ProgramMissing:
            raise
        except ProgramFailed as error:
            _leave_out(survey, device, error.message)
    sets: dict[str, Device] = {}
    for path, words in found.items():
        if is_cache(words):
            cache = _cache(survey.devices[path], words)
            sets[cache.cset] = survey.devices[path]
            yield cache
    for path, words in found.items():
        device = survey.devices[path]
        if is_cache(words):
            continue
        if running := [child for child in device.children if survey.devices[child].kernel_name.startswith("bcache")]:
            yield _device(survey, device, words, running[0], sets)
        else:
            _leave_out(survey, device, _why_not_running(words, sets))
    used = {words.get("cset.uuid", "") for words in found.values() if not is_cache(words)}
    for cset in sets.keys() - used:
        _leave_out(
            survey, sets[cset], "a cache, perhaps with data that only it has: no device that uses it is described"
        )


def _leave_out(survey: Survey, device: Device, why: str) -> None:
    survey.leave_out(f"bcache on {device.path}", why, lost=True, on=[device.path], device=device.path)


def _why_not_running(words: Mapping[str, str], sets: Collection[str]) -> str:
    state = _word(words.get("dev.data.cache_state", ""))
    if state == "dirty" and words.get("cset.uuid", "") not in sets:
        return f"a stopped device: its cache set {words['cset.uuid']} is missing, with data that only the cache has"
    return "a stopped device: `echo DEVICE >/sys/fs/bcache/register` starts it"


def read_superblock(sh: Shell, path: str) -> dict[str, str]:
    """What the tool says of a superblock.

    >>> sh.query("bcache-super-show", "/dev/sda")
    sb.magic		ok
    sb.first_sector		8 [match]
    sb.csum			C4D5E8B4EB8D4E5A [match]
    sb.version		1 [backing device]

    dev.label		(empty)
    dev.uuid		7f3d6f1c-6c1b-4c57-8a0e-0d1d8a7a3c11
    dev.sectors_per_block	1
    dev.sectors_per_bucket	1024
    dev.data.first_sector	16
    dev.data.cache_mode	0 [writethrough]
    dev.data.cache_state	1 [clean]

    cset.uuid		3b0f4b8a-35d7-4e57-9a0c-8d3b2f6f0a22

    Of a version that it does not know it says no more than the number.
    """
    pairs = (line.split(None, 1) for line in sh.query("bcache-super-show", path).splitlines())
    return {pair[0]: pair[1].strip() for pair in pairs if len(pair) == 2}


def is_cache(words: Mapping[str, str]) -> bool:
    """Whether a superblock is that of a cache."""
    return _number(words, "sb.version") in (*CACHES, CACHE_WITH_FEATURES)


def _number(words: Mapping[str, str], name: str) -> int:
    found = re.match(r"\d+", words.get(name, ""))
    return int(found.group()) if found else 0


def _word(value: str) -> str:
    """The word of `0 [writethrough]`."""
    found = re.search(r"\[(.*)\]", value)
    return found.group(1) if found else value


def _cache(device: Device, words: Mapping[str, str]) -> CacheSet:
    cset = words.get("cset.uuid", "")
    bucket = _number(words, "dev.sectors_per_bucket")
    return CacheSet(
        id=f"bcache set:{cset or device.uuid}",
        needs=(device.path,),
        cset=cset,
        uuid=words.get("dev.uuid", device.uuid),
        bucket=bucket * SECTOR,
        buckets=_number(words, "dev.cache.total_sectors") // bucket if bucket else 0,
        block=_number(words, "dev.sectors_per_block") * SECTOR,
        discard=words.get("dev.cache.discard") == "yes",
        replacement=_word(words.get("dev.cache.replacement", "0 [lru]")),
        version=_number(words, "sb.version"),
    )


def _device(survey: Survey, backing: Device, words: Mapping[str, str], path: str, sets: Collection[str]) -> Bcache:
    """A device that runs; its mode and state are the kernel's, which writes them some time later.

    >>> survey.file("/sys/block/bcache0/bcache/cache_mode")
    [writethrough] writeback writearound none
    >>> survey.file("/sys/block/bcache0/bcache/state")
    clean
    """
    folder = f"/sys/block/{survey.devices[path].kernel_name}/bcache"
    uuid, cset, label = words.get("dev.uuid", backing.uuid), words.get("cset.uuid", ""), words.get("dev.label", "")
    state = survey.file(f"{folder}/state").strip() or _word(words.get("dev.data.cache_state", ""))
    return Bcache(
        id=f"bcache:{uuid}",
        needs=(backing.path, *[f"bcache set:{cset}"] * (cset in sets)),
        uuid=uuid,
        mode=_word(survey.file(f"{folder}/cache_mode").strip() or words.get("dev.data.cache_mode", "")),
        block=_number(words, "dev.sectors_per_block") * SECTOR,
        bucket=_number(words, "dev.sectors_per_bucket") * SECTOR,
        data_offset=_number(words, "dev.data.first_sector") * SECTOR,
        label="" if label == "(empty)" else unquote(label),
        cset=cset,
        version=_number(words, "sb.version"),
        state=state,
        device=path,
    )


def contents(_layout: Layout) -> Contents:
    """What devices are looked at, written and started with.

    In the rescue system udev has no rules for them: nothing starts by itself there, as a cache begins to write.
    """
    return Contents(
        programs=["bcache-super-show", "base64", "dd", "ln", "modprobe", "readlink", "seq", "sh", "udevadm"],
        # For whoever makes another one by hand.
        optional_programs=["make-bcache"],
        modules=["bcache"],
        load=["bcache"],
    )


def lacking(item: Item, gone: Collection[str]) -> Item | None:
    """A device without its cache; nothing without what it lies on."""
    if not isinstance(item, Bcache) or item.needs[0] in gone:
        return None
    return replace(item, needs=tuple(need for need in item.needs if need not in gone))
