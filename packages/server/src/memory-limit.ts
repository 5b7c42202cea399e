/** Whether the memory that the machine or the container gives is enough: a process that is killed for it says nothing. */
import type { NodeConfig } from './config/table.ts';

/**
 * Beside what is configured: Node itself, the heap, receive windows. `npm run -s memory` holds a node with the defaults to
 * 600 MiB under floods; 192 MiB of that are configured.
 */
const otherBytes = 408 * 1024 * 1024;

const budgets = ['tailBytesMax', 'receiveBudgetBytes', 'readBufferBytesMax', 'indexBytesMax'] as const;

export interface MemoryShortage {
  readonly limitBytes: number;
  readonly wantedBytes: number;
}

/** `limitBytes`: as `process.constrainedMemory()` has it; 0 where that is not known. */
export function memoryShortage(
  limitBytes: number,
  config: Pick<NodeConfig, (typeof budgets)[number]>,
): MemoryShortage | undefined {
  let wantedBytes = otherBytes;
  for (const budget of budgets) wantedBytes += config[budget];
  return limitBytes > 0 && limitBytes < wantedBytes ? { limitBytes, wantedBytes } : undefined;
}
