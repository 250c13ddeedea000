// Tells systemd that the member serves (Type=notify). Its socket is a Unix datagram socket, which Node.js does not
// have, so systemd's own small program is asked to do it; the unit then needs NotifyAccess=all.
import { execFile } from "node:child_process";
import type { Logger } from "../../lib/logger.ts";

export function notifyReady(logger: Logger): void {
  const socket = process.env["NOTIFY_SOCKET"] ?? "";
  if (socket === "") return;
  execFile("systemd-notify", ["--ready", `--pid=${process.pid}`], (error) => {
    if (error === null) return;
    logger.log("warn", "systemd was not told that this member is ready: systemd-notify failed or is not installed", {
      error: error.message,
      "notify-socket": socket,
    });
  });
}
