// Packages of the TypeScript client's folder, which is the working directory, and what all scripts need.

import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";

const require = createRequire(`${process.cwd()}/package.json`);

/** A package, by the name that the client's own code uses for it. */
export const load = (name) => import(pathToFileURL(require.resolve(name)));

export const SPINE = process.env.SPINE_URL;
export const HELLO = [{ role: "user", content: "Hello" }];
export const ECHO = "You said: Hello"; // what the simulators answer

/** OpenAI's simulator: its script and its bill. */
export const upstream = {
  script: (...replies) => post("/_script", { replies }),
  reset: () => post("/_reset", {}),
  bill: async () => (await fetch(process.env.OPENAI_UPSTREAM_URL + "/_bill")).json(),
};

async function post(path, body) {
  const answer = await fetch(process.env.OPENAI_UPSTREAM_URL + path, { method: "POST", body: JSON.stringify(body) });
  if (!answer.ok) throw new Error(await answer.text());
}

/** Seconds of the clock that the simulator's bill uses too. */
export const now = () => Number(process.hrtime.bigint()) / 1e9;

/**
 * Seconds from `leave` to the moment when the simulator lost its client. The machine may be busy, so the
 * fastest of three counts: what is systematically slow is slow every time.
 */
export async function secondsUntilUpstreamStops(leave) {
  let fastest = Infinity;
  for (let attempt = 0; attempt < 3; attempt++) {
    await upstream.reset();
    await upstream.script({ text: Array(100).fill("tok "), interval_s: 0.05 });
    const left = await leave();
    fastest = Math.min(fastest, (await departure()) - left);
  }
  return fastest;
}

async function departure() {
  for (let tries = 0; tries < 100; tries++) {
    const [entry] = await upstream.bill();
    if (entry.disconnected) return entry.disconnected_at;
    await new Promise((done) => setTimeout(done, 20));
  }
  throw new Error("the upstream call was not cancelled within 2 s");
}
