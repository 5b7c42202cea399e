#!/bin/sh
# A file system on a device that hangs when it is told to. It lies in a file on another file system. Frozen is the lower one,
# and writes are taken into the page cache as ever, and no sync ends until it answers again; or the upper one, and no write
# ends either. Needs root and loop devices.
#
#   hanging-disk.sh MOUNT_POINT
#
# Says `done` for the mount and for each line that it reads: `hang-syncs`, `hang-writes` or
# `answer`. At the end of its input, so however its caller ends, the disk answers and everything that was made is gone; what
# still has files open there has 30 s to end.
set -eu
trap '' INT TERM HUP
mount_point=$1
place=$(mktemp -d "${TMPDIR:-/tmp}/sluice-hanging-XXXXXX")
below=$place/below

unmount() {
  for _ in $(seq 300); do
    mountpoint -q "$1" || return 0
    umount "$1" 2>/dev/null && return 0
    sleep 0.1
  done
  echo "$1 is in use still: its loop device goes when nothing is open there any more" >&2
  umount --lazy "$1"
}

# Fails where nothing hangs.
answer() {
  fsfreeze --unfreeze "$mount_point" 2>/dev/null || fsfreeze --unfreeze "$below" 2>/dev/null
}

clean_up() {
  answer || true
  unmount "$mount_point"
  unmount "$below"
  rm -rf "$place"
}
trap clean_up EXIT

# make FILE BYTES DIRECTORY [OPTION...]: a file system in the file, mounted at the directory. The file is sparse.
make() {
  file=$1
  directory=$3
  truncate -s "$2" "$file"
  shift 3
  mkfs.ext4 -q -F -m 0 "$@" "$file"
  mount -o loop "$file" "$directory"
  rmdir "$directory/lost+found"
}

mkdir "$below"
# Without a journal: what is there does not outlive us.
make "$place/below.img" 2G "$below" -O ^has_journal
make "$below/disk.img" 1G "$mount_point"
echo done
while read -r word; do
  case $word in
    hang-syncs) fsfreeze --freeze "$below" ;;
    hang-writes) fsfreeze --freeze "$mount_point" ;;
    answer) answer ;;
  esac
  echo done
done
