/** A disk with some methods replaced, for tests; a replacement finds the true file or disk as `this`. */
import type { Disk, DiskFile } from '@sluice/base';

export const withMethods = <T extends object>(target: T, methods: Partial<T>): T =>
  new Proxy(target, {
    get: (object, name) => {
      const value = Reflect.get(methods, name) ?? Reflect.get(object, name);
      return typeof value === 'function' ? (value.bind(object) as unknown) : value;
    },
  });

export function wrappedDisk(disk: Disk, file: Partial<DiskFile>, own: Partial<Disk> = {}): Disk {
  return withMethods(disk, { open: async (path, mode) => withMethods(await disk.open(path, mode), file), ...own });
}
