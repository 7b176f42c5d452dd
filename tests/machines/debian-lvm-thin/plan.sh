#!/bin/bash
# Recreates the storage of this machine. THIS DESTROYS data on these disks:
#   disk lab1 (/dev/vdb)
#   disk lab2 (/dev/vdc)
#   disk root (/dev/vda)
# Note: Left out: lv:data/before (a snapshot of linear: its origin is described)
set -e

## Build

# create file system debian12 (ext4)
# DESTROYS everything on /dev/vda
test -b /dev/vda
mke2fs -q -F -t ext4 -U 9018a69d-f6d5-4be6-afbe-3356c3bbc3ee -L debian12 -O none,64bit,dir_index,dir_nlink,ext_attr,extent,extra_isize,filetype,flex_bg,has_journal,huge_file,large_file,metadata_csum,resize_inode,sparse_super -b 4096 -N 262144 -I 256 -G 16 -J size=64 -E hash_seed=2f0eeeec-0452-4846-a4e8-44fc89e7b7d7 -m 4.9999 /dev/vda

# tune file system debian12
tune2fs -r 52428 -u 0 -g 0 -c -1 -i 0s -e continue -o user_xattr,acl -E stride=0,stripe_width=0,hash_alg=half_md4 /dev/vda

# create physical volume dYji05-ApbH-Ndba-a39I-ynJS-aMe7-mikFIb
# DESTROYS everything on /dev/vdc
test -b /dev/vdc
lvm pvcreate --yes --uuid=dYji05-ApbH-Ndba-a39I-ynJS-aMe7-mikFIb --norestorefile --metadatacopies=1 --metadatasize=1044480b --dataalignment=1048576b /dev/vdc

# create partition table on /dev/vdb
# DESTROYS all partitions on /dev/vdb
test -b /dev/vdb
sfdisk --wipe always --wipe-partitions always /dev/vdb <<'END'
label: gpt
label-id: 11111111-2222-4333-8444-555555555501
unit: sectors
first-lba: 2048
last-lba: 8388574

1 : start=2048, size=131072, type=c12a7328-f81f-11d2-ba4b-00a0c93ec93b, uuid=11111111-2222-4333-8444-555555555502, name="EFI System"
2 : start=133120, size=524288, type=0fc63daf-8483-4772-8e79-3d69d8477de4, uuid=11111111-2222-4333-8444-555555555503, name="boot"
3 : start=657408, size=7729152, type=e6d6d379-f507-44c2-a23c-238f2a3df928, uuid=11111111-2222-4333-8444-555555555504, name="LVM data", attrs="GUID:63"
END

# wait for the partitions of /dev/vdb
udevadm settle --timeout=60

# create file system boot (ext4)
# DESTROYS everything on /dev/vdb2
test -b /dev/vdb2
mke2fs -q -F -t ext4 -U 6d31960b-0eed-42bc-9824-3c32cefaa56e -L boot -O none,64bit,dir_index,dir_nlink,ext_attr,extent,extra_isize,filetype,flex_bg,has_journal,huge_file,large_file,resize_inode,sparse_super -b 1024 -N 65536 -I 256 -G 16 -J size=8 -E hash_seed=e9e67c6c-5105-4506-95fd-f8c66e932b80 -m 2.9999 /dev/vdb2

# tune file system boot
tune2fs -r 7864 -u 0 -g 0 -c -1 -i 0s -e continue -o user_xattr,acl -E stride=0,stripe_width=0,hash_alg=half_md4 /dev/vdb2

# create file system EFI (FAT)
# DESTROYS everything on /dev/vdb1
test -b /dev/vdb1
mkfs.vfat -I -F 32 -i BC7CA638 -n EFI -s 1 -S 512 -R 32 -f 2 -M 0xf8 -h 2048 /dev/vdb1

# create physical volume apGOeC-soAq-dh8M-ilVr-McCQ-CKoS-Gx0o9w
# DESTROYS everything on /dev/vdb3
test -b /dev/vdb3
lvm pvcreate --yes --uuid=apGOeC-soAq-dh8M-ilVr-McCQ-CKoS-Gx0o9w --norestorefile --metadatacopies=1 --metadatasize=1044480b --dataalignment=1048576b /dev/vdb3

