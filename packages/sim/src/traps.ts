/**
 * What no event of a run may touch, because it would answer differently another time: clocks, timers, chance, files,
 * sockets, threads, processes, the garbage collector. Armed by the kernel from the start of an event until every promise
 * reaction to it has run; at all other times everything is as it was, for the test runner that shares the process.
 *
 * A function that somebody took out of its module before the first `Simulation` was made is out of reach. Microtasks are
 * in order, and allowed.
 */
import childProcess from 'node:child_process';
import crypto from 'node:crypto';
import dgram from 'node:dgram';
import dns from 'node:dns';
import fs from 'node:fs';
import http from 'node:http';
import http2 from 'node:http2';
import https from 'node:https';
import { syncBuiltinESMExports } from 'node:module';
import net from 'node:net';
import os from 'node:os';
import timers from 'node:timers';
import timersPromises from 'node:timers/promises';
import tls from 'node:tls';
import workerThreads from 'node:worker_threads';
import zlib from 'node:zlib';

/** A run touched what is not simulated. The run is over: whoever catches this does not save it. */
export class SimulationLeak extends Error {
  override readonly name = 'SimulationLeak';
}

let armed = false;
let installed = false;
let leak: SimulationLeak | undefined;

export function arm(): void {
  armed = true;
}

/** Throws the first leak since it was armed, also one that somebody caught. */
export function disarm(): void {
  armed = false;
  const found = leak;
  leak = undefined;
  if (found !== undefined) throw found;
}

/** The run is over for another reason: who ends it is not held to anything. */
export function standDown(): void {
  armed = false;
  leak = undefined;
}

/** Once for the process; what is trapped works as before while nothing is armed. */
export function installTraps(): void {
  if (installed) return;
  for (const [owner, object, names] of trapped()) for (const name of names) trap(object, name, `${owner}${name}`);
  globalThis.Date = trappedDate();
  syncBuiltinESMExports();
  installed = true;
}

type Methods = Record<string, unknown>;

function trapped(): readonly (readonly [owner: string, object: object, names: readonly string[]])[] {
  const clocks = ['setTimeout', 'setInterval', 'setImmediate'];
  const chance = ['randomBytes', 'randomFill', 'randomFillSync', 'randomInt', 'randomUUID'];
  const keys = ['generateKey', 'generateKeyPair', 'generateKeyPairSync', 'pbkdf2', 'scrypt', 'hkdf'];
  const connections = ['connect', 'createConnection', 'createServer', 'createSecureServer', 'request', 'get'];
  return [
    ['', globalThis, [...clocks, 'fetch', 'WebSocket', 'MessageChannel', 'BroadcastChannel', 'FinalizationRegistry']],
    ['', globalThis, ['WeakRef']],
    ['timers.', timers, clocks],
    ['timers/promises.', timersPromises, clocks],
    ['timers/promises.scheduler.', timersPromises.scheduler, ['wait', 'yield']],
    ['AbortSignal.', AbortSignal, ['timeout']],
    ['Math.', Math, ['random']],
    ['Date.', Date, ['now']],
    ['performance.', performance, ['now']],
    // Before the functions that they belong to, which the next line wraps.
    ['process.hrtime.', process.hrtime, ['bigint']],
    ['process.memoryUsage.', process.memoryUsage, ['rss']],
    ['process.', process, ['hrtime', 'uptime', 'cpuUsage', 'memoryUsage', 'resourceUsage']],
    ['crypto.', globalThis.crypto, ['getRandomValues', 'randomUUID']],
    ['node:crypto.', crypto, [...chance, ...keys]],
    ['fs.', fs, functionsOf(fs).filter((name) => /^[a-z]/.test(name))],
    ['fs.promises.', fs.promises, functionsOf(fs.promises)],
    ...Object.entries({ net, tls, http, https, http2 }).map(
      ([name, object]) => [`${name}.`, object, connections.filter((each) => each in object)] as const,
    ),
    ['net.Socket.', net.Socket.prototype, ['connect']],
    ['dgram.', dgram, ['createSocket']],
    ['dns.', dns, functionsOf(dns).filter((name) => /^(lookup|resolve|reverse)/.test(name))],
    ['os.', os, ['freemem', 'loadavg', 'uptime']],
    ['child_process.', childProcess, functionsOf(childProcess).filter((name) => /^[a-z]/.test(name))],
    ['worker_threads.', workerThreads, ['Worker', 'MessageChannel', 'BroadcastChannel']],
    // Those that answer later do their work in a thread.
    ['zlib.', zlib, functionsOf(zlib).filter((name) => `${name}Sync` in zlib)],
  ];
}

const functionsOf = (object: object): readonly string[] =>
  Object.keys(object).filter((name) => typeof (object as Methods)[name] === 'function');

/** Of a function or a class. */
function trap(object: object, name: string, what: string): void {
  const original = (object as Methods)[name];
  if (typeof original !== 'function') throw new Error(`there is no ${what} to set a trap for`);
  const guarded = new Proxy(original, {
    apply: (target, self, given) => {
      if (armed) spring(what);
      return Reflect.apply(target as (...given: unknown[]) => unknown, self, given);
    },
    construct: (target, given, made) => {
      if (armed) spring(`new ${what}`);
      return Reflect.construct(target, given, made) as object;
    },
  });
  Object.defineProperty(object, name, { value: guarded, writable: true, configurable: true });
}

/** A date of a given time is in order; one of now is not. */
function trappedDate(): DateConstructor {
  return new Proxy(Date, {
    apply: (target) => {
      if (armed) spring('Date()');
      return target();
    },
    construct: (target, given, made) => {
      if (armed && given.length === 0) spring('new Date()');
      return Reflect.construct(target, given, made) as object;
    },
  });
}

function spring(what: string): never {
  const error = new SimulationLeak(
    `${what} was called within a simulated run: it answers differently another time. Take it from a port.`,
  );
  leak ??= error;
  throw error;
}
