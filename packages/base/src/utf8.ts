/**
 * UTF-8, the one thing that pure packages borrow from the platform: these two globals are in every JavaScript runtime,
 * deterministic and without effects, but not in the `esnext` library (ADR 0002).
 */
declare class TextEncoder {
  encode(text: string): Uint8Array;
  encodeInto(text: string, target: Uint8Array): { readonly written: number };
}
declare class TextDecoder {
  constructor(label: string, options: { fatal: boolean; ignoreBOM: boolean });
  decode(bytes: Uint8Array): string;
}

const encoder = new TextEncoder();
const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/** Up to here a loop over ASCII is faster than the call of the platform, which takes 60 ns and a view. */
const loopUnitsMax = 40;

export function utf8Encode(text: string): Uint8Array {
  if (text.length > loopUnitsMax) return encoder.encode(text);
  const bytes = new Uint8Array(text.length);
  return writeAscii(text, bytes, 0) ? bytes : encoder.encode(text);
}

/** Bytes that the text can take at most. */
export const utf8BytesMax = (text: string): number => text.length * 3;

/**
 * Writes the text at `at`, where `utf8BytesMax` bytes must be free, and returns the position after it. Half a surrogate
 * pair is written as U+FFFD.
 */
export function utf8Write(text: string, target: Uint8Array, at: number): number {
  if (text.length <= loopUnitsMax && writeAscii(text, target, at)) return at + text.length;
  return at + encoder.encodeInto(text, target.subarray(at)).written;
}

/** False: something in it is not ASCII, and what was written so far means nothing. */
function writeAscii(text: string, target: Uint8Array, at: number): boolean {
  for (let index = 0; index < text.length; index += 1) {
    const unit = text.charCodeAt(index);
    if (unit >= 0x80) return false;
    target[at + index] = unit;
  }
  return true;
}

/** The text, or undefined when the bytes are not valid UTF-8. */
export function utf8Decode(bytes: Uint8Array): string | undefined {
  try {
    return decoder.decode(bytes);
  } catch {
    return undefined;
  }
}
