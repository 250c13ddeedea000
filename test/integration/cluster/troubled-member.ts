// The program that users run, with doors for trouble that cannot be caused from outside: SIGUSR2 blocks its event loop for
// two seconds; from one SIGWINCH to the next each sync of its log takes half a second longer; with each SIGIO its wall clock
// jumps by an hour, forth and back; and TROUBLED_MEMBER_MUTANTS names planted bugs, with commas between, that it is to have.
import type { DiskFile } from "../../../server/lib/disk.ts";
import { armMutation } from "../../../server/lib/mutation.ts";
import { systemDisk } from "../../../server/lib/system-disk.ts";

const blockMs = 2000;
const slowMs = 500;
let isSlow = false;

const delay = (): Promise<void> => (isSlow ? new Promise((resolve) => setTimeout(resolve, slowMs)) : Promise.resolve());

class SlowFile implements DiskFile {
  readonly #file: DiskFile;

  constructor(file: DiskFile) {
    this.#file = file;
  }

  async writeDurably(bytes: Uint8Array, offset: number): Promise<void> {
    await delay();
    await this.#file.writeDurably(bytes, offset);
  }

  write(bytes: Uint8Array, offset: number): Promise<void> {
    return this.#file.write(bytes, offset);
  }

  async sync(): Promise<void> {
    await delay();
    await this.#file.sync();
  }

  read(offset: number, length: number): Buffer {
    return this.#file.read(offset, length);
  }

  sizeBytes(): number {
    return this.#file.sizeBytes();
  }

  close(): Promise<void> {
    return this.#file.close();
  }
}

const open = systemDisk.open.bind(systemDisk);
systemDisk.open = (path, mode) => new SlowFile(open(path, mode));

process.on("SIGUSR2", () => {
  for (const endMs = performance.now() + blockMs; performance.now() < endMs; );
});
process.on("SIGWINCH", () => {
  isSlow = !isSlow;
});

const jumpMs = 3_600_000;
const readWallClock = Date.now;
let offsetMs = 0;
Date.now = () => readWallClock() + offsetMs;
process.on("SIGIO", () => {
  offsetMs = offsetMs > 0 ? -jumpMs : jumpMs;
});

await import("../../../server/raft/mutations.ts");
for (const name of (process.env["TROUBLED_MEMBER_MUTANTS"] ?? "").split(",")) if (name !== "") armMutation(name);
await import("../../../server/cli/main.ts");
