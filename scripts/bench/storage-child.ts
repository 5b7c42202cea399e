/**
 * `node storage-child.ts ROLE DIRECTORY`: what `storage-processes.ts` measures in a process of its own. Prints one line of
 * JSON.
 */
import fs from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { CountingDisk } from './counting-disk.ts';
import { LoadRun, openLog } from './storage-load.ts';
import { giveSnapshots, loadReplicas } from './storage-replicas.ts';

const partitions = 10_000;
const batchBytes = 64 * 1024;
const bytesMax = 10_000_000_000;
const settleMs = 1500;

/** What reads payloads would find holes, and take them for damage. */
const withoutReaders = { rewriteBytesPerSecondMax: 0, scrubBytesPerSecondMax: 0 };

const say = (value: object): void => void fs.writeSync(1, `${JSON.stringify(value)}\n`);

/** As the process is once it has nothing to do. */
async function idle(): Promise<object> {
  await sleep(settleMs);
  const descriptors = fs.existsSync('/proc/self/fd') ? fs.readdirSync('/proc/self/fd').length : 0;
  return { rssMb: process.memoryUsage.rss() / 1e6, descriptors };
}

const roles: Readonly<Record<string, (at: string) => Promise<void>>> = {
  /** The same modules, and no log. */
  async empty() {
    say(await idle());
  },

  async idle(at) {
    const { log, close } = await openLog(at);
    say({ ...(await idle()), partitions: log.logIds().length });
    await close();
  },

  /** One batch in each partition. */
  async fill(at) {
    const { log, close } = await openLog(at);
    await new LoadRun(log, { batchBytes: 1024, partitions }).append(partitions);
    await close();
    say({});
  },

  /** 10 GB, of which the payloads of all but the last file are holes: recovery does not read them. */
  async 'fill-sparse'(at) {
    const disk = new CountingDisk();
    disk.holesFromBytes = batchBytes / 2;
    const { log, close } = await openLog(at, { disk, limits: withoutReaders });
    const run = new LoadRun(log, { batchBytes, partitions });
    giveSnapshots(log);
    await run.append(Math.floor(bytesMax / batchBytes));
    disk.holesFromBytes = Number.POSITIVE_INFINITY;
    const { journalFiles } = log.stats;
    while (log.stats.journalFiles === journalFiles) await run.append(64);
    // Half of the last file.
    await run.append(2048);
    await close();
    say({ diskBytes: log.stats.diskBytes, files: log.stats.journalFiles });
  },

  async open(at) {
    await recovered(at, true);
  },

  async 'open-and-die'(at) {
    await recovered(at, false);
    process.kill(process.pid, 'SIGKILL');
  },
};

async function recovered(at: string, isClosed: boolean): Promise<void> {
  const cpu = process.cpuUsage();
  const startMs = performance.now();
  const { log, disk, close } = await openLog(at, { limits: withoutReaders });
  const openMs = performance.now() - startMs;
  const knowing = await loadReplicas(log);
  const ms = performance.now() - startMs;
  const { user, system } = process.cpuUsage(cpu);
  const read = [...disk.readBytes].map(([path, bytes]) => ({ bytes, size: fs.statSync(path).size }));
  say({
    ms,
    openMs,
    knowing,
    cpuMs: (user + system) / 1000,
    partitions: log.logIds().length,
    readBytes: read.reduce((bytes, file) => bytes + file.bytes, 0),
    scannedFiles: read.filter(({ bytes, size }) => size > 1_000_000 && bytes > size / 2).length,
    rssMb: process.memoryUsage.rss() / 1e6,
  });
  if (isClosed) await close();
  else await new LoadRun(log, { batchBytes, partitions: 1 }).append(1);
}

const [role = '', at = ''] = process.argv.slice(2);
const run = roles[role];
if (run === undefined) throw new Error(`there is no role ${role}`);
await run(at);
process.exit(0);
