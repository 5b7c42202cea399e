/**
 * `Disk` over the file system of the machine. The only file of this package that imports from Node.
 *
 * Owns its file descriptors and directory locks. Callback functions of `fs` rather than its promises: no `FileHandle`
 * that a garbage collector could close.
 */
import fs from 'node:fs';
import net from 'node:net';
import type { Disk, DiskFile, DiskLock, DiskSpace } from '@sluice/base';
import { DiskError, SluiceError } from '@sluice/base';

/** IOV_MAX of Linux and macOS: more buffers than this in one call are refused. */
const buffersPerWriteMax = 1024;
/** How long the holder of a lock may take to tell its process id. */
const holderAnswerMs = 1000;

/** On macOS `O_DSYNC` leaves the bytes in the cache of the drive; what Node calls `fdatasync` there does not. */
const hasDurableWrites = process.platform === 'linux';

type Done<T> = (error: NodeJS.ErrnoException | null, value: T) => void;

export class NodeDisk implements Disk {
  readonly #root: string;

  /** Paths are taken below `root`; absent: below the root of the file system. */
  constructor(root = '') {
    this.#root = root;
  }

  async open(path: string, mode: 'create' | 'existing'): Promise<DiskFile> {
    const { O_RDWR, O_CREAT, O_EXCL } = fs.constants;
    const flags = mode === 'create' ? O_RDWR | O_CREAT | O_EXCL : O_RDWR;
    const descriptor = await call<number>('open', path, (done) => fs.open(this.#at(path), flags, 0o640, done));
    return new NodeDiskFile({ path, at: this.#at(path) }, descriptor);
  }

  /** Durable on return, with every parent that had to be made. */
  async makeDirectory(path: string): Promise<void> {
    const at = this.#at(path);
    const first = await call<string | undefined>('mkdir', path, (done) => fs.mkdir(at, { recursive: true }, done));
    if (first === undefined) return;
    // Each new directory is a name in its parent, from the deepest up to the parent of the first that was made.
    for (let made = at; made.length >= first.length; made = parentOf(made)) await syncPath(parentOf(made));
  }

  async list(path: string): Promise<readonly string[]> {
    try {
      const names = await call<string[]>('list', path, (done) => fs.readdir(this.#at(path), done));
      return names.toSorted();
    } catch (error) {
      if (error instanceof DiskError && error.code === 'ENOENT') return [];
      throw error;
    }
  }

  async exists(path: string): Promise<boolean> {
    try {
      await call<fs.Stats>('stat', path, (done) => fs.stat(this.#at(path), done));
      return true;
    } catch (error) {
      if (error instanceof DiskError && error.code === 'ENOENT') return false;
      throw error;
    }
  }

  rename(from: string, to: string): Promise<void> {
    return callVoid('rename', from, (done) => fs.rename(this.#at(from), this.#at(to), done));
  }

  remove(path: string): Promise<void> {
    return callVoid('remove', path, (done) => fs.unlink(this.#at(path), done));
  }

  syncDirectory(path: string): Promise<void> {
    return syncPath(this.#at(path));
  }

  async space(path: string): Promise<DiskSpace> {
    const { bavail, blocks, bsize } = await call<fs.StatsFs>('statfs', path, (done) => fs.statfs(this.#at(path), done));
    return { freeBytes: bavail * bsize, totalBytes: blocks * bsize };
  }

  lock(path: string): Promise<DiskLock> {
    return lockPath(this.#at(path));
  }

  #at(path: string): string {
    return `${this.#root}${path}`;
  }
}

class NodeDiskFile implements DiskFile {
  readonly #path: string;
  /** On this machine; where a second descriptor is opened. */
  readonly #at: string;
  readonly #descriptor: number;
  /** Opened by the first `writeDurable`. */
  #durable: Promise<number> | undefined;

  constructor({ path, at }: { path: string; at: string }, descriptor: number) {
    this.#path = path;
    this.#at = at;
    this.#descriptor = descriptor;
  }

  async read(target: Uint8Array, position: number): Promise<number> {
    let filled = 0;
    while (filled < target.byteLength) {
      const at = filled;
      const bytes = await call<number>('read', this.#path, (done) =>
        fs.read(this.#descriptor, target, at, target.byteLength - at, position + at, done),
      );
      if (bytes === 0) break;
      filled += bytes;
    }
    return filled;
  }

  async write(buffers: readonly Uint8Array[], position: number): Promise<void> {
    await this.#write(this.#descriptor, buffers, position);
  }

  /** One system call, where there is `O_DSYNC`, in place of two: a hop to the thread pool and back is a fifth of it. */
  async writeDurable(buffers: readonly Uint8Array[], position: number): Promise<void> {
    if (!hasDurableWrites) {
      await this.#write(this.#descriptor, buffers, position);
      await this.sync();
      return;
    }
    this.#durable ??= this.#openDurable();
    await this.#write(await this.#durable, buffers, position);
  }

  sync(): Promise<void> {
    return callVoid('sync', this.#path, (done) => fs.fdatasync(this.#descriptor, done));
  }

  truncate(bytes: number): Promise<void> {
    return callVoid('truncate', this.#path, (done) => fs.ftruncate(this.#descriptor, bytes, done));
  }

  async size(): Promise<number> {
    return (await this.#stat(this.#descriptor)).size;
  }

  async close(): Promise<void> {
    const durable = await this.#durable?.catch(() => undefined);
    if (durable !== undefined) await this.#close(durable);
    await this.#close(this.#descriptor);
  }

  #close(descriptor: number): Promise<void> {
    return callVoid('close', this.#path, (done) => fs.close(descriptor, done));
  }

  async #openDurable(): Promise<number> {
    const flags = fs.constants.O_RDWR | fs.constants.O_DSYNC;
    const descriptor = await call<number>('open', this.#path, (done) => fs.open(this.#at, flags, done));
    const [own, found] = await Promise.all([this.#stat(this.#descriptor), this.#stat(descriptor)]);
    if (own.ino === found.ino && own.dev === found.dev) return descriptor;
    await this.#close(descriptor);
    throw new DiskError('ESTALE', this.#path, `write ${this.#path}: another file has this name now`);
  }

  #stat(descriptor: number): Promise<fs.Stats> {
    return call<fs.Stats>('stat', this.#path, (done) => fs.fstat(descriptor, done));
  }

  async #write(descriptor: number, buffers: readonly Uint8Array[], position: number): Promise<void> {
    let at = position;
    for (let first = 0; first < buffers.length; first += buffersPerWriteMax) {
      at = await this.#writeAll(descriptor, buffers.slice(first, first + buffersPerWriteMax), at);
    }
  }

  /** Returns the position after the last byte. A short write goes on with what is left (S11). */
  async #writeAll(descriptor: number, buffers: readonly Uint8Array[], position: number): Promise<number> {
    let left = buffers.filter((buffer) => buffer.byteLength > 0);
    let at = position;
    while (left.length > 0) {
      const list = left;
      const from = at;
      const written = await call<number>('write', this.#path, (done) => fs.writev(descriptor, list, from, done));
      if (written === 0) throw new DiskError('EIO', this.#path, `write ${this.#path}: the system wrote nothing`);
      at += written;
      left = after(list, written);
    }
    return at;
  }
}

function after(buffers: readonly Uint8Array[], written: number): Uint8Array[] {
  let skipped = written;
  const left: Uint8Array[] = [];
  for (const buffer of buffers) {
    if (skipped >= buffer.byteLength) skipped -= buffer.byteLength;
    else {
      left.push(skipped === 0 ? buffer : buffer.subarray(skipped));
      skipped = 0;
    }
  }
  return left;
}

async function syncPath(at: string): Promise<void> {
  const descriptor = await call<number>('open', at, (done) => fs.open(at, fs.constants.O_RDONLY, done));
  try {
    await callVoid('sync', at, (done) => fs.fsync(descriptor, done));
  } finally {
    await callVoid('close', at, (done) => fs.close(descriptor, done));
  }
}

function call<T>(what: string, path: string, run: (done: Done<T>) => void): Promise<T> {
  return new Promise((resolve, reject) => {
    run((error, value) => {
      if (error === null || error === undefined) resolve(value);
      else reject(new DiskError(error.code ?? 'EIO', path, `${what} ${path}: ${error.message}`, error));
    });
  });
}

const callVoid = (what: string, path: string, run: (done: fs.NoParamCallback) => void): Promise<void> =>
  call<void>(what, path, (done) => run((error) => done(error, undefined)));

function parentOf(path: string): string {
  const slash = path.lastIndexOf('/');
  return slash <= 0 ? '/' : path.slice(0, slash);
}

/**
 * A lock that the kernel releases when the process dies, without native code: a listening unix socket, whose file
 * answers `ECONNREFUSED` from the moment that its process is gone. Unlike an abstract socket or a port it also excludes
 * containers that share a volume; unlike a file with a process id it cannot be fooled by a reused id.
 *
 * A dead socket file cannot be replaced without a race, so it never is. Files are `<path>-<n>`, and the highest n rules:
 * - K1 A socket listens before it gets its name, by `link`, which fails when the name exists: of all that saw n dead,
 *   one becomes n + 1.
 * - K2 The highest n is never removed, dead or not; whoever owns n removes those below.
 * - K3 Who got a name looks again, and gives up when a higher one exists: it had looked before K2 removed its name.
 */
async function lockPath(path: string): Promise<DiskLock> {
  const name = path.slice(path.lastIndexOf('/') + 1);
  const directory = await call<number>('open', parentOf(path), (done) =>
    fs.open(parentOf(path), fs.constants.O_RDONLY, done),
  );
  // Socket paths end at 108 bytes; through the descriptor the directory's own path does not count.
  const base = process.platform === 'linux' ? `/proc/self/fd/${directory}` : parentOf(path);
  const closeDirectory = (): Promise<void> => callVoid('close', path, (done) => fs.close(directory, done));
  try {
    const server = await claim(base, name, path);
    return {
      release: async () => {
        await new Promise<void>((resolve) => server.close(() => resolve()));
        await closeDirectory();
      },
    };
  } catch (error) {
    await closeDirectory();
    throw error;
  }
}

/** Whether a process holds the lock of this path; looks, and changes nothing. `pid` where it says. */
export async function lockHolder(path: string): Promise<{ readonly pid: number | undefined } | undefined> {
  const highest = (await lockNumbers(parentOf(path), path.slice(path.lastIndexOf('/') + 1))).at(-1);
  const holder = highest === undefined ? undefined : await askHolder(`${path}-${highest}`);
  return holder === undefined ? undefined : { pid: holder === '' ? undefined : Number(holder) };
}

async function claim(base: string, name: string, path: string): Promise<net.Server> {
  for (;;) {
    const numbers = await lockNumbers(base, name);
    const highest = numbers.at(-1);
    if (highest !== undefined) await refuseWhenHeld(`${base}/${name}-${highest}`, path);
    const mine = (highest ?? 0) + 1;
    const server = await becomeHolder(base, name, mine, path);
    if (server === undefined) continue;
    const now = await lockNumbers(base, name);
    if (now.at(-1) === mine) {
      const dead = now.filter((number) => number < mine);
      for (const number of dead) await removeIfThere(`${base}/${name}-${number}`);
      return server;
    }
    await new Promise<void>((resolve) => server.close(() => resolve()));
    await removeIfThere(`${base}/${name}-${mine}`);
  }
}

async function lockNumbers(base: string, name: string): Promise<number[]> {
  const names = await call<string[]>('list', base, (done) => fs.readdir(base, done));
  const numbers: number[] = [];
  for (const found of names) {
    const match = /^-(\d{1,15})$/.exec(found.slice(name.length));
    if (found.startsWith(name) && match !== null) numbers.push(Number(match[1]));
  }
  return numbers.toSorted((a, b) => a - b);
}

/** A server that listens under `<name>-<number>`, or undefined when that name was taken meanwhile. */
async function becomeHolder(base: string, name: string, number: number, path: string): Promise<net.Server | undefined> {
  const server = net.createServer((socket) => {
    socket.on('error', () => socket.destroy());
    socket.end(String(process.pid));
  });
  server.unref();
  const unnamed = `${base}/${name}.${process.pid}.${process.hrtime.bigint().toString(36)}`;
  await new Promise<void>((resolve, reject) => {
    server.once('error', (error: NodeJS.ErrnoException) => {
      reject(new DiskError(error.code ?? 'EIO', path, `lock ${path}: ${error.message}`, error));
    });
    server.listen(unnamed, () => resolve());
  });
  try {
    await callVoid('link', unnamed, (done) => fs.link(unnamed, `${base}/${name}-${number}`, done));
    return server;
  } catch (error) {
    await new Promise<void>((resolve) => server.close(() => resolve()));
    if (error instanceof DiskError && error.code === 'EEXIST') return undefined;
    throw error;
  } finally {
    await removeIfThere(unnamed);
  }
}

async function refuseWhenHeld(socketPath: string, path: string): Promise<void> {
  const holder = await askHolder(socketPath);
  if (holder === undefined) return;
  const who = holder === '' ? 'another process' : `process ${holder}`;
  throw new SluiceError('DIRECTORY_LOCKED', {
    message: `${parentOf(path)} is in use by ${who}; stop it or choose another directory.`,
    details: { directory: parentOf(path), ...(holder === '' ? {} : { pid: Number(holder) }) },
  });
}

/** Undefined when nobody holds it; else the process id, or an empty text when the holder does not answer. */
function askHolder(socketPath: string): Promise<string | undefined> {
  return new Promise((resolve) => {
    let answer = '';
    const socket = net.connect(socketPath);
    socket.setTimeout(holderAnswerMs, () => socket.destroy());
    socket.on('data', (chunk: Buffer) => {
      answer += chunk.toString('latin1');
    });
    socket.on('error', (error: NodeJS.ErrnoException) => {
      // Only these two say that no one listens; anything else (a full backlog, no permission) counts as held.
      resolve(error.code === 'ECONNREFUSED' || error.code === 'ENOENT' ? undefined : '');
    });
    socket.on('close', () => resolve(/^\d{1,10}$/.test(answer) ? answer : ''));
  });
}

async function removeIfThere(path: string): Promise<void> {
  try {
    await callVoid('remove', path, (done) => fs.unlink(path, done));
  } catch (error) {
    if (!(error instanceof DiskError && error.code === 'ENOENT')) throw error;
  }
}
