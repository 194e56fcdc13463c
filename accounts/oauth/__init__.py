"""Signing in with an account at Google or GitHub: authorization code, PKCE, state, and with OpenID Connect a nonce.

The provider proves an e-mail address; who may do what is decided here, by accounts that admins have made.
"""
