import { clientNetwork } from "../../mesh/client-network.ts";
import { fieldInvalid } from "../../mesh/errors.ts";
import { requireRegion } from "./fields.ts";
import type { SessionHandlers, SessionParts } from "./session-parts.ts";

/** As many as a client is likely to know of. */
const failedUrlsMax = 20;

/** Anybody may ask, so that each address may only so often. */
export function assignEdge(parts: SessionParts): SessionHandlers["assignEdge"] {
  return async (request, { clientAddress }) => {
    const region = requireRegion("region", request.region);
    const { failedUrls } = request;
    if (failedUrls.length > failedUrlsMax) {
      throw fieldInvalid("failed_urls", `${failedUrls.length} are more than ${failedUrlsMax}`);
    }
    parts.allowances.assignments.take(clientNetwork(clientAddress));
    return { edges: parts.edges.choose({ region, failedUrls }) };
  };
}
