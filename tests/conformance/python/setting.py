"""Where the checks go and as whom: all of it from the environment."""

import os

BASE_URL = os.environ["SYNAXIS_BASE_URL"].rstrip("/")
API_KEY = os.environ["SYNAXIS_API_KEY"]
MODEL = os.environ["SYNAXIS_MODEL"]
EMBEDDING_MODEL = os.environ.get("SYNAXIS_EMBEDDING_MODEL", MODEL)

# A model served by a provider that speaks Anthropic's language.
ANTHROPIC_MODEL = os.environ.get("SYNAXIS_ANTHROPIC_MODEL")

# A key that may make at most a few calls a minute.
LIMITED_KEY = os.environ.get("SYNAXIS_LIMITED_KEY")
LIMITED_BASE_URL = os.environ.get("SYNAXIS_LIMITED_BASE_URL", BASE_URL).rstrip("/")

# Set when there is no gateway between the client and the provider.
IS_DIRECT = "SYNAXIS_DIRECT" in os.environ
