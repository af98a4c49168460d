// Writes one line of JSON for each test: its name, and what went wrong or "".

import { inspect } from "node:util";

export default async function* (events) {
  for await (const { type, data } of events) {
    if (type === "test:pass") yield line(data.name, "");
    else if (type === "test:fail") yield line(data.name, inspect(data.details.error.cause ?? data.details.error));
  }
}

const line = (test, error) => JSON.stringify({ test, error }) + "\n";
