/**
 * Makes a stand-in for the official Node image from what this machine has: the running Node, a shell and `env` with their
 * shared libraries, npm, and everything that the install of `deploy/Dockerfile` fetches, so that every step of that file
 * runs unchanged and without a network. It is no distribution: there is nothing else in it.
 */
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  chmodSync,
  copyFileSync,
  existsSync,
  globSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  realpathSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { boundedRun } from './bounded-run.ts';
import { installCommandOf, readDockerfile } from './dockerfile.ts';
import { root } from './repository-files.ts';

export const standInLabel = 'sluice.stand-in';

/** Of the image's root user: npm and pnpm look for their caches below it. */
const home = 'var/lib/stand-in';

const fetchMsMax = 120_000;
const importMsMax = 120_000;

export interface StandInOptions {
  readonly tag: string;
  readonly say: (line: string) => void;
  readonly stop: AbortSignal;
}

/** A stand-in with another stamp than this was made of something else. */
export function standInStamp(): string {
  const install = installCommandOf(readDockerfile());
  const hash = createHash('sha256').update(`${process.version} ${process.arch} ${install.join(' ')}\n`);
  for (const file of ['pnpm-lock.yaml', 'pnpm-workspace.yaml', 'scripts/stand-in.ts']) {
    hash.update(readFileSync(path.join(root, file)));
  }
  return hash.digest('hex').slice(0, 16);
}

/** Throws when it cannot be made here; leaves no file behind. */
export async function makeStandIn(options: StandInOptions): Promise<void> {
  const { tag, say } = options;
  if (process.platform !== 'linux') throw new Error(`a stand-in for ${tag} can be made on Linux only`);
  say(`making a STAND-IN called ${tag} from this machine's Node ${process.version}`);
  say('  it has the libraries of this machine, npm and the dependencies of the lockfile, and no distribution:');
  say('  what is built on it is for trying and testing here. With the real image at hand, remove it and build again:');
  say(`  docker image rm ${tag}`);
  const temporary = mkdtempSync(path.join(tmpdir(), 'sluice-stand-in-'));
  try {
    const tree = path.join(temporary, 'tree');
    writeSystem(tree);
    await fillCaches(tree, temporary, options);
    await importTree(tree, temporary, options);
  } finally {
    rmSync(temporary, { recursive: true, force: true });
  }
}

function writeSystem(tree: string): void {
  const programs = {
    'usr/local/bin/node': process.execPath,
    'bin/sh': '/bin/sh',
    'usr/bin/env': '/usr/bin/env',
  };
  for (const [target, source] of Object.entries(programs)) {
    copy(source, path.join(tree, target));
    copyLibraries(source, tree);
  }
  const files = {
    'etc/passwd': `root:x:0:0:root:/${home}:/bin/sh\nnode:x:1000:1000:node:/home/node:/bin/sh\n`,
    'etc/group': 'root:x:0:\nnode:x:1000:\n',
    'etc/nsswitch.conf': 'hosts: files dns\n',
    // The install that fills the store checks the lockfile with the registry, which has no answer in the image.
    [`${home}/.config/pnpm/config.yaml`]: 'offline: true\ntrustLockfile: true\n',
  };
  for (const [file, text] of Object.entries(files)) {
    mkdirSync(path.dirname(path.join(tree, file)), { recursive: true });
    writeFileSync(path.join(tree, file), text);
  }
  for (const folder of [home, 'home/node', 'tmp', 'opt']) mkdirSync(path.join(tree, folder), { recursive: true });
  chmodSync(path.join(tree, 'tmp'), 0o1777);
}

/** Also those that libc opens by itself to look up a name; newer ones have that built in. */
function copyLibraries(program: string, tree: string): void {
  const named = sharedLibraries(answerOf('ldd', program));
  const folder = path.dirname(named.find((each) => path.basename(each) === 'libc.so.6') ?? '/lib/none');
  const lookUp = ['libnss_files.so.2', 'libnss_dns.so.2', 'libresolv.so.2'].map((each) => path.join(folder, each));
  const all = [...named, ...lookUp.filter((each) => existsSync(each))];
  for (const library of all) copy(library, path.join(tree, library));
}

/** The absolute paths in what `ldd` prints. */
export const sharedLibraries = (output: string): string[] =>
  [...output.matchAll(/(?:^\s*|=> )(\/\S+) \(0x[\da-f]+\)$/gm)].flatMap((match) => match[1] ?? []);

