// Entry point for browsers, and for all that has fetch: gRPC-Web over HTTP/1.1 or HTTP/2.

import { createGrpcWebTransport } from "@connectrpc/connect-web";
import { type ConnectOptions, Spine } from "./spine.js";

export * from "./api.js";

/** A client of the service at baseUrl: Envoy's address. The server's own gRPC port speaks no gRPC-Web. */
export function connect(baseUrl: string, options: ConnectOptions = {}): Spine {
  return new Spine(createGrpcWebTransport({ baseUrl }), options);
}
