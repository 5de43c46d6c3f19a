//! Where we may connect to: resolved addresses, the SSRF guard.
