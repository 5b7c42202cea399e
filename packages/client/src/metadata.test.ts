import { describe, expect, test } from 'vitest';
import { ScriptedCluster } from './scripted-cluster.testing.ts';

const kinds = (cluster: ScriptedCluster): string[] => cluster.statuses.map(({ kind }) => kind);

describe('the watch', () => {
  test('goes to another node when its own is lost, without a pause', async () => {
    const cluster = await ScriptedCluster.start();
    cluster.createTopic('orders', [3]);
    const producer = cluster.client().producer();
    await cluster.clock.outcome(producer.send('orders', { value: 'a' }));
    await cluster.clock.pass(2_000);
    cluster.kill(1);
    const lostMs = cluster.clock.monotonicMs();
    await cluster.clock.settle();
    expect(kinds(cluster)).toEqual(['connected', 'disconnected', 'connected']);
    expect(cluster.clock.monotonicMs()).toBe(lostMs);
    cluster.moveLeader('orders', 0, 2);
    await cluster.clock.settle();
    expect(cluster.statuses.at(-1)).toMatchObject({ kind: 'leader-changed', partition: 0, leader: 2 });
  });

  test('tries the bootstrap addresses in turn, and again after a pause', async () => {
    const cluster = await ScriptedCluster.start();
    cluster.createTopic('orders');
    const bootstrap = ['nowhere:1', 'nowhere:2', 'node-2:7650'];
    cluster.kill(2);
    const producer = cluster.client({ bootstrap }).producer();
    const sent = producer.send('orders', { value: 'a' });
    await cluster.clock.pass(3_000);
    await cluster.startNode(2);
    await cluster.clock.outcome(sent, 2_100);
    const addresses = cluster.statuses.flatMap((status) => (status.kind === 'disconnected' ? [status.address] : []));
    expect(addresses.slice(0, 6)).toEqual([...bootstrap, ...bootstrap]);
  });

  test('leaves a node that accepts and says nothing', async () => {
    const cluster = await ScriptedCluster.start();
    cluster.createTopic('orders', [2]);
    cluster.nodes.get(1)!.silent = true;
    const producer = cluster.client().producer();
    await cluster.clock.outcome(producer.send('orders', { value: 'a' }), 1_300);
    expect(kinds(cluster).slice(0, 2)).toEqual(['disconnected', 'connected']);
  });

  test('leaves a node that fell silent 1.25 s after its last word, whenever that was', async () => {
    for (const quietMs of [0, 300, 950, 1_200]) {
      const cluster = await ScriptedCluster.start();
      cluster.createTopic('orders', [1]);
      const producer = cluster.client().producer();
      await cluster.clock.outcome(producer.send('orders', { value: 'a' }));
      await cluster.clock.pass(quietMs);
      cluster.nodes.get(1)!.push({}, 'orders');
      await cluster.clock.settle();
      cluster.network.cut('client', 'node-1');
      await cluster.clock.pass(1_200);
      expect(kinds(cluster)).toEqual(['connected']);
      await cluster.clock.pass(100);
      expect(kinds(cluster)).toEqual(['connected', 'disconnected', 'connected']);
      // Listening elsewhere before the controller misses the node, it hears of the new leader at once.
      cluster.moveLeader('orders', 0, 2);
      await cluster.clock.outcome(producer.send('orders', { value: 'b' }), 1);
      expect(cluster.log('orders').values()).toEqual(['a', 'b']);
    }
  });

  async function silentAfterContact() {
    const cluster = await ScriptedCluster.start();
    cluster.createTopic('orders', [1]);
    await cluster.clock.outcome(cluster.client().producer().send('orders', { value: 'a' }));
    for (const node of cluster.nodes.values()) node.silent = true;
    const watched = (): number[] =>
      [...cluster.nodes.values()].filter(({ watchers }) => watchers.size > 0).map(({ id }) => id);
    return { cluster, watched };
  }

  test('one other node is asked at a time, for half a second, while all are silent', async () => {
    const { cluster, watched } = await silentAfterContact();
    const seen: number[][] = [];
    for (const ms of [1_200, 100, 500]) {
      await cluster.clock.pass(ms);
      seen.push(watched());
    }
    expect(seen).toEqual([[1], [1, 2], [1, 3]]);
    expect(kinds(cluster)).toEqual(['connected']);
    // The first is given up, and the one that is being asked is watched.
    await cluster.clock.pass(250);
    expect([kinds(cluster), watched()]).toEqual([['connected', 'disconnected'], [3]]);
    cluster.nodes.get(2)!.silent = false;
    await cluster.clock.pass(2_000);
    expect([kinds(cluster).slice(-2), watched()]).toEqual([['disconnected', 'connected'], [2]]);
  });

  test('a node that answers late, but before another one, is kept', async () => {
    const { cluster, watched } = await silentAfterContact();
    await cluster.clock.pass(1_400);
    expect(watched()).toEqual([1, 2]);
    cluster.nodes.get(1)!.push({}, 'orders');
    await cluster.clock.pass(900);
    expect(watched()).toEqual([1]);
    // Silent once more, it is asked beside once more.
    await cluster.clock.pass(500);
    expect([watched(), kinds(cluster)]).toEqual([[1, 2], ['connected']]);
  });

  test('another one that cannot be reached is passed over', async () => {
    const { cluster, watched } = await silentAfterContact();
    cluster.kill(2);
    await cluster.clock.pass(1_300);
    expect(watched()).toEqual([1, 3]);
  });

  test('another one that is of another cluster is passed over', async () => {
    const { cluster, watched } = await silentAfterContact();
    cluster.clusterId = 'd'.repeat(32);
    for (const node of [2, 3]) cluster.nodes.get(node)!.silent = false;
    await cluster.clock.pass(1_300);
    expect([watched(), kinds(cluster)]).toEqual([[1], ['connected']]);
  });

  test('a node that lags takes nothing back', async () => {
    const cluster = await ScriptedCluster.start();
    cluster.createTopic('orders', [3]);
    const producer = cluster.client().producer();
    await cluster.clock.outcome(producer.send('orders', { value: 'a' }));
    // Node 2 knows neither the topic nor what happened to it.
    cluster.lagging.set(2, new Map());
    await cluster.clock.pass(2_000);
    cluster.kill(1);
    await cluster.clock.pass(2_000);
    await cluster.clock.outcome(producer.send('orders', { value: 'b' }), 1_000);
    expect(cluster.log('orders').values()).toEqual(['a', 'b']);
  });

  test('leaves a node that is cut off: it still tells of leaders, and knows no controller leader', async () => {
    const cluster = await ScriptedCluster.start();
    cluster.createTopic('orders', [1]);
    const producer = cluster.client().producer();
    await cluster.clock.outcome(producer.send('orders', { value: 'a' }));
    const cutOff = cluster.nodes.get(1)!;
    cluster.lagging.set(1, new Map(cluster.topics));
    cluster.onProduce = ({ node }) => (node === 1 ? 'drop' : 'append');
    const sent = producer.send('orders', { value: 'b' });
    await cluster.clock.settle();
    cluster.moveLeader('orders', 0, 2);
    cutOff.controllerLeader = 0;
    // Quiet for a second, then asked.
    await cluster.clock.outcome(sent, 2_100);
    expect(cluster.log('orders').values()).toEqual(['a', 'b']);
    expect(kinds(cluster)).toEqual(['connected', 'disconnected', 'connected', 'leader-changed']);
  });

  test('leaves a node soon that says that its disk hangs, and not one that gets over it', async () => {
    const cluster = await ScriptedCluster.start();
    cluster.createTopic('orders', [1]);
    await cluster.clock.outcome(cluster.client().producer().send('orders', { value: 'a' }));
    const node = cluster.nodes.get(1)!;
    const says = async (isStalled: boolean, forMs: number): Promise<void> => {
      node.isStalled = isStalled;
      node.controllerLeader = isStalled ? 0 : 1;
      node.push({}, 'orders');
      await cluster.clock.pass(forMs);
    };
    await says(true, 250);
    await says(false, 1_000);
    expect(kinds(cluster)).toEqual(['connected']);
    // That nobody leads the controller was known before.
    node.controllerLeader = 0;
    node.push({}, 'orders');
    await cluster.clock.pass(100);
    await says(true, 290);
    expect(kinds(cluster)).toEqual(['connected']);
    await cluster.clock.pass(20);
    expect(kinds(cluster)).toEqual(['connected', 'disconnected', 'connected']);
  });

  test('stays through an election, and asks all in turn when nobody knows a controller leader', async () => {
    const cluster = await ScriptedCluster.start();
    cluster.createTopic('orders', [3]);
    const producer = cluster.client().producer();
    await cluster.clock.outcome(producer.send('orders', { value: 'a' }));
    const all = [...cluster.nodes.values()];
    const says = (controllerLeader: number): void => {
      for (const node of all) {
        node.controllerLeader = controllerLeader;
        node.push({}, 'orders');
      }
    };
    says(0);
    await cluster.clock.pass(900);
    says(2);
    await cluster.clock.pass(2_000);
    expect(kinds(cluster)).toEqual(['connected']);
    says(0);
    await cluster.clock.pass(5_000);
    const left = cluster.statuses.flatMap((status) => (status.kind === 'disconnected' ? [status.address] : []));
    expect(left.slice(0, 3)).toEqual(['node-1:7650', 'node-2:7650', 'node-3:7650']);
    await cluster.clock.outcome(producer.send('orders', { value: 'b' }), 100);
  });

  test('listens to no other cluster', async () => {
    const cluster = await ScriptedCluster.start();
    cluster.createTopic('orders', [3]);
    const sluice = cluster.client();
    const producer = sluice.producer();
    await cluster.clock.outcome(producer.send('orders', { value: 'a' }));
    cluster.clusterId = 'd'.repeat(32);
    await cluster.clock.pass(2_000);
    const lost = cluster.statuses.find((status) => status.kind === 'disconnected');
    expect(lost).toMatchObject({ error: { code: 'WRONG_CLUSTER' } });
  });
});

