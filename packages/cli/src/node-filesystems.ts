/** On which file systems the nodes keep their data: each says so among its metrics. */

const memoryFilesystems: readonly string[] = ['tmpfs', 'ramfs'];

const askTimeoutMs = 2000;

/** `ext4`, `tmpfs`, … or several joined by commas; `unknown` for nodes that cannot be asked from here. */
export async function nodeFilesystems(adminAddresses: readonly string[]): Promise<string> {
  const found = await Promise.all(adminAddresses.map(filesystemOf));
  return [...new Set(found)].toSorted().join(',');
}

export const isMemoryFilesystem = (filesystem: string): boolean =>
  filesystem.split(',').some((name) => memoryFilesystems.includes(name));

async function filesystemOf(adminAddress: string): Promise<string> {
  try {
    const response = await fetch(`http://${adminAddress}/metrics`, { signal: AbortSignal.timeout(askTimeoutMs) });
    return filesystemIn(await response.text());
  } catch {
    // The admin address may be closed to clients; the figure says `unknown` then.
    return 'unknown';
  }
}

export const filesystemIn = (metrics: string): string =>
  /^sluice_data_filesystem\{type="([^"]+)"\} 1$/m.exec(metrics)?.[1] ?? 'unknown';
