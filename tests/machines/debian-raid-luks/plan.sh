#!/bin/bash
# Recreates the storage of this machine. THIS DESTROYS data on these disks:
#   disk lab1 (/dev/vdb)
#   disk lab3 (/dev/vdd)
#   disk lab4 (/dev/vde)
#   disk lab5 (/dev/sda)
#   disk lab7 (/dev/sdd)
#   disk nvme.1b36-6c616236-51454d55204e564d65204374726c-00000001 (/dev/nvme0n1)
#   disk root (/dev/vda)
# Note: Left out: inside /dev/vde5 (the LUKS volume is closed: open it before `rear savelayout`)
# Note: LUKS volume 6a96d826-b64f-4cdf-ae53-40ebbc381f25 (/dev/mapper/vault): the key in slot 3 must be added again
# Note: LUKS volume c0be4f3c-64bd-4dd0-84a4-88781b4d4feb (/dev/mapper/old): its key file /etc/keys/old opens it only after you add it as a key again
set -e
passphrase() { printf 'Passphrase of %s: ' "$1" >&2; IFS= read -rs word </dev/tty; echo >&2; printf %s "$word"; }

## Build

# create file system debian12 (ext4)
# DESTROYS everything on /dev/vda
test -b /dev/vda
mke2fs -q -F -t ext4 -U 0b3059bd-1abf-49e0-b6c5-e0f4b11dcc5c -L debian12 -O none,64bit,dir_index,dir_nlink,ext_attr,extent,extra_isize,filetype,flex_bg,has_journal,huge_file,large_file,metadata_csum,resize_inode,sparse_super -b 4096 -N 262144 -I 256 -G 16 -J size=64 -E hash_seed=516f26ec-727d-496c-a17f-e69072f5a9ed -m 4.9999 /dev/vda

# tune file system debian12
tune2fs -r 52428 -u 0 -g 0 -c -1 -i 0s -e continue -o user_xattr,acl -E stride=0,stripe_width=0,hash_alg=half_md4 /dev/vda

# create RAID array /dev/md125 (raid5)
# DESTROYS everything on /dev/sda, /dev/sdd, /dev/nvme0n1
test -b /dev/sda
test -b /dev/sdd
test -b /dev/nvme0n1
mdadm --create /dev/md125 --run --metadata=1.2 --level=raid5 --raid-devices=3 --uuid=c64af527:9b4f923b:99861730:39c4499a --homehost=debian12 --name=five --data-offset=5120 --size=4189184 --chunk=64 --layout=left-symmetric --bitmap=none /dev/sda /dev/sdd /dev/nvme0n1

# wait for /dev/md125
udevadm settle --timeout=60

# erase the first bytes of /dev/md125
# DESTROYS the first bytes of /dev/md125
test -b /dev/md125
dd if=/dev/zero of=/dev/md125 bs=1048576 count=1 conv=nocreat,notrunc,fsync status=none

# create partition table on /dev/vdb
# DESTROYS all partitions on /dev/vdb
test -b /dev/vdb
sfdisk --wipe always --wipe-partitions always /dev/vdb <<'END'
label: dos
label-id: 0x4a497db3
unit: sectors

1 : start=2048, size=1048576, type=fd
END

# wait for the partitions of /dev/vdb
udevadm settle --timeout=60

# create partition table on /dev/vdd
# DESTROYS all partitions on /dev/vdd
test -b /dev/vdd
sfdisk --wipe always --wipe-partitions always /dev/vdd <<'END'
label: dos
label-id: 0x691efa2d
unit: sectors

1 : start=2048, size=1048576, type=fd, bootable
2 : start=1050624, size=2097152, type=fd
3 : start=3147776, size=5240832, type=5
5 : start=3149824, size=524288, type=83
END

# wait for the partitions of /dev/vdd
udevadm settle --timeout=60

# create partition table on /dev/vde
# DESTROYS all partitions on /dev/vde
test -b /dev/vde
sfdisk --wipe always --wipe-partitions always /dev/vde <<'END'
label: dos
label-id: 0xfb862af4
unit: sectors

1 : start=2048, size=1048576, type=fd, bootable
2 : start=1050624, size=2097152, type=fd
3 : start=3147776, size=5240832, type=5
5 : start=3149824, size=524288, type=83
END

# wait for the partitions of /dev/vde
udevadm settle --timeout=60

