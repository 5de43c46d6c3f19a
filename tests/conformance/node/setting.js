// Where the checks go and as whom: all of it from the environment.

import OpenAI from "openai";

const { env } = process;

export const MODEL = env.SYNAXIS_MODEL;
export const EMBEDDING_MODEL = env.SYNAXIS_EMBEDDING_MODEL ?? MODEL;
export const LIMITED_KEY = env.SYNAXIS_LIMITED_KEY;

// Set when there is no gateway between the client and the provider.
export const IS_DIRECT = "SYNAXIS_DIRECT" in env;

export const HELLO = [{ role: "user", content: "Say hello." }];

export function client(options = {}) {
  return new OpenAI({ baseURL: env.SYNAXIS_BASE_URL, apiKey: env.SYNAXIS_API_KEY, maxRetries: 0, ...options });
}

export function limitedClient() {
  return client({ baseURL: env.SYNAXIS_LIMITED_BASE_URL ?? env.SYNAXIS_BASE_URL, apiKey: LIMITED_KEY });
}
