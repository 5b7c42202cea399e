export const checkpointName = (fileId: number): string => `checkpoint-${String(fileId).padStart(20, '0')}.log`;

/** Undefined when the name is not that of a checkpoint. */
export function checkpointFileId(name: string): number | undefined {
  const match = /^checkpoint-(\d{20})\.log$/.exec(name);
  return match === null ? undefined : Number(match[1]);
}