# create file system five (ext4)
# DESTROYS everything on /dev/md125
test -b /dev/md125
mke2fs -q -F -t ext4 -U fd1dce73-07c2-4dc7-b0e0-ddc29b39a92f -L five -O none,64bit,dir_index,dir_nlink,ext_attr,extent,extra_isize,filetype,flex_bg,has_journal,huge_file,large_file,metadata_csum,resize_inode,sparse_super -b 4096 -N 524288 -I 256 -G 16 -J size=64 -E hash_seed=e97aeb48-438a-40e3-9d6b-3b4439f66e24,stride=16,stripe_width=32 -m 5.0000 /dev/md125

# tune file system five
tune2fs -r 104729 -u 0 -g 0 -c -1 -i 0s -e continue -o user_xattr,acl -E hash_alg=half_md4 /dev/md125

# create RAID array /dev/md126 (raid10)
# DESTROYS everything on /dev/vdd2, /dev/vde2
test -b /dev/vdd2
test -b /dev/vde2
mdadm --create /dev/md126 --run --metadata=1.2 --level=raid10 --raid-devices=2 --uuid=7ffefb22:f67fb9a8:b1f4ea8d:5c16fc76 --homehost=debian12 --name=system --data-offset=2048 --size=1046528 --chunk=256 --layout=f2 --bitmap=internal /dev/vdd2 /dev/vde2

# wait for /dev/md126
udevadm settle --timeout=60

# erase the first bytes of /dev/md126
# DESTROYS the first bytes of /dev/md126
test -b /dev/md126
dd if=/dev/zero of=/dev/md126 bs=1048576 count=1 conv=nocreat,notrunc,fsync status=none

# create RAID array /dev/md127 (raid1)
# DESTROYS everything on /dev/vdd1, /dev/vde1, /dev/vdb1
test -b /dev/vdd1
test -b /dev/vde1
test -b /dev/vdb1
mdadm --create /dev/md127 --run --metadata=1.0 --level=raid1 --raid-devices=2 --uuid=e8bb92ac:ee4ee2fd:b0a7498d:29adddd8 --homehost=debian12 --name=boot --size=524224 --spare-devices=1 --bitmap=internal /dev/vdd1 /dev/vde1 /dev/vdb1

# wait for /dev/md127
udevadm settle --timeout=60

# erase the first bytes of /dev/md127
# DESTROYS the first bytes of /dev/md127
test -b /dev/md127
dd if=/dev/zero of=/dev/md127 bs=1048576 count=1 conv=nocreat,notrunc,fsync status=none

# create file system mdboot (ext4)
# DESTROYS everything on /dev/md127
test -b /dev/md127
mke2fs -q -F -t ext4 -U b7ca7bd5-1c70-4b43-9650-129f560ffc5a -L mdboot -O none,64bit,dir_index,dir_nlink,ext_attr,extent,extra_isize,filetype,flex_bg,has_journal,huge_file,large_file,metadata_csum,resize_inode,sparse_super -b 1024 -N 131072 -I 256 -G 16 -J size=8 -E hash_seed=f6552ffb-b163-4545-a87c-9b1c667b068a -m 5.0000 /dev/md127

# tune file system mdboot
tune2fs -r 26211 -u 0 -g 0 -c -1 -i 0s -e continue -o user_xattr,acl -E stride=0,stripe_width=0,hash_alg=half_md4 /dev/md127

# create LUKS volume 6a96d826-b64f-4cdf-ae53-40ebbc381f25
# DESTROYS everything on /dev/md126
test -b /dev/md126
passphrase luks:6a96d826-b64f-4cdf-ae53-40ebbc381f25 | cryptsetup luksFormat --batch-mode --type=luks2 --uuid=6a96d826-b64f-4cdf-ae53-40ebbc381f25 --cipher=aes-xts-plain64 --key-size=512 --hash=sha256 --offset=32768 --key-slot=0 --pbkdf=argon2id --pbkdf-memory=16384 --pbkdf-parallel=1 --pbkdf-force-iterations=4 --sector-size=4096 --luks2-metadata-size=16384 --luks2-keyslots-size=16744448 --label=vault --subsystem=rear --key-file=- /dev/md126

# open LUKS volume 6a96d826-b64f-4cdf-ae53-40ebbc381f25 as vault
passphrase luks:6a96d826-b64f-4cdf-ae53-40ebbc381f25 | cryptsetup open --key-file=- /dev/md126 vault

# create LUKS volume af86092d-153e-49b5-8636-70c1fdfdbba4
# DESTROYS everything on /dev/vde5
test -b /dev/vde5
passphrase luks:af86092d-153e-49b5-8636-70c1fdfdbba4 | cryptsetup luksFormat --batch-mode --type=luks2 --uuid=af86092d-153e-49b5-8636-70c1fdfdbba4 --cipher=aes-xts-plain64 --key-size=512 --hash=sha256 --offset=32768 --key-slot=0 --pbkdf=pbkdf2 --pbkdf-force-iterations=1000 --sector-size=512 --luks2-metadata-size=16384 --luks2-keyslots-size=16744448 --key-file=- /dev/vde5

