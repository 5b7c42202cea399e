/**
 * What is cut at every disk operation; see `crash-points.testing.ts`. A scenario to come is one more of `workloads`.
 * Limits are so small that every bound is met many times.
 */
import type { Scene, Workload } from './crash-history.testing.ts';

const kib = 1024;
const logNumbers = [0, 1, 2, 3, 4] as const;

/** Everything that a node log does, in any order, with space ahead. */
export const writes: Workload = {
  name: 'writes',
  limits: {
    journalBytesMax: 40 * kib,
    groupBytesMax: 12 * kib,
    tailBytesMax: 64 * kib,
    // In small steps, so that crashes meet them often.
    spaceAheadBytes: 24 * kib,
    zerosAheadBytes: 16 * kib,
  },
  logNumbers,
  recoveryOperations: 25,
  async run(scene: Scene): Promise<void> {
    const { logs, raft, random } = scene;
    const node = await scene.open();
    node.log.raft.load();
    for (let step = 1; step <= 36; step += 1) {
      if (random.below(3) === 0) raft.step(node.log, random);
      else logs.step(node.log, random);
      await scene.step(node);
    }
    await node.close();
  },
};

/** Files so small that most of them die and are dropped. */
const dropping = {
  limits: {
    journalBytesMax: 20 * kib,
    groupBytesMax: 8 * kib,
    tailBytesMax: 16 * kib,
    spaceAheadBytes: 0,
    zerosAheadBytes: 0,
  },
  logNumbers,
  recoveryOperations: 70,
} as const;

/** Steps over a node that is closed and opened again after some of them. */
async function withRestarts(
  scene: Scene,
  { steps, restarts }: { steps: number; restarts: readonly number[] },
  act: (node: Awaited<ReturnType<Scene['open']>>, step: number) => void | Promise<void>,
): Promise<void> {
  let node = await scene.open();
  node.log.raft.load();
  for (let step = 1; step <= steps; step += 1) {
    await act(node, step);
    await scene.step(node);
    if (!restarts.includes(step)) continue;
    await node.close();
    // What waited for a disk that failed is lost, and was reported to nobody.
    if (node.log.failed !== undefined) return;
    node = await scene.open();
  }
  await node.close();
}

/** Topics are trimmed, deleted and made again, Raft entries written and cut, the node opened again. */
export const drops: Workload = {
  name: 'drops',
  ...dropping,
  run(scene: Scene): Promise<void> {
    const { logs, raft, random } = scene;
    return withRestarts(scene, { steps: 34, restarts: [11, 23] }, ({ log }) => {
      const draw = random.below(12);
      if (draw < 3) raft.step(log, random);
      else if (draw < 6) logs.trimEach(log, random, () => scene.note());
      else if (draw < 7) logs.deleteOne(log, random);
      else logs.step(log, random);
    });
  },
};

/** What cut a log lies in a later file than the bytes that it cut: neither may go so that the other comes back (P7). */
export const truncateThenDrop: Workload = {
  name: 'truncate-then-drop',
  ...dropping,
  run(scene: Scene): Promise<void> {
    const { logs, random } = scene;
    return withRestarts(scene, { steps: 27, restarts: [14] }, ({ log }, step) => {
      const number = random.below(3);
      const phase = step % 9;
      if (phase < 5) logs.append(log, number, random);
      else if (phase < 7) {
        // Over the same offsets with other bytes.
        logs.truncate(log, number, random);
        scene.note();
        logs.append(log, number, random);
      } else if (phase === 7) logs.trim(log, number, random);
      else logs.trimEach(log, random, () => scene.note());
    });
  },
};

/** The same ids live again and again, each time from offset 0 on. */
export const deleteAndRecreate: Workload = {
  name: 'delete-and-recreate',
  ...dropping,
  run(scene: Scene): Promise<void> {
    const { logs, random } = scene;
    return withRestarts(scene, { steps: 26, restarts: [8, 17] }, ({ log }) => {
      const number = random.below(3);
      const draw = random.below(8);
      if (draw < 5) logs.append(log, number, random);
      else {
        logs.delete(log, number);
        scene.note();
        if (draw < 7) logs.append(log, number, random);
      }
    });
  },
};

/** Files are rewritten as soon as anything is gained, sets too, while logs are cut, trimmed, deleted and made again. */
export const rewrites: Workload = {
  name: 'rewrites',
  ...dropping,
  limits: { ...dropping.limits, rewriteBytesPerSecondMax: Number.POSITIVE_INFINITY, spaceAmplificationMax: 0 },
  recoveryOperations: 90,
  run(scene: Scene): Promise<void> {
    const { logs, raft, random } = scene;
    return withRestarts(scene, { steps: 34, restarts: [22] }, ({ log }) => {
      const draw = random.below(24);
      if (draw < 3) raft.step(log, random);
      else if (draw < 4) logs.trimEach(log, random, () => scene.note());
      else if (draw < 5) logs.deleteOne(log, random);
      else if (draw < 7) logs.truncate(log, random.below(3), random);
      else logs.step(log, random);
    });
  },
};

/** Snapshots are saved and become the start of the Raft log, which is compacted, replaced and written over; files die and are rewritten meanwhile. */
export const raftSnapshots: Workload = {
  name: 'raft-snapshots',
  ...dropping,
  limits: { ...dropping.limits, rewriteBytesPerSecondMax: Number.POSITIVE_INFINITY, spaceAmplificationMax: 0 },
  recoveryOperations: 90,
  run(scene: Scene): Promise<void> {
    const { logs, raft, random } = scene;
    return withRestarts(scene, { steps: 17, restarts: [11] }, async ({ log }, step) => {
      if (random.below(3) === 0) logs.append(log, random.below(2), random);
      scene.note();
      if (random.below(8) === 0) logs.trimEach(log, random, () => scene.note());
      const phase = step % 3;
      if (phase === 1) raft.step(log, random);
      else if (phase === 2) await raft.save(log, random);
      else raft.compact(log, random);
    });
  },
};

export const workloads: readonly Workload[] = [
  writes,
  drops,
  truncateThenDrop,
  deleteAndRecreate,
  rewrites,
  raftSnapshots,
];

export function workloadNamed(name: string): Workload {
  const found = workloads.find((workload) => workload.name === name);
  if (found === undefined) throw new Error(`there is no workload ${name}`);
  return found;
}
