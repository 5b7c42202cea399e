/**
 * Which connections of a listener stay when there are too many. Owns the set of those that were handed to a lane; called
 * by `grpc-listener.ts`. Pure.
 *
 * R1 There are never more than `connectionsMax`.
 * R2 When it is full, the newcomer takes the place of the one that has been without a call for longest: else whoever
 *    opens connections and says nothing would lock everybody out. A connection with a call open is never closed for it.
 */
interface Member {
  readonly close: () => void;
  calls: number;
}

export class ConnectionRoom {
  readonly #connectionsMax: number;
  readonly #members = new Map<string, Member>();
  /** Members without a call, the longest so first. */
  readonly #idle = new Set<string>();

  constructor(connectionsMax: number) {
    this.#connectionsMax = connectionsMax;
  }

  get size(): number {
    return this.#members.size;
  }

  /**
   * `remote`: `host:port` of the other end, unique among open connections. Returns what to call when the connection is
   * over, or undefined when every member has a call open.
   */
  enter(remote: string, close: () => void): (() => void) | undefined {
    if (this.#members.size >= this.#connectionsMax) {
      const [longest] = this.#idle;
      if (longest === undefined) return undefined;
      const member = this.#members.get(longest);
      this.#forget(longest);
      member?.close();
    }
    const member: Member = { close, calls: 0 };
    this.#members.set(remote, member);
    this.#idle.add(remote);
    return () => {
      // The other end may have connected again from the same port before this was heard.
      if (this.#members.get(remote) === member) this.#forget(remote);
    };
  }

  onCall(remote: string): void {
    const member = this.#members.get(remote);
    if (member === undefined) return;
    member.calls += 1;
    this.#idle.delete(remote);
  }

  onCallOver(remote: string): void {
    const member = this.#members.get(remote);
    if (member === undefined) return;
    member.calls -= 1;
    if (member.calls === 0) this.#idle.add(remote);
  }

  closeAll(): void {
    for (const { close } of this.#members.values()) close();
  }

  #forget(remote: string): void {
    this.#members.delete(remote);
    this.#idle.delete(remote);
  }
}
