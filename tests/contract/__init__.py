"""The black-box suite: it holds the running product to docs/contract.md, and knows nothing of its code."""
