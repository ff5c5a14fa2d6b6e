//! Engine.IO 4: packets, polling payloads, requests, and the state of one session.