describe('administration', () => {
  test('a topic is created when every leader serves, described, listed and deleted', async () => {
    const cluster = await ScriptedCluster.start();
    await using sluice = cluster.client();
    const { clock } = cluster;
    const created = await clock.outcome(sluice.admin.createTopic({ name: 'orders', partitions: 4 }));
    expect(created.partitions.map(({ leader }) => leader)).toEqual([1, 2, 3, 1]);
    expect(created.config).toEqual({ recordBytesMax: '1048576' });
    await clock.outcome(sluice.producer().send('orders', { value: 'a', partition: 2 }));
    const described = await clock.outcome(sluice.admin.describeTopic('orders'));
    expect(described.partitions.map(({ highWatermark }) => highWatermark)).toEqual([0, 0, 1, 0]);
    expect(await clock.outcome(sluice.admin.listTopics())).toEqual([
      { name: 'orders', id: created.id, partitions: 4, replication: 3 },
    ]);
    const again = sluice.admin.createTopic({ name: 'orders' });
    await expect(clock.outcome(again)).rejects.toMatchObject({ code: 'TOPIC_EXISTS' });
    expect(await clock.outcome(sluice.admin.describeCluster())).toMatchObject({
      clusterId: cluster.clusterId,
      nodes: [{ id: 1, state: 'up' }],
      controllerLeader: null,
    });
    await clock.outcome(sluice.admin.deleteTopic('orders'));
    await expect(clock.outcome(sluice.admin.describeTopic('orders'))).rejects.toMatchObject({ code: 'UNKNOWN_TOPIC' });
  });

  test('a topic that the watched node has not heard of yet, or of whose name it knows an older one, is waited for', async () => {
    const cluster = await ScriptedCluster.start();
    cluster.createTopic('orders', [2]);
    await using sluice = cluster.client();
    const { clock } = cluster;
    const old = await clock.outcome(sluice.admin.describeTopic('orders'));
    cluster.lagging.set(1, new Map(cluster.topics));
    cluster.deleteTopic('orders');
    const created = [
      sluice.admin.createTopic({ name: 'orders', partitions: 2 }),
      sluice.admin.createTopic({ name: 'news', partitions: 2 }),
    ];
    await clock.pass(3_000);
    cluster.catchUp(1);
    const [orders, news] = await clock.outcome(Promise.all(created), 2_000);
    expect(orders?.id).not.toBe(old.id);
    expect([orders?.partitions.length, news?.partitions.length]).toEqual([2, 2]);
  });

  test('with nobody there every call says so', async () => {
    const cluster = await ScriptedCluster.start();
    const sluice = cluster.client({ bootstrap: ['nowhere:1'], requestTimeoutMs: 2_000 });
    const { admin } = sluice;
    const calls = [
      admin.describeTopic('a'),
      admin.listOffsets('a'),
      admin.listTopics(),
      admin.describeCluster(),
      admin.createTopic({ name: 'a' }),
      admin.deleteTopic('a'),
    ];
    const settled = await cluster.clock.outcome(Promise.allSettled(calls), 2_100);
    const codes = settled.map((one) => (one.status === 'rejected' ? (one.reason as { code: string }).code : 'ok'));
    expect(codes).toEqual(codes.map(() => 'UNREACHABLE'));
    await cluster.clock.outcome(sluice.close());
  });

  test('offsets wait for a leader, and a description does not', async () => {
    const cluster = await ScriptedCluster.start();
    cluster.createTopic('orders', [0, 1]);
    await using sluice = cluster.client();
    const described = await cluster.clock.outcome(sluice.admin.describeTopic('orders'), 100);
    expect(described.partitions.map(({ leader, logEnd }) => [leader, logEnd])).toEqual([
      [null, null],
      [1, 0],
    ]);
    const offsets = sluice.admin.listOffsets('orders');
    await cluster.clock.pass(1_000);
    cluster.moveLeader('orders', 0, 2);
    expect(await cluster.clock.outcome(offsets, 600)).toHaveLength(2);
    cluster.moveLeader('orders', 0, 0);
    const never = sluice.admin.listOffsets('orders', { timeoutMs: 500 });
    await expect(cluster.clock.outcome(never, 600)).rejects.toMatchObject({ code: 'LEADER_NOT_AVAILABLE' });
  });

  test('offsets of one partition do not wait for the leader of another', async () => {
    const cluster = await ScriptedCluster.start();
    cluster.createTopic('orders', [0, 1]);
    await using sluice = cluster.client();
    const offsets = sluice.admin.listOffsets('orders', { partitions: [1] });
    expect((await cluster.clock.outcome(offsets, 100)).map(({ partition }) => partition)).toEqual([1]);
    const none = sluice.admin.listOffsets('orders', { partitions: [2] });
    await expect(cluster.clock.outcome(none, 100)).rejects.toMatchObject({ code: 'UNKNOWN_PARTITION' });
  });

  test('leaderships go back a hundred at a time, with a pause between', async () => {
    const cluster = await ScriptedCluster.start();
    await using sluice = cluster.client();
    const { clock } = cluster;
    cluster.misplaced = 250;
    const batches: (readonly number[])[] = [];
    const startMs = clock.monotonicMs();
    const done = sluice.admin.electPreferred({
      onBatch: ({ changed, remaining }) => batches.push([clock.monotonicMs() - startMs, changed, remaining]),
    });
    expect(await clock.outcome(done, 1_000)).toBe(250);
    expect(batches).toEqual([
      [0, 100, 150],
      [250, 200, 50],
      [500, 250, 0],
    ]);
    expect(await clock.outcome(sluice.admin.electPreferred())).toBe(0);
    cluster.misplaced = 1_000;
    const late = sluice.admin.electPreferred({ timeoutMs: 600 });
    const error = { code: 'TIMEOUT', details: { changed: 300, remaining: 700 } };
    await expect(clock.outcome(late, 1_000)).rejects.toMatchObject(error);
  });

  test('an aborted call rejects at once', async () => {
    const cluster = await ScriptedCluster.start();
    cluster.createTopic('orders', [0]);
    await using sluice = cluster.client();
    const abort = new AbortController();
    const offsets = sluice.admin.listOffsets('orders', { signal: abort.signal });
    await cluster.clock.pass(100);
    abort.abort();
    await expect(offsets).rejects.toMatchObject({ code: 'CANCELLED' });
  });
});
