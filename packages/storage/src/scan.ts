/**
 * Reads the groups of one journal file in order and tells torn from corrupt (design §3, S5).
 *
 * Group n + 1 is written only after the sync of n returned. So a frame header that is whole and of a later number, found
 * anywhere behind, proves that group n was durable: what is wrong with n is then corruption, and nothing is cut. Damage
 * with nothing valid behind it is the write that a crash interrupted.
 *
 * Space is made ahead of the groups (`space-ahead.ts`): zeros from the last group to the end of the file are its end, and
 * no damage. They are read once, and there are no more of them than one step of that space.
 */
import type { DiskFile } from '@sluice/base';
import { crc32c } from '@sluice/record';
import { FileWindow } from './file-window.ts';
import { type Footer, decodeFooter } from './footer.ts';
import { frameAlignment, frameBytes, FrameKind, type FrameFound, frameHeaderBytes, readFrameHeader } from './frame.ts';
import { journalHeaderBytes } from './journal-file.ts';
import { readRows, type RaftEntryRow, type Row, type RunRow } from './rows.ts';
import { wholeEnd } from './whole-batches.ts';

export interface GroupFound {
  readonly number: number;
  readonly rows: readonly Row[];
  /** Rows whose payload is damaged. */
  readonly damagedRows: ReadonlySet<Row>;
  readonly position: number;
  readonly payloadPosition: number;
  readonly appendedMs: number;
  payloadOf(row: RunRow | RaftEntryRow): Uint8Array;
}

export interface Hole {
  readonly position: number;
  readonly firstGroup: number;
  /** One past the last group that is lost. */
  readonly endGroup: number;
}

export interface ScanSink {
  group(found: GroupFound): void;
  hole(hole: Hole): void;
}

export interface ScanEnd {
  /** `clean`: ends with a whole group. `torn`: what follows `position` is an interrupted write. `footer`: finished. */
  readonly kind: 'clean' | 'torn' | 'footer';
  /** Where the next frame belongs, or where the footer lies. */
  readonly position: number;
  /** Where the next frame belongs, or where the footer ends. */
  readonly end: number;
  readonly nextGroup: number;
  readonly checksum: number;
  readonly footer?: Footer;
}

export interface ScanStart {
  readonly fileId: number;
  readonly firstGroup: number;
  /** Undefined when it is not known: the first frame is then taken as it is. */
  readonly previousChecksum: number | undefined;
  /** Where the first frame lies; absent: behind the header of the file. */
  readonly from?: number;
}

export async function scanJournal(file: DiskFile, start: ScanStart, sink: ScanSink): Promise<ScanEnd> {
  const window = new FileWindow(file, await file.size());
  try {
    return await new Scan(window, start, sink).run();
  } finally {
    window.close();
  }
}

const zerosBytesAtATime = 256 * 1024;

class Scan {
  readonly #window: FileWindow;
  readonly #fileId: number;
  readonly #sink: ScanSink;
  #position: number;
  #next: number;
  #checksum: number | undefined;

  constructor(window: FileWindow, start: ScanStart, sink: ScanSink) {
    this.#window = window;
    this.#fileId = start.fileId;
    this.#sink = sink;
    this.#position = start.from ?? journalHeaderBytes;
    this.#next = start.firstGroup;
    this.#checksum = start.previousChecksum;
  }

