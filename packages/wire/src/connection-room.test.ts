import { describe, expect, test } from 'vitest';
import { ConnectionRoom } from './connection-room.ts';

function roomOf(connectionsMax: number): {
  room: ConnectionRoom;
  closed: string[];
  enter: (remote: string) => (() => void) | undefined;
} {
  const room = new ConnectionRoom(connectionsMax);
  const closed: string[] = [];
  return { room, closed, enter: (remote) => room.enter(remote, () => closed.push(remote)) };
}

describe('the connections of a listener', () => {
  test('R2: a newcomer takes the place of the one that has been without a call for longest', () => {
    const { room, closed, enter } = roomOf(3);
    for (const remote of ['a', 'b', 'c']) expect(enter(remote)).toBeDefined();
    room.onCall('a');
    expect(enter('d')).toBeDefined();
    expect(closed).toEqual(['b']);
    room.onCallOver('a');
    expect(enter('e')).toBeDefined();
    expect(enter('f')).toBeDefined();
    expect(closed).toEqual(['b', 'c', 'd']);
    expect(room.size).toBe(3);
  });

  test('R2: one with a call open stays, and when all have one the newcomer goes', () => {
    const { room, closed, enter } = roomOf(2);
    enter('a');
    const leave = enter('b');
    for (const remote of ['a', 'b']) {
      room.onCall(remote);
      room.onCall(remote);
      room.onCallOver(remote);
    }
    expect(enter('c')).toBeUndefined();
    expect(closed).toEqual([]);
    leave?.();
    expect(enter('c')).toBeDefined();
    expect(room.size).toBe(2);
  });

  test('what is said of one that left changes nothing', () => {
    const { room, closed, enter } = roomOf(1);
    const leave = enter('a');
    room.onCall('a');
    leave?.();
    room.onCallOver('a');
    expect(enter('b')).toBeDefined();
    expect(enter('a')).toBeDefined();
    leave?.();
    expect(room.size).toBe(1);
    expect(closed).toEqual(['b']);
  });
});
