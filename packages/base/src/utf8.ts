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

export const utf8Encode = (text: string): Uint8Array => encoder.encode(text);

/** Bytes that the text can take at most. */
export const utf8BytesMax = (text: string): number => text.length * 3;

/**
 * Writes the text at `at`, where `utf8BytesMax` bytes must be free, and returns the position after it. Half a surrogate
 * pair is written as U+FFFD.
 */
export function utf8Write(text: string, target: Uint8Array, at: number): number {
  const { length } = text;
  if (length <= loopUnitsMax) {
    let index = 0;
    for (; index < length; index += 1) {
      const unit = text.charCodeAt(index);
      if (unit >= 0x80) break;
      target[at + index] = unit;
    }
    if (index === length) return at + length;
  }
  return at + encoder.encodeInto(text, target.subarray(at)).written;
}

/** The text, or undefined when the bytes are not valid UTF-8. */
export function utf8Decode(bytes: Uint8Array): string | undefined {
  try {
    return decoder.decode(bytes);
  } catch {
    return undefined;
  }
}
