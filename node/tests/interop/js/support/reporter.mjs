// One line for every finished group of tests, everything about a failure, and the sums: on a terminal and in a log of CI alike.
import { appendFileSync } from "node:fs";

export default async function* report(source) {
  let passed = 0;
  let failed = 0;
  let skipped = 0;
  for await (const { type, data } of source) {
    if (type === "test:stdout" || type === "test:stderr") yield data.message;
    if (type !== "test:pass" && type !== "test:fail") continue;
    const isGroup = data.details.type === "suite";
    const seconds = (data.details.duration_ms / 1000).toFixed(1);
    const file = data.file?.split("/").at(-1) ?? "";
    if (data.skip !== undefined) skipped += 1;
    else if (type === "test:pass") {
      if (isGroup) yield `  ok ${file}: ${data.name} (${seconds} s)\n`;
      else passed += 1;
    } else if (isGroup) yield `  FAILED ${file}: ${data.name} (${seconds} s)\n`;
    else {
      failed += 1;
      const error = data.details.error?.cause ?? data.details.error;
      yield `  FAILED ${file}:${data.line ?? ""}: ${data.name}\n${String(error?.stack ?? error).replace(/^/gm, "    ")}\n`;
    }
  }
  if (process.env.SOCKEYE_INTEROP_COUNTS) appendFileSync(process.env.SOCKEYE_INTEROP_COUNTS, `${passed} ${failed} ${skipped}\n`);
  yield `  ${passed} passed, ${failed} failed, ${skipped} skipped\n`;
}
