# SPDX-License-Identifier: GPL-3.0-or-later
"""A machine with wireless cards, which the kernel simulates (mac80211_hwsim), and an access point beside it."""

from __future__ import annotations

import subprocess
import tempfile
from pathlib import Path

from . import debian, qemu
from .cache import cached, digest, transcript

PACKAGES = ("wpasupplicant", "hostapd", "iw", "dnsmasq-base")
# A name with quotes, a blank, a sign of comments, and bytes that are no UTF-8.
NAME, PASSPHRASE = b'Caf\xe9 "#1"', "what only guests know"
GATEWAY = "192.168.77.1"
# The second radio is the access point, which has a network of its own.
RADIO, AIR = "wlan0", "ip netns exec air"
START = """
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
mount -t proc proc /proc
mountpoint -q /sys || mount -t sysfs sysfs /sys
mount -t tmpfs tmpfs /run
mount -t tmpfs tmpfs /tmp
ip link set lo up
modprobe mac80211_hwsim
"""
ACCESS_POINT = f"""(
set -e
ip netns add air
iw phy $(cat /sys/class/net/wlan1/phy80211/name) set netns name air
{AIR} ip link set lo up
{AIR} hostapd -B -P /run/hostapd.pid /root/hostapd.conf
{AIR} ip address add {GATEWAY}/24 dev wlan1
{AIR} dnsmasq --conf-file=/dev/null --interface=wlan1 --bind-interfaces --dhcp-range=192.168.77.50,192.168.77.99 \
    --pid-file=/run/dnsmasq.pid --dhcp-leasefile=/run/dnsmasq.leases --user=root
)"""
KNOWN = f"""\
ctrl_interface=/run/wpa_supplicant
network={{
    ssid={NAME.hex()}
    psk="{PASSPHRASE}"
}}
"""
# Most drivers are of no use to it.
DISK = r"""
set -e
mkdir "$2/upper" "$2/work" "$2/tree"
mount -t overlay overlay -o "lowerdir=$1,upperdir=$2/upper,workdir=$2/work" "$2/tree"
cd "$2"/tree/usr/lib/modules/*/kernel
mv drivers/net/wireless/mac80211_hwsim.ko "$2"
rm -rf sound drivers/gpu drivers/media drivers/infiniband drivers/iio drivers/staging drivers/scsi/[a-r]* \
    drivers/net/ethernet drivers/net/wireless/* drivers/usb/gadget drivers/hwmon drivers/platform drivers/tty \
    drivers/char drivers/mmc drivers/i2c drivers/leds drivers/mtd drivers/net/can \
    drivers/net/usb drivers/crypto drivers/message drivers/block/drbd fs/ocfs2 fs/gfs2 fs/ceph
mv "$2/mac80211_hwsim.ko" drivers/net/wireless
depmod --basedir "$2/tree" "$(basename "$(dirname "$PWD")")"
cd "$2/tree"
rm -rf usr/share/doc usr/share/locale usr/share/man usr/lib/udev/hwdb.* usr/lib/firmware
mkdir -p etc/rear/recovery etc/wpa_supplicant
install -m 600 "$2/known" etc/wpa_supplicant/wpa_supplicant-wlan0.conf
truncate --size=3G "$3"
mkfs.ext4 -q -L debian12 -d . "$3"
cd /
umount "$2/tree"
"""


# What an access point asks for, in words of hostapd.conf(5).
WPA2 = f"wpa=2\nrsn_pairwise=CCMP\nwpa_key_mgmt=WPA-PSK\nwpa_passphrase={PASSPHRASE}\n"
WPA3 = f"wpa=2\nrsn_pairwise=CCMP\nwpa_key_mgmt=SAE\nsae_password={PASSPHRASE}\nieee80211w=2\nsae_require_mfp=1\n"
OTHER_KEY = WPA2.replace(PASSPHRASE, "what nobody knows")


def machine() -> qemu.Machine:
    """The machine, for a `with` block, at a mere shell; it forgets what is written to its disk. Then `connect` it."""
    disk, boot = _disk(), debian.tree(*PACKAGES) / "boot"
    (kernel,), (initrd,) = boot.glob("vmlinuz-*"), boot.glob("initrd.img-*")
    return qemu.Machine(
        memory=1024, kernel=kernel, initrd=initrd, command_line=f"{debian.COMMAND_LINE} mitigations=off init=/bin/bash",
        disks=[qemu.Disk(disk, "root", snapshot=True)], transcript=transcript("wireless"),
        accelerator=qemu.accelerator(kernel),
    )  # fmt: skip


def connect(vm: qemu.Machine) -> None:
    """Have it join its network, as its administrator has set it up."""
    vm.shell(r"# ", timeout=600)
    vm.check(START)
    start_access_point(vm, WPA2)
    vm.check(f"wpa_supplicant -B -P /run/supplicant.pid -i {RADIO} -c /etc/wpa_supplicant/wpa_supplicant-wlan0.conf")
    vm.check(f"until grep -qx up /sys/class/net/{RADIO}/operstate; do sleep 0.5; done && dhclient {RADIO}")


def start_access_point(vm: qemu.Machine, security: str) -> None:
    """Have the second radio offer the network, with a DHCP server."""
    vm.put("/root/hostapd.conf", _hostapd(security))
    vm.check(ACCESS_POINT)


def change_access_point(vm: qemu.Machine, security: str) -> None:
    """Have it ask for something else, or for nothing: then it is gone."""
    vm.check("kill $(cat /run/hostapd.pid) && while [ -e /run/hostapd.pid ]; do sleep 0.2; done")
    if security:
        vm.put("/root/hostapd.conf", _hostapd(security))
        vm.check(f"{AIR} hostapd -B -P /run/hostapd.pid /root/hostapd.conf")
        vm.check(f"{AIR} ip address replace {GATEWAY}/24 dev wlan1")


def _hostapd(security: str) -> bytes:
    return f"interface=wlan1\ndriver=nl80211\nssid2={NAME.hex()}\nhw_mode=g\nchannel=1\n{security}".encode()


def _disk() -> Path:
    layers = debian.with_rear(*PACKAGES)

    def make(path: Path) -> None:
        with tempfile.TemporaryDirectory(dir=path.parent) as work:
            Path(work, "known").write_text(KNOWN)
            argv = ["unshare", "--mount", "--propagation=private", "sh", "-c", DISK, "sh"]
            subprocess.run([*argv, ":".join(map(str, layers)), work, path], check=True, timeout=600)

    return cached("wireless-disk", digest(DISK, KNOWN, *(layer.name for layer in layers)), make)
