// A bar on a terminal that says how far a campaign is; nothing where there is no terminal.

export class ProgressBar {
  readonly #total: number;
  readonly #startedMs = Date.now();
  readonly #isShown = process.stderr.isTTY === true;

  constructor(total: number) {
    this.#total = total;
  }

  show(done: number, text: string): void {
    if (!this.#isShown) return;
    const width = 30;
    const share = done / this.#total;
    const bar = "#".repeat(Math.round(share * width)).padEnd(width, ".");
    const leftSeconds = done === 0 ? 0 : ((Date.now() - this.#startedMs) / 1000 / done) * (this.#total - done);
    process.stderr.write(`\r\x1b[K[${bar}] ${done}/${this.#total}, ${Math.ceil(leftSeconds)} s left, ${text}`);
  }

  clear(): void {
    if (this.#isShown) process.stderr.write("\r\x1b[K");
  }
}
