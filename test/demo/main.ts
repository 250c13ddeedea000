// `npm run demo`: what Quorate is for, told in one terminal in less than a minute, on members that it starts itself.
// Every step is checked; the exit status is 0 only if all of it was true.
import { connect } from "../../sdk/index.ts";
import { config, discovery, election, lock, type Scene } from "./acts.ts";
import { Cast } from "./cast.ts";
import { cluster } from "./cluster-act.ts";
import { Member } from "./member.ts";
import { Stage, seconds } from "./stage.ts";

/** In the order in which they are played. Each begins and ends with a member that nobody uses; the last brings its own. */
const acts: readonly ((scene: Scene) => Promise<void>)[] = [discovery, lock, election, config, cluster];
/** For people under a minute; a test on a busy machine gives it more. */
const limitMs = Number(process.env["QUORATE_DEMO_LIMIT_MS"] ?? 58_000);
/** Plays; returns when all is told, and everything that was started has ended. */
async function play(stage: Stage, interrupted: Promise<never>): Promise<void> {
  stage.title("Quorate: find services, agree on one, reload settings, survive");
  await using member = await Member.start();
  stage.say(`A member runs at ${member.endpoint} (process ${member.pid}), with an empty data directory.`);
  stage.aside("etcdctl, and any other client of etcd v3, can talk to it while this runs");
  await using client = await connect({ endpoints: member.endpoint });
  await using cast = new Cast(member.endpoint);
  const told = (async () => {
    for (const act of acts) await act({ stage, client, cast });
  })();
  try {
    await Promise.race([told, interrupted]);
  } catch (error) {
    stage.failure(`The story ends here: ${error instanceof Error ? error.message : String(error)}`);
    throw error;
  }
}

const stage = new Stage(process.stdout);
const interrupted = new Promise<never>((_, reject) => {
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) {
    process.once(signal, () => reject(new Error(`interrupted (${signal})`)));
  }
  setTimeout(() => reject(new Error(`the story took longer than ${seconds(limitMs)}`)), limitMs).unref();
});
interrupted.catch(() => undefined);

try {
  await play(stage, interrupted);
  stage.end(`That was all true: ${stage.claims} claims checked in ${seconds(stage.elapsedMs)}.`);
  process.exit(0);
} catch (error) {
  // Told already, unless it never began.
  stage.failure(`The story could not begin: ${error instanceof Error ? error.message : String(error)}`);
  process.exit(1);
}
