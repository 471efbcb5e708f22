/** The push role, made from a runtime. */
import { parseConfig } from "../../mesh/config.ts";
import type { PushSource } from "../../mesh/push-source.ts";
import type { Runtime } from "../../mesh/runtime.ts";
import { type StartedWork, shareWork } from "../../mesh/work-share.ts";
import { pushConfig } from "./push-config.ts";
import { PushDelivery } from "./push-delivery.ts";
import { MeshPushDirectory } from "./push-directory-mesh.ts";
import { pushProviderConfig } from "./push-provider-config.ts";
import { openPushProviders } from "./push-providers.ts";
import { startPushScheduler } from "./push-scheduler.ts";

/** Starts notifying of what the source has. @throws ConfigError */
export async function startPush(runtime: Runtime, source: PushSource): Promise<StartedWork> {
  const { clock, metrics, mesh } = runtime;
  const logger = runtime.log("push");
  const config = parseConfig(pushConfig, runtime.environment);
  const provider = await openPushProviders({
    config: parseConfig(pushProviderConfig, runtime.environment),
    clock,
    log: logger,
  });
  const directory = new MeshPushDirectory(mesh, clock);
  const parts = { source, directory, provider, config, clock, logger, metrics };
  const delivery = new PushDelivery(parts);
  const work = await shareWork(runtime, "push", (isOurs) =>
    startPushScheduler({ ...parts, delivery, isOurs }),
  );
  return {
    ...work,
    async stop() {
      await work.stop();
      await provider.close();
    },
  };
}