function copy(source: string, target: string): void {
  mkdirSync(path.dirname(target), { recursive: true });
  copyFileSync(source, target);
}

/**
 * npm itself, and pnpm and the packages as downloads, where npm and pnpm look for them. The install is done once here,
 * with the same command, so that nothing that it fetches is missed.
 */
async function fillCaches(tree: string, temporary: string, options: StandInOptions): Promise<void> {
  const [npx, yes, pnpm, ...install] = installCommandOf(readDockerfile());
  if (npx === undefined || yes === undefined || pnpm === undefined) throw new Error('the install command is too short');
  const elsewhere = path.join(temporary, 'elsewhere');
  mkdirSync(elsewhere);
  const global = path.join(tree, 'usr/local');
  mkdirSync(path.join(global, 'lib'), { recursive: true });
  const npmPackage = `npm@${answerOf('npm', '--version')}`;
  await run(['npm', 'install', '--global', '--prefix', global, '--no-audit', npmPackage], { cwd: elsewhere, options });
  mkdirSync(path.join(global, 'etc'), { recursive: true });
  // Downloads are kept by the registry that they came from.
  writeFileSync(
    path.join(global, 'etc/npmrc'),
    `registry=${answerOf('npm', 'config', 'get', 'registry')}\noffline=true\n`,
  );

  const cache = path.join(tree, home, '.npm');
  const env = { ...process.env, npm_config_cache: cache, CI: 'true' };
  const built = path.join(temporary, 'built');
  const quiet = '--disable-warning=ExperimentalWarning';
  await run([process.execPath, quiet, 'scripts/build.ts', built], { cwd: root, options });
  const project = path.join(built, 'manifests');
  const store = path.join(tree, home, '.local/share/pnpm/store');
  await run([npx, yes, pnpm, ...install, '--store-dir', store], { cwd: project, env, options });

  const native = [...programsIn(path.join(cache, '_npx')), ...addonsIn(path.join(project, 'node_modules'))];
  for (const file of native) copyLibraries(file, tree);
  for (const folder of ['_npx', '_logs']) rmSync(path.join(cache, folder), { recursive: true, force: true });
}

/** What npx installed to be run: `HASH/node_modules/.bin/NAME`. */
const programsIn = (folder: string): string[] =>
  globSync('*/node_modules/.bin/*', { cwd: folder }).map((each) => realpathSync(path.join(folder, each)));

const addonsIn = (modules: string): string[] =>
  globSync('.pnpm/*/node_modules/**/*.node', { cwd: modules }).map((each) => path.join(modules, each));

function answerOf(program: string, ...args: readonly string[]): string {
  const { status, stdout, stderr, error } = spawnSync(program, args, { encoding: 'utf8' });
  if (status !== 0) throw new Error(`${program} ${args.join(' ')}: ${error?.message ?? stderr}`);
  return stdout.trim();
}

async function importTree(tree: string, temporary: string, options: StandInOptions): Promise<void> {
  const archive = path.join(temporary, 'tree.tar');
  const { tag } = options;
  // Readable by all, whatever our umask is.
  const access = ['--owner=0', '--group=0', '--numeric-owner', '--mode=a+rX'];
  await run(['tar', ...access, '-C', tree, '-cf', archive, '.'], { cwd: root, options });
  const changes = [
    'ENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin',
    `ENV NODE_VERSION=${process.versions.node}`,
    `LABEL ${standInLabel}=${standInStamp()}`,
    'CMD ["node"]',
  ];
  const flags = changes.flatMap((each) => ['--change', each]);
  await run(['docker', 'import', ...flags, archive, tag], { cwd: root, options });
}

interface Place {
  readonly cwd: string;
  readonly env?: NodeJS.ProcessEnv;
  readonly options: StandInOptions;
}

async function run(command: readonly string[], { cwd, env = process.env, options }: Place): Promise<void> {
  const budgetMs = command[0] === 'docker' ? importMsMax : fetchMsMax;
  const { outcome } = await boundedRun({ command, cwd, env, budgetMs, output: 'stderr', stop: options.stop });
  if (outcome === 'passed') return;
  throw new Error(`the stand-in for ${options.tag} cannot be made: ${command.slice(0, 3).join(' ')} … ${outcome}`);
}
