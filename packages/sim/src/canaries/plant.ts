/** Plants a canary in this process: must be called before anything of the product is loaded. */
import { registerHooks } from 'node:module';
import { fileURLToPath } from 'node:url';
import { edited } from './canary.ts';
import type { Canary } from './canary.ts';

const root = fileURLToPath(new URL('../../../../', import.meta.url));

/** Gives a function that throws unless every edit was made, for after the product was loaded. */
export function plant(canary: Canary): () => void {
  const open = new Set(canary.edits);
  registerHooks({
    load: (url, context, nextLoad) => {
      const loaded = nextLoad(url, context);
      const path = url.startsWith('file:') ? fileURLToPath(url).slice(root.length) : '';
      const edits = canary.edits.filter(({ file }) => file === path);
      if (edits.length === 0) return loaded;
      let source = textOf(loaded.source);
      for (const edit of edits) {
        source = edited(source, canary, edit);
        open.delete(edit);
      }
      return { ...loaded, source };
    },
  });
  return () => {
    const missing = [...open].map(({ file }) => file);
    if (missing.length > 0)
      throw new Error(`canary ${canary.name}: not loaded, or loaded before: ${missing.join(', ')}`);
  };
}

function textOf(source: unknown): string {
  if (typeof source === 'string') return source;
  if (source instanceof Uint8Array) return Buffer.from(source).toString('utf8');
  throw new Error('a module without source');
}
