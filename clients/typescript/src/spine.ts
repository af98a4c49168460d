// The client: a few calls over any transport, with plain inputs and typed errors.

import { type Client, type Transport, createClient } from "@connectrpc/connect";
import { Answer, Piece, Vectors } from "./answer.js";
import { thrown } from "./error.js";
import { CompletionService } from "./gen/genai_spine/v1/completion_service_pb.js";
import { type Model, ModelService } from "./gen/genai_spine/v1/model_service_pb.js";
import {
  type CallOptions,
  type CompletionInput,
  type EmbeddingsInput,
  completionRequest,
  embeddingsRequest,
} from "./request.js";

/** Options of all calls of a client. */
export interface ConnectOptions {
  /** Milliseconds for a whole call. Default: no limit. */
  timeoutMs?: number;
  /** Headers of every call, such as `x-genai-lane`. */
  headers?: Record<string, string>;
  /** Key, for a server that asks for one. Default: in Node that of GENAI_API_KEY, in a browser none. */
  apiKey?: string | undefined;
}

/** Every call throws SpineError, or the signal's reason when it was aborted. */
export class Spine {
  /** The generated client, for all that has no method here. */
  readonly completions: Client<typeof CompletionService>;
  readonly #models: Client<typeof ModelService>;
  readonly #defaults: ConnectOptions;

  constructor(
    /** For clients of other services: `createClient(HealthService, spine.transport)`. */
    readonly transport: Transport,
    options: ConnectOptions = {},
  ) {
    this.completions = createClient(CompletionService, transport);
    this.#models = createClient(ModelService, transport);
    const { apiKey, headers, ...rest } = options;
    const key: Record<string, string> = apiKey ? { authorization: `Bearer ${apiKey}` } : {};
    this.#defaults = { ...rest, headers: { ...key, ...headers } };
  }

  /** The whole answer at once. */
  async complete(input: CompletionInput, options: CallOptions = {}): Promise<Answer> {
    return this.#call(options, async (passed) => {
      return new Answer(await this.completions.createCompletion(completionRequest(input), passed));
    });
  }

  /** The answer as it is made. Leaving the loop ends the call here and at the provider. */
  async *stream(input: CompletionInput, options: CallOptions = {}): AsyncGenerator<Piece, void, void> {
    // The transports do not end a call when their iterator is left, so it is aborted then.
    const left = new AbortController();
    const signal = options.signal ? AbortSignal.any([options.signal, left.signal]) : left.signal;
    try {
      const passed = this.#passed({ ...options, signal });
      for await (const chunk of this.completions.streamCompletion(completionRequest(input), passed)) {
        yield new Piece(chunk);
      }
    } catch (error) {
      throw thrown(error, options.signal);
    } finally {
      left.abort();
    }
  }

  /** One vector for each text. */
  async embed(input: EmbeddingsInput, options: CallOptions = {}): Promise<Vectors> {
    return this.#call(options, async (passed) => {
      return new Vectors(await this.completions.createEmbeddings(embeddingsRequest(input), passed));
    });
  }

  /** All models that can be called, or those of one provider. */
  async models(input: { provider?: string } = {}, options: CallOptions = {}): Promise<Model[]> {
    return this.#call(options, async (passed) => {
      const models: Model[] = [];
      let pageToken = "";
      do {
        const page = await this.#models.listModels({ ...input, pageToken }, passed);
        models.push(...page.data);
        pageToken = page.nextPageToken;
      } while (pageToken !== "");
      return models;
    });
  }

  async #call<T>(options: CallOptions, call: (passed: Passed) => Promise<T>): Promise<T> {
    try {
      return await call(this.#passed(options));
    } catch (error) {
      throw thrown(error, options.signal);
    }
  }

  #passed({ requestId, headers, ...rest }: CallOptions): Passed {
    const own = requestId === undefined ? {} : { "x-request-id": requestId };
    return { ...this.#defaults, ...rest, headers: { ...this.#defaults.headers, ...headers, ...own } };
  }
}

type Passed = Omit<CallOptions, "requestId"> & { headers: Record<string, string> };
