# SPDX-License-Identifier: GPL-3.0-or-later
"""Types of file systems that lie on no disk of the machine, as fstab and the kernel write them."""

from __future__ import annotations

# In memory or made by the kernel: nothing is lost, so nothing is said.
VIRTUAL = frozenset(
    [
        "autofs",
        "bdev",
        "binder",
        "binfmt_misc",
        "bpf",
        "cgroup",
        "cgroup2",
        "configfs",
        "cpuset",
        "debugfs",
        "devpts",
        "devtmpfs",
        "efivarfs",
        "functionfs",
        "fusectl",
        "hugetlbfs",
        "mqueue",
        "nfsd",
        "nsfs",
        "ocfs2_dlmfs",
        "openpromfs",
        "proc",
        "pstore",
        "ramfs",
        "resctrl",
        "rootfs",
        "rpc_pipefs",
        "s390_hypfs",
        "securityfs",
        "selinuxfs",
        "smackfs",
        "spufs",
        "sysfs",
        "tmpfs",
        "tracefs",
        "xenfs",
    ]
)
NETWORK = frozenset(
    [
        "nfs",
        "nfs4",
        "cifs",
        "smb3",
        "smbfs",
        "ceph",
        "glusterfs",
        "afs",
        "ncpfs",
        "9p",
        "virtiofs",
        "lustre",
        "gfs2",
        "ocfs2",
        "beegfs",
        "davfs",
        "orangefs",
        "vboxsf",
        "vmhgfs",
        "prl_fs",
    ]
)
