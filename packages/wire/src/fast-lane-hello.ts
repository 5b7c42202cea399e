/**
 * The first bytes of a connection: the HTTP/2 preface and one SETTINGS frame, in which a caller of the fast lane
 * announces itself. Everything else in them is left to the HTTP/2 library that gets the connection. Pure.
 */

/** The reserved HTTP/2 setting; peers that do not know it must ignore it. Its value is the version of the lane. */
export const laneSettingId = 0xf51c;
export const laneVersion = 1;

export type Hello = 'incomplete' | 'fast' | 'slow' | 'malformed';

const preface = new TextEncoder().encode('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n');
const frameHeaderBytes = 9;
const settingsFrameType = 4;
const settingBytes = 6;
const settingsBytesMax = 1_024;

/** Nobody needs to be read further than this to be known. */
export const helloBytesMax: number = preface.byteLength + frameHeaderBytes + settingsBytesMax;

export function readHello(bytes: Uint8Array): Hello {
  const prefaceHere = Math.min(bytes.byteLength, preface.byteLength);
  for (let at = 0; at < prefaceHere; at += 1) if (bytes[at] !== preface[at]) return 'malformed';
  const view = new DataView(bytes.buffer, bytes.byteOffset + prefaceHere, bytes.byteLength - prefaceHere);
  if (view.byteLength < frameHeaderBytes) return 'incomplete';
  const length = view.getUint32(0) >>> 8;
  const isSettings = view.getUint8(3) === settingsFrameType && view.getUint8(4) === 0 && view.getUint32(5) === 0;
  if (!isSettings || length > settingsBytesMax || length % settingBytes !== 0) return 'malformed';
  if (view.byteLength < frameHeaderBytes + length) return 'incomplete';
  return announcesLane(view, length) ? 'fast' : 'slow';
}

function announcesLane(view: DataView, length: number): boolean {
  for (let at = frameHeaderBytes; at < frameHeaderBytes + length; at += settingBytes) {
    if (view.getUint16(at) === laneSettingId) return view.getUint32(at + 2) === laneVersion;
  }
  return false;
}
