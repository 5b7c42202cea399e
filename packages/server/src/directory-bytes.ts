import { DiskError } from '@sluice/base';
import type { Disk } from '@sluice/base';

/** Bytes of the files in a directory, for people: a file that goes meanwhile counts nothing. */
export async function directoryBytes(disk: Disk, path: string): Promise<number> {
  let bytes = 0;
  for (const name of await disk.list(path)) bytes += await fileBytes(disk, `${path}/${name}`);
  return bytes;
}

async function fileBytes(disk: Disk, path: string): Promise<number> {
  try {
    const file = await disk.open(path, 'existing');
    try {
      return await file.size();
    } finally {
      await file.close();
    }
  } catch (error) {
    // Gone since it was listed, or no plain file (the lock is a socket).
    if (error instanceof DiskError) return 0;
    throw error;
  }
}
