/**
 * The command line that runs this command so that, on Linux, it ends with whoever started it,
 * however that ends; as another user, where this process is root.
 */
export function parentBound(command: readonly string[], user?: string): string[] {
  if (process.platform !== "linux") return [...command];
  const isRoot = process.getuid?.() === 0;
  const asUser = user && isRoot ? [`--reuid=${user}`, `--regid=${user}`, "--init-groups"] : [];
  return ["setpriv", "--pdeathsig=TERM", ...asUser, "--", ...command];
}