# create LUKS volume c0be4f3c-64bd-4dd0-84a4-88781b4d4feb
# DESTROYS everything on /dev/vdd5
test -b /dev/vdd5
passphrase luks:c0be4f3c-64bd-4dd0-84a4-88781b4d4feb | cryptsetup luksFormat --batch-mode --type=luks1 --uuid=c0be4f3c-64bd-4dd0-84a4-88781b4d4feb --cipher=aes-xts-plain64 --key-size=256 --hash=sha512 --offset=4096 --key-slot=0 --pbkdf-force-iterations=1000 --key-file=- /dev/vdd5

# open LUKS volume c0be4f3c-64bd-4dd0-84a4-88781b4d4feb as old
passphrase luks:c0be4f3c-64bd-4dd0-84a4-88781b4d4feb | cryptsetup open --key-file=- /dev/vdd5 old

# create file system old (ext2)
# DESTROYS everything on /dev/mapper/old
test -b /dev/mapper/old
mke2fs -q -F -t ext2 -U 22d44b20-498b-4956-8e95-829b8fa2fe81 -L old -O none,dir_index,ext_attr,filetype,large_file,resize_inode,sparse_super -b 1024 -N 65024 -I 256 -E hash_seed=799a3720-8383-4ea2-9002-3bb3c6aab380 -m 4.9997 /dev/mapper/old

# tune file system old
tune2fs -r 13004 -u 0 -g 0 -c -1 -i 0s -e continue -o user_xattr,acl -E stride=0,stripe_width=0,hash_alg=half_md4 /dev/mapper/old

# create physical volume DvoQbA-plAc-euVO-tTbF-QC2S-YVo2-ijAfwn
# DESTROYS everything on /dev/mapper/vault
test -b /dev/mapper/vault
lvm pvcreate --yes --uuid=DvoQbA-plAc-euVO-tTbF-QC2S-YVo2-ijAfwn --norestorefile --metadatacopies=1 --metadatasize=1044480b --dataalignment=1048576b /dev/mapper/vault

# create volume group vault
lvm vgcreate --physicalextentsize=4194304b --alloc=normal vault /dev/mapper/vault

# create logical volume vault/home (linear)
lvm lvcreate --yes --name=home --type=linear --wipesignatures=y --extents=100 vault /dev/mapper/vault:0-99

# stop volume group vault
lvm vgchange --activate=n vault

# read the metadata of volume group vault
lvm vgcfgbackup --file=/run/rear-vault.lvm vault

# set the recorded UUIDs of volume group vault
sed --in-place --file=/dev/stdin /run/rear-vault.lvm <<'END'
/^vault {/,/^}/s/^\tid = .*/\tid = "1BomgI-xgck-H7DR-c2Dz-Qed4-qEA5-y2auH2"/
/^\tlogical_volumes {/,/^\t}/{/^\t\thome {/,/^\t\t}/s/^\t\t\tid = .*/\t\t\tid = "x4jDRB-YgYE-kdeS-YGs8-BPaZ-Ue5X-1b0jU1"/}
END

# write the metadata of volume group vault
lvm vgcfgrestore --yes --file=/run/rear-vault.lvm vault

# start volume group vault
lvm vgchange --activate=y vault

# create file system home (xfs)
# DESTROYS everything on /dev/mapper/vault-home
test -b /dev/mapper/vault-home
mkfs.xfs -q -f -L home -m crc=1,finobt=1,rmapbt=0,reflink=1,bigtime=1,inobtcount=1,uuid=a84aab1a-e5a1-4d07-9400-5f2392b16bf6 -i maxpct=25,sparse=1,nrext64=0,size=512 -n size=4096 -l size=67108864 -b size=4096 -s size=4096 -d agsize=104857600,noalign /dev/mapper/vault-home

# `rear recover` continues from here.
rear layout made 9a1001dd88d9ae20

## Mount

# create the mount point /
mkdir --parents /mnt/local

# mount /
test -b /dev/vda
mount -t ext4 /dev/vda /mnt/local

# create the mount point /srv/boot
mkdir --parents /mnt/local/srv/boot

# mount /srv/boot
test -b /dev/md127
mount -t ext4 /dev/md127 /mnt/local/srv/boot

# create the mount point /srv/home
mkdir --parents /mnt/local/srv/home

# mount /srv/home
test -b /dev/mapper/vault-home
mount -t xfs /dev/mapper/vault-home /mnt/local/srv/home
