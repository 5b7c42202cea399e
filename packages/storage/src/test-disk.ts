/** A disk with some methods replaced, for tests; a replacement finds the true file or disk as `this`. */
import type { Disk, DiskFile } from '@sluice/base';

export function wrappedDisk(disk: Disk, file: Partial<DiskFile>, own: Partial<Disk> = {}): Disk {
  const override = <T extends object>(target: T, methods: Partial<T>): T =>
    new Proxy(target, {
      get: (object, name) => {
        const value = Reflect.get(methods, name) ?? Reflect.get(object, name);
        return typeof value === 'function' ? (value.bind(object) as unknown) : value;
      },
    });
  return override(disk, { open: async (path, mode) => override(await disk.open(path, mode), file), ...own });
}
