"""Signing in with an OpenID Connect provider: the authorization code flow with PKCE (Core 1.0, RFC 7636, RFC 9207).

`configured` is what a provider is told to be, `provider` talks to it, `id_tokens` believes what it says, `trips` are a
browser's way there and back, and `identities` decides whose account it is.
"""
