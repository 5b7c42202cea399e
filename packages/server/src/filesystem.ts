/** Adapter: the kind of file system that a directory lies on, by the number that the kernel gives it. */
import { statfs } from 'node:fs/promises';

const names: Readonly<Record<number, string>> = {
  0xef_53: 'ext4',
  0x58_46_53_42: 'xfs',
  0x91_23_68_3e: 'btrfs',
  0x2f_c1_2f_c1: 'zfs',
  0xf2_f5_20_10: 'f2fs',
  0x01_02_19_94: 'tmpfs',
  0x85_84_58_f6: 'ramfs',
  0x79_4c_76_30: 'overlay',
  0x69_69: 'nfs',
};

/** `ext4`, `tmpfs`, …; the number in hexadecimal when it is none of the known. */
export async function filesystemOf(directory: string): Promise<string> {
  const { type } = await statfs(directory);
  // eslint-disable-next-line no-bitwise
  const kind = type >>> 0;
  return names[kind] ?? `0x${kind.toString(16)}`;
}
