"""OpenAI's chat completions, for programs that were written against them.

`reading` makes a prompt of their request, `writing` makes their answer of our events. A completion is a generation
without a conversation: it is charged, counted and ended as any other, and kept nowhere.
"""
