/**
 * The mark of a stop in order: everything that this directory took is synced, so nothing that was acked from memory is
 * missing. Called by the composition root: taken away first thing at a start, left when the node log is closed (S4).
 *
 * A stop without it was a crash. Topics whose records are acked after the sync lose nothing by that; for the others the
 * node says so when it registers.
 */
import type { BrokerEpoch } from '@sluice/base';
import { SluiceError } from '@sluice/base';
import { type CheckedFile, readChecked, writeChecked } from './checked-file.ts';
import type { DataDirectory } from './data-directory.ts';

const cleanStopFile: CheckedFile = {
  name: 'clean',
  formatVersion: 1,
  remedy: 'It only says that the last stop was in order; without it the node starts as after a crash.',
};

/**
 * True when the last life of the directory, which `brokerEpoch` was granted to, stopped in order. The mark is gone,
 * durably, when it resolves: whatever ends this life, it does not count for it.
 */
export async function takeCleanStop(directory: DataDirectory, brokerEpoch: BrokerEpoch): Promise<boolean> {
  const isClean = await says(directory, brokerEpoch);
  if (isClean === undefined) return false;
  await directory.disk.remove(directory.file(cleanStopFile.name));
  await directory.disk.syncDirectory(directory.path);
  return isClean;
}

/** Everything is synced and nothing more will be written. */
export const leaveCleanStop = (directory: DataDirectory, brokerEpoch: BrokerEpoch): Promise<void> =>
  writeChecked(directory, cleanStopFile, { brokerEpoch });

/** Undefined when there is no mark. One that is damaged, or of another life, proves nothing. */
async function says(directory: DataDirectory, brokerEpoch: BrokerEpoch): Promise<boolean | undefined> {
  try {
    const value = await readChecked(directory, cleanStopFile);
    if (value === undefined) return undefined;
    return typeof value === 'object' && value !== null && 'brokerEpoch' in value && value.brokerEpoch === brokerEpoch;
  } catch (error) {
    if (error instanceof SluiceError && error.code === 'DIRECTORY_DAMAGED') return false;
    throw error;
  }
}
