// Entry point for Node: gRPC over HTTP/2.

import { env } from "node:process";
import { createGrpcTransport } from "@connectrpc/connect-node";
import { type ConnectOptions, Spine } from "./spine.js";

export * from "./api.js";

/** A client of the service at baseUrl, such as http://127.0.0.1:8100 (h2c) or https://spine.example. */
export function connect(baseUrl: string, options: ConnectOptions = {}): Spine {
  return new Spine(createGrpcTransport({ baseUrl }), { apiKey: env["GENAI_API_KEY"], ...options });
}
