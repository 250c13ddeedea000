// Where a member keeps its data: a folder, or a small file system of its own in memory, which can be filled up. Mounting
// one takes rights that not every machine gives; where it cannot be done, there is no full disk to test with.
import { execFileSync } from "node:child_process";
import { closeSync, mkdirSync, openSync, rmSync, statfsSync, writeSync } from "node:fs";
import { join } from "node:path";

export class DataVolume {
  readonly folder: string;
  readonly #root: string;
  readonly #isMounted: boolean;

  private constructor(root: string, isMounted: boolean) {
    this.#root = root;
    this.folder = join(root, "data");
    this.#isMounted = isMounted;
  }

  static folder(root: string): DataVolume {
    mkdirSync(root, { recursive: true });
    return new DataVolume(root, false);
  }

  /** A file system of so many bytes in memory; undefined where that cannot be mounted. */
  static mountSmall(root: string, sizeBytes: number): DataVolume | undefined {
    mkdirSync(root, { recursive: true });
    try {
      execFileSync("mount", ["-t", "tmpfs", "-o", `size=${sizeBytes}`, "quorate-chaos", root], { stdio: "ignore" });
      return new DataVolume(root, true);
    } catch {
      // No rights, no such program, or another operating system.
      return undefined;
    }
  }

  get canFill(): boolean {
    return this.#isMounted;
  }

  /** Takes all space but so many bytes. */
  fill(leftBytes: number): void {
    const { bavail, bsize } = statfsSync(this.#root);
    const file = openSync(join(this.#root, "ballast"), "a");
    const block = Buffer.alloc(64 * 1024);
    try {
      for (let left = bavail * bsize - leftBytes; left > 0; left -= block.length) {
        writeSync(file, block, 0, Math.min(left, block.length));
      }
    } catch (error) {
      // The member takes space at the same time.
      if ((error as NodeJS.ErrnoException).code !== "ENOSPC") throw error;
    } finally {
      closeSync(file);
    }
  }

  free(): void {
    rmSync(join(this.#root, "ballast"), { force: true });
  }

  /** Loses everything that the member had. */
  wipe(): void {
    rmSync(this.folder, { recursive: true, force: true });
  }

  dispose(): void {
    if (this.#isMounted) execFileSync("umount", ["-l", this.#root], { stdio: "ignore" });
    rmSync(this.#root, { recursive: true, force: true });
  }
}
