import type { MessageInitShape } from "@bufbuild/protobuf";
import type { EdgeSchema } from "../../gen/parley/session/v1/session_pb.js";
import { chooseEdges, type EdgeWish } from "../../mesh/edge-choice.ts";
import { type EdgeOffer, edgeService, offerOf } from "../../mesh/edge-offer.ts";
import type { Registry, Watch } from "../../mesh/registry.ts";

/** The edges that take clients, as the registry has them. */
export class AssignableEdges {
  private offers: readonly EdgeOffer[] = [];
  private readonly watch: Watch;
  private readonly random: () => number;

  /** @param random from 0 to below 1 */
  constructor(registry: Pick<Registry, "watch">, random: () => number = Math.random) {
    this.random = random;
    this.watch = registry.watch(edgeService, (instances) => {
      this.offers = instances.map(offerOf).filter((offer) => offer !== undefined);
    });
  }

  /** The edges to try, the best first. */
  choose(wish: EdgeWish): MessageInitShape<typeof EdgeSchema>[] {
    return chooseEdges(this.offers, wish, this.random).map(({ url, region }) => ({ url, region }));
  }

  /** Follows the registry no more. */
  close(): void {
    this.watch.stop();
  }
}