  async run(): Promise<ScanEnd> {
    for (;;) {
      const frame = await this.#frameAt(this.#position);
      if (frame !== undefined && this.#isNext(frame)) {
        if (frame.header.kind === FrameKind.footer) {
          const footer = await this.#footer(frame);
          if (footer !== undefined) return this.#end('footer', footer, frameBytes(frame.header));
        } else if (await this.#takeGroup(frame)) continue;
      }
      if (frame === undefined && (await this.#isZeroFrom(this.#position))) return this.#end('clean');
      // Inside a frame whose header is whole lie only its own bytes, whatever they look like.
      const behind = this.#position + (frame === undefined ? frameAlignment : frameBytes(frame.header));
      const later = await this.#findLater(behind);
      if (later === undefined) return this.#end('torn');
      this.#skipTo(later);
    }
  }

  #end(kind: ScanEnd['kind'], footer?: Footer, footerBytes = 0): ScanEnd {
    const end = {
      kind,
      position: this.#position,
      end: this.#position + footerBytes,
      nextGroup: this.#next,
      checksum: this.#checksum ?? 0,
    };
    return footer === undefined ? end : { ...end, footer };
  }

  /** Also at the end of the file. */
  async #isZeroFrom(position: number): Promise<boolean> {
    // One buffer for all of it: the space ahead is megabytes, and nobody keeps them.
    const target = new Uint8Array(zerosBytesAtATime);
    for (let at = position; at < this.#window.size; ) {
      const read = await this.#window.readAside(target, at);
      if (read === 0 || !isZero(target.subarray(0, read))) return false;
      at += read;
    }
    return true;
  }

  async #frameAt(position: number): Promise<FrameFound | undefined> {
    const bytes = await this.#window.at(position, frameHeaderBytes);
    return readFrameHeader(bytes, { fileId: this.#fileId, position });
  }

  #isNext({ header }: FrameFound): boolean {
    const expected = header.kind === FrameKind.footer ? this.#next - 1 : this.#next;
    return header.number === expected && (this.#checksum === undefined || header.previousChecksum === this.#checksum);
  }

  /** Undefined unless all of it is there: a footer may be torn in its sections, behind a whole table. */
  async #footer({ header }: FrameFound): Promise<Footer | undefined> {
    const start = this.#position + frameHeaderBytes;
    if (start + header.tableBytes + header.payloadBytes > this.#window.size) return undefined;
    const body = await this.#window.at(start, header.tableBytes + header.payloadBytes);
    const footer = decodeFooter(header, body.subarray(0, header.tableBytes));
    if (footer === undefined) return undefined;
    const { logs, raft } = footer;
    const sections = [...logs, ...logs.flatMap(({ snapshots }) => snapshots), ...(raft === undefined ? [] : [raft])];
    const whole = sections.every(({ section: { position, bytes, crc } }) => {
      const section = body.subarray(position - start, position - start + bytes);
      return section.length === bytes && crc32c(section) === crc;
    });
    return whole ? footer : undefined;
  }

  /** False when the group cannot be used, or is damaged and nothing proves that it was ever durable. */
  async #takeGroup(frame: FrameFound): Promise<boolean> {
    const { header, checksum } = frame;
    if (this.#position + frameHeaderBytes + header.tableBytes + header.payloadBytes > this.#window.size) return false;
    const bodyBytes = header.tableBytes + header.payloadBytes;
    const body = await this.#window.at(this.#position + frameHeaderBytes, bodyBytes);
    const table = body.subarray(0, header.tableBytes);
    const of = { ...header, group: header.number };
    const rows = crc32c(table) === header.tableCrc ? readRows(table, of) : undefined;
    if (rows === undefined) return false;
    let payload = body.subarray(header.tableBytes);
    const damagedRows = new Set(rows.filter((row) => !isWhole(row, payload)));
    const end = this.#position + frameBytes(header);
    if (damagedRows.size > 0) {
      // The window moves on under the look for what is behind.
      payload = payload.slice();
      if ((await this.#findLater(end)) === undefined) return false;
    }
    const whole = payload;
    this.#sink.group({
      number: header.number,
      rows,
      damagedRows,
      position: this.#position,
      payloadPosition: this.#position + frameHeaderBytes + header.tableBytes,
      appendedMs: header.appendedMs,
      payloadOf: (row) => whole.subarray(row.payloadAt, row.payloadAt + row.bytes),
    });
    this.#position = end;
    this.#next = header.number + 1;
    this.#checksum = checksum;
    return true;
  }

  /** The first frame at or behind `from` that was written after the group that is expected now. */
  async #findLater(from: number): Promise<FrameFound | undefined> {
    for (let position = from; position < this.#window.size; position += frameAlignment) {
      const frame = await this.#frameAt(position);
      if (frame === undefined) continue;
      const { kind, number } = frame.header;
      if (kind === FrameKind.footer ? number >= this.#next : number > this.#next) return frame;
    }
    return undefined;
  }

  #skipTo({ header }: FrameFound): void {
    const number = header.kind === FrameKind.footer ? header.number + 1 : header.number;
    this.#sink.hole({ position: this.#position, firstGroup: this.#next, endGroup: number });
    this.#position = header.position;
    this.#next = number;
    this.#checksum = undefined;
  }
}

/** By words: what lies ahead of the groups is megabytes. */
function isZero(bytes: Uint8Array): boolean {
  const lead = Math.min(bytes.length, -bytes.byteOffset & 3);
  const words = new Int32Array(bytes.buffer, bytes.byteOffset + lead, (bytes.length - lead) >>> 2);
  for (let at = 0; at < words.length; at += 1) if (words[at] !== 0) return false;
  for (let at = 0; at < lead; at += 1) if (bytes[at] !== 0) return false;
  for (let at = lead + words.byteLength; at < bytes.length; at += 1) if (bytes[at] !== 0) return false;
  return true;
}

function isWhole(row: Row, payload: Uint8Array): boolean {
  if (row.kind !== 'run' && row.kind !== 'raft-entry') return true;
  const bytes = payload.subarray(row.payloadAt, row.payloadAt + row.bytes);
  if (bytes.length !== row.bytes) return false;
  return row.kind === 'run' ? wholeEnd(bytes, row) === row.end : crc32c(bytes) === row.crc;
}
