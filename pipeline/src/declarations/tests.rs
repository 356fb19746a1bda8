//! Comparisons that need no server.
