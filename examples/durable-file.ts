/** How a file is replaced so that after a crash either the old or the new text is there, and never something else. */
import { open, rename } from 'node:fs/promises';
import path from 'node:path';

export async function replaceFile(name: string, text: string): Promise<void> {
  const next = `${name}.next`;
  const file = await open(next, 'w');
  try {
    await file.writeFile(text);
    await file.sync();
  } finally {
    await file.close();
  }
  await rename(next, name);
  await syncDirectory(path.dirname(name));
}

/** A name is durable when its directory is. */
export async function syncDirectory(name: string): Promise<void> {
  const directory = await open(name, 'r');
  try {
    await directory.sync();
  } finally {
    await directory.close();
  }
}
