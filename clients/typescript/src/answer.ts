// Answers: the contract's messages, with what most callers read within one step.

import type {
  ChoiceDelta,
  Completion,
  CompletionChunk,
  CreateEmbeddingsResponse,
  FinishReason,
} from "./gen/genai_spine/v1/completion_service_pb.js";
import type { Message, ToolCall } from "./gen/genai_spine/v1/message_pb.js";
import type { Cost, Usage } from "./gen/genai_spine/v1/usage_pb.js";

/** What a call consumed and what that cost. */
export interface Spent {
  inputTokens: number;
  outputTokens: number;
  totalTokens: number;
  /** US dollars; undefined when the model's price is not known. */
  cost: number | undefined;
}

/** A whole answer. With several choices, `content`, `toolCalls` and `finishReason` are the first one's. */
export class Answer {
  constructor(readonly completion: Completion) {}

  get content(): string {
    return said(this.completion.choices[0]?.message);
  }

  get toolCalls(): ToolCall[] {
    return this.completion.choices[0]?.message?.toolCalls ?? [];
  }

  get finishReason(): FinishReason | undefined {
    return this.completion.choices[0]?.finishReason;
  }

  get usage(): Spent {
    return spent(this.completion.usage, this.completion.cost);
  }

  get model(): string {
    return this.completion.model;
  }

  get provider(): string {
    return this.completion.provider;
  }

  get requestId(): string {
    return this.completion.requestId;
  }

  get executionId(): string {
    return this.completion.executionId;
  }
}

/** What was added to an answer. With several choices, see `chunk.choices`. */
export class Piece {
  constructor(readonly chunk: CompletionChunk) {}

  /** The next characters of the first choice; empty in a piece that brings something else. */
  get content(): string {
    return this.#first?.content ?? "";
  }

  get finishReason(): FinishReason | undefined {
    return this.#first?.finishReason || undefined;
  }

  /** Only in the last piece. */
  get usage(): Spent | undefined {
    return this.chunk.usage && spent(this.chunk.usage, this.chunk.cost);
  }

  get requestId(): string {
    return this.chunk.requestId;
  }

  get executionId(): string {
    return this.chunk.executionId;
  }

  get #first(): ChoiceDelta | undefined {
    return this.chunk.choices.find((delta) => delta.index === 0);
  }
}

/** Vectors in the order of the texts. */
export class Vectors {
  constructor(readonly response: CreateEmbeddingsResponse) {}

  get vectors(): number[][] {
    return this.response.embeddings.map((embedding) => embedding.values);
  }

  get usage(): Spent {
    return spent(this.response.usage, this.response.cost);
  }

  get model(): string {
    return this.response.model;
  }

  get requestId(): string {
    return this.response.requestId;
  }
}

function said(message: Message | undefined): string {
  let text = "";
  for (const { part } of message?.content ?? []) if (part.case === "text") text += part.value;
  return text;
}

function spent(usage: Usage | undefined, cost: Cost | undefined): Spent {
  return {
    inputTokens: usage?.inputTokens ?? 0,
    outputTokens: usage?.outputTokens ?? 0,
    totalTokens: usage?.totalTokens ?? 0,
    cost: cost?.priceKnown ? cost.costUsd : undefined,
  };
}