# create volume group data
lvm vgcreate --physicalextentsize=8388608b --alloc=normal --addtag=lab data /dev/vdb3 /dev/vdc

# create logical volume data/grown (linear)
lvm lvcreate --yes --name=grown --type=linear --wipesignatures=y --extents=8 data /dev/vdb3:243-250

# extend logical volume data/grown (linear)
lvm lvextend --type=linear --extents=+8 data/grown /dev/vdc:67-74

# create logical volume data/linear (linear)
lvm lvcreate --yes --name=linear --type=linear --wipesignatures=y --extents=32 data /dev/vdb3:0-31

# create logical volume data/striped (striped)
lvm lvcreate --yes --name=striped --type=striped --stripes=2 --stripesize=65536b --wipesignatures=y --extents=64 data /dev/vdb3:32-63 /dev/vdc:0-31

# create logical volume data/swap (linear)
lvm lvcreate --yes --name=swap --type=linear --wipesignatures=y --extents=16 data /dev/vdb3:97-112

# create logical volume data/mirror (raid1)
lvm lvcreate --yes --name=mirror --type=raid1 --mirrors=1 --regionsize=2097152b --wipesignatures=y --extents=32 data /dev/vdb3 /dev/vdc

# create logical volume data/pool (thin-pool)
lvm lvcreate --yes --name=pool --type=thin-pool --extents=128 --poolmetadatasize=16777216b --chunksize=131072b --discards=passdown --zero=y data /dev/vdb3

# create logical volume data/thin1 (thin)
lvm lvcreate --yes --name=thin1 --type=thin --virtualsize=3221225472b --thinpool=pool data

# create logical volume data/thin2 (thin)
lvm lvcreate --yes --name=thin2 --type=thin --virtualsize=1073741824b --thinpool=pool data

# stop volume group data
lvm vgchange --activate=n data

# read the metadata of volume group data
lvm vgcfgbackup --file=/run/rear-data.lvm data

# set the recorded UUIDs of volume group data
sed --in-place --file=/dev/stdin /run/rear-data.lvm <<'END'
/^data {/,/^}/s/^\tid = .*/\tid = "dEBabV-ffvi-pmnY-w089-MQbV-ec5H-G6l0UP"/
/^\tlogical_volumes {/,/^\t}/{/^\t\tgrown {/,/^\t\t}/s/^\t\t\tid = .*/\t\t\tid = "dIV0gy-XL1u-wePX-QJSa-vbMK-qQaD-MZ5N5c"/}
/^\tlogical_volumes {/,/^\t}/{/^\t\tlinear {/,/^\t\t}/s/^\t\t\tid = .*/\t\t\tid = "fQchCG-aF5d-V0B2-TXad-XdIT-344s-Ug1jFv"/}
/^\tlogical_volumes {/,/^\t}/{/^\t\tstriped {/,/^\t\t}/s/^\t\t\tid = .*/\t\t\tid = "gHwDBh-udGw-VhYi-RDqr-LbZ5-02UJ-MipRxA"/}
/^\tlogical_volumes {/,/^\t}/{/^\t\tswap {/,/^\t\t}/s/^\t\t\tid = .*/\t\t\tid = "pBFwBd-I68j-2oRd-YigK-pnDB-Af2z-rwYiUy"/}
/^\tlogical_volumes {/,/^\t}/{/^\t\tmirror {/,/^\t\t}/s/^\t\t\tid = .*/\t\t\tid = "VqGWsu-V15h-1jXS-9nnL-NqBq-0LHB-XlATI9"/}
/^\tlogical_volumes {/,/^\t}/{/^\t\tpool {/,/^\t\t}/s/^\t\t\tid = .*/\t\t\tid = "5r5S8O-0cHS-sz6T-3ovJ-zWDA-U0c4-LPdTEc"/}
/^\tlogical_volumes {/,/^\t}/{/^\t\tthin1 {/,/^\t\t}/s/^\t\t\tid = .*/\t\t\tid = "SwNWOS-qDef-iw0I-t4sj-sWa1-TBvZ-PCALK2"/}
/^\tlogical_volumes {/,/^\t}/{/^\t\tthin2 {/,/^\t\t}/s/^\t\t\tid = .*/\t\t\tid = "KzBW7m-v5qr-utdM-8zWt-odhc-p170-EjF3CZ"/}
END

