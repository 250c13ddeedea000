// Loaded into a member before its program (`node --import`): lets another process record its CPU profile for a while.
// The first SIGUSR2 starts recording, the second writes the profile to the file in QUORATE_BENCH_PROFILE.
import { renameSync, writeFileSync } from "node:fs";
import { Session } from "node:inspector";

const intervalMicros = 200;
const file = process.env["QUORATE_BENCH_PROFILE"];

if (file !== undefined) {
  const session = new Session();
  session.connect();
  session.post("Profiler.enable");
  session.post("Profiler.setSamplingInterval", { interval: intervalMicros });
  let isRecording = false;
  process.on("SIGUSR2", () => {
    isRecording = !isRecording;
    if (isRecording) {
      session.post("Profiler.start");
      return;
    }
    session.post("Profiler.stop", (error, result) => {
      if (error !== null) throw error;
      // Whoever waits for the file must not find half of it.
      writeFileSync(`${file}.tmp`, JSON.stringify(result.profile));
      renameSync(`${file}.tmp`, file);
    });
  });
}