# write the metadata of volume group data
lvm vgcfgrestore --yes --force --file=/run/rear-data.lvm data

# start volume group data
lvm vgchange --activate=y data

# create file system linear (ext4)
# DESTROYS everything on /dev/mapper/data-linear
test -b /dev/mapper/data-linear
mke2fs -q -F -t ext4 -U 8b96e8b1-3774-4ced-91b2-0540f88a587f -L linear -O none,64bit,dir_index,dir_nlink,ext_attr,extent,extra_isize,filetype,flex_bg,has_journal,huge_file,large_file,metadata_csum,resize_inode,sparse_super -b 1024 -N 32768 -I 512 -G 16 -J size=8 -E hash_seed=ee4e1945-bcf5-4610-aecf-40c6dfd0f341 -m 4.9999 /dev/mapper/data-linear

# tune file system linear
tune2fs -r 13107 -u 0 -g 0 -c -1 -i 0s -e continue -o user_xattr,acl -E stride=0,stripe_width=0,hash_alg=half_md4 /dev/mapper/data-linear

# create file system grown (ext3)
# DESTROYS everything on /dev/mapper/data-grown
test -b /dev/mapper/data-grown
mke2fs -q -F -t ext3 -U c6285733-1fb9-4f5b-89d6-f7589b744d77 -L grown -O none,dir_index,ext_attr,filetype,has_journal,large_file,resize_inode,sparse_super -b 1024 -N 32768 -I 256 -J size=4 -E hash_seed=50801095-bdb8-4818-97ed-3d71781baf4b -m 4.9995 /dev/mapper/data-grown

# tune file system grown
tune2fs -r 6553 -u 0 -g 0 -c 30 -i 7776000s -e remount-ro -o user_xattr,acl -E stride=0,stripe_width=0,hash_alg=half_md4 /dev/mapper/data-grown

# create file system striped (xfs)
# DESTROYS everything on /dev/mapper/data-striped
test -b /dev/mapper/data-striped
mkfs.xfs -q -f -L striped -m crc=1,finobt=1,rmapbt=0,reflink=0,bigtime=1,inobtcount=1,uuid=c7df51c6-38af-46b5-ab18-0dbaef9c1a9b -i maxpct=25,sparse=1,nrext64=0,size=1024 -n size=4096 -l size=67108864 -b size=4096 -s size=512 -d agsize=134217728,noalign /dev/mapper/data-striped

# create swap labswap
# DESTROYS everything on /dev/mapper/data-swap
test -b /dev/mapper/data-swap
mkswap --force --uuid=a32c5939-aca7-4a9f-b7b7-c5709a92f653 --label=labswap /dev/mapper/data-swap

# create file system 15dfc5a9-88fa-4e38-a938-25bc897da1dd (xfs)
# DESTROYS everything on /dev/mapper/data-thin1
test -b /dev/mapper/data-thin1
mkfs.xfs -q -f -m crc=1,finobt=1,rmapbt=0,reflink=1,bigtime=1,inobtcount=1,uuid=15dfc5a9-88fa-4e38-a938-25bc897da1dd -i maxpct=25,sparse=1,nrext64=0,size=512 -n size=4096 -l size=67108864,su=131072 -b size=4096 -s size=512 -d agsize=402653184,su=131072,sw=1 /dev/mapper/data-thin1

# `rear recover` continues from here.
rear layout made 6183c3af85144629

## Mount

# create the mount point /
mkdir --parents /mnt/local

# mount /
test -b /dev/vda
mount -t ext4 /dev/vda /mnt/local

# create the mount point /srv/linear
mkdir --parents /mnt/local/srv/linear

# mount /srv/linear
test -b /dev/mapper/data-linear
mount -t ext4 /dev/mapper/data-linear /mnt/local/srv/linear

# create the mount point /srv/striped
mkdir --parents /mnt/local/srv/striped

# mount /srv/striped
test -b /dev/mapper/data-striped
mount -t xfs /dev/mapper/data-striped /mnt/local/srv/striped

# create the mount point /srv/thin
mkdir --parents /mnt/local/srv/thin

# mount /srv/thin
test -b /dev/mapper/data-thin1
mount -t xfs /dev/mapper/data-thin1 /mnt/local/srv/thin
